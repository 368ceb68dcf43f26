"""Ends a training that gets no better, and gives back the best it had."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import define, field

from deepbp.errors.validators import boolean
from deepbp.training.callbacks.snapshot import Snapshot
from deepbp.training.callbacks.watcher import Watcher

if TYPE_CHECKING:
    from deepbp.training.trainer import Trainer


@define(eq=False)
class EarlyStopping(Watcher):
    """Stops after ``patience`` epochs in a row without a new best, and puts back the weights and buffers of the best.

    They are put back whatever ends the training. A further ``fit`` of the same trainer goes on from them, and waits
    anew for better than the best; with another trainer everything starts anew.

    Args:
        monitor: the column of the history to watch.
        patience: with 1 the first epoch that is no better ends the training.
        min_delta: what is not better by more than this is no better; at least 0, whichever way the column improves.
        mode: "min" or "max", needed for metrics of which deepbp cannot know whether more is better.
        restore_best: False leaves the network as the last epoch left it.

    Attributes:
        best, best_epoch: the best value, and its epoch, counted from 0; NaN and −1 before there is one.
        waited: epochs since.
        stopped: whether it has ended the last training.

    Raises:
        ConfigurationError: after the first epoch, when there is no such column, or its direction is not known.

    Source: Goodfellow, Bengio & Courville 2016, algorithm 7.1.
    """

    restore_best: bool = field(default=True, validator=boolean, kw_only=True)
    stopped: bool = field(init=False, default=False, repr=False)
    _kept: Snapshot | None = field(init=False, default=None, repr=False)

    def on_fit_start(self, trainer: "Trainer") -> None:
        super().on_fit_start(trainer)
        self._begin(trainer)

    def on_epoch_end(self, trainer: "Trainer", row: Mapping[str, float]) -> None:
        if self.improved(trainer, row):
            if self.restore_best:
                self._kept = Snapshot.of(trainer)
        elif self.waited >= self.patience:
            self.stopped = True
            trainer.stop()

    def on_fit_end(self, trainer: "Trainer") -> None:
        if self._kept is not None and trainer is self._trainer:
            self._kept.put(trainer)

    def state(self) -> dict[str, Any]:
        kept = {} if self._kept is None else self._kept.state("kept")
        return {**super().state(), "stopped": self.stopped, **kept}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self.stopped = bool(state.get("stopped", False))
        self._kept = Snapshot.restored(state, "kept", self._trainer)
        self._begin(self._trainer)

    def _begin(self, trainer: "Trainer") -> None:
        if self.stopped and not trainer.position.stopped:  # what it has ended is over, and a further training begins
            self.stopped, self.waited = False, 0
