"""Weight averaging: the average over the last steps often predicts better than the weights of a single step."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from attrs import define, field

from deepbp.errors import ConfigurationError
from deepbp.errors.validators import boolean, fraction
from deepbp.training.freezing import Snapshot
from deepbp.training.trainer import Callback, Trainer
from deepbp.typing import Array


@define(eq=False)
class WeightAverage(Callback):
    """Exponential moving average of the weights, with bias correction: w̄ = Σ dᵏ wₜ₋ₖ / Σ dᵏ over k = 0 … t − 1.

    The initial weights are not included, and after one step the average equals the weights: no warm-up is needed.
    Buffers, such as running means, are averaged as well. The training itself is not changed by a single bit.
    ``with average.applied(trainer):`` predicts and evaluates with the average, and then restores the trained weights.

    >>> from deepbp import Sequential, Trainer
    >>> from deepbp.callbacks import WeightAverage
    >>> from deepbp.layers import Dense
    >>> from deepbp.losses import SumSquaredError
    >>> from deepbp.optimizers import SGD
    >>> net, average = Sequential([Dense(1)], input_shape=1, rng=0), WeightAverage(decay=0.5)
    >>> trainer = Trainer(net, SumSquaredError(), SGD(0.1), callbacks=[average])
    >>> history = trainer.fit([[0.0]], [[1.0]], epochs=2)  # the bias is 0.2, then 0.36
    >>> with average.applied(trainer):
    ...     print(net.predict([[0.0]]).round(4))  # (0.36 + 0.5 · 0.2) / 1.5
    [[0.3067]]

    Args:
        decay: d; 0.999 averages over about 1 / (1 − d) = 1000 steps.
        validate: put the average into the network at the end of each epoch, while it is validated and callbacks are
            called, so that ``val_loss``, ``EarlyStopping`` and ``ModelCheckpoint`` use it. Training continues from the
            trained weights, also after ``Trainer.load``.
        use: leave the average in the network when ``fit`` ends. The next ``fit`` of the same trainer still continues
            from the trained weights, unless the network's weights were changed in between.

    Attributes:
        count: t, the number of steps in the average.

    Source: Kingma & Ba 2015, section 7.2; Polyak & Juditsky 1992.
    """

    decay: float = field(default=0.999, validator=fraction)
    use: bool = field(default=False, validator=boolean, kw_only=True)
    validate: bool = field(default=False, validator=boolean, kw_only=True)
    count: int = field(init=False, default=0, repr=False)
    _average: Snapshot | None = field(init=False, default=None, repr=False)
    _trained: Snapshot | None = field(init=False, default=None, repr=False)  # while the average is in the network
    _applied: bool = field(init=False, default=False, repr=False)
    _trainer: Any = field(init=False, default=None, repr=False)

    def update(self, trainer: Trainer) -> None:
        """Add the current weights to the average. ``fit`` calls it at each step; call it after steps by hand."""
        self._watch(trainer)
        self.count += 1
        if self._average is None:
            self._average = trainer._training.capture()
            return
        share = (1 - self.decay) / (1 - self.decay**self.count)
        same = self._average.parameters == trainer.parameters.parameters
        _move(self._average.values, trainer.parameters.values if same else self._average.current(), share)
        for average, buffer in zip(self._average.buffers, trainer.buffers, strict=True):
            _move(average, buffer.value, share)

    @contextmanager
    def applied(self, trainer: Trainer) -> Iterator[None]:
        """Context manager: the network has the average inside the ``with`` statement, and the trained weights after it.

        Raises:
            ConfigurationError: if there is no average yet; if the network is trained inside, which is undone.
        """
        if self._average is None or trainer is not self._trainer:
            raise ConfigurationError("WeightAverage: there is no average of this training yet: train first")
        trained, before = trainer._training.capture(), self._trained
        trainer._training.restore(self._average)
        self._applied, self._trained = True, before or trained
        try:
            yield
            untouched = trainer._training.holds(self._average)
        finally:
            self._applied, self._trained = False, before
            trainer._training.restore(trained)
        if not untouched:
            raise ConfigurationError("WeightAverage: the weights were changed inside applied(), and are put back")

    def on_fit_start(self, trainer: Trainer) -> None:
        self._watch(trainer)
        self._give_back()

    def on_step_end(self, trainer: Trainer, loss: float) -> None:
        self.update(trainer)

    def _for_validation(self, trainer: Trainer) -> AbstractContextManager[None] | None:
        return self.applied(trainer) if self.validate and self._average is not None else None

    def on_fit_end(self, trainer: Trainer) -> None:
        begun = trainer is self._trainer and self._trained is None and not self._applied
        if self.use and begun and self._average is not None:
            self._trained = trainer._training.capture()
            trainer._training.restore(self._average)

    def _watch(self, trainer: Trainer) -> None:
        if self._applied:
            raise ConfigurationError("WeightAverage: expected no training inside applied(): leave it first")
        if trainer is not self._trainer:  # of another training
            self._trainer, self.count, self._average, self._trained = trainer, 0, None, None

    def _give_back(self) -> None:
        if self._trained is not None and self._average is not None and self._trainer._training.holds(self._average):
            self._trainer._training.restore(self._trained)
        self._trained = None

    def state(self) -> dict[str, Any]:
        average = {} if self._average is None else self._average.describe("average")
        trained = {} if self._trained is None else self._trained.describe("trained")
        return {"count": self.count, **average, **trained}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.count = int(state["count"])
        if self.count < 0:
            raise ConfigurationError(f"WeightAverage: count: expected at least 0, got {self.count}")
        self._average = self._trainer._training.described_snapshot(state, "average")
        self._trained = self._trainer._training.described_snapshot(state, "trained")
        self._give_back()


def _move(average: Array, value: Array, share: float) -> None:
    """Average ← average + share · (value − average), which is exact if the two are equal."""
    difference = value - average
    difference *= share
    average += difference
