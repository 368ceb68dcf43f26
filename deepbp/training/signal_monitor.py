"""Watching how signals flow through a network while it learns."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import define, field

from deepbp.errors import ConfigurationError, DeepBPError
from deepbp.errors.validators import optional, positive_int
from deepbp.layers import Layer
from deepbp.training.callback import Callback
from deepbp.training.data import Data
from deepbp.training.signal_report import report
from deepbp.training.signals import Signals, leaves, measure
from deepbp.typing import ArrayLike

if TYPE_CHECKING:
    from deepbp.training.trainer import Trainer


@define(eq=False)
class SignalMonitor(Callback):
    """Records layer by layer, on a few fixed samples, the sizes of activations, error signals and gradients.

    Also the shares of dead and of saturated units; ``report`` says in words what is seen and what usually helps, and
    ``deepbp.plots.signals`` draws it. Each look runs the samples through a copy of the model, so training goes on to
    the bit as it would without.

    Args:
        x, y: the samples to look at, some dozens of those to train on.
        every: look after this many steps; None is after each epoch. The state before and after training is always
            looked at.

    Attributes:
        layers: the names of the layers, such as ``"0 Dense"``, in the order in which they run.
        records: one ``Signals`` for each look.

    Raises:
        ConfigurationError: when it is used for a second network.
    """

    x: ArrayLike = field(repr=False)
    y: ArrayLike = field(repr=False)
    every: int | None = field(default=None, validator=optional(positive_int))
    layers: tuple[str, ...] = field(default=(), init=False, repr=False)
    records: list[Signals] = field(factory=list, init=False, repr=False)
    _model: Layer[Any] | None = field(default=None, init=False, repr=False)
    _trainer: Any = field(default=None, init=False, repr=False)
    _before: int = field(default=0, init=False, repr=False)  # steps made by earlier trainers

    def look(self, trainer: "Trainer") -> Signals:
        """Record the present state; training with ``fit`` does it by itself, steps by hand may ask for it."""
        self._watch(trainer)
        step = self._before + trainer.steps
        if not self.records or self.records[-1].step != step:
            try:
                data = Data.of(trainer.model, trainer.loss, self.x, self.y)
            except DeepBPError as error:
                raise error.placed("SignalMonitor") from None
            self.records.append(measure(trainer.model, trainer.loss, data, step))
        return self.records[-1]

    def report(self) -> str:
        """What is to be seen, in words, and what usually helps. Raises ConfigurationError before the first look."""
        return report(self.layers, self.records)

    def on_fit_start(self, trainer: "Trainer") -> None:
        self.look(trainer)

    def on_step_end(self, trainer: "Trainer", loss: float) -> None:
        if self.every is not None and trainer.steps % self.every == 0:
            self.look(trainer)

    def on_epoch_end(self, trainer: "Trainer", row: Mapping[str, float]) -> None:
        if self.every is None:
            self.look(trainer)

    def on_fit_end(self, trainer: "Trainer") -> None:
        self.look(trainer)

    def _watch(self, trainer: "Trainer") -> None:
        if trainer is self._trainer:
            return
        if self._model not in (None, trainer.model):
            raise ConfigurationError("SignalMonitor: watches another network already: make one for each network")
        if self.records:  # trained again, by a new trainer: its steps are counted on
            self._before = self.records[-1].step - trainer.steps
        self._model, self._trainer = trainer.model, trainer
        self.layers = tuple(f"{place} {type(layer).__name__}".lstrip() for place, layer in leaves(trainer.model))
