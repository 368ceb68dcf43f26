"""A training on several processes: their parts of a batch, the exchange of each update, and what all agree on."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from attrs import define, field

from deepbp import layers
from deepbp.errors import NonFiniteError
from deepbp.layers import Layer
from deepbp.losses import Loss
from deepbp.processes import Processes
from deepbp.training.data import Data
from deepbp.training.evaluation import Meter
from deepbp.training.programmed import Programs, counts_all
from deepbp.training.state import Settings, TrainingState
from deepbp.training.step import Accumulation, backpropagate, update
from deepbp.typing import Array

LOSS, DIVISOR, ROWS, BAD, STOPPED, INTERRUPTED, ENDED = range(-7, 0)
"""The numbers behind the gradients in an exchange. The last four count processes."""


def _no_program(batch: Data) -> tuple[float, Array] | None:
    return None


def _no_wishes() -> tuple[bool, bool]:
    return False, False


@define(eq=False)
class Together(Accumulation):
    """Gradient accumulation over batches and over processes: one sum over all processes before each update.

    Process r adds a_r g_r, where g_r is the gradient of its part of a batch, and all divide the sum by Σ d_r. With n_r
    rows in the part, N in the batch, and λ the penalties, these weights give the gradient of the whole batch:

    - a mean loss: a_r = d_r = n_r;
    - one that leaves out missing targets, with c_r samples that count, C in all: a_r = n_r C / N and d_r = c_r, with
      the loss times c_r N / (n_r C) against the penalties;
    - a sum: a_r = 1 and d = 1, and with penalties a_r = n_r / N, with the loss times N / n_r.

    Only the second, and a sum with penalties, need to know N and C before the pass: one more exchange of two numbers.
    If a loss is not finite in one process, all leave out this update, as one process does: all batches of it.
    """

    processes: Processes
    trainer: Settings
    state: TrainingState
    program: Callable[[Data], tuple[float, Array] | None] = _no_program
    wishes: Callable[[], tuple[bool, bool]] = _no_wishes  # whether this process wants to stop, or was interrupted
    stopped: bool = field(default=False, init=False)  # agreed: any process wants to stop after the last update
    interrupted: bool = field(default=False, init=False)
    all_ended: bool = field(default=False, init=False)  # no process has another batch
    _ended: bool = field(default=False, init=False)
    _has_sums: bool = field(default=False, init=False)  # otherwise the gradients in the buffer are those before
    _buffer: Array = field(init=False, factory=lambda: np.empty(0))
    _norms: "list[layers.BatchNorm]" = field(init=False, factory=list)
    _has_agreed: bool = field(default=False, init=False)  # on whether the loss of this pass is finite

    def __attrs_post_init__(self) -> None:
        if self.processes.batch_statistics == "shared":
            self._norms = batch_norms(self.state.model)

    def rounds(self, batches: Iterator[Data | None]) -> Iterator[Data | None]:
        """The batches of a stream of this process's own, and None as long as other processes have further ones."""
        self._ended = self.all_ended = False
        yield from batches
        self._ended = True
        while not self.all_ended:
            yield None

    def learn(self, part: Data | None, last: bool = False) -> float | None:
        """Add the gradients of this process's rows of a batch, None for no rows; after enough batches, update.

        Returns the loss of all rows after an update, otherwise None. ``last`` is whether no batch follows. Raises
        NonFiniteError in all processes if a number is not finite in one of them.
        """
        state, trainer = self.state, self.trainer
        part = part if part is not None and len(part.x) else None
        if not self.results:
            state.before = None
            state.begin(trainer.optimizer)
            self._clear_sums()
        self._add_part(part)
        if len(self.results) < trainer.accumulate and not last:
            return None
        return self._exchange_and_update()

    def agree(self, *flags: bool) -> list[bool]:
        """For each flag, whether it is set in any process; and whether to end, as an exchange does."""
        found = self.processes.sum(np.array([*flags, *self.wishes()], np.float64)) > 0
        self.stopped, self.interrupted = bool(found[-2]), bool(found[-1])
        return [bool(flag) for flag in found[:-2]]

    def average_buffers(self) -> None:
        """Replace what forward passes have remembered of each process's own rows, running means, by its average."""
        shared = {id(buffer) for norm in self._norms for buffer in (norm.running_mean, norm.running_variance)}
        own = [buffer for buffer in self.state.buffers if id(buffer) not in shared and buffer.value.dtype.kind == "f"]
        if own:
            everywhere = self.processes.gather([buffer.value for buffer in own])
            for buffer, values in zip(own, zip(*everywhere, strict=True), strict=True):
                if any(not np.array_equal(value, values[0]) for value in values):
                    buffer.value = np.mean(values, axis=0)

    def merged(self, meter: Meter) -> Meter:
        """A meter of what all processes have seen."""
        return meter.merged(self.processes.gather(meter.content()))

    def _clear_sums(self) -> None:
        grads = self.state.parameters.values
        if self._buffer.size != grads.size + 7 or self._buffer.dtype != grads.dtype:
            self._buffer = np.empty(grads.size + 7, grads.dtype)
        self._buffer[LOSS:], self._has_sums = 0, False

    def _add_part(self, part: Data | None) -> None:
        model = self.trainer.model
        samples = samples_in(part, self.loss, model)
        weight, divisor, scale = weights_of(samples, self.loss, model.has_penalty(), self.processes.sum)
        state, buffer = self.state, self._buffer
        if part is None and not self._norms:
            self.results.append(None)
            return
        self._has_agreed = not self._norms
        state.parameters.clear_grads()
        for norm in self._norms:
            norm._total, norm._share = self.processes.sum, weight
        try:
            value, prediction = self._pass(part, scale)
        except NonFiniteError as error:
            if not self._has_agreed:  # the others wait for this process's statistics
                raise
            self.leave_out(error)
            return
        finally:
            self._normalize_alone()
        grads = state.parameters.grads
        factor, sums = grads.dtype.type(weight), buffer[: grads.size]
        if self._has_sums:
            sums += grads * factor
        else:  # at once into place: large gradients are copied at the speed of the memory
            np.multiply(grads, factor, out=sums)
            self._has_sums = True
        buffer[LOSS] += value * weight
        buffer[DIVISOR] += divisor
        if part is None:
            self.results.append(None)
            return
        buffer[ROWS] += len(part.x)
        penalty = state.penalty if state.has_penalty else 0.0
        if scale != 1:  # the meter adds up each process's own loss, and its share of the penalties
            value = (value - penalty) / scale if scale else 0.0
            penalty *= weight if self.loss.reduction == "sum" else 1
            value += penalty
        self.results.append((value, prediction, part.y, part.sample_weight, penalty))

    def _pass(self, part: Data | None, scale: float) -> tuple[float, Array]:
        if part is not None:
            plain = scale == 1 and not self._norms
            return (self.program(part) if plain else None) or backpropagate(
                self.trainer, self.state, part, scale, self._all_finite if self._norms else None
            )
        model: Layer[Any] = self.trainer.model  # no rows: it takes part in the statistics alone
        built: Any = model.built
        empty = np.empty((0, *(size or 1 for size in built.input_shape)), built.dtype)
        prediction, saved = model._run_forward(empty)
        if not self._all_finite(True):
            raise NonFiniteError("not finite in another process")
        model._run_backward_parameters(saved, np.zeros_like(prediction))
        self.state.parameters.clear_grads()  # of no rows, there is nothing to learn, not even a penalty
        return 0.0, prediction

    def _all_finite(self, finite: bool) -> bool:
        """Whether the loss is finite in all processes: only then do all go on to the backward pass."""
        found = not self.processes.sum(np.array([not finite], np.float64))[0]
        self._has_agreed = True
        if not found:
            self._normalize_alone()  # the pass that looks for the first overflow runs in one process alone
        return found

    def _normalize_alone(self) -> None:
        for norm in self._norms:
            norm._total = None

    def _exchange_and_update(self) -> float | None:
        state, trainer, buffer, processes = self.state, self.trainer, self._buffer, self.processes
        problem = self.problem
        if problem is not None or not self._has_sums:
            buffer[:BAD] = 0
        buffer[BAD] = problem is not None
        buffer[STOPPED], buffer[INTERRUPTED] = self.wishes()
        buffer[ENDED] = self._ended
        processes.sum(buffer)
        self.stopped, self.interrupted = bool(buffer[STOPPED] > 0), bool(buffer[INTERRUPTED] > 0)
        self.all_ended = int(buffer[ENDED]) == processes.size
        if buffer[BAD]:
            state.rollback()
            raise self._failure(problem)
        if not buffer[ROWS]:  # all streams have ended
            state.rollback()
            self.clear()
            return None
        divisor = 1.0 if self.loss.reduction == "sum" else float(buffer[DIVISOR]) or 1.0
        grads = state.parameters.grads
        np.divide(buffer[: grads.size], divisor, out=grads)
        try:
            update(trainer, state)
        except NonFiniteError as error:  # of the same numbers everywhere
            raise processes._agreed(error) from None
        return float(buffer[LOSS]) / divisor

    def _failure(self, problem: NonFiniteError | None) -> Exception:
        """The error that all processes raise, with the words of the first one that has any."""
        if self.trainer.non_finite == "skip":
            return NonFiniteError("skipped")
        told = [(rank, text) for rank, text in enumerate(self.processes.gather(problem and str(problem))) if text]
        rank, text = min(told, key=lambda one: "the loss itself" in one[1])  # better from one that knows the place
        error = NonFiniteError(f"process {rank}: {text}")
        return self.processes._agreed(error)


def batch_norms(model: Layer[Any]) -> "list[layers.BatchNorm]":
    """The layers that normalize by the statistics of a batch."""
    return [one for one in (model, *model.named_layers().values()) if isinstance(one, layers.BatchNorm)]


def samples_in(part: Data | None, loss: Loss[Any], model: Layer[Any]) -> Array:
    """The rows of a part of a batch, and the samples of them that count in a mean."""
    rows = 0 if part is None else len(part.x)
    counted: float = rows
    if part is not None and loss.reduction == "mean" and not counts_all(loss):
        built: Any = model.built
        shape = part.y.shape[1:] if None in built.output_shape else built.output_shape
        counted = loss._samples(np.broadcast_to(np.zeros((), built.dtype), (rows, *shape)), part.y)
    return np.array([rows, counted], np.float64)


def weights_of(
    part: Array, loss: Loss[Any], has_penalty: bool, total: Callable[[Array], Array]
) -> tuple[float, float, float]:
    """(a_r, d_r, the factor of the loss) of a part of a batch, given its ``samples_in``; see ``Together``."""
    rows, counted = part.tolist()
    is_sum = loss.reduction == "sum"
    if is_sum and not has_penalty:
        return 1.0, 0.0, 1.0
    if not is_sum and counts_all(loss):
        return rows, rows, 1.0
    all_rows, all_counted = total(part).tolist()
    if rows == 0 or all_counted == 0:
        return 0.0, 0.0, 0.0
    if is_sum:
        return rows / all_rows, 0.0, all_rows / rows
    return rows * all_counted / all_rows, counted, counted * all_rows / (rows * all_counted)


def learn_at_once(
    trainer: Settings, state: TrainingState, batch: Data, processes: Processes, programs: Programs
) -> float:
    """Make one update from this process's part of a batch, and return the loss of all of it before that."""
    part = batch.take(processes.part(len(batch)))
    program = partial(programs.run, "gradients")
    return Together(trainer.loss, processes, trainer, state, program).learn(part, True) or 0.0
