"""Training steps in machine code: the step of a training as a program, and the batches of an epoch run by it.

The ordinary step stays the reference, and computes the same bits. It serves where a network, its data or its options
have no program, and it takes over each batch at which a number is not finite or a layer raises, so that errors come
from one place.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from attrs import define, field

from deepbp import kernels
from deepbp.losses import Loss
from deepbp.optimizers.optimizer import LARGE_RATE
from deepbp.program.layout import ORDER, NotLoweredError, X, Y
from deepbp.program.program import Program, Slot
from deepbp.training.data import Data
from deepbp.training.evaluation import Meter
from deepbp.training.state import Settings, TrainingState
from deepbp.typing import Array

LONG, SHORT = 0.02, 0.005  # seconds of a chunk of steps, between which Ctrl-C, progress and callbacks get their turn


def is_on() -> bool:
    """Whether steps run as programs where that is possible: with compiled kernels, if DEEPBP_PROGRAM is 1."""
    return os.environ.get("DEEPBP_PROGRAM") == "1" and kernels.current() == "numba"


class ProgrammedStep:
    """The step of a training as a program, for batches of a fixed number of rows of arrays in memory."""

    def __init__(
        self, trainer: Settings, state: TrainingState, data: Data, rows: int, update: Callable[[], None]
    ) -> None:
        """Lower the step; ``update`` is that of the ordinary step. Raises NotLoweredError where there is no program."""
        vector = state.parameters
        if vector.sparse:
            raise NotLoweredError("a program updates the whole vector")
        self._trainer, self._state, self._data, self._vector = trainer, state, data, vector
        self.program = program = Program(vector.values.dtype, rows)
        if state.buffers or state._generators:
            program.then(self._begin)
        x, y = Slot(program.array(data.x.shape[1:]), None), program.array(data.y.shape[1:], data.y.dtype)
        program.gather(x.value, y)
        prediction = program.lower(trainer.model, x)
        trainer.loss.lower(program, prediction, y)
        self._outputs = np.zeros(1, np.int64)
        if trainer.metrics:
            program.then("copy_predictions", prediction.value, self._outputs, prediction.width)
        self.width = prediction.value.shape[1:]
        if program.accumulated:
            program.then(vector.clear_grads)
            rows_of_update: list[Any] = [(self._complete_grads,)]
        elif program.written != set(vector.parameters):
            raise NotLoweredError("not every parameter takes part in the step")
        else:
            rows_of_update = []
        clips = trainer.clip_norm is not None or trainer.clip_value is not None
        own = None if clips else trainer.optimizer.lower(vector, state.optimizer_state)
        self._updates = own is not None
        grads = vector.grads
        rows_of_update.append(("check", grads, grads.size, LARGE_RATE))
        self._code, self._reals = program.code([*rows_of_update, *(own or [(update,)])])
        self._made_for = self._parts()
        self._values = [(parameter, parameter.value) for parameter in trainer.model.parameters()]

    def _parts(self) -> tuple[Any, ...]:
        trainer, state = self._trainer, self._state
        arrays = [value for value in state.optimizer_state.values() if isinstance(value, np.ndarray)]
        settings = (trainer.clip_norm, trainer.clip_value, bool(trainer.metrics))
        return (trainer.model, trainer.loss, trainer.optimizer, state.parameters, *arrays), settings

    def is_current(self, data: Data) -> bool:
        """Whether all addresses in the program are still those of the training."""
        objects, settings = self._parts()
        before, settings_before = self._made_for
        return (
            data.x is self._data.x
            and data.y is self._data.y
            and settings == settings_before
            and len(objects) == len(before)
            and all(one is other for one, other in zip(objects, before, strict=True))
            and all(parameter.value is value for parameter, value in self._values)
        )

    def _begin(self) -> None:
        self._state.before = None  # the step before was complete
        self._state.begin(self._trainer.optimizer)

    def _complete_grads(self) -> None:
        self._vector._unwritten -= self.program.written
        _ = self._vector.grads  # zeros for parameters to which no layer has added anything

    def run(self, order: Array, first: int, rates: Array, losses: Array, outputs: Array | None) -> int:
        """Run a step for each rate; returns how many were complete. Raises what is no Exception, such as Ctrl-C."""
        program, state, context = self.program, self._state, self.program.context
        context[[X, Y, ORDER]] = self._data.x.ctypes.data, self._data.y.ctypes.data, order.ctypes.data
        if outputs is not None:  # instructions count samples from the begin of the epoch
            self._outputs[0] = outputs.ctypes.data - first * outputs[0].nbytes
        if not program.accumulated:
            self._vector._unwritten.clear()  # every step writes all of them
        program.error = None
        made = program.run(self._code, self._reals, first, rates, losses, state.steps)
        if self._updates:
            state.optimizer_state["step"] += made
        if made < len(rates):
            state.rollback()
        state.before = None
        if program.error is not None and not isinstance(program.error, Exception):
            raise program.error
        return made


class RunningFit(Protocol):
    """What the batches of an epoch need of a running ``fit``."""

    trainer: Settings
    state: TrainingState

    @property
    def _must_end(self) -> bool: ...

    def _batch(self, batch: Data | None, taken: int, meter: Meter) -> None: ...

    def _show_step(self, loss: float, meter: Meter) -> None: ...

    def _update(self) -> None: ...


@define(eq=False)
class ProgrammedBatches:
    """Trains on the batches of epochs by programs, one for each number of rows; one object serves a call of ``fit``."""

    fit: RunningFit
    data: Data
    size: int
    _steps: dict[int, ProgrammedStep | None] = field(factory=dict, init=False)
    _chunk: int = field(default=1, init=False)  # the number of steps of the next run

    @classmethod
    def of(cls, fit: RunningFit, source: Any, batch_size: int | None, prefetch: int) -> "ProgrammedBatches | None":
        """None where the data or the options have no program."""
        trainer = fit.trainer
        if not is_on() or prefetch or trainer.accumulate > 1 or fit.state.has_penalty or type(source) is not Data:
            return None
        if type(trainer.loss)._samples is not Loss._samples:
            return None
        x, y = source.x, source.y
        plain = source.sample_weight is None and source.dtype is None and x.flags.c_contiguous and y.flags.c_contiguous
        if not plain or len(source) == 0 or y.dtype not in (x.dtype, np.dtype(np.int64)):
            return None
        return cls(fit, source, min(len(source), batch_size or len(source)))

    def train(self, rng: np.random.Generator | None, taken: int, meter: Meter) -> bool:
        """Train on all batches after the first ``taken``; False if the training ended before the last of them."""
        data, fit, size, count = self.data, self.fit, self.size, len(self.data)
        order = data.rows
        if rng is not None and size < count:
            order = rng.permutation(count if order is None else order)
        order = np.ascontiguousarray(np.arange(count) if order is None else order, np.int64)
        last = -(-count // size)
        while taken < last:
            if fit._must_end:
                return False
            made, complete = self._run(order, taken, meter)
            taken += made
            if not complete and not fit._must_end:
                taken += 1
                fit._batch(data.take(order[(taken - 1) * size : taken * size]), taken, meter)
        return True

    def _run(self, order: Array, taken: int, meter: Meter) -> tuple[int, bool]:
        """Run some steps by a program, and note what they did.

        Returns how many were complete, and whether all were; if not, the ordinary step is to take over the next batch.
        """
        fit, first = self.fit, taken * self.size
        rows = min(self.size, len(order) - first)
        step = self._step(rows)
        if step is None:
            return 0, False
        watched = any(type(one).on_step_end.__qualname__ != "Callback.on_step_end" for one in fit.trainer.callbacks)
        rates = self._rates(1 if watched else min(self._chunk, (len(order) - first) // rows))
        losses, outputs = np.empty(len(rates)), None
        if fit.trainer.metrics:
            outputs = np.empty((len(rates) * rows, *step.width), step.program.dtype)
        start = perf_counter()
        made = step.run(order, first, rates, losses, outputs)
        seconds = perf_counter() - start
        for k, loss in enumerate(losses[:made].tolist()):
            if outputs is None:
                meter.count(loss, rows)
            else:
                targets = self.data.y.take(order[first + k * rows : first + (k + 1) * rows], axis=0)
                meter.add(loss, outputs[k * rows : (k + 1) * rows], targets)
        if made:
            fit.state.position.batches, fit.state.consistent = taken + made, True
            fit._show_step(float(losses[made - 1]), meter)
        if isinstance(step.program.error, NotLoweredError):
            self._steps[rows] = None
        if 0 < made == len(rates) and not SHORT <= seconds <= LONG:
            self._chunk = self._chunk * 2 if seconds < SHORT else max(1, self._chunk // 2)
        return made, 0 < made == len(rates)

    def _step(self, rows: int) -> ProgrammedStep | None:
        fit = self.fit
        fit.state.begin(fit.trainer.optimizer)  # acquires parameters that have moved
        fit.state.before = None
        step = self._steps.get(rows)
        if rows in self._steps and (step is None or step.is_current(self.data)):
            return step
        try:
            step = ProgrammedStep(fit.trainer, fit.state, self.data, rows, fit._update)
        except NotLoweredError:
            step = None
        self._steps[rows] = step
        return step

    def _rates(self, steps: int) -> Array:
        """The learning rates of the next steps, fewer if a schedule raises: the ordinary step then raises, too."""
        optimizer, begun = self.fit.trainer.optimizer, self.fit.state.steps
        rates: list[float] = []
        with suppress(Exception):
            for ahead in range(steps):
                rates.append(optimizer.rate(begun + ahead))
        return np.array(rates)
