"""The contract of a callback: what may happen between the steps of a training."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepbp.training.trainer import Trainer


class Callback:
    """Override what you need. Every method gets the trainer; ``trainer.stop()`` ends training after the epoch."""

    def on_fit_start(self, trainer: "Trainer") -> None:
        """Before the first epoch."""

    def on_epoch_start(self, trainer: "Trainer") -> None:
        """Before each epoch; ``trainer.epoch`` counts from 0."""

    def on_step_end(self, trainer: "Trainer", loss: float) -> None:
        """After each update, with the loss of its batch."""

    def on_epoch_end(self, trainer: "Trainer", row: Mapping[str, float]) -> None:
        """After each epoch, with its row of the history."""

    def on_fit_end(self, trainer: "Trainer") -> None:
        """After the last epoch, also after Ctrl-C."""

    def state(self) -> dict[str, Any]:
        """What a stored training must hold to go on exactly: arrays, numbers, texts and lists of them, by name."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that ``state`` returned, when a stored training is read back."""
