"""The training loop: steps, batches and epochs, one after another."""

import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from math import isfinite, sqrt
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

import numpy as np
from attrs import define, field

from deepbp import kernels
from deepbp.callbacks.callback import Callback, restore_all
from deepbp.errors import ConfigurationError, NonFiniteError
from deepbp.layers import Layer
from deepbp.losses.loss import broken_pair
from deepbp.parameters import Parameter, ParameterVector
from deepbp.training.data import Data, Source, prefetched
from deepbp.training.evaluation import ROWS_AT_ONCE, Meter, evaluate
from deepbp.training.history import History
from deepbp.training.overflow import first_bad_gradient, first_overflow
from deepbp.training.progress import Progress, ProgressLike
from deepbp.training.state import generator_at, state_of
from deepbp.typing import Array

if TYPE_CHECKING:
    from deepbp.training.trainer import Trainer


P = ParamSpec("P")
R = TypeVar("R")


class Quiet:
    """Calls functions where overflow gives no warning, at a tenth of the cost of entering ``np.errstate`` each time."""

    def __init__(self) -> None:
        self._context = copy_context()
        self._context.run(np.seterr, over="ignore", invalid="ignore", divide="ignore")

    def __call__(self, function: Callable[P, R], *arguments: P.args, **keywords: P.kwargs) -> R:
        return self._context.run(function, *arguments, **keywords)

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        return type(self), ()  # a copy is quiet, too: a context cannot be copied by pickle


@define(eq=False)
class Trained:
    """The vector of those that are trained, and a list of those that must not be."""

    model: Layer[Any]
    vector: ParameterVector
    frozen: list[Parameter]

    @classmethod
    def of(cls, model: Layer[Any]) -> Self:
        """As the model is now. Raises ConfigurationError where there is nothing to train."""
        vector = ParameterVector.of(model.named_trainable_parameters())
        if not vector.parameters:
            frozen = " that are not frozen" if model.parameters() else ""
            raise ConfigurationError(f"{type(model).__name__}: has no parameters{frozen}: there is nothing to train")
        return cls(model, vector, [parameter for parameter in model.parameters() if parameter.frozen])

    def check(self) -> None:
        """A glance before a step: ``take``, where another vector has them, or some were frozen or let back in."""
        if not self.vector.is_current() or (self.frozen and not all(parameter.frozen for parameter in self.frozen)):
            self.take()

    def take(self) -> None:
        """Take the parameters back, should another trainer have laid them into a vector of its own.

        Raises ConfigurationError where they are not the same any more: the optimizer's state is of others.
        """
        vector = ParameterVector.of(self.model.named_trainable_parameters())
        if vector.parameters != self.vector.parameters:
            raise ConfigurationError(
                "the model's parameters are not those it had: make a new Trainer, as after each freeze or unfreeze"
            )
        self.vector = vector


def clip(grads: Array, value: float | None, norm: float | None) -> bool:
    """Bound each number by ``value``, then the length of the whole vector by ``norm``; False where it is not finite."""
    length = sqrt(grads.dot(grads))
    if not isfinite(length) and not isfinite(length := _length(grads)):
        return False
    if value is not None:
        kernels.clip_values(grads, value)
        length = length if norm is None else _length(grads)
    if norm is not None:
        kernels.clip_norm(grads, length, norm)
    return True


def _length(grads: Array) -> float:
    """In float64, for the square of a large float32 may overflow where the number itself does not."""
    return float(np.linalg.norm(grads.astype(np.float64)))


@define(eq=False)
class Accumulation:
    """The gradients of several batches, put together to those of one large batch.

    A loss that is a mean weighs each batch by its samples, one that is a sum adds them. So they are the gradients of
    all the samples at once, though only one batch is in memory at a time.
    """

    is_sum: bool
    results: list[tuple[float, Array, Array]] = field(factory=list, init=False)  # for a Meter
    _grads: Array | None = field(default=None, init=False)
    _loss: float = field(default=0.0, init=False)
    _weight: int = field(default=0, init=False)

    def add(self, parameters: ParameterVector, loss: float, prediction: Array, target: Array) -> None:
        """Take in what one batch gave."""
        weight = 1 if self.is_sum else len(prediction)
        if self._grads is None:
            self._grads = np.zeros_like(parameters.grads)
        self._grads += parameters.grads * parameters.grads.dtype.type(weight)
        self._loss += loss * weight
        self._weight += weight
        self.results.append((loss, prediction, target))

    def give(self, parameters: ParameterVector) -> float:
        """Put the gradients of all batches into place; returns the loss of all their samples."""
        assert self._grads is not None, "no batch was added"
        divisor = 1 if self.is_sum else self._weight
        np.divide(self._grads, divisor, out=parameters.grads)
        return self._loss / divisor

    def forget(self) -> None:
        """Begin anew."""
        self._grads, self._loss, self._weight, self.results = None, 0.0, 0, []


_UNTOUCHED: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
_WORDS = {
    signal.SIGINT: "stopping after this step; Ctrl-C again stops at once",
    signal.SIGTERM: "SIGTERM: stopping after this step, then the process ends",
}


class Interrupt:
    """While active, the first Ctrl-C sets ``requested`` and the second raises KeyboardInterrupt at once.

    SIGTERM, by which a machine asks a process to end, sets ``requested``, too, and is sent again when the training has
    ended and its callbacks have stored what they store: then it ends the process as it would have done.

    Python delivers signals to the main thread alone, and a handler that a program installed is respected: in other
    threads, and there, nothing changes.
    """

    def __init__(self) -> None:
        self.requested = False
        self._handled: list[int] = []
        self._terminated = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number, untouched in _UNTOUCHED.items():
                if signal.getsignal(number) is untouched:
                    signal.signal(number, self._request)
                    self._handled.append(number)
        return self

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True
        self._terminated |= number == signal.SIGTERM
        with suppress(Exception):  # the signal may have come while stderr was being written to, or it may be closed
            print(f"\n{_WORDS[signal.Signals(number)]}", file=sys.stderr)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number in self._handled:
            if signal.getsignal(number) == self._request:  # a callback may have installed one of its own
                signal.signal(number, _UNTOUCHED[number])
        if self._terminated:
            signal.raise_signal(signal.SIGTERM)


def step(trainer: "Trainer", batch: Data) -> tuple[float, Array]:
    """One update; the loss before it, and the prediction. Raises NonFiniteError instead of a bad update."""
    trainer.undo.note()
    value, prediction = backpropagate(trainer, batch)
    update(trainer)
    return value, prediction


def backpropagate(trainer: "Trainer", batch: Data) -> tuple[float, Array]:
    """The loss and the prediction; the gradients are left in the parameters."""
    model, loss, trained = trainer.model, trainer.loss, trainer.trained
    trained.check()
    trained.vector.clear_grads()
    prediction, saved = model.forward(batch.x)
    pair = loss.forward(prediction, batch.y, batch.sample_weight)
    try:
        value, loss_saved = pair
        finite = isfinite(value)
    except (TypeError, ValueError):
        raise broken_pair(loss, pair) from None
    if trainer.penalized:
        value += model.penalty(saved)
        finite = isfinite(value)
    if not finite:
        raise _non_finite(trainer, f"the loss became {value}", lambda: first_overflow(model, batch.x, batch.y))
    model.backward_parameters(saved, loss.backward(loss_saved))
    return value, prediction


def update(trainer: "Trainer") -> None:
    """Let the optimizer apply the gradients, where they are finite."""
    parameters = trainer.trained.vector
    if not clip(parameters.grads, trainer.clip_value, trainer.clip_norm):
        name = first_bad_gradient(trainer.model, parameters)
        raise _non_finite(trainer, "a gradient is not finite", lambda: f"the gradient of {name}")
    trainer.undo.settled = False
    trainer.optimizer.step(parameters, trainer.state)
    trainer.undo.done()


def _non_finite(trainer: "Trainer", what: str, first: Callable[[], str]) -> NonFiniteError:
    trainer.undo.take_back()  # running means that took in an overflow would spoil every prediction
    return NonFiniteError(
        f"epoch {trainer.epoch}, step {trainer.steps}: {what}; the first place that is not finite: "
        f"{first() or 'the loss itself'}. "
        "The update was not applied. Try a lower learning rate, clip_norm=1.0, or inputs scaled to about ±1"
    )


@define(eq=False)
class Fit:
    """Trains until the epochs are done, a callback stops it, or someone interrupts; the trainer's ``position`` says
    where it stands.

    However it ends, the model holds the weights of its last whole update, and the history its whole epochs.
    """

    trainer: "Trainer"
    source: Source
    validation: Source | None
    epochs: int
    batch_size: int | None
    shuffle: bool
    prefetch: int
    stopped_now: bool = field(default=False, init=False)
    _interrupt: Interrupt = field(factory=Interrupt, init=False)
    _accumulation: Accumulation = field(init=False)
    _begun: list[Callback] = field(factory=list, init=False)

    def run(self, progress: ProgressLike) -> History:
        """Train, and return the trainer's history."""
        trainer, interrupt = self.trainer, self._interrupt
        self._accumulation = Accumulation(trainer.loss.reduction == "sum")
        trainer.history.interrupted = False
        with Progress(self.epochs, progress) as bar, interrupt:
            try:
                for callback in trainer.callbacks:
                    callback.on_fit_start(trainer)
                    self._begun.append(callback)
                if trainer.waiting is not None:
                    restore_all(trainer.callbacks, trainer.waiting)
                    trainer.waiting = None
                while trainer.position.epochs < self.epochs and not trainer.position.stopped and not self._must_end:
                    self._epoch(bar)
            except KeyboardInterrupt:
                interrupt.requested = True
            except BaseException as error:
                self._explain(error)
                self._end(error)
                raise
            self._end()
        return trainer.history

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()  # a copy of a trainer stands where that stands, and is in no call of fit

    @property
    def _must_end(self) -> bool:
        return self._interrupt.requested or self.stopped_now

    def _epoch(self, bar: Progress) -> None:
        trainer, position = self.trainer, self.trainer.position
        position.meter = meter = position.meter or Meter(trainer.loss, trainer.metrics)
        if not self._train(meter, bar):
            return
        if meter.seen == 0:
            raise NonFiniteError(f"epoch {trainer.epoch}: every step was skipped: its loss or a gradient overflowed")
        row = meter.row()
        if self.validation is not None:
            if self._interrupt.requested:
                return  # what was not validated is no whole epoch: it becomes one where the training goes on
            size = self.batch_size and max(self.batch_size, ROWS_AT_ONCE)
            held_out = evaluate(trainer.model, trainer.loss, trainer.metrics, self.validation.batches(size))
            row.update({f"val_{name}": value for name, value in held_out.items()})
        trainer.history.append(row)
        trainer.position = position.next()
        bar.epoch(row)
        trainer.call("on_epoch_end", row)
        trainer.epoch = trainer.position.epoch

    def _train(self, meter: Meter, bar: Progress) -> bool:
        """One pass over the batches, from where the position says; False where it ended before the last of them."""
        trainer, position, rng = self.trainer, self.trainer.position, self.trainer.generator
        before = None if position.batches else state_of(rng)
        try:
            if before is None:  # begun before: the same rows are drawn again, and those that were seen are left out
                rng = generator_at(rng, position.epoch_start)
            else:
                trainer.call("on_epoch_start")
                position.epoch_start = state_of(rng)
            taken = position.batches
            batches = self.source.batches(self.batch_size, rng if self.shuffle else None, taken)
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # looked for, and named, in each step
                for batch in prefetched(batches, self.prefetch):
                    if self._must_end and not self._accumulation.results:
                        return False
                    taken += 1
                    self._learn(batch, taken, meter, bar)
                if self._accumulation.results:  # the last update of an epoch may have fewer batches
                    self._learn(None, taken, meter, bar)
            return True
        finally:
            trainer.undo.take_back()
            if before is not None and not position.batches:  # nothing was learned: this epoch is yet to begin
                rng.bit_generator.state = before

    def _learn(self, batch: Data | None, taken: int, meter: Meter, bar: Progress) -> None:
        """Learn from a batch, and update where it completes what was collected; None updates with what there is."""
        trainer, collected = self.trainer, self._accumulation
        try:
            if batch is not None and trainer.accumulate == 1:
                loss, prediction = step(trainer, batch)
                meter.add(loss, prediction, batch.y)
            else:
                if batch is not None:
                    if not collected.results:
                        trainer.undo.note()
                    loss, prediction = backpropagate(trainer, batch)
                    collected.add(trainer.parameters, loss, prediction, batch.y)
                    if len(collected.results) < trainer.accumulate:
                        return
                loss = collected.give(trainer.parameters)
                update(trainer)
                for result in collected.results:
                    meter.add(*result)
                collected.forget()
        except NonFiniteError:
            collected.forget()
            if trainer.non_finite == "raise":
                raise
            trainer.skipped += 1
            trainer.position.batches = taken
            return
        trainer.position.batches = taken
        trainer.undo.settled = True
        bar.step(loss, meter.seen, self.source.samples)
        for callback in trainer.callbacks:
            callback.on_step_end(trainer, loss)

    def _explain(self, error: BaseException) -> None:
        """Say where in the training an error happened."""
        trainer = self.trainer
        weights = "whose weights the model holds" if trainer.undo.settled else "and the next was cut off in the middle"
        error.add_note(f"in epoch {trainer.epoch}, after update {trainer.steps}, {weights}")
        if isinstance(error, MemoryError):
            error.add_note("the memory was not enough: try half the batch_size, with accumulate=2 for the same steps")

    def _end(self, error: BaseException | None = None) -> None:
        """Let the callbacks that began end, each of them; what fails there is raised, or told beside the error."""
        trainer, first = self.trainer, error
        trainer.epoch = trainer.position.epoch
        trainer.history.interrupted = self._interrupt.requested
        for callback in reversed(self._begun):
            try:
                callback.on_fit_end(trainer)
            except Exception as other:
                if first is None:
                    first = other
                else:
                    first.add_note(f"then {type(callback).__name__}.on_fit_end failed, too: {other}")
        if first is not error and first is not None:
            raise first
