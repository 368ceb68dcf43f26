"""Steps whose length the signs of the gradients alone decide, for full batches."""

import numpy as np
from attrs import field, frozen

from deepbp.errors import ConfigurationError
from deepbp.errors.validators import number, positive
from deepbp.kernels.blocks import blocks
from deepbp.layers.formula import UpdateFormula
from deepbp.optimizers.descent import Descent
from deepbp.optimizers.optimizer import Schedule, State, rate_or_schedule
from deepbp.parameter import ParameterVector

SYMBOLS = {"agreement": "c", "direction": "s", "rate": "η", "size": "Δ"}


@frozen
class Rprop(Descent):
    """w ← w − η Δ s, with s = sgn(g): the length Δ grows while s stays the same and shrinks where it turns.

    c = sgn(g) s, with the s of the step before; Δ ← grow · Δ where c > 0 and shrink · Δ where c < 0, kept between the
    smallest and the largest step; then s ← sgn(g), but 0 where c < 0: a number whose gradient has turned rests for one
    step. This is iRprop⁻, which takes no step back (PyTorch's, too).

    It is for full batches, ``batch_size=None``: on small ones, signs turn by chance.

    Args:
        learning_rate: η, a number or a callable of the step, which multiplies all steps; the paper has none, so 1.
        first_step: Δ at the start.
        grow, shrink: above 1, and between 0 and 1.
        smallest_step, largest_step: the bounds of Δ.

    Source: Riedmiller & Braun 1993; Igel & Hüsken 2000, iRprop⁻.
    """

    learning_rate: float | Schedule = field(default=1.0, validator=rate_or_schedule)
    first_step: float = field(default=0.01, validator=positive)
    grow: float = field(default=1.2, validator=number(lambda v: v > 1, "a number above 1"))
    shrink: float = field(default=0.5, validator=number(lambda v: 0 < v < 1, "a number above 0 and below 1"))
    smallest_step: float = field(default=1e-6, validator=positive)
    largest_step: float = field(default=50.0, validator=positive)

    def __attrs_post_init__(self) -> None:
        if not self.smallest_step <= self.first_step <= self.largest_step:
            raise ConfigurationError(
                f"Rprop: expected smallest_step ≤ first_step ≤ largest_step, got {self.smallest_step!r}, "
                f"{self.first_step!r} and {self.largest_step!r}"
            )

    def stated_formula(self) -> UpdateFormula:
        scaled = "size * (grow * (agreement > 0) + shrink * (agreement < 0) + (agreement == 0))"
        return UpdateFormula(
            (
                ("agreement", "sign(g) * direction"),
                ("size", f"minimum(maximum({scaled}, smallest_step), largest_step)"),
                ("direction", "sign(g) * (agreement >= 0)"),
                ("w", "w - rate * size * direction"),
            ),
            symbols=SYMBOLS,
        )

    def start(self, parameters: ParameterVector) -> State:
        values = parameters.values
        return {"step": 0, "size": np.full_like(values, self.first_step), "direction": np.zeros_like(values)}

    def _move(self, parameters: ParameterVector, state: State, rate: float) -> None:
        arrays = (parameters.values, parameters.grads, state["size"], state["direction"])
        for w, g, size, s, agreement, scratch in blocks(*arrays, scratch=2):
            np.sign(g, out=scratch)  # signs, not g itself: a product of two tiny gradients would be 0
            np.multiply(scratch, s, out=agreement)
            np.multiply(size, self.grow, out=size, where=agreement > 0)
            np.multiply(size, self.shrink, out=size, where=agreement < 0)
            np.clip(size, self.smallest_step, self.largest_step, out=size)
            np.multiply(scratch, agreement >= 0, out=s)
            np.multiply(size, s, out=scratch)
            scratch *= rate
            w -= scratch
