"""Penalties: prices on numbers, parameters or outputs, that are added to the loss."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from attrs import field, frozen

from deepbp.errors.validators import non_negative
from deepbp.layers.formula import PenaltyFormula
from deepbp.typing import Array


class Penalty(ABC):
    """A price on numbers. It is configuration: a subclass is ``@frozen``, and one may stand in many places.

    Value and gradient come from one method, so that they cannot be of two definitions. Both are sums over all the
    numbers given; whoever asks says what they are sums of, and divides: see ``Penalized``.
    """

    __slots__ = ()

    formula: ClassVar[PenaltyFormula | None] = None
    """The mathematics, stated once: ``derivation`` prints it."""

    @abstractmethod
    def __call__(self, values: Array) -> tuple[float, Array]:
        """What these numbers cost, and the derivative of that by each of them."""


@frozen
class L1(Penalty):
    """λ Σ |w|, which draws numbers to exactly 0: the gradient is λ sign w, and at 0, where |w| has a kink, it is 0.

    Args:
        strength: λ.

    Source: Tibshirani 1996, the lasso.
    """

    formula = PenaltyFormula("strength * total(abs(w))", "strength * sign(w)")

    strength: float = field(validator=non_negative)

    def __call__(self, values: Array) -> tuple[float, Array]:
        strength = float(self.strength)
        return strength * float(np.abs(values).sum()), strength * np.sign(values)


@frozen
class L2(Penalty):
    """λ Σ w², which draws large numbers down the most: the gradient is 2 λ w, with the 2, for there is no ½ in front.

    The ``weight_decay`` of plain gradient descent subtracts λ w, so it is the gradient of an L2 of half that strength.

    Args:
        strength: λ.

    Source: Hoerl & Kennard 1970, ridge regression; Krogh & Hertz 1992.
    """

    formula = PenaltyFormula("strength * total(w**2)", "2 * strength * w")

    strength: float = field(validator=non_negative)

    def __call__(self, values: Array) -> tuple[float, Array]:
        strength = float(self.strength)
        return strength * float(np.vdot(values, values)), 2 * strength * values


@frozen
class L1L2(Penalty):
    """λ₁ Σ |w| + λ₂ Σ w²: both at once, with the gradient λ₁ sign w + 2 λ₂ w.

    Args:
        l1, l2: λ₁ and λ₂.

    Source: Zou & Hastie 2005, the elastic net.
    """

    formula = PenaltyFormula("l1 * total(abs(w)) + l2 * total(w**2)", "l1 * sign(w) + 2 * l2 * w")

    l1: float = field(validator=non_negative)
    l2: float = field(validator=non_negative)

    def __call__(self, values: Array) -> tuple[float, Array]:
        (size, by_size), (square, by_square) = L1(self.l1)(values), L2(self.l2)(values)
        return size + square, by_size + by_square
