"""Programs: a whole training step as a short list of instructions, each of which runs in machine code."""
