"""One training step: the gradients of a batch, which may be accumulated over several, and the update."""

from collections.abc import Callable
from functools import partial
from math import isfinite
from typing import Any, TypeAlias

import numpy as np
from attrs import define, field

from deepbp.errors import NonFiniteError
from deepbp.kernels.blas_threads import FEWEST, threads_for
from deepbp.layers import Layer
from deepbp.losses.loss import Loss, broken_pair
from deepbp.optimizers.optimizer import has_square, move_or_restore
from deepbp.parameters import ParameterVector
from deepbp.sparse_parameters import Touched
from deepbp.training.data import Data
from deepbp.training.overflow import clip, first_bad_gradient, first_overflow
from deepbp.training.state import Settings, TrainingState
from deepbp.typing import Array


def step(trainer: Settings, state: TrainingState, batch: Data) -> tuple[float, Array]:
    """One update; returns the loss before it, and the prediction. Raises NonFiniteError instead of a bad update."""
    value, prediction = backpropagate(trainer, state, batch)
    update(trainer, state)
    return value, prediction


def backpropagate(
    trainer: Settings,
    state: TrainingState,
    batch: Data,
    scale: float = 1.0,
    all_finite: Callable[[bool], bool] | None = None,
) -> tuple[float, Array]:
    """Compute the gradients of a batch, and return its loss and prediction. Raises NonFiniteError for the loss.

    Args:
        scale: the factor of the loss, without penalties, and of its gradient.
        all_finite: whether the losses of all processes are finite, given whether this one is.
    """
    state.begin(trainer.optimizer)
    if state.replicas is not None and (found := state.replicas.backpropagate(trainer, state, batch)) is not None:
        return found
    largest = state.parameters.largest
    if batch.x.size * largest <= FEWEST or (threads := threads_for(batch.x, largest)) is None:
        return _backpropagate(trainer, state, batch, scale, all_finite)
    with threads:
        return _backpropagate(trainer, state, batch, scale, all_finite)


def _backpropagate(
    trainer: Settings, state: TrainingState, batch: Data, scale: float, all_finite: Callable[[bool], bool] | None
) -> tuple[float, Array]:
    found = gradients_of(
        trainer.model,
        trainer.loss,
        state.parameters,
        batch,
        partial(loss_overflow, trainer, state, batch),
        has_penalty=state.has_penalty,
        scale=scale,
        all_finite=all_finite,
    )
    value, prediction, state.penalty = found
    return value, prediction


def gradients_of(
    model: Layer[Any],
    loss: Loss[Any],
    parameters: ParameterVector,
    batch: Data,
    overflow: Callable[[float], Exception],
    *,
    has_penalty: bool = False,
    scale: float = 1.0,
    all_finite: Callable[[bool], bool] | None = None,
) -> tuple[float, Array, float]:
    """Write the gradients of a batch into its model's parameters; returns loss, prediction, and penalties in the loss.

    ``overflow`` makes the exception that is raised, before the backward pass, about a loss that is not finite.
    """
    parameters.clear_grads()
    prediction, saved = model._run_forward(batch.x)  # validated with the data
    pair = loss.forward(prediction, batch.y, batch.sample_weight)
    try:
        value, loss_saved = pair
        finite = isfinite(value)
        value = float(value)
    except (TypeError, ValueError):
        raise broken_pair(loss, pair) from None
    penalty = 0.0
    if scale != 1:
        value *= scale
    if has_penalty:
        penalty = model.penalty(saved)
        value += penalty
        finite = isfinite(value)
    if all_finite is not None and not all_finite(finite) and finite:
        raise NonFiniteError("not finite in another process")
    if not finite:
        raise overflow(value)
    delta = loss.backward(loss_saved)
    if scale != 1:
        delta = delta * delta.dtype.type(scale)
    if type(delta) is np.ndarray and delta.shape == prediction.shape and delta.dtype == prediction.dtype:
        model._run_backward_parameters(saved, delta)
    else:  # input validation reports what does not fit
        model.backward_parameters(saved, delta)
    return value, prediction, penalty


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


def loss_overflow(trainer: Settings, state: TrainingState, batch: Data, value: float) -> NonFiniteError:
    """The error about a loss that is not finite, with the first place that is not; it rolls the step back."""
    model, loss = trainer.model, trainer.loss
    return _non_finite(
        trainer, state, f"the loss became {value}", lambda: first_overflow(model, loss, batch.x, batch.y)
    )


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


Result: TypeAlias = tuple[float, Array, Array, Array | None, float]
"""The loss of a batch, its predictions, targets and weights, and the penalties in the loss."""


@define(eq=False)
class Accumulation:
    """Gradient accumulation: combines the gradients of several batches into those of one large batch.

    For a loss that is a mean, each batch is weighted by its number of samples; for a sum, gradients are added. Only one
    batch is in memory at a time. As of one large batch, a number that is not finite in one batch is one of the update.
    """

    loss: Loss[Any]
    results: list[Result | None] = field(factory=list, init=False)  # for a Meter; None for a batch without samples
    problem: NonFiniteError | None = field(default=None, init=False)  # of a batch of this update
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

    def leave_out(self, problem: NonFiniteError | None = None) -> None:
        """Leave out a batch, because it is not finite or one before it was not: the update will raise this error."""
        self.problem = self.problem or problem
        self.results.append(None)

    def write_gradients(self, parameters: ParameterVector) -> float:
        """Write the combined gradients into the parameters; returns the loss of all samples."""
        if self.problem is not None:
            raise self.problem
        assert self._grads is not None, "no batch was added"
        divisor = 1 if self.loss.reduction == "sum" else self._weight or 1  # no targets at all: 0 / 1
        np.divide(self._grads, divisor, out=parameters.grads)
        return self._loss / divisor

    def clear(self) -> None:
        """Discard what was added."""
        self._grads, self._loss, self._weight, self.results, self.problem = None, 0.0, 0, [], None
