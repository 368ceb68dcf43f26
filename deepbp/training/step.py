"""One step of a training, in the open: forwards, loss, backwards, update."""

from collections.abc import Callable
from math import isfinite
from typing import TYPE_CHECKING

from deepbp.errors import NonFiniteError
from deepbp.losses.loss import broken_pair
from deepbp.training.data import Data
from deepbp.training.diagnosis import first_bad_gradient, first_overflow
from deepbp.training.gradients import clip
from deepbp.typing import Array

if TYPE_CHECKING:
    from deepbp.training.trainer import Trainer


def step(trainer: "Trainer", batch: Data) -> tuple[float, Array]:
    """One update; the loss before it, and the prediction. Raises NonFiniteError instead of a bad update."""
    trainer.undo.note()
    value, prediction = backpropagate(trainer, batch)
    update(trainer)
    return value, prediction


def backpropagate(trainer: "Trainer", batch: Data) -> tuple[float, Array]:
    """The loss and the prediction; the gradients are left in the parameters."""
    model, loss, trained = trainer.model, trainer.loss, trainer.trained
    trained.check()
    trained.vector.clear_grads()
    prediction, saved = model.forward(batch.x)
    pair = loss.forward(prediction, batch.y, batch.sample_weight)
    try:
        value, loss_saved = pair
        finite = isfinite(value)
    except (TypeError, ValueError):
        raise broken_pair(loss, pair) from None
    if trainer.penalized:
        value += model.penalty(saved)
        finite = isfinite(value)
    if not finite:
        raise _non_finite(trainer, f"the loss became {value}", lambda: first_overflow(model, batch.x, batch.y))
    model.backward_parameters(saved, loss.backward(loss_saved))
    return value, prediction


def update(trainer: "Trainer") -> None:
    """Let the optimizer apply the gradients, where they are finite."""
    parameters = trainer.trained.vector
    if not clip(parameters.grads, trainer.clip_value, trainer.clip_norm):
        name = first_bad_gradient(trainer.model, parameters)
        raise _non_finite(trainer, "a gradient is not finite", lambda: f"the gradient of {name}")
    trainer.undo.settled = False
    trainer.optimizer.step(parameters, trainer.state)
    trainer.undo.done()


def _non_finite(trainer: "Trainer", what: str, first: Callable[[], str]) -> NonFiniteError:
    trainer.undo.take_back()  # running means that took in an overflow would spoil every prediction
    return NonFiniteError(
        f"epoch {trainer.epoch}, step {trainer.steps}: {what}; the first place that is not finite: "
        f"{first() or 'the loss itself'}. "
        "The update was not applied. Try a lower learning rate, clip_norm=1.0, or inputs scaled to about ±1"
    )
