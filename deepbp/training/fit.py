"""One call of ``fit``: epochs one after another, each a pass over all batches."""

from typing import TYPE_CHECKING

import numpy as np
from attrs import define, field

from deepbp.errors import NonFiniteError
from deepbp.training.callback import Callback, restore_all
from deepbp.training.data import Data, Source, prefetched
from deepbp.training.evaluation import ROWS_AT_ONCE, Meter, evaluate
from deepbp.training.gradients import Accumulation
from deepbp.training.history import History
from deepbp.training.interrupt import Interrupt
from deepbp.training.position import generator_at, state_of
from deepbp.training.progress import Progress, ProgressLike
from deepbp.training.step import backpropagate, step, update

if TYPE_CHECKING:
    from deepbp.training.trainer import Trainer


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
