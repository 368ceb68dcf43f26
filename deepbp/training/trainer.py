"""The trainer, which keeps a model, a loss and an optimizer from step to step, and the callbacks that it calls."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, ClassVar

import numpy as np
from attrs import define, field

from deepbp._suggestions import ExplainedArguments, explain_call, explain_constructor, named
from deepbp._validation import as_generator
from deepbp.errors import ArgumentTypeError, ConfigurationError, NotBuiltError
from deepbp.errors.validators import instance_of, optional, positive, positive_int
from deepbp.layers import Layer
from deepbp.losses import Loss
from deepbp.metrics.metric import MetricLike, check_metrics, metric_name
from deepbp.optimizers import Optimizer, State
from deepbp.parameters import Buffer, ParameterVector
from deepbp.training.data import Data, Stream
from deepbp.training.evaluation import ROWS_AT_ONCE, evaluate
from deepbp.training.history import History
from deepbp.training.loop import ErrstateContext, Fit, step
from deepbp.training.options import FitOptions, check_batch_size
from deepbp.training.overflow import warn_if_squashed_twice
from deepbp.training.progress import ProgressLike
from deepbp.training.state import TrainingState
from deepbp.typing import ArrayLike, Seed


class Callback(ExplainedArguments):
    """Override what you need. A hook gets the trainer, and may change its model, its optimizer and its state.

    ``trainer.stop()`` ends training after the epoch, ``trainer.stop(now=True)`` after the step. Callbacks are called
    in the order of their list, and at the end of a training in the opposite order.
    """

    runs_last: ClassVar[bool] = False
    """Whether the others are called before it: those that store a training store what the others did."""

    def on_fit_start(self, trainer: "Trainer") -> None:
        """Before the first epoch."""

    def on_epoch_start(self, trainer: "Trainer") -> None:
        """Before each epoch; ``trainer.epoch`` counts from 0."""

    def on_step_end(self, trainer: "Trainer", loss: float) -> None:
        """After each update, with the loss of its batch."""

    def on_epoch_end(self, trainer: "Trainer", row: Mapping[str, float]) -> None:
        """After each epoch, with its row of the history."""

    def on_fit_end(self, trainer: "Trainer") -> None:
        """After the last epoch, also where Ctrl-C, a callback or an error ended what ``on_fit_start`` had begun."""

    def state(self) -> dict[str, Any]:
        """What a stored training must hold to go on exactly: arrays, numbers, texts and lists of them, by name."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that ``state`` returned: follows ``on_fit_start`` when a stored training goes on."""


def _as_callbacks(callbacks: Sequence[Callback]) -> tuple[Callback, ...]:
    """Validate a list of callbacks; those that store the training go last, so that they store what the others did."""
    several = callbacks if isinstance(callbacks, list | tuple) else [callbacks]
    wrong = [one for one in several if not isinstance(one, Callback)]
    if wrong or several is not callbacks:
        fix = named(wrong[0], "Callback") if wrong else f": write [{callbacks!r}]"
        raise ArgumentTypeError(f"callbacks: expected a list of Callback instances, got {callbacks!r}{fix}")
    return tuple(sorted(callbacks, key=lambda callback: callback.runs_last))


def _check_non_finite(instance: Any, attribute: Any, value: Any) -> None:
    if not isinstance(value, str) or value not in ("raise", "skip"):
        raise ConfigurationError(f"Trainer: non_finite: expected 'raise' or 'skip', got {value!r}")


@explain_constructor
@define(eq=False, repr=False)
class Trainer:
    """A model, a loss and an optimizer with its state, which it keeps from call to call.

    Args:
        model: a built layer, usually a Sequential.
        metrics: such as ``[Accuracy()]``; any callable of predictions and targets.
        clip_value: each number of the gradients is cut to between −clip_value and clip_value; then
        clip_norm: gradients whose length, over all parameters together, is larger are scaled down to it.
        accumulate: so many batches make one update of ``fit``, whose gradients are those of all their samples at once.
        non_finite: a step of ``fit`` whose loss or gradients overflow is never applied; ``"raise"`` ends the training,
            ``"skip"`` leaves it out and counts it in ``skipped``.
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
    clip_value: float | None = field(default=None, kw_only=True, validator=optional(positive))
    accumulate: int = field(default=1, kw_only=True, validator=positive_int)
    non_finite: str = field(default="raise", kw_only=True, validator=_check_non_finite)
    rng: Seed = field(default=None, kw_only=True)
    _training: TrainingState = field(init=False)
    _running: Fit | None = field(init=False, default=None)
    _without_warnings: ErrstateContext = field(init=False, factory=ErrstateContext)

    def __attrs_post_init__(self) -> None:
        if self.model.built is None:
            raise NotBuiltError(
                f"{type(self.model).__name__}: not built yet: give input_shape=..., or call build(input_shape)"
            )
        own = getattr(self.model, "generator", None)
        generator = own if self.rng is None and own is not None else as_generator(self.rng)
        self._training = TrainingState.of(self.model, self.optimizer, generator)
        for metric in self.metrics:
            if (higher := getattr(metric, "higher_is_better", None)) is not None:
                self.history.note_direction(metric_name(metric), higher)
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
        """The number of the current epoch, or of the next one, counted from 0 over all calls of ``fit``."""
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

    def step(self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """One update from one batch; returns the loss before it. Raises NonFiniteError instead of a bad update."""
        batch = Data.ready(self.model, x, y, sample_weight)
        if batch is None:
            batch = Data.of(self.model, self.loss, x, y, sample_weight)
        try:
            value, _ = self._without_warnings(step, self, self._training, batch)
        finally:
            self._training.rollback()
        self._training.consistent = True
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
        class_weight: Mapping[int, float] | str | None = None,
        steps_per_epoch: int | None = None,
        prefetch: int = 0,
        progress: ProgressLike = None,
    ) -> History:
        """Train for some epochs and return the history, which also holds those of earlier calls.

        Ctrl-C finishes the step at hand and returns the history so far, with ``history.interrupted`` set. After
        ``load``, the next call goes on with the one that was stored: ``epochs`` counts those it had completed.

        Args:
            x, y: arrays; or x alone: a data set with ``__len__`` and ``__getitem__``, which gives (x, y) or
                (x, y, sample_weight) of one sample; an iterable of such batches, a generator, or a function that
                returns one for each epoch.
            batch_size: None is full batch; batches of an iterable come as they are.
            shuffle: draw the rows in a new order for each epoch; the arrays themselves stay as they are.
            validation_data: (x, y), (x, y, sample_weight), or anything else that x may be.
            validation_split: the share of the samples, drawn at random, that is kept for validation.
            class_weight: a weight for each class, ``{0: 1.0, 1: 5.0}``, or ``"balanced"``.
            steps_per_epoch: how many batches of an iterable make an epoch; None: all.
            prefetch: how many batches a thread prepares while the model trains.
            progress: True or False, ``"steps"`` for a bar within each epoch, ``"text"`` for lines in a log; None means
                a bar on a terminal and in a notebook.
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
        )
        return self._fit(x, y, options)

    def _fit(self, x: Any, y: Any, options: FitOptions) -> History:
        self._refuse_while_running("fit")
        state = self._training
        source = options.training_data(self.model, self.loss, x, y)
        position, rng = state.next_position()
        training, validation = options.split(source, self.model, self.loss, rng)
        position.resume_with(training.samples, options.batch_size, options.shuffle)
        if isinstance(training, Stream) and position.epochs < options.epochs:
            training.leave_out(position.epochs)
        state.acquire()
        state.position = position
        try:
            self._running = Fit(self, state, options, training, validation)
            return self._running.run()
        finally:
            self._running = None

    @explain_call
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
        data = Data.of(self.model, self.loss, x, y, sample_weight)
        return evaluate(self.model, self.loss, self.metrics, data.batches(batch_size))

    def stop(self, now: bool = False) -> None:
        """End training after this epoch, or ``now``, after this step; for callbacks."""
        if self._running is not None:
            self._running.stopped_now |= now
            self._training.position.stopped |= not now

    def save(self, path: str | PathLike[str]) -> None:
        """Write all that this training is: weights, optimizer state, random generators, position, history, callbacks.

        A training that is read back goes on to the same bytes as one that was never stored, also in the middle of an
        epoch, on the same machine and from data that come in the same order. A write that fails leaves an old file as
        it was. ``ModelCheckpoint`` calls this while ``fit`` runs; afterwards, what callbacks did at its end is part of
        it, such as the best weights that ``EarlyStopping`` has put back.
        """
        self._training.save(path, self)

    def load(self, path: str | PathLike[str]) -> None:
        """Take over what ``save`` stored; this trainer must be made as that one was, with a network of its sizes.

        If the file was written while ``fit`` ran, or after it was interrupted, the next call of ``fit`` goes on there,
        and must be the same call: its ``epochs`` count those that had been completed. A script that loads its file if
        there is one, and then calls ``fit``, can be killed and started again at any time.

        Raises:
            ConfigurationError: when the file belongs to a training of other sizes, kinds or callbacks, or ``fit`` runs.
            FileFormatError: when it is damaged, or no such file. The trainer is as it was, whatever was raised.
        """
        self._refuse_while_running("load")
        self._training.load(path, self)

    def _refuse_while_running(self, method: str) -> None:
        if self._running is not None:
            raise ConfigurationError(f"Trainer: {method}: expected it between two calls of fit, and one is running")
