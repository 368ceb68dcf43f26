"""R2, the root of the mean square and the area under the ROC, against scikit-learn; and where they are not defined."""

from math import isnan
from typing import Any

import numpy as np
import pytest

from deepbp.training import R2, ROCAUC, RootMeanSquaredError


@pytest.mark.parametrize("shape", [(30, 1), (30, 3), (30,)])
def test_r2_and_the_root_of_the_mean_square(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    learn = pytest.importorskip("sklearn.metrics")
    target = rng.normal(size=shape) + np.arange(shape[-1])
    prediction = target + rng.normal(0, 0.5, shape)
    assert R2()(prediction, target) == pytest.approx(learn.r2_score(target, prediction), rel=1e-12)
    expected = learn.root_mean_squared_error(target.ravel(), prediction.ravel())
    assert RootMeanSquaredError()(prediction, target) == pytest.approx(expected, rel=1e-14)


def test_r2_of_outputs_with_several_axes_is_their_mean(rng: np.random.Generator) -> None:
    learn = pytest.importorskip("sklearn.metrics")
    target, prediction = rng.normal(size=(2, 20, 2, 3))
    expected = learn.r2_score(target.reshape(20, 6), prediction.reshape(20, 6))
    assert R2()(prediction, target) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_r2_far_from_0_keeps_its_digits(dtype: Any, rng: np.random.Generator) -> None:
    target = (1e6 + rng.normal(size=(500, 1))).astype(dtype)
    prediction = target + dtype(0.5) * rng.choice([-1, 1], (500, 1)).astype(dtype)
    exact = 1 - 0.25 * 500 / ((target - target.mean(dtype=np.float64)).astype(np.float64) ** 2).sum()
    assert R2()(prediction, target) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(
    ("target", "prediction", "expected"),
    [
        ([[0.1]] * 7, [[0.1]] * 7, 1),  # a spread that is a rounding error
        ([[0.1]] * 7, [[0.1]] * 6 + [[0.2]], 0),
        ([[3.0]], [[3.0]], 1),
        ([[3.0]], [[4.0]], 0),
        ([[1.0, 5], [3, 5]], [[1.0, 5], [3, 6]], 0.5),
    ],
)
def test_r2_of_targets_that_are_all_the_same(target: Any, prediction: Any, expected: float) -> None:
    assert R2()(np.array(prediction), np.array(target)) == expected


@pytest.mark.parametrize("shape", [(60, 1), (60,), (60, 3)])
@pytest.mark.parametrize("places", [0, 1, 9])  # rounded, so that many scores are equal
def test_area(shape: tuple[int, ...], places: int, rng: np.random.Generator) -> None:
    learn = pytest.importorskip("sklearn.metrics")
    target = rng.integers(0, 2, shape).astype(float)
    prediction = np.round(rng.normal(size=shape) + target, places)
    expected = learn.roc_auc_score(target.ravel(), prediction.ravel())
    assert ROCAUC()(prediction, target) == pytest.approx(expected, rel=1e-13)
    assert ROCAUC()(1 / (1 + np.exp(-prediction)), target) == pytest.approx(expected, rel=1e-13)
    pairs = np.sign(np.subtract.outer(prediction[target == 1], prediction[target == 0]))
    assert expected == pytest.approx((pairs.mean() + 1) / 2)  # how probably a yes has the higher score


@pytest.mark.parametrize("average", ["macro", "weighted"])
@pytest.mark.parametrize("places", [1, 9])
def test_area_of_classes(average: Any, places: int, rng: np.random.Generator) -> None:
    learn = pytest.importorskip("sklearn.metrics")
    labels = rng.integers(0, 4, 60)
    scores = np.round(rng.dirichlet(np.ones(4), 60) + 0.3 * np.eye(4)[labels], places)
    given = scores / scores.sum(axis=1, keepdims=True)
    expected = learn.roc_auc_score(labels, given, multi_class="ovr", average=average)
    assert ROCAUC(average)(given, labels) == pytest.approx(expected, rel=1e-13)
    assert ROCAUC(average)(given, np.eye(4)[labels]) == ROCAUC(average)(given, labels)
    wider = np.hstack([given, np.zeros((60, 2))])  # classes that do not occur
    assert ROCAUC(average)(wider, labels) == ROCAUC(average)(given, labels)


@pytest.mark.parametrize("metric", [ROCAUC(), ROCAUC("macro")], ids=repr)
def test_of_one_kind_alone_there_is_no_order(metric: ROCAUC) -> None:
    target = np.ones((4, 1)) if metric.average == "binary" else np.ones(4, int)
    assert isnan(metric(np.full((4, 1 if metric.average == "binary" else 3), 0.5), target))


def test_an_order_is_right_wrong_or_none() -> None:
    target = np.array([[0.0], [0], [1], [1]])
    for scores, expected in (([1, 2, 3, 4], 1), ([4, 3, 2, 1], 0), ([1, 1, 1, 1], 0.5), ([1, 3, 2, 3], 0.625)):
        assert ROCAUC()(np.array(scores).reshape(4, 1), target) == expected


def test_names() -> None:
    assert [m.name for m in (R2(), RootMeanSquaredError(), ROCAUC(), ROCAUC("macro"))] == [
        "r2",
        "root_mean_squared_error",
        "roc_auc",
        "macro_roc_auc",
    ]
    assert [m.higher_is_better for m in (R2(), RootMeanSquaredError(), ROCAUC())] == [True, False, True]
