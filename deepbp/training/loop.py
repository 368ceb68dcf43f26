"""The training loop, read downwards: a call of ``fit``, its epochs, their batches, and the step for each batch."""

from collections.abc import Callable
from functools import partial
from math import isfinite
from typing import Any

import numpy as np
from attrs import define, field

from deepbp.errors import ConfigurationError, FileFormatError, NonFiniteError
from deepbp.losses.loss import Loss, broken_pair
from deepbp.metrics.metric import metric_name
from deepbp.optimizers.optimizer import has_square, move_or_restore
from deepbp.parameters import ParameterVector
from deepbp.sparse_parameters import Touched
from deepbp.training.data import Data, Source
from deepbp.training.evaluation import ROWS_AT_ONCE, Meter, evaluate
from deepbp.training.history import History
from deepbp.training.interrupt import Interrupt
from deepbp.training.options import FitOptions
from deepbp.training.overflow import clip, first_bad_gradient, first_overflow
from deepbp.training.position import Position, generator_at
from deepbp.training.programmed import Kind, ProgrammedBatches, Programs
from deepbp.training.progress import Display, open_display
from deepbp.training.state import Settings, TrainingState
from deepbp.training.streams import Stream, prefetched
from deepbp.typing import Array


@define(eq=False)
class Fit:
    """One call of ``fit``: trains until the epochs are done, a callback stops it, or a signal interrupts it.

    However it ends, the model holds the weights of its last complete update, and the history its complete epochs.
    ``state.position`` is where the training stands.
    """

    trainer: Settings
    state: TrainingState
    options: FitOptions
    source: Source
    validation: Source | None
    programs: Programs  # of single batches
    stopped_now: bool = field(default=False, init=False)
    _interrupt: Interrupt = field(init=False)
    _accumulation: "Accumulation" = field(init=False)
    _samples: int | None = field(default=None, init=False)  # in an epoch
    _programmed: ProgrammedBatches | None = field(default=None, init=False)
    _display: Display | None = field(default=None, init=False)
    _started: list[Any] = field(factory=list, init=False)  # the callbacks whose on_fit_start has run

    def run(self) -> History:
        """Train, and return the history."""
        state = self.state
        self._resume()
        self._accumulation = Accumulation(self.trainer.loss)
        state.history.interrupted = False
        if self.programs.is_on:
            options = self.options
            self._programmed = ProgrammedBatches.of(self, self.source, options.batch_size, options.prefetch)
        self._display = open_display(self.options.epochs, self.options.progress, state.position.epochs)
        with Interrupt() as self._interrupt:
            try:
                self._start()
                while state.position.epochs < self.options.epochs and not state.position.stopped and not self._must_end:
                    self._epoch()
            except KeyboardInterrupt:
                self._interrupt.requested = True
            except BaseException as error:
                self._add_notes(error)
                self._end(error)
                raise
            self._end()
        if not (state.history.interrupted or self.stopped_now):  # then nothing is left to resume
            state.position = Position(epoch=state.epoch)
        return state.history

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()  # a copied trainer has the same position, but no running call of fit

    @property
    def columns(self) -> list[str]:
        """The names of the numbers that each epoch has."""
        held_out = ["loss", *map(metric_name, self.trainer.metrics)]
        own = ["loss", "penalty", *held_out[1:]] if self.state.has_penalty else held_out
        return own if self.validation is None else [*own, *(f"val_{name}" for name in held_out)]

    @property
    def _must_end(self) -> bool:
        return self._interrupt.requested or self.stopped_now

    def _resume(self) -> None:
        """Continue at the position, after the epochs of a stream that are complete.

        Raises ConfigurationError if an epoch was begun with other samples or batches: some samples would be used
        twice, and others not at all.
        """
        source, options, position = self.source, self.options, self.state.position
        self._samples = source.samples
        samples = "streamed" if self._samples is None else self._samples
        call = f"{samples} samples, batch_size={options.batch_size}, shuffle={options.shuffle}"
        if position.batches and call != position.call:
            raise ConfigurationError(
                f"fit: the epoch that was left in the middle had {position.call}, got {call}: go on with the same call"
            )
        position.call = call
        if isinstance(source, Stream) and position.epochs < options.epochs:
            source.leave_out(position.epochs)

    def _start(self) -> None:
        """Start the callbacks; those of a loaded training then get their states back.

        Raises:
            ConfigurationError: if the callbacks are not those of the file.
            FileFormatError: if a callback cannot use its state.
        """
        trainer = self.trainer
        for callback in trainer.callbacks:
            callback.on_fit_start(trainer)
            self._started.append(callback)
        if self.state.callback_states is None:
            return
        states, resumes = [*self.state.callback_states], self.state.resumes
        own, stored = [type(callback).__name__ for callback in trainer.callbacks], [name for name, _ in states]
        if resumes and own != stored:
            raise ConfigurationError(
                f"fit: expected the callbacks that were stored, {stored}, got {own}: give all to fit"
            )
        for callback, name in zip(trainer.callbacks, own, strict=True):
            found = next((index for index, one in enumerate(states) if one[0] == name), None)
            if found is None:  # a callback of this call alone
                continue
            _, state = states.pop(found)
            try:
                callback.restore(state)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                raise FileFormatError(f"load: expected a state of {name}, got {state!r:.200}: {error}") from error
            if not resumes:  # the stored call of fit had ended: this is another one
                callback._begin_call()
        self.state.callback_states = None

    def _epoch(self) -> None:
        """Train on each batch once, and complete the epoch."""
        trainer, state = self.trainer, self.state
        meter = self._batches()
        if meter is None:
            return
        if meter.seen == 0:
            raise NonFiniteError(f"epoch {state.epoch + 1}: every step was skipped: its loss or a gradient overflowed")
        row = meter.row()
        contexts = filter(None, [one._for_validation(trainer) for one in trainer.callbacks])
        if (context := next(contexts, None)) is None:
            self._complete(row)
        else:
            with context:
                self._complete(row)

    def _complete(self, row: dict[str, float]) -> None:
        """Validate, and append the row to the history."""
        trainer, state, position = self.trainer, self.state, self.state.position
        if self.validation is not None and (position.epoch + 1) % self.options.validation_every == 0:
            if self._interrupt.requested:
                return  # the epoch is not complete: it is validated when the training resumes
            size = self.options.batch_size and max(self.options.batch_size, ROWS_AT_ONCE)
            batches = self.validation.batches(size)
            programmed = partial(self.programs.run, "evaluation")
            held_out = evaluate(trainer.model, trainer.loss, trainer.metrics, batches, programmed)
            row.update({f"val_{name}": value for name, value in held_out.items()})
        state.history.append(row)
        done, epoch, kept = position.epochs + 1, position.epoch + 1, position.fit_start
        state.position = Position(done, epoch, fit_start=kept, stopped=position.stopped, call=position.call)
        if self._display is not None:
            self._display.epoch(row)
        for callback in trainer.callbacks:
            callback.on_epoch_end(trainer, row)
        state.epoch = state.position.epoch

    def _batches(self) -> Meter | None:
        """Train on the batches after the position; None if the training ended before the last of them."""
        trainer, state, position, options = self.trainer, self.state, self.state.position, self.options
        rng = state.generator
        before = None if position.batches else dict(rng.bit_generator.state)
        ahead = None
        try:
            # An epoch that was left within: a copy of the generator draws the same rows again, and the batches that
            # the model has learned from are left out. The generator itself has already moved on.
            if before is None:
                rng = generator_at(rng, position.epoch_start)
            else:
                for callback in trainer.callbacks:
                    callback.on_epoch_start(trainer)
                position.epoch_start = dict(rng.bit_generator.state)
            taken = position.batches
            if self._must_end:
                return None
            position.meter = meter = position.meter or Meter(trainer.loss, trainer.metrics, state.has_penalty)
            shuffling = rng if options.shuffle else None
            if self._programmed is not None:
                with np.errstate(all="ignore"):
                    if not self._programmed.train(shuffling, taken, meter):
                        return None
                    if self._accumulation.results:
                        self._batch(None, self._last_batch() or 0, meter)
                return meter
            batches = self.source.batches(options.batch_size, shuffling, taken)
            if options.prefetch:
                batches = ahead = prefetched(batches, options.prefetch, getattr(self.source, "unused", None))
            last = self._last_batch()
            with np.errstate(all="ignore"):  # each step checks for non-finite numbers
                for batch in batches:
                    taken += 1
                    self._batch(batch, taken, meter)
                    # Checked before the next batch is taken: a generator would not give it again.
                    if taken != last and not self._accumulation.results and self._must_end:
                        return None
                if self._accumulation.results:  # the last update of an epoch may have fewer batches
                    self._batch(None, taken, meter)
            return meter
        finally:
            if ahead is not None:
                ahead.close()
            if state.before is not None:  # the last step was not completed
                state.rollback()
            if before is not None and not position.batches:  # nothing was learned: the epoch has not begun
                rng.bit_generator.state = before

    def _last_batch(self) -> int | None:
        """The number of batches of an epoch; None for a stream of unknown length."""
        if isinstance(self.source, Stream):
            return self.source.steps
        samples = self._samples or 1
        return -(-samples // (self.options.batch_size or samples))

    def _batch(self, batch: Data | None, taken: int, meter: Meter) -> None:
        """Learn from a batch, the ``taken``-th of the epoch; None updates with the gradients accumulated so far."""
        trainer, state, accumulation = self.trainer, self.state, self._accumulation
        try:
            if batch is not None and trainer.accumulate == 1:
                loss, prediction = self._by_program("step", batch) or step(trainer, state, batch)
                meter.add(loss, prediction, batch.y, batch.sample_weight, state.penalty)
            else:
                if batch is not None:
                    loss, prediction = self._by_program("gradients", batch) or backpropagate(trainer, state, batch)
                    accumulation.add(state.parameters, loss, prediction, batch, state.penalty)
                    if len(accumulation.results) < trainer.accumulate:
                        return
                loss = accumulation.write_gradients(state.parameters)
                update(trainer, state)
                for result in accumulation.results:
                    meter.add(*result)
                accumulation.clear()
        except NonFiniteError:
            accumulation.clear()
            if trainer.non_finite == "raise":
                raise
            state.skipped += 1
            state.position.batches = taken
            return
        # Now weights, running sums and position agree, and a checkpoint may be written.
        state.position.batches, state.consistent = taken, True
        if self._display is not None or trainer.callbacks:
            self._show_step(loss, meter)

    def _by_program(self, kind: Kind, batch: Data) -> tuple[float, Array] | None:
        """Loss and prediction of a single batch by a program; None where there is none, or where it has just failed."""
        single = self.programs.is_on and self._programmed is None
        return self.programs.run(kind, batch) if single else None

    def _show_step(self, loss: float, meter: Meter) -> None:
        if self._display is not None:
            self._display.step(loss, meter.seen, self._samples)
        for callback in self.trainer.callbacks:
            callback.on_step_end(self.trainer, loss)

    def _update(self) -> None:
        update(self.trainer, self.state)

    def _add_notes(self, error: BaseException) -> None:
        """Add to an exception where in the training it was raised."""
        state = self.state
        weights = "whose weights the model holds" if state.consistent else "and the next was cut off in the middle"
        error.add_note(f"in epoch {state.epoch + 1}, after update {state.steps}, {weights}")
        if isinstance(error, MemoryError):
            error.add_note("the memory was not enough: try half the batch_size, with accumulate=2 for the same steps")

    def _end(self, error: BaseException | None = None) -> None:
        """End all callbacks that were started, and close the display. The first exception is raised, with the others
        as its notes.
        """
        state, first = self.state, error
        state.epoch = state.position.epoch
        state.history.interrupted = self._interrupt.requested
        for callback in reversed(self._started):
            try:
                callback.on_fit_end(self.trainer)
            except Exception as other:
                if first is None:
                    first = other
                else:
                    first.add_note(f"then {type(callback).__name__}.on_fit_end failed, too: {other}")
        if self._display is not None:
            self._display.close()
        if first is not error and first is not None:
            raise first


def step(trainer: Settings, state: TrainingState, batch: Data) -> tuple[float, Array]:
    """One update; returns the loss before it, and the prediction. Raises NonFiniteError instead of a bad update."""
    value, prediction = backpropagate(trainer, state, batch)
    update(trainer, state)
    return value, prediction


def backpropagate(trainer: Settings, state: TrainingState, batch: Data) -> tuple[float, Array]:
    """Compute the gradients of a batch, and return its loss and prediction. Raises NonFiniteError for the loss."""
    model, loss = trainer.model, trainer.loss
    state.begin(trainer.optimizer)
    state.parameters.clear_grads()
    prediction, saved = model._run_forward(batch.x)  # validated with the data
    pair = loss.forward(prediction, batch.y, batch.sample_weight)
    try:
        value, loss_saved = pair
        finite = isfinite(value)
        value = float(value)
    except (TypeError, ValueError):
        raise broken_pair(loss, pair) from None
    if state.has_penalty:
        state.penalty = model.penalty(saved)
        value += state.penalty
        finite = isfinite(value)
    if not finite:
        raise _non_finite(
            trainer, state, f"the loss became {value}", lambda: first_overflow(model, trainer.loss, batch.x, batch.y)
        )
    delta = loss.backward(loss_saved)
    if type(delta) is np.ndarray and delta.shape == prediction.shape and delta.dtype == prediction.dtype:
        model._run_backward_parameters(saved, delta)
    else:  # input validation reports what does not fit
        model.backward_parameters(saved, delta)
    return value, prediction


def update(trainer: Settings, state: TrainingState) -> None:
    """Clip the gradients and apply the optimizer to them. Raises NonFiniteError for a gradient."""
    parameters, optimizer, own = state.parameters, trainer.optimizer, state.optimizer_state
    if trainer.clip_value is not None or trainer.clip_norm is not None:
        part = Touched(parameters) if parameters.sparse else parameters
        clip(part.grads, trainer.clip_value, trainer.clip_norm)
        if isinstance(part, Touched):
            part.write_grads()
    consistent, state.consistent = state.consistent, False
    try:
        if optimizer._restores or has_square(parameters.grads):
            optimizer.step(parameters, own)
        else:  # a class of a user, whose means of squares may overflow
            move_or_restore(lambda: optimizer.step(parameters, own), parameters, own)
    except NonFiniteError as error:  # then values and state are as they were
        state.consistent = consistent
        if name := first_bad_gradient(trainer.model, parameters):
            raise _non_finite(trainer, state, "a gradient is not finite", lambda: f"the gradient of {name}") from None
        state.rollback()
        raise NonFiniteError(f"epoch {state.epoch + 1}, step {state.steps + 1}: {error}") from None
    state.before = None  # committed


def _non_finite(trainer: Settings, state: TrainingState, what: str, first: Callable[[], str]) -> NonFiniteError:
    state.rollback()  # running means that include an overflow would spoil every prediction
    state.begin(trainer.optimizer)
    place = first()  # runs the layers again, which changes running means and generators again
    state.rollback()
    return NonFiniteError(
        f"epoch {state.epoch + 1}, step {state.steps + 1}: {what}; the first place that is not finite: "
        f"{place or 'the loss itself'}. "
        "The update was not applied. Try a lower learning rate, clip_norm=1.0, or inputs scaled to about ±1"
    )


@define(eq=False)
class Accumulation:
    """Gradient accumulation: combines the gradients of several batches into those of one large batch.

    For a loss that is a mean, each batch is weighted by its number of samples; for a sum, gradients are added. Only one
    batch is in memory at a time.
    """

    loss: Loss[Any]
    results: list[tuple[float, Array, Array, Array | None, float]] = field(factory=list, init=False)  # for a Meter
    _grads: Array | None = field(default=None, init=False)
    _loss: float = field(default=0.0, init=False)
    _weight: float = field(default=0, init=False)

    def add(self, parameters: ParameterVector, loss: float, prediction: Array, batch: Data, penalty: float) -> None:
        """Add the gradients and the loss of one batch."""
        weight = 1 if self.loss.reduction == "sum" else self.loss._samples(prediction, batch.y)
        if self._grads is None:
            self._grads = np.zeros_like(parameters.grads)
        self._grads += parameters.grads * parameters.grads.dtype.type(weight)
        self._loss += loss * weight
        self._weight += weight
        self.results.append((loss, prediction, batch.y, batch.sample_weight, penalty))

    def write_gradients(self, parameters: ParameterVector) -> float:
        """Write the combined gradients into the parameters; returns the loss of all samples."""
        assert self._grads is not None, "no batch was added"
        divisor = 1 if self.loss.reduction == "sum" else self._weight or 1  # no targets at all: 0 / 1
        np.divide(self._grads, divisor, out=parameters.grads)
        return self._loss / divisor

    def clear(self) -> None:
        """Discard what was added."""
        self._grads, self._loss, self._weight, self.results = None, 0.0, 0, []
