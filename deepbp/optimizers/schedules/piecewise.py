"""Rates or schedules one after another."""

from numbers import Integral
from typing import Any

from attrs import Attribute, field, frozen

from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.optimizers.optimizer import Schedule, rate_or_schedule
from deepbp.optimizers.schedules.schedule import LearningRateSchedule, rate_at


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@frozen
class Piecewise(LearningRateSchedule):
    """η(t) = pieceₖ(t − bₖ), where bₖ is the last boundary that is not above t, and b₀ = 0.

    ``Piecewise([1000, 1500], [0.1, 0.01, 0.001])`` is constant in three pieces. A piece may be a schedule, too, which
    counts from its own beginning: ``Piecewise([500], [0.1, Cosine(0.1, 2000)])``. The last one goes on.

    Args:
        boundaries: the steps at which the second piece begins, the third, and so on.
        pieces: rates, schedules or any callables of the step, one more than there are boundaries.

    Raises:
        ConfigurationError: when boundaries do not rise, or their number does not fit.
    """

    boundaries: tuple[int, ...] = field(converter=_as_tuple)
    pieces: tuple[float | Schedule, ...] = field(converter=_as_tuple)

    @boundaries.validator
    def _check_boundaries(self, attribute: "Attribute[Any]", value: Any) -> None:
        expected = f"Piecewise: boundaries: expected steps of at least 1 that rise, such as [1000, 1500], got {value!r}"
        if not isinstance(value, tuple) or any(isinstance(b, bool) or not isinstance(b, Integral) for b in value):
            raise ArgumentTypeError(expected)
        if any(later <= earlier for earlier, later in zip((0, *value), value, strict=False)):
            raise ConfigurationError(expected)

    @pieces.validator
    def _check_pieces(self, attribute: "Attribute[Any]", value: Any) -> None:
        if not isinstance(value, tuple):
            raise ArgumentTypeError(f"Piecewise: pieces: expected a list of rates or schedules, got {value!r}")
        if len(value) != len(self.boundaries) + 1:
            raise ConfigurationError(
                f"Piecewise: pieces: expected {len(self.boundaries) + 1}, one more than the boundaries "
                f"{list(self.boundaries)}, got {len(value)}"
            )
        for piece in value:
            rate_or_schedule(self, attribute, piece)

    def rate(self, step: int) -> float:
        begun = [boundary for boundary in self.boundaries if boundary <= step]
        return rate_at(self.pieces[len(begun)], step - (begun[-1] if begun else 0))
