"""The training loop, read downwards: a call of ``fit``, its epochs, and their batches; ``step`` has what each does."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import define, field

from deepbp.errors import ConfigurationError, FileFormatError, NonFiniteError
from deepbp.metrics.metric import metric_name
from deepbp.training.data import Data, Source
from deepbp.training.evaluation import ROWS_AT_ONCE, Meter, measure
from deepbp.training.history import History
from deepbp.training.interrupt import Interrupt
from deepbp.training.options import FitOptions
from deepbp.training.position import Position, generator_at
from deepbp.training.programmed import Kind, ProgrammedBatches, Programs
from deepbp.training.progress import Display, open_display
from deepbp.training.state import Settings, TrainingState
from deepbp.training.step import Accumulation, backpropagate, step, update
from deepbp.training.streams import Stream, prefetched
from deepbp.typing import Array

if TYPE_CHECKING:
    from deepbp.training.together import Together


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
    _accumulation: Accumulation = field(init=False)
    _samples: int | None = field(default=None, init=False)  # in an epoch
    _programmed: ProgrammedBatches | None = field(default=None, init=False)
    _together: "Together | None" = field(default=None, init=False)  # the accumulation, of several processes
    _display: Display | None = field(default=None, init=False)
    _started: list[Any] = field(factory=list, init=False)  # the callbacks whose on_fit_start has run

    def run(self) -> History:
        """Train, and return the history."""
        if self.state.processes is None:
            return self._run(Accumulation(self.trainer.loss))
        from deepbp.training.together import Together

        try:
            self._together = Together(
                self.trainer.loss, self.state.processes, self.trainer, self.state, self._gradients, self._wishes
            )
            return self._run(self._together)
        except BaseException as error:
            self.state.processes._end_all(error)
            raise

    def _run(self, accumulation: Accumulation) -> History:
        state = self.state
        self._resume()
        self._accumulation, is_first = accumulation, self._together is None or self._together.processes.rank == 0
        state.history.interrupted = False
        if self.programs.is_on and self._together is None:
            options = self.options
            self._programmed = ProgrammedBatches.of(self, self.source, options.batch_size, options.prefetch)
        if is_first:
            self._display = open_display(self.options.epochs, self.options.progress, state.position.epochs)
        with Interrupt(quiet=not is_first) as self._interrupt:
            try:
                self._start()
                while state.position.epochs < self.options.epochs and not state.position.stopped and not self._must_end:
                    self._epoch()
            except KeyboardInterrupt:
                if self._together is not None:  # it ends this process alone
                    raise
                self._interrupt.requested = True
            except BaseException as error:
                self._add_notes(error)
                if state.processes is not None:
                    state.processes._end_all(error)
                self._end(error)
                raise
            self._end()
            was_stopped = self._was_stopped
        if not (state.history.interrupted or was_stopped):  # then nothing is left to resume
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
        agreed = self._together
        if agreed is None:
            return self._interrupt.requested or self.stopped_now
        return agreed.interrupted or agreed.stopped

    @property
    def _was_interrupted(self) -> bool:
        return self._interrupt.requested if self._together is None else self._together.interrupted

    @property
    def _was_stopped(self) -> bool:
        return self.stopped_now if self._together is None else self._together.stopped

    def _wishes(self) -> tuple[bool, bool]:
        return self.stopped_now, self._interrupt.requested

    def _agree(self) -> None:
        """End the training in all processes where a callback of one has asked for it."""
        if self._together is not None:
            (self.state.position.stopped,) = self._together.agree(self.state.position.stopped)

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
            self._agree()
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
        self._agree()

    def _epoch(self) -> None:
        """Train on each batch once, and complete the epoch."""
        trainer, state = self.trainer, self.state
        meter = self._batches()
        if meter is None:
            return
        if self._together is not None:
            self._together.average_buffers()
            meter = self._together.merged(meter)
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
            if self._was_interrupted:
                return  # the epoch is not complete: it is validated when the training resumes
            size = self.options.batch_size and max(self.options.batch_size, ROWS_AT_ONCE)
            batches = self.validation.batches(size, part=self._part)
            programmed = partial(self.programs.run, "evaluation")
            measured = measure(trainer.model, trainer.loss, trainer.metrics, batches, programmed)
            held_out = measured if self._together is None else self._together.merged(measured)
            row.update({f"val_{name}": value for name, value in held_out.row().items()})
        state.history.append(row)
        done, epoch, kept = position.epochs + 1, position.epoch + 1, position.fit_start
        state.position = Position(done, epoch, fit_start=kept, stopped=position.stopped, call=position.call)
        if self._display is not None:
            self._display.epoch(row)
        for callback in trainer.callbacks:
            callback.on_epoch_end(trainer, row)
        state.epoch = state.position.epoch
        self._agree()

    @property
    def _part(self) -> Callable[[int], slice]:
        """This process's share of so many rows."""
        return slice if self.state.processes is None else self.state.processes.part

    def _batches(self) -> Meter | None:
        """Train on the batches after the position; None if the training ended before the last of them."""
        trainer, state, position, options = self.trainer, self.state, self.state.position, self.options
        rng = state.generator
        before = None if position.batches else dict(rng.bit_generator.state)
        ahead, part = None, self._part
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
            batches: Iterator[Data | None] = self.source.batches(options.batch_size, shuffling, taken, part)
            if self._together is not None and isinstance(self.source, Stream) and self.source.steps is None:
                batches = self._together.rounds(batches)
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
            if self._together is not None:
                learned = self._together.learn(batch, taken == self._last_batch())
                if learned is None:
                    return
                loss = learned
                self._count(meter)
            elif batch is not None and trainer.accumulate == 1:
                loss, prediction = self._by_program("step", batch) or step(trainer, state, batch)
                meter.add(loss, prediction, batch.y, batch.sample_weight, state.penalty)
            else:
                if batch is not None:
                    self._accumulate(batch)
                    if len(accumulation.results) < trainer.accumulate:
                        return
                loss = accumulation.write_gradients(state.parameters)
                update(trainer, state)
                self._count(meter)
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

    def _accumulate(self, batch: Data) -> None:
        """Add a batch to the gradients of an update, unless the update is to be skipped."""
        trainer, state, accumulation = self.trainer, self.state, self._accumulation
        if accumulation.problem is not None:
            accumulation.leave_out()
            return
        try:
            loss, prediction = self._gradients(batch) or backpropagate(trainer, state, batch)
        except NonFiniteError as error:
            if trainer.non_finite == "raise":
                raise
            accumulation.leave_out(error)
        else:
            accumulation.add(state.parameters, loss, prediction, batch, state.penalty)

    def _count(self, meter: Meter) -> None:
        """Add the batches of an update to a meter."""
        for result in self._accumulation.results:
            if result is not None:
                meter.add(*result)
        self._accumulation.clear()

    def _gradients(self, batch: Data) -> tuple[float, Array] | None:
        return self._by_program("gradients", batch)

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
        state.history.interrupted = self._was_interrupted
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
