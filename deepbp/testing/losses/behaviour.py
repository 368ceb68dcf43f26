"""A loss keeps nothing, writes nothing, and survives numbers at the edge."""

import warnings

import numpy as np

from deepbp.testing.arrays import copies, expect_same, sealed, unchanged
from deepbp.testing.check import CheckFailure
from deepbp.testing.losses.case import ROWS, LossCase


def forward_twice_then_backward_of_the_first(case: LossCase) -> None:
    """Another forward may run between forward and backward."""
    (first, target), (second, other) = case.pair(), case.pair(1)
    alone = case.gradient(first, target).copy()
    _, saved = case.subject.forward(first, target)
    case.subject.forward(second, other)
    message = "∂L/∂prediction changes when another forward ran before backward: return what it needs, in saved"
    expect_same(case.subject.backward(saved), alone, message)


def nothing_is_written(case: LossCase) -> None:
    """Neither into prediction, target and weights, nor into what forward saved."""
    prediction, target = case.pair()
    weight = case.weights()
    for weights in (None, weight):
        given = [prediction, target] if weights is None else [prediction, target, weights]
        before = copies(given)
        _, saved = case.subject.forward(prediction, target, weights)
        kept = copies(saved)
        case.subject.backward(saved)
        for name, array, then in zip(("the prediction", "the target", "sample_weight"), given, before, strict=False):
            if not unchanged(array, [then]):
                raise CheckFailure(f"forward or backward wrote into {name}: make a new array")
        if not unchanged(saved, kept):
            raise CheckFailure("backward wrote into saved: make a new array")
        with sealed(given):
            _, saved = case.subject.forward(prediction, target, weights)
            with sealed(saved):
                case.subject.backward(saved)


def dtype_is_kept(case: LossCase) -> None:
    """The error signal has the prediction's dtype, and float32 agrees with float64."""
    (single, target), (double, double_target) = case.pair(dtype="float32"), case.pair()
    for weight in (None, case.weights().astype("float32")):
        delta = case.gradient(single, target, weight)
        if delta.dtype != np.float32:
            raise CheckFailure(
                f"backward returns {delta.dtype} for a float32 prediction: a float64 array or NumPy scalar got in, "
                "use Python numbers or arrays of the prediction's dtype"
            )
        expected = case.gradient(double, double_target, None if weight is None else weight.astype("float64"))
        expect_same(delta, expected, "∂L/∂prediction in float32 is another number than in float64", 1e-3)


def extreme_predictions(case: LossCase) -> None:
    """±1e4, or probabilities of exactly 0 and 1, and the smallest numbers, give no warning and nothing infinite."""
    largest = {"probabilities": (0.0, 1.0), "rates": (0.0, 1e4)}.get(case.subject.expects, (-1e4, 1e4))
    for dtype in ("float32", "float64"):
        _, target = case.pair(dtype=dtype)
        shape = (ROWS, *case.output_shape)
        for low, high in (largest, (0.0, 0.0), (0.0, float(np.finfo(dtype).smallest_subnormal))):
            prediction = case.rng(40).choice([low, high], shape).astype(dtype)
            what = f"predictions of {low:g} and {high:g}, {dtype}"
            try:
                with warnings.catch_warnings(), np.errstate(over="raise", divide="raise", invalid="raise"):
                    warnings.simplefilter("error")
                    value, saved = case.subject.forward(prediction, target)
                    delta = case.subject.backward(saved)
            except (FloatingPointError, Warning) as error:
                raise CheckFailure(f"{what}: {error}: rewrite the formula so that nothing overflows") from error
            if not np.isfinite(value) or not np.isfinite(delta).all():
                raise CheckFailure(f"{what}: the loss or its gradient is not finite")
