"""The number that a loss gives: its shape, its weights, its reduction."""

from math import isfinite
from numbers import Real
from typing import Any

import numpy as np

from deepbp.testing.check import CheckFailure
from deepbp.testing.losses.case import ROWS, LossCase


def forward_and_backward_run(case: LossCase) -> None:
    """Forward returns (number, saved), and backward an array of the prediction's shape."""
    prediction, target = case.pair()
    pair: Any = case.subject.forward(prediction, target)
    if type(pair) is not tuple or len(pair) != 2:
        raise CheckFailure(f"forward: expected the pair (loss, saved), returned {pair!r}")
    if not isinstance(pair[0], Real):
        raise CheckFailure(f"forward: expected the loss as one number, returned {pair[0]!r}: end with float(...)")
    if not isfinite(float(pair[0])):
        raise CheckFailure(
            f"forward: expected a finite loss for ordinary data, got {pair[0]}: predictions=... and targets=... say "
            "what the loss takes"
        )
    delta: Any = case.subject.backward(pair[1])
    if not isinstance(delta, np.ndarray) or delta.shape != prediction.shape:
        got = f"shape {delta.shape}" if isinstance(delta, np.ndarray) else repr(delta)
        raise CheckFailure(f"backward: expected an array of the prediction's shape {prediction.shape}, got {got}")


def sample_weights_multiply_shares(case: LossCase) -> None:
    """Weights of one change nothing, weights of two double, and each sample's share adds to the whole."""
    prediction, target = case.pair()
    plain = case.subject.forward(prediction, target)[0]
    for factor in (1.0, 2.0):
        value = case.subject.forward(prediction, target, np.full(ROWS, factor))[0]
        if abs(value - factor * plain) > 1e-10 * max(1.0, abs(plain)):
            raise CheckFailure(
                f"sample_weight of {factor:g} for each sample: expected {factor:g} times the loss, "
                f"{factor * plain:.9g}, got {value:.9g}: weights multiply each sample's share"
            )
    weight = case.weights()
    alone = np.array([case.subject.forward(prediction[i : i + 1], target[i : i + 1])[0] for i in range(ROWS)])
    shares = alone * (plain / alone.sum())  # of a mean or of a sum: which one, reduction_as_stated says
    value, expected = case.subject.forward(prediction, target, weight)[0], float(weight @ shares)
    if abs(value - expected) > 1e-10 * max(1.0, abs(expected)):
        raise CheckFailure(
            f"sample_weight: expected the weighted sum of the samples' shares, {expected:.9g}, got {value:.9g}: "
            "each sample's own loss is multiplied by its own weight"
        )


def reduction_as_stated(case: LossCase) -> None:
    """``reduction`` says whether a batch's loss is the mean or the sum of its samples' losses."""
    prediction, target = case.pair()
    value = case.subject.forward(prediction, target)[0]
    alone = [case.subject.forward(prediction[i : i + 1], target[i : i + 1])[0] for i in range(ROWS)]
    mean, total = float(np.mean(alone)), float(np.sum(alone))
    stated = case.subject.reduction
    if stated not in ("mean", "sum"):
        raise CheckFailure(f"reduction: expected 'mean' or 'sum', got {stated!r}")
    expected = mean if stated == "mean" else total
    if abs(value - expected) > 1e-10 * max(1.0, abs(total)):
        other, found = ("sum", total) if stated == "mean" else ("mean", mean)
        is_other = abs(value - found) <= 1e-10 * max(1.0, abs(found))
        raise CheckFailure(
            f"reduction = {stated!r}, but the loss of a batch, {value:.9g}, is not the {stated} of its samples' "
            f"losses, {expected:.9g}{f': it is their {other}' if is_other else ''}"
        )


def shapes_must_match(case: LossCase) -> None:
    """A prediction (N, 1) and a target (N,) of numbers are refused: they would broadcast to (N, N)."""
    prediction, target = np.full((ROWS, 1), 0.5), np.full(ROWS, 0.5)
    for one, other in ((prediction, target), (target, prediction)):
        try:
            case.subject.forward(one, other)
        except (ValueError, TypeError, IndexError):
            continue
        raise CheckFailure(
            f"forward: a prediction of shape {one.shape} and a target of shape {other.shape} are taken, and broadcast: "
            "call deepbp.losses.loss.check_same_shape first"
        )
