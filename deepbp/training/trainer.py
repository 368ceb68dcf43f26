"""Training: one step in the open, and epochs one after another."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from attrs import define, field

from deepbp._suggestions import explain_call, explain_constructor
from deepbp._validation import as_generator
from deepbp.callbacks.callback import Callback, CallbackState
from deepbp.errors import ConfigurationError, ContractError, NotBuiltError
from deepbp.errors.validators import instance_of, optional, positive, positive_int
from deepbp.layers import Layer
from deepbp.losses import Loss
from deepbp.metrics.metric import MetricLike, check_metrics, metric_name
from deepbp.optimizers import Optimizer, State
from deepbp.parameters import Buffer, ParameterVector
from deepbp.training.data import Data, Stream, as_source, check_batch_size
from deepbp.training.evaluation import ROWS_AT_ONCE, evaluate
from deepbp.training.history import History
from deepbp.training.loop import Fit, Quiet, Trained, step
from deepbp.training.options import as_callbacks, as_validation, check_fit, non_finite_rule, split_off
from deepbp.training.overflow import warn_if_squashed_twice
from deepbp.training.progress import ProgressLike
from deepbp.training.state import Position, Undo, generator_at, state_of
from deepbp.typing import ArrayLike, Seed


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
    callbacks: Sequence[Callback] = field(default=(), kw_only=True, converter=as_callbacks)
    clip_norm: float | None = field(default=None, kw_only=True, validator=optional(positive))
    clip_value: float | None = field(default=None, kw_only=True, validator=optional(positive))
    accumulate: int = field(default=1, kw_only=True, validator=positive_int)
    non_finite: str = field(default="raise", kw_only=True, validator=non_finite_rule)
    rng: Seed = field(default=None, kw_only=True)
    trained: Trained = field(init=False)
    state: State = field(init=False)
    history: History = field(init=False, factory=History)
    epoch: int = field(init=False, default=0)
    skipped: int = field(init=False, default=0)
    generator: np.random.Generator = field(init=False)
    penalized: bool = field(init=False)
    undo: Undo = field(init=False)
    position: Position = field(init=False, factory=Position)  # where fit stands, or was left in the middle
    waiting: Sequence[CallbackState] | None = field(init=False, default=None)  # from a file, until the next fit
    running: Fit | None = field(init=False, default=None)
    _quiet: Quiet = field(init=False, factory=Quiet)

    def __attrs_post_init__(self) -> None:
        if self.model.built is None:
            raise NotBuiltError(
                f"{type(self.model).__name__}: not built yet: give input_shape=..., or call build(input_shape)"
            )
        own = getattr(self.model, "generator", None)
        self.generator = own if self.rng is None and own is not None else as_generator(self.rng)
        self.trained = Trained.of(self.model)
        self.state = self.optimizer.start(self.parameters)
        if not isinstance(self.state, dict):
            raise ContractError(f"{self.optimizer!r}: start: expected a dict, the state, returned {self.state!r}")
        self.penalized = self.model.has_penalty()
        self.undo = Undo.of(self.model)
        for metric in self.metrics:
            if (higher := getattr(metric, "higher_is_better", None)) is not None:
                self.history.note_direction(metric_name(metric), higher)
        warn_if_squashed_twice(self.model, self.loss, stacklevel=5)  # the caller of the constructor

    @property
    def parameters(self) -> ParameterVector:
        """Those that are trained, as one vector."""
        return self.trained.vector

    @property
    def buffers(self) -> list[Buffer]:
        """What passes change besides: running means."""
        return self.undo.buffers

    @property
    def steps(self) -> int:
        """How many updates there were."""
        return int(self.state["step"])

    def step(self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """One update from one batch; returns the loss before it. Raises NonFiniteError instead of a bad update."""
        batch = Data.ready(self.model, x, y, sample_weight)
        if batch is None:
            batch = Data.of(self.model, self.loss, x, y, sample_weight)
        try:
            value, _ = self._quiet(step, self, batch)
        finally:
            self.undo.take_back()
        self.undo.settled = True
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
        self._refuse_while_running("fit")
        check_fit(epochs, shuffle, validation_split, prefetch, steps_per_epoch)
        check_batch_size(batch_size)
        source = as_source(
            self.model, self.loss, x, y, sample_weight, class_weight=class_weight, steps_per_epoch=steps_per_epoch
        )
        position, rng = Position(epoch=self.epoch, fit_start=state_of(self.generator)), self.generator
        if self.waiting is not None and self.position.begun:
            position, rng = self.position, generator_at(rng, self.position.fit_start)
        held_out = as_validation(self.model, self.loss, validation_data)
        training, validation = split_off(source, held_out, validation_split, rng)
        position.take_up(training, batch_size, shuffle)
        if isinstance(training, Stream) and position.epochs < epochs:
            training.leave_out(position.epochs)
        self.trained.take()
        self.position = position
        try:
            self.running = running = Fit(self, training, validation, epochs, batch_size, shuffle, prefetch)
            history = running.run(progress)
        finally:
            self.running = None
        if not (history.interrupted or running.stopped_now):
            self.position = Position(epoch=self.epoch)  # what is stored from now on was not left in the middle
        return history

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
        if self.running is not None:
            self.running.stopped_now |= now
            self.position.stopped |= not now

    def save(self, path: str | PathLike[str]) -> None:
        """Write all that this training is: weights, optimizer state, random generators, position, history, callbacks.

        A training that is read back goes on to the same bytes as one that was never stored, also in the middle of an
        epoch, on the same machine and from data that come in the same order. A write that fails leaves an old file as
        it was. ``ModelCheckpoint`` calls this while ``fit`` runs; afterwards, what callbacks did at its end is part of
        it, such as the best weights that ``EarlyStopping`` has put back.
        """
        from deepbp.files.training_files import save_training

        save_training(self, path)

    def load(self, path: str | PathLike[str]) -> None:
        """Take over what ``save`` stored; this trainer must be made as that one was, with a network of its sizes.

        If the file was written while ``fit`` ran, or after it was interrupted, the next call of ``fit`` goes on there,
        and must be the same call: its ``epochs`` count those that had been completed. A script that loads its file if
        there is one, and then calls ``fit``, can be killed and started again at any time.

        Raises:
            ConfigurationError: when the file belongs to a training of other sizes, kinds or callbacks, or ``fit`` runs.
            FileFormatError: when it is damaged, or no such file. The trainer is as it was, whatever was raised.
        """
        from deepbp.files.training_files import load_training

        self._refuse_while_running("load")
        load_training(self, path)

    def call(self, hook: str, *arguments: Any) -> None:
        """Call all callbacks."""
        for callback in self.callbacks:
            getattr(callback, hook)(self, *arguments)

    def _refuse_while_running(self, method: str) -> None:
        if self.running is not None:
            raise ConfigurationError(f"Trainer: {method}: expected it between two calls of fit, and one is running")
