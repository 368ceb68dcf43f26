"""Ends a training when its time is over."""

from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING

from attrs import define, field

from deepbp.errors.validators import positive
from deepbp.training.callback import Callback

if TYPE_CHECKING:
    from deepbp.training.trainer import Trainer


@define(eq=False)
class TimeLimit(Callback):
    """Stops after the step, or the validation, in which the time is over; the network is usable.

    Each ``fit`` has the time anew, also one that goes on with a stored training: nothing is stored.

    Args:
        seconds: from the start of ``fit``, by the clock on the wall.

    Attributes:
        stopped: whether it has ended the last training.
    """

    seconds: float = field(validator=positive)
    stopped: bool = field(init=False, default=False, repr=False)
    _end: float = field(init=False, default=0.0, repr=False)

    def on_fit_start(self, trainer: "Trainer") -> None:
        self.stopped, self._end = False, monotonic() + self.seconds

    def on_step_end(self, trainer: "Trainer", loss: float) -> None:
        if monotonic() >= self._end:
            self.stopped = True
            trainer.stop(now=True)

    def on_epoch_end(self, trainer: "Trainer", row: Mapping[str, float]) -> None:
        self.on_step_end(trainer, row["loss"])
