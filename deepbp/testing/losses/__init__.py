"""The checks of a loss."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from deepbp.arrays import as_shape
from deepbp.errors import ArgumentTypeError
from deepbp.losses import Loss
from deepbp.testing import objects
from deepbp.testing.check import Check, Stages, as_seed, checks_of, run_all
from deepbp.testing.losses import behaviour, formulas, gradients, values
from deepbp.testing.losses.case import Draw, LossCase
from deepbp.typing import Array, Seed, Shape, ShapeLike

STAGES: Stages = (
    (values.forward_and_backward_run,),
    (behaviour.nothing_is_written,),
    (
        gradients.gradient,
        gradients.weighted_gradient,
        formulas.formula,
        values.sample_weights_multiply_shares,
        values.reduction_as_stated,
        values.shapes_must_match,
        behaviour.forward_twice_then_backward_of_the_first,
        behaviour.dtype_is_kept,
        behaviour.extreme_predictions,
        *objects.CHECKS,
    ),
)


def loss_checks(
    loss: Loss[Any],
    output_shape: ShapeLike = (3,),
    *,
    predictions: Draw | None = None,
    targets: Draw | None = None,
    rng: Seed = None,
) -> Iterator[Check]:
    """The checks of a loss one by one.

    Args:
        output_shape: of one sample's prediction.
        predictions, targets: draw the data, given a generator and a shape with the batch axis. By default as
            ``loss.expects`` says: normal numbers for values; probabilities, or normal numbers for logits and scores,
            against one-hot rows; rates, or normal numbers for their logarithms, against counts.
        rng: a seed or generator. None means the same numbers each time.
    """
    if not isinstance(loss, Loss):
        raise ArgumentTypeError(f"loss: expected an instance of deepbp.losses.Loss, got {loss!r}")
    predictions = predictions or _PREDICTIONS.get(loss.expects, _normal)
    targets = targets or _TARGETS.get(loss.expects, _one_hot)
    case = LossCase(loss, as_shape(output_shape, "output_shape"), predictions, targets, as_seed(rng))
    return checks_of(f"{loss} on outputs of shape {case.output_shape}", case, STAGES)


def check_loss(
    loss: Loss[Any],
    output_shape: ShapeLike = (3,),
    *,
    predictions: Draw | None = None,
    targets: Draw | None = None,
    rng: Seed = None,
) -> None:
    """Run every check of a loss; raises CheckFailure with one report. See ``loss_checks`` for the arguments."""
    run_all(loss_checks(loss, output_shape, predictions=predictions, targets=targets, rng=rng))


def _probabilities(rng: np.random.Generator, shape: Shape) -> Array:
    """Rows that sum to 1 where there is more than one output, and none of them near 0 or 1."""
    values = rng.uniform(0.2, 0.8, shape)
    return values / values.sum(axis=-1, keepdims=True) if shape[-1] > 1 else values


def _one_hot(rng: np.random.Generator, shape: Shape) -> Array:
    """Rows that hold 0 and a single 1, or answers of 0 and 1 where there is one output."""
    if shape[-1] == 1:
        return rng.integers(0, 2, shape).astype(np.float64)
    return np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])]


def _normal(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.standard_normal(shape)


def _rates(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.uniform(0.5, 4, shape)


def _counts(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.poisson(2, shape).astype(np.float64)


_PREDICTIONS: dict[str, Draw] = {"probabilities": _probabilities, "rates": _rates}
_TARGETS: dict[str, Draw] = {"values": _normal, "rates": _counts, "log-rates": _counts}
