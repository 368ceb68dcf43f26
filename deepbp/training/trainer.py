"""Training: one step, one epoch, and epochs one after another."""

from collections.abc import Sequence
from math import isfinite, sqrt
from typing import Any

import numpy as np
from attrs import define, field

from deepbp.arrays import as_generator
from deepbp.errors import (
    ArgumentTypeError,
    ConfigurationError,
    ContractError,
    DeepBPError,
    NonFiniteError,
    NotBuiltError,
)
from deepbp.errors.validators import instance_of, optional, positive
from deepbp.layers import Layer
from deepbp.losses import Loss
from deepbp.losses.loss import broken_pair
from deepbp.optimizers import Optimizer, State
from deepbp.parameter import ParameterVector
from deepbp.training.callback import Callback
from deepbp.training.data import Data, check_batch_size
from deepbp.training.diagnosis import first_bad_gradient, first_overflow, warn_if_squashed_twice
from deepbp.training.evaluation import ROWS_AT_ONCE, Meter, evaluate
from deepbp.training.history import History
from deepbp.training.interrupt import Interrupt
from deepbp.training.metrics import MetricLike, check_metrics, metric_name
from deepbp.training.progress import Progress
from deepbp.training.quiet import Quiet
from deepbp.typing import Array, ArrayLike, Seed


def _as_callbacks(callbacks: Any) -> tuple[Callback, ...]:
    if not isinstance(callbacks, list | tuple) or not all(isinstance(c, Callback) for c in callbacks):
        raise ArgumentTypeError(f"callbacks: expected a list of Callback instances, got {callbacks!r}")
    return tuple(callbacks)


@define(eq=False, repr=False)
class Trainer:
    """A model, a loss and an optimizer with its state, which it keeps from call to call.

    Args:
        model: a built layer, usually a Sequential.
        metrics: such as ``[Accuracy()]``; any callable of predictions and targets.
        clip_norm: gradients whose length, over all parameters together, is larger are scaled down to it.
        rng: a seed or generator for shuffling; by default the model's own generator.

    Raises:
        NotBuiltError: when the model's sizes are not known yet.
    """

    model: Layer[Any] = field(validator=instance_of(Layer))
    loss: Loss[Any] = field(validator=instance_of(Loss))
    optimizer: Optimizer = field(validator=instance_of(Optimizer))
    metrics: Sequence[MetricLike] = field(default=(), kw_only=True, converter=check_metrics)
    callbacks: Sequence[Callback] = field(default=(), kw_only=True, converter=_as_callbacks)
    clip_norm: float | None = field(default=None, kw_only=True, validator=optional(positive))
    rng: Seed = field(default=None, kw_only=True)
    parameters: ParameterVector = field(init=False)
    state: State = field(init=False)
    history: History = field(init=False, factory=History)
    epoch: int = field(init=False, default=0)
    _generator: np.random.Generator = field(init=False)
    _quiet: Quiet = field(init=False, factory=Quiet)
    _stopped: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        if self.model.built is None:
            raise NotBuiltError(
                f"{type(self.model).__name__}: not built yet: give input_shape=..., or call build(input_shape)"
            )
        own = getattr(self.model, "generator", None)
        self._generator = own if self.rng is None and own is not None else as_generator(self.rng)
        self.parameters = ParameterVector.of(self.model.trainable_parameters())
        if not self.parameters.parameters:
            frozen = " that are not frozen" if self.model.parameters() else ""
            raise ConfigurationError(f"{type(self.model).__name__}: has no parameters{frozen}: there is nothing to train")
        self.state = self.optimizer.start(self.parameters)
        if not isinstance(self.state, dict):
            raise ContractError(f"{self.optimizer!r}: start: expected a dict, the state, returned {self.state!r}")
        for metric in self.metrics:
            if (higher := getattr(metric, "higher_is_better", None)) is not None:
                self.history.note_direction(metric_name(metric), higher)
        warn_if_squashed_twice(self.model, self.loss)

    @property
    def steps(self) -> int:
        """How many updates there were."""
        return int(self.state["step"])

    def step(self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """One update from one batch; returns the loss before it. Raises NonFiniteError instead of a bad update."""
        if not self.parameters.is_current():
            self._take_parameters()
        batch = Data.ready(self.model, x, y, sample_weight)
        if batch is None:
            batch = Data.of(self.model, self.loss, x, y, sample_weight)
        return self._quiet(self._step, batch)[0]

    def _step(self, batch: Data) -> tuple[float, Array]:
        self.parameters.clear_grads()
        prediction, saved = self.model.forward(batch.x)
        pair = self.loss.forward(prediction, batch.y, batch.sample_weight)
        try:
            value, loss_saved = pair
            finite = isfinite(value)
        except (TypeError, ValueError):
            raise broken_pair(self.loss, pair) from None
        if not finite:
            raise self._non_finite(f"the loss became {value}", first_overflow(self.model, batch.x, batch.y))
        self.model.backward_parameters(saved, self.loss.backward(loss_saved))
        self._check_and_clip()
        self.optimizer.step(self.parameters, self.state)
        return value, prediction

    def _check_and_clip(self) -> None:
        grads = self.parameters.grads
        norm = sqrt(grads.dot(grads))
        if not isfinite(norm):  # the square of a large float32 may overflow where the number itself does not
            norm = float(np.linalg.norm(grads.astype(np.float64)))
            if not isfinite(norm):
                name = first_bad_gradient(self.model, self.parameters)
                raise self._non_finite("a gradient is not finite", f"the gradient of {name}")
        if self.clip_norm is not None and norm > self.clip_norm:
            grads *= self.clip_norm / norm

    def _non_finite(self, what: str, first: str) -> NonFiniteError:
        return NonFiniteError(
            f"epoch {self.epoch}, step {self.steps}: {what}; the first place that is not finite: "
            f"{first or 'the loss itself'}. "
            "The update was not applied. Try a lower learning rate, clip_norm=1.0, or inputs scaled to about ±1"
        )

    def fit(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        epochs: int = 1,
        batch_size: int | None = 32,
        shuffle: bool = True,
        validation_data: tuple[ArrayLike, ArrayLike] | tuple[ArrayLike, ArrayLike, ArrayLike] | None = None,
        validation_split: float = 0.0,
        sample_weight: ArrayLike | None = None,
        progress: bool | None = None,
    ) -> History:
        """Train for some epochs and return the history, which also holds those of earlier calls.

        Ctrl-C finishes the step at hand and returns the history so far, with ``history.interrupted`` set.

        Args:
            batch_size: None is full batch.
            shuffle: draw the rows in a new order for each epoch; the arrays themselves stay as they are.
            validation_data: (x, y) or (x, y, sample_weight).
            validation_split: the share of the samples, drawn at random, that is kept for validation.
            progress: whether to show a bar; None means on a terminal and in a notebook.
        """
        if isinstance(epochs, bool) or not isinstance(epochs, int | np.integer):
            raise ArgumentTypeError(f"epochs: expected a whole number, got {epochs!r}")
        if epochs < 0:
            raise ConfigurationError(f"epochs: expected at least 0, got {epochs}")
        check_batch_size(batch_size)
        if not isinstance(shuffle, bool | np.bool):
            raise ArgumentTypeError(f"shuffle: expected True or False, got {shuffle!r}")
        data = Data.of(self.model, self.loss, x, y, sample_weight)
        validation = self._validation(validation_data)
        if not isinstance(validation_split, int | float) or not 0 <= validation_split < 1:
            raise ConfigurationError(f"validation_split: expected at least 0 and below 1, got {validation_split!r}")
        if validation_split:
            if validation is not None:
                raise ConfigurationError("give validation_data or validation_split, not both")
            data, validation = data.split(validation_split, self._generator)
        self._take_parameters()
        self._stopped, self.history.interrupted = False, False
        with Progress(epochs, progress) as bar, Interrupt() as interrupt:
            try:
                self._call("on_fit_start")
                for _ in range(epochs):
                    row = self._epoch(data, batch_size, shuffle, interrupt)
                    if not row:  # interrupted in the middle
                        break
                    if validation is not None and not interrupt.requested:
                        held_out = self._evaluate(validation, batch_size and max(batch_size, ROWS_AT_ONCE))
                        row.update({f"val_{name}": value for name, value in held_out.items()})
                    self.history.append(row)
                    bar.epoch(row)
                    self._call("on_epoch_end", row)
                    self.epoch += 1
                    if self._stopped or interrupt.requested:
                        break
            except KeyboardInterrupt:
                interrupt.requested = True
            self.history.interrupted = interrupt.requested
            self._call("on_fit_end")
        return self.history

    def evaluate(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        batch_size: int | None = ROWS_AT_ONCE,
        sample_weight: ArrayLike | None = None,
    ) -> dict[str, float]:
        """The loss and the metrics on these data."""
        check_batch_size(batch_size)
        return self._evaluate(Data.of(self.model, self.loss, x, y, sample_weight), batch_size)

    def stop(self) -> None:
        """End training after this epoch; for callbacks."""
        self._stopped = True

    def _epoch(self, data: Data, batch_size: int | None, shuffle: bool, interrupt: Interrupt) -> dict[str, float]:
        self._call("on_epoch_start")
        meter = Meter(self.loss, self.metrics, len(data))
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # looked for, and named, in each step
            for batch in data.batches(batch_size, self._generator if shuffle else None):
                value, prediction = self._step(batch)
                meter.add(value, prediction, batch.y)
                for callback in self.callbacks:
                    callback.on_step_end(self, value)
                if interrupt.requested and meter.seen < len(data):
                    return {}
        return meter.row()

    def _evaluate(self, data: Data, batch_size: int | None) -> dict[str, float]:
        return evaluate(self.model, self.loss, self.metrics, data.batches(batch_size), len(data))

    def _validation(self, given: Any) -> Data | None:
        if given is None:
            return None
        if not isinstance(given, list | tuple) or len(given) not in (2, 3):
            raise ArgumentTypeError(f"validation_data: expected (x, y) or (x, y, sample_weight), got {given!r}")
        try:
            return Data.of(self.model, self.loss, *given)
        except DeepBPError as error:
            raise error.placed("validation_data") from None

    def _take_parameters(self) -> None:
        """Take the parameters back, should another trainer have laid them into a vector of its own."""
        parameters = ParameterVector.of(self.model.trainable_parameters())
        if parameters.parameters != self.parameters.parameters:
            raise ConfigurationError("the model's parameters are not those it had: make a new Trainer")
        self.parameters = parameters

    def _call(self, hook: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, hook)(self, *arguments)
