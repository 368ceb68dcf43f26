"""The derivation of a network, written out: what the handwritten pages do for two layers, for any."""

from deepbp.derivation.derivation import Derivation
from deepbp.derivation.explain import Explanation
from deepbp.derivation.numbering import steps
from deepbp.derivation.running import TraceStep
from deepbp.derivation.step import Step
from deepbp.derivation.trace import Trace

__all__ = ["Derivation", "Explanation", "Step", "Trace", "TraceStep", "steps"]
