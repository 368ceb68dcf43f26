"""Each loss is its formula, written out number by number, and its backward pass is the derivative."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from loss_cases import CASES, CLASSIFIERS, Terms, by_hand, chances, one_hot, rows, surprise, surprise_scores

from deepbp.losses import CrossEntropy, Loss, SoftmaxCrossEntropy
from deepbp.testing import compare_gradients, numeric_gradient
from deepbp.typing import Array

pytestmark = pytest.mark.usefixtures("kernel_form")


def value_of(loss: Loss[Any], target: Array, weight: Array | None, prediction: Array) -> float:
    return loss.forward(prediction, target, weight)[0]


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("shape", [(5, 3), (1, 2), (4, 2, 3)], ids=str)
@pytest.mark.parametrize(
    ("loss", "terms", "draw", "draw_target"), CASES, ids=[f"{case[0]}-{case[3].__name__}" for case in CASES]
)
def test_value_and_derivative(
    loss: Loss[Any],
    terms: Terms,
    draw: Any,
    draw_target: Any,
    shape: tuple[int, ...],
    weighted: bool,
    rng: np.random.Generator,
) -> None:
    p, t = draw(rng, shape), draw_target(rng, shape)
    weight = rng.uniform(0, 2, len(p)) if weighted else None
    targets = [t]
    if isinstance(loss, CLASSIFIERS) and draw_target is one_hot:
        targets += [t.argmax(axis=-1), t.argmax(axis=-1).astype(np.uint8)]
    for target in targets:
        value, saved = loss.forward(p, target, weight)
        assert type(value) is float
        assert value == pytest.approx(by_hand(loss, terms, p, t, weight), rel=1e-13, abs=0)
        analytic = loss.backward(saved)
        numeric, resolution = numeric_gradient(partial(value_of, loss, target, weight), p, return_resolution=True)
        assert compare_gradients({"p": analytic}, {"p": numeric}, resolution={"p": resolution}).relative < 1e-7


@pytest.mark.parametrize(
    ("loss", "draw", "draw_target"),
    [(case[0], case[2], case[3]) for case in CASES],
    ids=lambda case: getattr(case, "__name__", None) or str(case),
)
def test_weights_of_one_change_nothing_and_weights_of_zero_drop_a_sample(
    loss: Loss[Any], draw: Any, draw_target: Any, rng: np.random.Generator
) -> None:
    p, t = draw(rng, (6, 3)), draw_target(rng, (6, 3))
    plain, saved = loss.forward(p, t)
    ones, saved_ones = loss.forward(p, t, np.ones(6))
    assert ones == pytest.approx(plain, rel=1e-14, abs=0)
    np.testing.assert_allclose(loss.backward(saved_ones), loss.backward(saved), rtol=1e-13)
    half = np.repeat([1.0, 0.0], 3)
    kept, saved = loss.forward(p, t, half)
    alone = loss.forward(p[:3], t[:3])[0]
    assert kept == pytest.approx(
        alone if loss.reduction == "sum" else alone / 2, rel=1e-13, abs=0
    )  # a mean over all samples
    np.testing.assert_array_equal(loss.backward(saved)[3:], 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("loss", "draw", "draw_target"),
    [(case[0], case[2], case[3]) for case in CASES],
    ids=lambda case: getattr(case, "__name__", None) or str(case),
)
def test_dtype_stays_and_nothing_received_is_written(
    loss: Loss[Any], draw: Any, draw_target: Any, dtype: Any, rng: np.random.Generator
) -> None:
    p, t, weight = (a.astype(dtype) for a in (draw(rng, (4, 3)), draw_target(rng, (4, 3)), chances(rng, (4,))))
    for array in (p, t, weight):
        array.flags.writeable = False
    for arguments in ((p, t), (p, t, weight)):
        _, saved = loss.forward(*arguments)
        first = loss.backward(saved)
        assert first.dtype == dtype
        assert first.shape == p.shape
        np.testing.assert_array_equal(loss.backward(saved), first)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("loss", [CrossEntropy(), SoftmaxCrossEntropy()], ids=repr)
def test_rows_that_sum_to_1_only_nearly(loss: Loss[Any], weighted: bool, rng: np.random.Generator) -> None:
    """They are let in, so value and derivative must be those of the same formula: its log-sum counts Σ y times."""
    p, t = rows(rng, (5, 3)), 0.9995 * rows(rng, (5, 3))
    weight = rng.uniform(0, 2, 5) if weighted else None
    value, saved = loss.forward(p, t, weight)
    terms = surprise if isinstance(loss, CrossEntropy) else surprise_scores
    assert value == pytest.approx(by_hand(loss, terms, p, t, weight), rel=1e-13, abs=0)
    numeric, resolution = numeric_gradient(lambda moved: loss.forward(moved, t, weight)[0], p, return_resolution=True)
    assert compare_gradients({"p": loss.backward(saved)}, {"p": numeric}, resolution={"p": resolution}).relative < 1e-7
