"""The error signal that a loss starts, against its definition."""

from math import prod

from deepbp.testing.check import CheckFailure
from deepbp.testing.diagnosis import Measurement
from deepbp.testing.gradient_check import expect_gradient
from deepbp.testing.losses.case import ROWS, LossCase
from deepbp.testing.numeric_gradient import numeric_gradient
from deepbp.typing import Array


def gradient(case: LossCase) -> None:
    """What backward returns is ∂L/∂prediction."""
    _expect_gradient(case, weighted=False)


def weighted_gradient(case: LossCase) -> None:
    """The same with a weight for each sample."""
    try:
        _expect_gradient(case, weighted=False)
    except CheckFailure:
        return  # wrong without weights, too: the other check says so
    _expect_gradient(case, weighted=True)


def _expect_gradient(case: LossCase, *, weighted: bool) -> None:
    prediction, target = case.pair()
    weight = case.weights() if weighted else None

    def loss(moved: Array) -> float:
        return float(case.subject.forward(moved, target, weight)[0])

    expect_gradient(
        f"∂L/∂prediction{' with sample_weight' if weighted else ''}",
        case.gradient(prediction.copy(), target.copy(), weight),
        loss,
        prediction,
        case.rng(11),
        lambda: [_measure(case, stream, weighted=weighted) for stream in (0, 1)],
        {
            "the batch size": ROWS,
            "the number of a sample's outputs": prod(case.output_shape),
            "the number of all outputs": prediction.size,
        },
    )


def _measure(case: LossCase, stream: int, *, weighted: bool) -> Measurement:
    prediction, target = case.pair(stream)
    weight = case.weights(stream) if weighted else None
    known = {"the prediction": prediction}
    if target.dtype.kind == "f":
        known["the target"] = target
    if weight is not None:
        known["sample_weight"] = weight.reshape(-1, *(1,) * (prediction.ndim - 1))
    numeric = numeric_gradient(lambda moved: float(case.subject.forward(moved, target, weight)[0]), prediction)
    return Measurement(case.gradient(prediction.copy(), target.copy(), weight), numeric, known)
