"""The derivation of a network, written out: what the handwritten pages do for two layers, for any."""
