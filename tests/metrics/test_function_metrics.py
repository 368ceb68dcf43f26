"""Functions as metrics: called by the names of their parameters, in whatever order they take them."""

from functools import partial
from inspect import signature
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential, Trainer
from deepbp.errors import ConfigurationError
from deepbp.layers import Dense
from deepbp.losses import MeanSquaredError
from deepbp.metrics import check_metrics, compute
from deepbp.optimizers import SGD

PREDICTION, TARGET = np.array([[1.0], [2.0]]), np.array([[10.0], [20.0]])

PREDICTION_FIRST: list[Any] = [
    lambda p, t: p - t,
    lambda prediction, target: prediction - target,
    lambda predictions, references: predictions - references,
    lambda y_pred, y_true: y_pred - y_true,
    lambda y_hat, y: y_hat - y,
    lambda yhat, y: yhat - y,
    lambda input, target: input - target,  # noqa: A006
    lambda output, expected: output - expected,
    lambda a, b: a - b,
    lambda *both: both[0] - both[1],
    lambda a, y: a - y,
    lambda scores, b: scores - b,
    lambda prediction, target, /: prediction - target,
    lambda prediction, target, margin=0.0: prediction - target - margin,
    lambda margin=0.0, *, prediction, target: prediction - target - margin,
    np.subtract,
]
TARGET_FIRST: list[Any] = [
    lambda y_true, y_pred: y_pred - y_true,
    lambda y_true, y_score: y_score - y_true,
    lambda y, y_hat: y_hat - y,
    lambda t, p: p - t,
    lambda labels_true, labels_pred: labels_pred - labels_true,
    lambda y_true, pred_decision: pred_decision - y_true,
    lambda yTrue, yPred: yPred - yTrue,  # noqa: N803
    lambda actual, predicted: predicted - actual,
    lambda y, x: x - y,
    lambda a, predicted: predicted - a,
    lambda y_true, y_pred, /: y_pred - y_true,
    lambda y_true, y_pred, *, multioutput="uniform_average": y_pred - y_true,
    lambda sample_weight, y_true, y_pred: y_pred - y_true,
    partial(lambda y_true, y_pred, shift: y_pred - y_true - shift, shift=0.0),
]


@pytest.mark.parametrize("function", [*PREDICTION_FIRST, *TARGET_FIRST])
def test_each_argument_gets_what_its_name_says(function: Any) -> None:
    def total(*given: Any, **named: Any) -> float:
        return float(np.sum(function(*given, **named)))

    if not isinstance(function, np.ufunc):
        total.__signature__ = signature(function)  # type: ignore[attr-defined]
    assert compute(total, PREDICTION, TARGET, np.ones(2)) == 3 - 30
    check_metrics([total])


class Told:
    """A metric that is an object, and keeps the weights that it gets."""

    name = "told"

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        self.weight = sample_weight
        return float(np.sum(y_pred - y_true))


def test_objects_and_weights() -> None:
    told = Told()
    assert compute(told, PREDICTION, TARGET) == -27
    assert told.weight is None
    compute(told, PREDICTION, TARGET, np.array([1.0, 2.0]))
    np.testing.assert_array_equal(told.weight, [1, 2])


def test_scikit_learn() -> None:
    """The report: R² was −2.47 where it is 0.375, and the percentage error 7.8 for 1.5."""
    learn = pytest.importorskip("sklearn.metrics")
    net = Sequential([Dense(1)], input_shape=1, rng=0, dtype="float64")
    net.layers[0].weight.value[...] = 1
    y = np.array([[1.0], [2.0], [3.0], [4.0]])
    x = y + np.array([[1.0], [-1.0], [1.0], [0.5]])
    functions = [learn.r2_score, learn.mean_absolute_percentage_error, learn.max_error, learn.explained_variance_score]
    row = net.evaluate(x, y, loss=MeanSquaredError(), metrics=functions)
    for function in functions:
        assert row[function.__name__] == pytest.approx(function(y, x), rel=1e-14)
    assert row["r2_score"] == pytest.approx(1 - 3.25 / 5, rel=1e-14)
    weight = np.array([1.0, 2, 0, 1])
    row = net.evaluate(x, y, loss=MeanSquaredError(), metrics=[learn.r2_score], sample_weight=weight)
    assert row["r2_score"] == pytest.approx(learn.r2_score(y, x, sample_weight=weight), rel=1e-12)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda y, t: 0.0, "got y and t, both a target by their names: name them prediction and target"),
        (lambda labels, y_true: 0.0, "got labels and y_true, both a target"),
        (lambda score, pred: 0.0, "got score and pred, both a prediction"),
        (partial(lambda y, t, k: 0.0, k=1), "got y and t, both a target"),
    ],
)
def test_an_order_that_names_leave_open_is_refused_at_the_start(function: Any, words: str) -> None:
    net = Sequential([Dense(1)], input_shape=1, rng=0)
    with pytest.raises(ConfigurationError, match=words):
        Trainer(net, MeanSquaredError(), SGD(0.1), metrics=[function])
    with pytest.raises(ConfigurationError, match=words):
        net.evaluate(PREDICTION, TARGET, loss=MeanSquaredError(), metrics=[function])
    Trainer(net, MeanSquaredError(), SGD(0.1), metrics=[lambda prediction, target: 0.0])  # the advice
