"""Data-parallel training in threads: each computes a part of every gradient, on a copy of the network of its own."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from contextvars import copy_context
from copy import copy, deepcopy
from functools import partial
from threading import Barrier, BrokenBarrierError
from typing import Any, Self, TypeAlias, TypeVar

import numpy as np
from attrs import define, field

from deepbp import layers
from deepbp.errors import ConfigurationError
from deepbp.kernels.blas_threads import one_thread
from deepbp.layers import Layer, boundary
from deepbp.losses import Loss
from deepbp.parameters import Buffer, ParameterVector, changes
from deepbp.processes import Processes, part_of
from deepbp.sparse_parameters import RowParameter, Touched
from deepbp.training.data import Data
from deepbp.training.evaluation import loss_of
from deepbp.training.position import seeded_by
from deepbp.training.state import Settings, TrainingState
from deepbp.training.step import gradients_of, loss_overflow
from deepbp.training.together import batch_norms, samples_in, weights_of
from deepbp.typing import Array

Result = TypeVar("Result")


class GradientVector(ParameterVector):
    """Gradients of its own for the values of another vector: its parameters are views of both."""

    def __init__(self, whole: ParameterVector) -> None:
        self.__dict__.update(whole.__dict__)
        self._grads, self._unwritten = np.zeros_like(whole.values), set()
        self.parameters = tuple(copy(parameter) for parameter in whole.parameters)
        self.sparse = tuple(parameter for parameter in self.parameters if parameter.is_sparse)
        for parameter, value, grad in self._places():
            parameter._place(value, grad, self, self._unwritten)


def add(share: ParameterVector, whole: ParameterVector) -> None:
    """Add the gradients of one vector to those of another; of a table, the rows that are not 0."""
    if not whole.sparse:
        grads = whole.grads
        grads += share.grads
        return
    for own, parameter in zip(share.parameters, whole.parameters, strict=True):
        if isinstance(own, RowParameter):
            rows = own.touched_rows()
            parameter.accumulate_rows(rows, own._cleared()[rows])
        else:
            parameter.accumulate(own.grad)


def multiply(vector: ParameterVector, factor: float) -> None:
    """Multiply all gradients by a factor; of a table, those of the rows that are not 0."""
    part = Touched(vector) if vector.sparse else vector
    grads = part.grads
    grads *= factor
    if isinstance(part, Touched):
        part.write_grads()


@define(eq=False)
class Replica:
    """The network of one thread: the one that is trained, or a copy with its values and with gradients of its own."""

    model: Layer[Any]
    parameters: ParameterVector
    buffers: Sequence[Buffer]
    generators: Sequence[np.random.Generator]
    norms: "Sequence[layers.BatchNorm]"

    @classmethod
    def trained(cls, model: Layer[Any], state: TrainingState) -> Self:
        """The network that is trained."""
        return cls(model, state.parameters, state.buffers, state._generators, batch_norms(model))

    def copy(self) -> Self:
        """A replica of it."""
        vector = GradientVector(self.parameters)
        copies: dict[int, Any] = {id(frozen): frozen for frozen in self.model.parameters()}
        copies |= {id(one): own for one, own in zip(self.parameters.parameters, vector.parameters, strict=True)}
        model = deepcopy(self.model, copies)
        buffers, generators, norms = (
            [copies[id(one)] for one in held] for held in (self.buffers, self.generators, self.norms)
        )
        return type(self)(model, vector, buffers, generators, norms)

    def follow(self, trained: "Replica", rank: int) -> None:
        """Take the buffers of the network that is trained, and draw other numbers than it does."""
        for own, buffer in zip(self.buffers, trained.buffers, strict=True):
            own.value, own.frozen = buffer.value, buffer.frozen
        for generator, source in zip(self.generators, trained.generators, strict=True):
            generator.bit_generator.state = seeded_by(source, rank)

    def normalize(self, total: Callable[[Array], Array] | None, share: float) -> None:
        """Have batches be normalized by the statistics of all parts; None is those of the part alone."""
        for norm in self.norms:
            object.__setattr__(norm, "_total", total)  # no setting of the layer, whose change would be noted
            object.__setattr__(norm, "_share", share)


@define(eq=False)
class Task:
    """A part of a batch for one thread, and its weight."""

    replica: Replica
    part: Data
    loss: Loss[Any]
    scale: float  # of the loss
    factor: float  # of the gradients, those of penalties included
    has_penalty: bool

    def run(self, leave: Callable[[], None]) -> "Share":
        """Compute the gradients; with an exception, ``leave`` tells the others not to wait for this thread."""
        model, vector = self.replica.model, self.replica.parameters
        given = (model, self.loss, vector, self.part, _NonFiniteLossError)
        try:
            value, prediction, penalty = gradients_of(*given, has_penalty=self.has_penalty, scale=self.scale)
            if self.factor != 1:
                multiply(vector, self.factor)
        except BaseException:
            leave()
            raise
        return value * self.factor, prediction, penalty * self.factor


Share: TypeAlias = tuple[float, Array, float]
"""A part's share of the loss, its predictions, and its share of the penalties."""


class _NonFiniteLossError(Exception):
    """The loss of a part is not finite, but this number."""


class Meeting:
    """Sums of arrays over threads that wait for one another, as ``Processes.sum`` is over processes."""

    def __init__(self, threads: int) -> None:
        self._barrier = Barrier(threads)
        self._shares: tuple[list[Any], list[Any]] = ([None] * threads, [None] * threads)  # of even and odd sums
        self._sums = [0] * threads

    def sum_for(self, rank: int) -> Callable[[Array], Array]:
        """The sum as one of the threads calls it."""

        def total(numbers: Array) -> Array:
            shares = self._shares[self._sums[rank] % 2]  # a thread that goes on at once writes to the other list
            self._sums[rank] += 1
            shares[rank] = numbers
            self._barrier.wait()
            every: Array = np.add.reduce(shares)
            return every

        return total

    def leave(self) -> None:
        """Raise BrokenBarrierError in the threads that wait, and in those that would."""
        self._barrier.abort()


@define(eq=False)
class Replicas:
    """Divides each batch among threads: the gradients of all parts, added in order, are those of the batch.

    Kernels and products release Python's lock, so threads compute at once. The parts of a batch depend on the number
    of threads alone: a training repeats bit by bit with the same number. With another one it differs by rounding, and
    by the numbers that layers draw.
    """

    threads: int
    _held: list[Replica] = field(factory=list, init=False)
    _seen: object = field(default=None, init=False)
    _pool: ThreadPoolExecutor | None = field(default=None, init=False)
    _process: int = field(default=0, init=False)  # whose threads the pool has: a forked process has none of them

    @classmethod
    def of(cls, threads: int, processes: Processes | None) -> Self:
        """Those of a training. Raises ConfigurationError with several processes."""
        if processes is not None and (size := processes.size) > 1:
            raise ConfigurationError(
                f"threads: expected 1 with several processes, got {threads}: start {threads * size} processes instead "
                f"of {size}, mpiexec -n {threads * size}"
            )
        return cls(threads)

    def __reduce__(self) -> tuple[type["Replicas"], tuple[int]]:
        return Replicas, (self.threads,)  # a copied trainer has threads and replicas of its own

    def backpropagate(self, trainer: Settings, state: TrainingState, batch: Data) -> tuple[float, Array] | None:
        """Compute the gradients of a batch, and return its loss and prediction; None for one that is not divided."""
        tasks = self._tasks(trainer, state, batch)
        if not tasks:
            return None
        meeting = Meeting(len(tasks))
        trained, *others = (task.replica for task in tasks)
        for rank, replica in enumerate(others, 1):
            replica.follow(trained, rank)
        for rank, task in enumerate(tasks):
            task.replica.normalize(meeting.sum_for(rank), task.factor)
        try:
            found = self._run([partial(task.run, meeting.leave) for task in tasks], meeting.leave)
        finally:
            trained.normalize(None, 1.0)
        for error in found:
            if isinstance(error, _NonFiniteLossError):
                raise loss_overflow(trainer, state, batch, error.args[0])
            if isinstance(error, BaseException) and not isinstance(error, BrokenBarrierError):
                raise error
        for replica in others:
            add(replica.parameters, trained.parameters)
        for buffer, *copies in zip(*(task.replica.buffers for task in tasks), strict=True):
            if any(not np.array_equal(one.value, buffer.value) for one in copies) and buffer.value.dtype.kind == "f":
                buffer.value = np.mean([buffer.value, *(one.value for one in copies)], axis=0)
        shares: Any = found  # no exceptions
        values, predictions, penalties = zip(*shares, strict=True)
        state.penalty = sum(penalties)
        return sum(values), np.concatenate(predictions)

    def evaluate(self, trainer: Settings, batch: Data) -> tuple[float, Array] | None:
        """The loss and the prediction of a batch in inference, by one network; None for one that is not divided."""
        if len(parts := self._parts(batch)) < 2:
            return None
        found: Any = self._run([partial(boundary.predict, trainer.model, part.x) for part in parts])
        for error in found:
            if isinstance(error, BaseException):
                raise error
        prediction = np.concatenate(found)
        return loss_of(trainer.loss, prediction, batch), prediction

    def _parts(self, batch: Data) -> list[Data]:
        """One for each thread, fewer if there are fewer rows."""
        rows, count = len(batch.x), min(self.threads, len(batch.x))
        return [batch.take(part_of(rows, rank, count)) for rank in range(count)]

    def _tasks(self, trainer: Settings, state: TrainingState, batch: Data) -> list[Task]:
        """One for each thread; none for a batch that cannot be divided, or in which no target counts."""
        model, loss, has_penalty = trainer.model, trainer.loss, state.has_penalty
        if len(parts := self._parts(batch)) < 2:
            return []
        samples = [samples_in(part, loss, model) for part in parts]
        every = np.add.reduce(samples)
        weights = [weights_of(own, loss, has_penalty, lambda own: every) for own in samples]
        divisor = 1.0 if loss.reduction == "sum" else sum(divisor for _, divisor, _ in weights)
        if divisor == 0:
            return []
        tasks = []
        for replica, part, (weight, _, scale) in zip(self._current(model, state), parts, weights, strict=False):
            factor = weight / divisor  # of the whole gradient, or of the loss alone, which costs less
            both = (scale, factor) if has_penalty else (scale * factor, 1.0)
            tasks.append(Task(replica, part, loss, *both, has_penalty))
        return tasks

    def _current(self, model: Layer[Any], state: TrainingState) -> list[Replica]:
        """The network that is trained, and a replica for each further thread; new ones if a layer has changed."""
        if self._seen is not changes.latest or self._held[0].model is not model:
            trained = Replica.trained(model, state)
            self._held = [trained, *(trained.copy() for _ in range(self.threads - 1))]
            self._seen = changes.latest
        return self._held

    def _run(
        self, calls: Sequence[Callable[[], Result]], leave: Callable[[], None] = lambda: None
    ) -> list[Result | BaseException]:
        """What each call returns or raises in a thread, the first one in this thread; products have one thread each."""
        if self._pool is None or self._process != os.getpid():
            self._pool = ThreadPoolExecutor(self.threads - 1, thread_name_prefix="deepbp")
            self._process = os.getpid()
        first, *others = calls
        started: list[Future[Result]] = []
        try:
            with one_thread() or nullcontext():
                try:
                    started += (self._pool.submit(copy_context().run, call) for call in others)
                    found: list[Result | BaseException] = [_outcome(first)]
                finally:
                    if len(started) < len(others):  # there are no more threads
                        leave()
                    wait(started)
        except BaseException:  # another Ctrl-C: what still runs has arrays of its own
            self._pool, self._held, self._seen = None, [], None
            raise
        return [*found, *(_outcome(one.result) for one in started)]


def _outcome(call: Callable[[], Result]) -> Result | BaseException:
    try:
        return call()
    except BaseException as error:
        return error
