"""The contract of a callback: what may happen between the steps of a training."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from deepbp._suggestions import ExplainedArguments
from deepbp.errors import ConfigurationError, FileFormatError

if TYPE_CHECKING:
    from deepbp.training.trainer import Trainer


class Callback(ExplainedArguments):
    """Override what you need. A hook gets the trainer, and may change its model, its optimizer and its state.

    ``trainer.stop()`` ends training after the epoch, ``trainer.stop(now=True)`` after the step. Callbacks are called
    in the order of their list, and at the end of a training in the opposite order.
    """

    runs_last: ClassVar[bool] = False
    """Whether the others are called before it: those that store a training store what the others did."""

    def on_fit_start(self, trainer: "Trainer") -> None:
        """Before the first epoch."""

    def on_epoch_start(self, trainer: "Trainer") -> None:
        """Before each epoch; ``trainer.epoch`` counts from 0."""

    def on_step_end(self, trainer: "Trainer", loss: float) -> None:
        """After each update, with the loss of its batch."""

    def on_epoch_end(self, trainer: "Trainer", row: Mapping[str, float]) -> None:
        """After each epoch, with its row of the history."""

    def on_fit_end(self, trainer: "Trainer") -> None:
        """After the last epoch, also where Ctrl-C, a callback or an error ended what ``on_fit_start`` had begun."""

    def state(self) -> dict[str, Any]:
        """What a stored training must hold to go on exactly: arrays, numbers, texts and lists of them, by name."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that ``state`` returned: follows ``on_fit_start`` when a stored training goes on."""


CallbackState: TypeAlias = tuple[str, Mapping[str, Any]]
"""The name of a callback's class, and what it remembers."""


def states_of(callbacks: Sequence[Callback]) -> list[CallbackState]:
    """What all of them remember."""
    return [(type(callback).__name__, callback.state()) for callback in callbacks]


def restore_all(callbacks: Sequence[Callback], states: Sequence[CallbackState]) -> None:
    """Give them back what was stored.

    Raises:
        ConfigurationError: when those are not the callbacks.
        FileFormatError: when one of them can do nothing with its state.
    """
    own, stored = [type(callback).__name__ for callback in callbacks], [name for name, _ in states]
    if own != stored:
        raise ConfigurationError(f"fit: expected the callbacks that were stored, {stored}, got {own}")
    for callback, (name, state) in zip(callbacks, states, strict=True):
        try:
            callback.restore(state)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise FileFormatError(f"load: expected a state of {name}, got {state!r:.200}: {error}") from error
