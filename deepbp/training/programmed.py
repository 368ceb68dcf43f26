"""Training steps in machine code: the step of a training as a program, and the batches of an epoch run by it.

The ordinary step stays the reference, and computes the same bits. It serves where a network or its loss has no program,
and it takes over each batch at which a number is not finite or a layer raises, so that errors come from one place.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from time import perf_counter
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from attrs import define, evolve, field

from deepbp import kernels
from deepbp.errors import NonFiniteError
from deepbp.kernels.blas_threads import threads_for
from deepbp.losses import Loss
from deepbp.optimizers.optimizer import LARGE_RATE
from deepbp.program.layout import ORDER, WEIGHT, NotLoweredError, X, Y
from deepbp.program.program import Program, Slot
from deepbp.training.data import Data
from deepbp.training.evaluation import Meter
from deepbp.training.overflow import ignoring_errors
from deepbp.training.state import Settings, TrainingState, generators_in
from deepbp.typing import Array, Shape

LONG, SHORT = 0.02, 0.005  # seconds of a chunk of steps, between which Ctrl-C, progress and callbacks get their turn
SHAPES = 8  # the batches of so many shapes have programs of their own

Kind: TypeAlias = Literal["step", "gradients", "evaluation"]
"""A whole training step; one without its update; the inference pass and the loss."""


def is_on() -> bool:
    """Whether passes run as programs where that is possible: with compiled kernels, unless DEEPBP_PROGRAM is 0."""
    return os.environ.get("DEEPBP_PROGRAM") != "0" and kernels.current() == "numba"


def _note(model: Any, how: str) -> None:
    """Keep for the summary of a network how the steps of its last training ran."""
    if model.built is not None and model.built.programs != how:
        model.built = evolve(model.built, programs=how)


class Lowered:
    """One pass of a trainer over batches of a fixed number of rows, as a program.

    Its instructions gather the rows of each batch from whole arrays; or ``once`` copies a batch into its memory.
    """

    def __init__(
        self, trainer: Settings, state: TrainingState, batch: Data, rows: int, kind: Kind, update: Callable[[], None],
        gathers: bool = False,
    ) -> None:  # fmt: skip
        """Lower the pass; ``update`` is that of the ordinary step. Raises NotLoweredError where there is no program."""
        vector = state.parameters
        if kernels.current() != "numba":
            raise NotLoweredError("the NumPy kernels are in use")
        if vector.sparse and kind != "evaluation":
            raise NotLoweredError("the gradients of an embedding are sparse, and a program updates all parameters")
        if type(batch.y) not in (np.ndarray, np.memmap):
            raise NotLoweredError("the targets are more than one array, such as those of several losses")
        self._trainer, self._state, self._batch, self._kind = trainer, state, batch, kind
        self._update, self._updating = update, False
        self.program = program = Program(vector.values.dtype, rows, training=kind != "evaluation")
        weight = batch.sample_weight
        self.x, self.y = (program.array(one.shape[1:], one.dtype) for one in (batch.x, batch.y))
        self.weight = None if weight is None else program.array(weight.shape[1:], weight.dtype)
        self._x_shape, self._x_dtype = self.x.shape, self.x.dtype
        self._y_shape, self._y_dtype = self.y.shape, self.y.dtype
        for place, memory in ((X, self.x), (Y, self.y), (WEIGHT, self.weight)) if gathers else ():
            if memory is not None:
                program.gather(place, memory)
        prediction = (program.lower if program.training else program.lower_predict)(trainer.model, Slot(self.x, None))
        if prediction.delta is None and program.training:
            raise NotLoweredError("no layer is trained")
        self.prediction = prediction.value
        delta = program.array(self.prediction.shape[1:]) if prediction.delta is None else prediction.delta
        trainer.loss.lower(program, Slot(self.prediction, delta), self.y, self.weight)
        self._outputs = np.zeros(1, np.int64)
        self.copies_outputs = gathers and self.needs_outputs
        if self.copies_outputs:
            program.then("copy_predictions", self.prediction, self._outputs, prediction.width)
        self._drawn = list(program.drawn.items())
        if program.training and _changes_state(program.in_python):
            program.begin(self._begin)
            self._drawn.clear()
        own: Any = None
        rows_of_update: list[Any] = []
        if program.training:
            program.add_penalties()
            grads = vector.grads
            if program.accumulated:
                program.then(vector.clear_grads)
                rows_of_update.append((self._complete_grads,))
            elif program.written != set(vector.parameters):
                raise NotLoweredError("not every parameter takes part in the step")
            rows_of_update += [("check", grads, grads.size, LARGE_RATE), *program.at_end]
        if kind == "step":
            clips = trainer.clip_norm is not None or trainer.clip_value is not None
            own = None if clips else trainer.optimizer.lower(vector, state.optimizer_state)
            rows_of_update += own or [(self._update_in_python,)]
        self._updates = own is not None
        program.assemble(rows_of_update)
        program.threads = threads_for(self.x, vector.largest)
        self._rates, self._losses = np.zeros(1), np.zeros(1)
        program.prepare(self._rates, self._losses)
        self._lock = Lock()  # several threads may evaluate at once
        held = state.optimizer_state
        self._arrays = [(name, value) for name, value in held.items() if isinstance(value, np.ndarray)]
        self._size_of_state = len(held)
        self._model, self._loss, self._optimizer, self._vector = trainer.model, trainer.loss, trainer.optimizer, vector
        self._settings = trainer.clip_norm, trainer.clip_value
        if program.training:
            _note(trainer.model, f"ran {', '.join(dict.fromkeys(program.names))} in Python" if program.names else "")

    @property
    def needs_outputs(self) -> bool:
        """Whether the loss and the metrics of an epoch are computed from all predictions."""
        return bool(self._trainer.metrics) or not counts_all(self._trainer.loss)

    def is_current(self) -> bool:
        """Whether all addresses and settings in the program are still those of the training."""
        trainer, state = self._trainer, self._state
        if (
            trainer.model is not self._model
            or trainer.loss is not self._loss
            or not self.program.is_current()
            or kernels.current() != "numba"
        ):
            return False
        if self._kind == "evaluation":
            return True
        held, vector = state.optimizer_state, self._vector
        if (
            trainer.optimizer is not self._optimizer
            or state.parameters is not vector
            or vector.outdated
            or len(held) != self._size_of_state
            or trainer.clip_norm != self._settings[0]
            or trainer.clip_value != self._settings[1]
        ):
            return False
        for name, array in self._arrays:
            if held.get(name) is not array:
                return False
        return not (state._frozen and state.is_outdated())

    def _begin(self) -> None:
        self._state.before = None  # the step before was complete
        self._state.begin(self._trainer.optimizer)

    def _complete_grads(self) -> None:
        self._vector._unwritten -= self.program.written
        _ = self._vector.grads  # zeros for parameters to which no layer has added anything

    def _update_in_python(self) -> None:
        self._updating = True
        self._update()
        self._updating = False

    def run(self, order: Array, first: int, rates: Array, losses: Array, outputs: Array | None) -> int:
        """Run a step for each rate on rows of the whole arrays; returns how many were complete."""
        data, context = self._batch, self.program.context
        context[[X, Y, ORDER]] = data.x.ctypes.data, data.y.ctypes.data, order.ctypes.data
        if data.sample_weight is not None:
            context[WEIGHT] = data.sample_weight.ctypes.data
        if outputs is not None:  # instructions count samples from the begin of the epoch
            self._outputs[0] = outputs.ctypes.data - first * outputs[0].nbytes
        self.program.prepare(rates, losses)
        return self._run(first, len(rates))

    def _run(self, first: int, steps: int) -> int:
        """Run some steps; returns how many were complete."""
        program, state = self.program, self._state
        if not program.training:
            return program.run(first, 0)
        began = None
        if self._kind == "gradients":  # of one batch of several: a rollback goes to where the first of them began
            state.begin(self._optimizer)
            began, state.before = state.before, None
        if not program.accumulated:
            self._vector._unwritten.clear()  # every step writes all of them
        self._updating = False
        held = state.optimizer_state
        before = [generator.bit_generator.state for generator, _ in self._drawn]
        made = program.run(first, held["step"])
        if self._updates:
            held["step"] += made
        if made < steps:
            state.rollback()
            for (generator, count), drawn in zip(self._drawn, before, strict=True):  # as after the last complete step
                generator.bit_generator.state = drawn
                for _ in range(made):
                    generator.random(count, np.float32)
        state.before = began
        return made

    def raise_error(self) -> None:
        """Raise what a function of Python raised in the last run, unless the ordinary step is to raise it again."""
        if (error := self.program.error) is not None:
            in_update = self._updating and not isinstance(error, NonFiniteError)  # which is not to be made twice
            if in_update or not isinstance(error, Exception):
                raise error

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()

    def step(self, x: Any, y: Any) -> float | None:
        """Make a step with any x and y; None where they are not ready, or the ordinary step must be made."""
        if (
            type(x) is not np.ndarray
            or type(y) is not np.ndarray
            or x.shape != self._x_shape
            or y.shape != self._y_shape
            or x.dtype != self._x_dtype
            or y.dtype != self._y_dtype
            or self.weight is not None
            or not self.is_current()
        ):
            return None
        self.x[...], self.y[...] = x, y
        if (value := self._once()) is not None:
            self._state.consistent = True
        return value

    def once(self, batch: Data) -> float | None:
        """Run on a batch of these shapes and dtypes, and return its loss; None where the ordinary pass must run."""
        self.x[...], self.y[...] = batch.x, batch.y
        if self.weight is not None:
            self.weight[...] = batch.sample_weight
        return self._once()

    def _once(self) -> float | None:
        if self._kind == "step":
            optimizer = self._optimizer
            try:
                rate = optimizer.learning_rate
                self._rates[0] = optimizer.rate(self._state.steps) if callable(rate) else rate
            except Exception:
                return None
        made = ignoring_errors(self._run, 0, 1) if self.program.calls_python else self._run(0, 1)
        if not made:
            self.raise_error()
            return None
        if penalties := self.program.penalties:
            self._state.penalty = penalties[0]
        return self._losses.item()


def _changes_state(layers: list[Any]) -> bool:
    """Whether any of these layers, which run in Python, has buffers or draws random numbers."""
    inside = [one for layer in layers for one in (layer, *layer.named_layers().values())]
    return bool(generators_in(dict(enumerate(inside)))) or any(layer.named_buffers() for layer in layers)


def _kind_of(array: Array) -> tuple[Shape, np.dtype[Any]]:
    return array.shape, array.dtype


def counts_all(loss: Loss[Any]) -> bool:
    """Whether every sample counts in a mean."""
    return type(loss)._samples is Loss._samples


@define(eq=False)
class Programs:
    """The programs of a trainer for single batches, one for each shape; they are made when they are needed."""

    trainer: Settings
    state: TrainingState
    update: Callable[[], None]
    is_on: bool = field(factory=is_on, init=False)
    _made: dict[Any, Lowered | None] = field(factory=dict, init=False)
    _met: set[Any] = field(factory=set, init=False)  # shapes of which there was one batch

    def __reduce__(self) -> tuple[Any, ...]:
        return Programs, (self.trainer, self.state, self.update)  # a copied trainer makes programs of its own

    def run(self, kind: Kind, batch: Data) -> tuple[float, Array] | None:
        """The loss and the prediction of a batch; None where the ordinary pass must run."""
        if kind == "evaluation" and self.state.replicas is not None:
            return self.state.replicas.evaluate(self.trainer, batch)
        lowered = self.of(kind, batch)
        if lowered is None or not lowered._lock.acquire(blocking=False):
            return None
        try:
            value = lowered.once(batch)
            return None if value is None else (value, lowered.prediction.copy())
        finally:
            lowered._lock.release()

    def of(self, kind: Kind, batch: Data) -> Lowered | None:
        """The program for batches like this one; None where there is none."""
        if not self.is_on or (self.state.replicas is not None and kind != "evaluation"):
            return None
        x, y, weight = batch.x, batch.y, batch.sample_weight
        key = (kind, x.shape, x.dtype, y.shape, y.dtype, None if weight is None else weight.shape)
        made = self._made
        if key in made:
            lowered = made[key]
            if lowered is not None and isinstance(lowered.program.error, NotLoweredError):  # found out when it ran
                lowered = made[key] = None
            if lowered is None or lowered.is_current():
                return lowered
        if key not in made:
            if len(made) >= SHAPES // 2 and key not in self._met:  # batches of ever other shapes need no programs
                self._met = {*list(self._met)[-SHAPES:], key}
                return None
            if len(made) >= SHAPES:
                del made[next(iter(made))]
        made[key] = self._lowered(kind, batch)
        return made[key]

    def _lowered(self, kind: Kind, batch: Data) -> Lowered | None:
        before = self.state.before
        self.state.begin(self.trainer.optimizer)  # acquires parameters that have moved
        self.state.before = before
        try:
            return Lowered(self.trainer, self.state, batch, len(batch.x), kind, self.update)
        except NotLoweredError as error:
            if kind != "evaluation":
                _note(self.trainer.model, f"had no program: {error}")
            return None


class RunningFit(Protocol):
    """What the batches of an epoch need of a running ``fit``."""

    trainer: Settings
    state: TrainingState
    programs: Programs

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
    _steps: dict[int, Lowered | None] = field(factory=dict, init=False)
    _chunk: int = field(default=1, init=False)  # the number of steps of the next run

    @classmethod
    def of(cls, fit: RunningFit, source: Any, batch_size: int | None, prefetch: int) -> "ProgrammedBatches | None":
        """None where batches are not rows of whole arrays, several make one update, or threads divide them."""
        if fit.state.replicas is not None:
            _note(fit.trainer.model, f"ran in {fit.state.replicas.threads} threads, without a program")
            return None
        if (
            not fit.programs.is_on
            or prefetch
            or fit.trainer.accumulate > 1
            or type(source) is not Data
            or len(source) == 0
        ):
            return None
        x, y, weight = source.x, source.y, source.sample_weight
        arrays = [x, y] if weight is None else [x, y, weight]
        plain = source.dtype is None and all(array.flags.c_contiguous and array.flags.aligned for array in arrays)
        if not plain or y.dtype not in (fit.state.parameters.values.dtype, np.dtype(np.int64)):
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
        fit, data, first = self.fit, self.data, taken * self.size
        rows = min(self.size, len(order) - first)
        step = self._step(rows)
        if step is None:
            return 0, False
        watched = any(type(one).on_step_end.__qualname__ != "Callback.on_step_end" for one in fit.trainer.callbacks)
        rates = self._rates(1 if watched else min(self._chunk, (len(order) - first) // rows))
        losses, outputs = np.empty(len(rates)), None
        if step.copies_outputs:
            outputs = np.empty((len(rates) * rows, *step.prediction.shape[1:]), step.program.dtype)
        start = perf_counter()
        made = step.run(order, first, rates, losses, outputs)
        seconds = perf_counter() - start
        penalties = step.program.penalties
        if outputs is None:
            meter.count(losses[:made], rows, penalties[:made])
        else:
            for k, loss in enumerate(losses[:made].tolist()):
                batch = data.targets(order[first + k * rows : first + (k + 1) * rows])
                penalty = penalties[k] if penalties else 0.0
                meter.add(loss, outputs[k * rows : (k + 1) * rows], *batch, penalty)
        if made:
            fit.state.position.batches, fit.state.consistent = taken + made, True
            fit._show_step(float(losses[made - 1]), meter)
        step.raise_error()
        if isinstance(step.program.error, NotLoweredError):
            self._steps[rows] = None
        if 0 < made == len(rates) and not SHORT <= seconds <= LONG:
            self._chunk = self._chunk * 2 if seconds < SHORT else max(1, self._chunk // 2)
        return made, 0 < made == len(rates)

    def _step(self, rows: int) -> Lowered | None:
        fit = self.fit
        fit.state.begin(fit.trainer.optimizer)  # acquires parameters that have moved
        fit.state.before = None
        if fit.trainer.accumulate > 1:
            return None
        step = self._steps.get(rows)
        if rows in self._steps and (step is None or (step.is_current() and step.copies_outputs == step.needs_outputs)):
            return step
        try:
            step = Lowered(fit.trainer, fit.state, self.data, rows, "step", fit._update, gathers=True)
        except NotLoweredError as error:
            step = None
            _note(fit.trainer.model, f"had no program: {error}")
        self._steps[rows] = step
        return step

    def _rates(self, steps: int) -> Array:
        """The learning rates of the next steps, fewer if a schedule raises: the ordinary step then raises, too."""
        optimizer, begun = self.fit.trainer.optimizer, self.fit.state.steps
        if not callable(optimizer.learning_rate):
            return np.full(steps, optimizer.rate(begun))
        rates: list[float] = []
        with suppress(Exception):
            for ahead in range(steps):
                rates.append(optimizer.rate(begun + ahead))
        return np.array(rates)
