"""The trainer, which keeps a model, a loss and an optimizer from step to step, and the callbacks that it calls."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from os import PathLike
from typing import Any, BinaryIO, ClassVar, TypeAlias

import numpy as np
from attrs import define, evolve, field

from deepbp._suggestions import named
from deepbp._tables import NUMBERS
from deepbp._validation import as_generator, takes_one_argument
from deepbp.errors import ArgumentTypeError, ConfigurationError, NotBuiltError, shown
from deepbp.errors.validators import (
    ExplainedArguments,
    explain_call,
    explain_constructor,
    instance_of,
    one_of,
    optional,
    positive,
    positive_int,
)
from deepbp.layers import Layer
from deepbp.losses import Loss
from deepbp.metrics.metric import MetricLike, bind_metrics, check_metrics, metric_name
from deepbp.optimizers import Optimizer, State
from deepbp.parameters import Buffer, ParameterVector
from deepbp.processes import Processes
from deepbp.training.data import Data, as_source, learn_names, names_in_data
from deepbp.training.evaluation import ROWS_AT_ONCE, evaluate
from deepbp.training.history import History
from deepbp.training.loop import Fit
from deepbp.training.options import FitOptions, check_batch_size
from deepbp.training.overflow import ignoring_errors, usual_errors, warn_if_squashed_twice
from deepbp.training.programmed import Lowered, Programs
from deepbp.training.progress import ProgressLike
from deepbp.training.scale import fit_scale
from deepbp.training.state import TrainingState
from deepbp.training.step import step, update
from deepbp.training.streams import Stream, Unused
from deepbp.typing import ArrayLike, Seed


class Callback(ExplainedArguments):
    """Base class of callbacks: code that a training calls between its steps and epochs.

    Override the hooks that you need. A hook gets the trainer, and may change its model, its optimizer and its state.
    ``trainer.stop()`` ends the training after the epoch, ``trainer.stop(now=True)`` after the step. Callbacks are
    called in the order of their list, and at the end of a training in reverse order.

    >>> from deepbp import Sequential
    >>> from deepbp.callbacks import Callback
    >>> from deepbp.layers import Dense
    >>> from deepbp.losses import MeanSquaredError
    >>> from deepbp.optimizers import SGD
    >>> class StopBelow(Callback):
    ...     def on_epoch_end(self, trainer, row):
    ...         if row["loss"] < 0.1:
    ...             trainer.stop()
    >>> net = Sequential([Dense(1)], input_shape=1, rng=0)
    >>> options = {"loss": MeanSquaredError(), "optimizer": SGD(0.1), "callbacks": [StopBelow()]}
    >>> net.fit([[1.0], [2.0]], [[2.0], [4.0]], epochs=100, **options).epochs
    4
    """

    runs_last: ClassVar[bool] = False
    """Whether it is called after the others, so that a checkpoint includes what they did."""

    def on_fit_start(self, trainer: "Trainer") -> None:
        """Before the first epoch."""

    def on_epoch_start(self, trainer: "Trainer") -> None:
        """Before each epoch, which is number ``trainer.epoch + 1``."""

    def on_step_end(self, trainer: "Trainer", loss: float) -> None:
        """After each update, with the loss of its batch."""

    def on_epoch_end(self, trainer: "Trainer", row: Mapping[str, float]) -> None:
        """After each epoch, with its row of the history; without ``val_`` columns if it was not validated."""

    def on_fit_end(self, trainer: "Trainer") -> None:
        """After the last epoch, or when Ctrl-C, a callback or an error has ended the training."""

    def state(self) -> dict[str, Any]:
        """The callback's state for a checkpoint, by name: arrays, numbers, text, and lists of them."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state`` returned; called after ``on_fit_start`` when a loaded training resumes."""

    def _begin_call(self) -> None:
        """Forget what belongs to an earlier call of ``fit``."""

    def _for_validation(self, trainer: "Trainer") -> AbstractContextManager[None] | None:
        """The context in which an epoch is validated and ``on_epoch_end`` is called; None for no other."""
        return None


@define(eq=False)
class EpochFunction(Callback):
    """A function of the trainer as a callback: it is called after each epoch."""

    function: "Callable[[Trainer], object]"

    def on_epoch_end(self, trainer: "Trainer", row: Mapping[str, float]) -> None:
        self.function(trainer)


CallbackLike: TypeAlias = "Callback | Callable[[Trainer], object]"
"""A callback, or a function that is called with the trainer after each epoch."""


def _as_metrics(metrics: Sequence[MetricLike]) -> Sequence[MetricLike]:
    return metrics if isinstance(metrics, tuple) and not metrics else check_metrics(metrics)


def _as_callbacks(callbacks: Sequence[CallbackLike]) -> tuple[Callback, ...]:
    """Validate a list of callbacks; those that store the training go last, so that they store what the others did."""
    given: Any = callbacks  # which type checkers would narrow to a list of functions
    several = given if isinstance(given, list | tuple) else [given]
    made: list[Any] = [
        one if isinstance(one, Callback) or not takes_one_argument(one) else EpochFunction(one) for one in several
    ]
    wrong = [one for one in made if not isinstance(one, Callback)]
    if wrong or several is not callbacks:
        fix = named(wrong[0], "Callback") if wrong else f": write [{callbacks!r}]"
        raise ArgumentTypeError(
            f"callbacks: expected a list of Callback instances or functions of the trainer, got {shown(callbacks)}{fix}"
        )
    return tuple(sorted(made, key=lambda callback: callback.runs_last))


@explain_constructor
@define(eq=False, repr=False)
class Trainer:
    """Trains a model with a loss and an optimizer, and keeps the optimizer's state between calls.

    ``step`` makes one update, ``fit`` trains for epochs, and ``save`` and ``load`` write and read checkpoints from
    which a training resumes exactly.

    >>> import numpy as np
    >>> from deepbp import Sequential, Trainer
    >>> from deepbp.layers import Dense
    >>> from deepbp.losses import SumSquaredError
    >>> from deepbp.optimizers import SGD
    >>> net = Sequential([Dense(1, use_bias=False)], input_shape=1, rng=0)
    >>> net.layers[0].weight.value[...] = 1
    >>> trainer = Trainer(net, SumSquaredError(), SGD(learning_rate=0.1))
    >>> [round(trainer.step(np.ones((1, 1)), np.full((1, 1), 2.0)), 4) for _ in range(3)]  # (ŵ − 2)²
    [1.0, 0.64, 0.4096]

    Args:
        model: a built layer, usually a Sequential.
        metrics: such as ``[Accuracy()]``; any callable of predictions and targets.
        callbacks: called between steps and epochs of ``fit``. A function ``f(trainer)`` is called after each epoch.
        clip_value: gradient clipping by value: each gradient is limited to ±clip_value, before clip_norm.
        clip_norm: gradient clipping by norm: gradients with a larger norm, over all parameters, are scaled down.
        accumulate: gradient accumulation: the number of batches for each update of ``fit``.
        non_finite: what ``fit`` does with a step whose loss or gradients overflow, which is never applied: ``"raise"``
            ends the training, ``"skip"`` skips the step and counts it in ``skipped``.
        rng: a seed or generator for shuffling; by default the model's own generator.
        processes: several processes that train this model together; see ``Processes``.
        threads: those that compute each gradient, every one for a part of the batch; pays from some ms a step.

    Raises:
        NotBuiltError: if the model is not built yet.
        ConfigurationError: if it has nothing to train, or has both ``processes`` and ``threads``.
    """

    model: Layer[Any] = field(validator=instance_of(Layer))
    loss: Loss[Any] = field(validator=instance_of(Loss))
    optimizer: Optimizer = field(validator=instance_of(Optimizer))
    metrics: Sequence[MetricLike] = field(default=(), kw_only=True, converter=_as_metrics)
    callbacks: Sequence[Callback] = field(default=(), kw_only=True, converter=_as_callbacks)
    clip_norm: float | None = field(default=None, kw_only=True, validator=optional(positive))
    clip_value: float | None = field(default=None, kw_only=True, validator=optional(positive))
    accumulate: int = field(default=1, kw_only=True, validator=positive_int)
    non_finite: str = field(default="raise", kw_only=True, validator=one_of("raise", "skip"))
    rng: Seed = field(default=None, kw_only=True)
    processes: Processes | None = field(default=None, kw_only=True, validator=optional(instance_of(Processes)))
    threads: int = field(default=1, kw_only=True, validator=positive_int)
    _training: TrainingState = field(init=False)
    _running: Fit | None = field(init=False, default=None)
    _unused: Unused | None = field(init=False, default=None)  # batches of a stream, for the next call of fit
    _programs: Programs = field(init=False)
    _last: Lowered | None = field(init=False, default=None)  # the program of the last batch

    def __attrs_post_init__(self) -> None:
        if self.model.built is None:
            raise NotBuiltError(
                f"{type(self.model).__name__}: not built yet: give input_shape=..., or call build(input_shape)"
            )
        own = getattr(self.model, "generator", None)
        generator = own if self.rng is None and own is not None else as_generator(self.rng)
        self._training = TrainingState.of(self.model, self.optimizer, generator)
        if self.threads > 1:
            from deepbp.training.replicas import Replicas

            self._training.replicas = Replicas.of(self.threads, self.processes)
        if self.processes is not None and self.processes.size > 1:
            self._training.share(self.processes)
        settings = {"clip_norm": self.clip_norm, "clip_value": self.clip_value, "accumulate": self.accumulate}
        others = {"non_finite": self.non_finite, "threads": self.threads}
        self._training.made_with = (self.optimizer, {**settings, **others})
        # Binding raises for a threshold that the loss does not allow.
        for metric in bind_metrics(self.metrics, self.loss) if self.metrics else ():
            if (higher := getattr(metric, "higher_is_better", None)) is not None:
                self.history.note_direction(metric_name(metric), higher)
        self._programs = Programs(self, self._training, partial(update, self, self._training))
        warn_if_squashed_twice(self.model, self.loss, stacklevel=5)  # the caller of the constructor

    @property
    def parameters(self) -> ParameterVector:
        """The trainable parameters, as one vector."""
        return self._training.parameters

    @property
    def buffers(self) -> list[Buffer]:
        """The arrays that forward passes change, such as running means."""
        return self._training.buffers

    @property
    def state(self) -> State:
        """The optimizer's state: arrays and counters, by name."""
        return self._training.optimizer_state

    @state.setter
    def state(self, state: State) -> None:
        self._training.optimizer_state = state

    @property
    def history(self) -> History:
        """The loss and the metrics of each epoch, over all calls of ``fit``."""
        return self._training.history

    @property
    def epoch(self) -> int:
        """The number of epochs completed before the current one, or the next one, over all calls of ``fit``."""
        return self._training.epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._training.epoch = epoch

    @property
    def steps(self) -> int:
        """The number of updates so far."""
        return self._training.steps

    @property
    def skipped(self) -> int:
        """The number of steps that ``non_finite="skip"`` left out."""
        return self._training.skipped

    @property
    def generator(self) -> np.random.Generator:
        """The random generator that shuffles the rows."""
        return self._training.generator

    @property
    def is_first(self) -> bool:
        """Whether this is the first of several processes, which shows and writes for all, or the only one."""
        return self.processes is None or self.processes.rank == 0

    def step(self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Make one update from one batch, of which each of several processes takes a part; returns the loss before it.

        Raises NonFiniteError if the loss or a gradient overflows; the update is then not applied.
        """
        if self._last is not None and sample_weight is None and (value := self._last.step(x, y)) is not None:
            return value
        batch = Data.ready(self.model, x, y, sample_weight) if self.loss._keeps_targets() else None
        if batch is not None:
            return self._step(batch, takes_more=True)
        batch = Data.of(self.model, self.loss, x, y, sample_weight)
        value = self._step(batch)
        learn_names(self.model, *names_in_data(self.model, self.loss, x, y))
        return value

    def _step(self, batch: Data, takes_more: bool = False) -> float:
        """A step with validated data; ``takes_more``: the program for it takes other data of these shapes, too."""
        state, shared = self._training, self._training.processes
        lowered = self._programs.of("step", batch) if shared is None else None
        self._last = lowered if takes_more else None
        try:
            value = None if lowered is None else lowered.once(batch)
            if shared is not None:
                from deepbp.training.together import learn_at_once

                value = ignoring_errors(learn_at_once, self, state, batch, shared, self._programs)
            elif value is None:
                value, _ = ignoring_errors(step, self, state, batch)
        finally:
            if state.before is not None:
                state.rollback()
        state.consistent = True
        if (built := self.model.built) is not None and built.loss is not self.loss:
            self.model.built = evolve(built, loss=self.loss)
        return value

    @explain_call
    def fit(
        self,
        x: Any,
        y: ArrayLike | None = None,
        *,
        epochs: int = 1,
        batch_size: int | None = 32,
        shuffle: bool = True,
        validation_data: Any = None,
        validation_split: float = 0.0,
        sample_weight: ArrayLike | None = None,
        class_weight: Mapping[int, float] | Mapping[str, float] | str | None = None,
        steps_per_epoch: int | None = None,
        prefetch: int = 0,
        progress: ProgressLike = None,
        validation_steps: int | None = None,
        validation_every: int = 1,
        stratify: bool = False,
        callbacks: Sequence[CallbackLike] = (),
    ) -> History:
        """Train for some epochs, and return the history, which includes the epochs of earlier calls.

        Ctrl-C ends the training after the current step, and sets ``history.interrupted``. After ``load``, the next call
        resumes the call that was stored: ``epochs`` includes those that were completed.

        Args:
            x, y: arrays; or x alone: a data set whose ``__getitem__`` returns (x, y) or (x, y, sample_weight) of one
                sample; an iterable of such batches, a generator, or a function that returns one for each epoch. Dicts
                with the keys ``"x"``, ``"y"`` and ``"sample_weight"`` may stand in place of the tuples.
            batch_size: the number of samples for each update; None is full batch. An iterable has batches of its own.
            shuffle: whether each epoch has its samples in a new random order; the arrays are not modified.
            validation_data: (x, y), (x, y, sample_weight), or anything else that x may be.
            validation_split: the fraction of the samples that is used for validation: drawn at random, or the last
                ones where ``shuffle`` is False.
            sample_weight: a weight for each sample, (N,), or for each target, of the shape of y.
            class_weight: a weight for each class, by label or by name, ``{0: 1.0, 1: 5.0}``, or ``"balanced"``.
            steps_per_epoch: the number of batches of an iterable for each epoch; None is all.
            prefetch: the number of batches that a thread prepares while the model trains.
            progress: True or False, ``"steps"`` for a bar within each epoch, also a short one, ``"text"`` for lines in
                a log; None shows a bar on a terminal and in a notebook.
            validation_steps: the number of batches of an iterable ``validation_data``; None is all.
            validation_every: n validates after epochs n, 2n, … over all calls of ``fit``; the ``val_`` columns of the
                history are NaN in the others. 1 is after each.
            stratify: whether ``validation_split`` takes the same share of each class.
            callbacks: further callbacks for this call alone.
        """
        options = FitOptions(
            epochs=epochs,
            batch_size=batch_size,
            shuffle=shuffle,
            validation_data=validation_data,
            validation_split=validation_split,
            sample_weight=sample_weight,
            class_weight=class_weight,
            steps_per_epoch=steps_per_epoch,
            prefetch=prefetch,
            progress=progress,
            validation_steps=validation_steps,
            validation_every=validation_every,
            stratify=stratify,
        )
        self._refuse_while_running("fit")
        self._training.acquire(self.optimizer)
        return usual_errors(self._fit, x, y, options, callbacks)

    def _fit(self, x: Any, y: Any, options: FitOptions, callbacks: Sequence[CallbackLike] = ()) -> History:
        state = self._training
        further = _as_callbacks(callbacks) if callbacks else ()
        learns = not (type(x) is type(y) is np.ndarray and y.dtype.kind in NUMBERS)  # names of columns, classes
        before, steps = self.model.built, state.optimizer_state.get("step", 0)
        if further:
            self.callbacks = [*self.callbacks, *further]
        try:
            position, rng = state.next_position()
            given, group = (self.model, self.loss, x, y, learns, rng), state.processes
            found = options.sources(*given) if group is None else group.of_each(options.sources, *given, group.part)
            training, validation = found
            fit_scale(state, self.loss, training, y, first=not steps and self.is_first)
            built: Any = self.model.built
            self.model.built = evolve(built, loss=self.loss, programs="")
            if isinstance(training, Stream):
                training.unused = self._unused = self._unused or training.unused
            state.position = position
            self._running = Fit(self, state, options, training, validation, self._programs)
            return self._running.run()
        finally:
            self._running = None
            if further:
                self.callbacks = [one for one in self.callbacks if one not in further]
            if state.optimizer_state.get("step", 0) == steps:  # nothing was learned about columns and loss
                self.model.built = before

    @explain_call
    def evaluate(
        self,
        x: Any,
        y: ArrayLike | None = None,
        *,
        batch_size: int | None = ROWS_AT_ONCE,
        sample_weight: ArrayLike | None = None,
        steps: int | None = None,
    ) -> dict[str, float]:
        """Compute the loss and the metrics on data as ``fit`` takes them; ``steps`` counts batches of a stream."""
        check_batch_size(batch_size)
        data = as_source(self.model, self.loss, x, y, sample_weight, steps_per_epoch=steps)
        programmed = partial(self._programs.run, "evaluation")
        return evaluate(self.model, self.loss, self.metrics, data.batches(batch_size), programmed)

    def stop(self, now: bool = False) -> None:
        """End the training after this epoch, or with ``now`` after this step; for callbacks."""
        if self._running is not None:
            self._running.stopped_now |= now
            self._training.position.stopped |= not now

    def save(self, path: str | PathLike[str] | BinaryIO) -> None:
        """Write a checkpoint: weights, optimizer state, random generators, position, history, and callbacks.

        A training that is loaded and resumed ends with the same bytes as one that was never interrupted, even within an
        epoch, on the same machine and with data in the same order. A write that fails leaves an old file unchanged.
        ``ModelCheckpoint`` calls this method while ``fit`` runs. A file that is written afterwards includes what
        callbacks did at the end, such as the best weights that ``EarlyStopping`` has restored. All processes call it.

        Args:
            path: the file name, ending in ``.npz`` or in ``.safetensors``, or a binary stream, as for ``net.save``.

        Raises:
            ArgumentTypeError: if the state of a callback or an optimizer cannot be serialized.
            ConfigurationError: for another ending, and if the last update was interrupted.
            OSError: if the folder does not exist, the disk is full, and so on.
        """
        self._training.save(path, self)

    def load(self, path: str | PathLike[str] | BinaryIO | bytes) -> None:
        """Load a checkpoint from a file, a binary stream or ``bytes``; of several processes the first one reads it.

        This trainer must have been constructed like the one that was saved. If the file was written while ``fit`` ran,
        or after it was interrupted, the next call of ``fit`` resumes there. It must have the same arguments; its
        ``epochs`` include those that were completed. A script that loads its file if there is one, and then calls
        ``fit``, can be killed and started again at any time.

        Raises:
            ConfigurationError: if the file is of a training with other sizes or kinds, or without callbacks that this
                trainer has, or ``fit`` runs. Callbacks of one call of ``fit`` are needed in the call that resumes it.
            FileFormatError: if it is damaged, or not a file of ``save``. After an error the trainer is unchanged.
        """
        self._refuse_while_running("load")
        self._training.load(path, self)

    def _refuse_while_running(self, method: str) -> None:
        if self._running is not None:
            raise ConfigurationError(f"Trainer: {method}: expected it between two calls of fit, and one is running")
