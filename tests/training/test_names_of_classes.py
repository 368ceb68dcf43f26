"""Targets that are text, and networks that are not built yet, wherever data go: not in ``fit`` alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential, Trainer
from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, DataTypeError
from deepbp.layers import Dense, Standardize, Tanh
from deepbp.losses import SigmoidBinaryCrossEntropy, SoftmaxCrossEntropy
from deepbp.metrics import ROCAUC, Accuracy, MeanAbsoluteError, confusion_matrix
from deepbp.optimizers import SGD, Adam
from deepbp.training import Objective, cross_validate, fit_lbfgs, k_fold, learning_rate_range_test

RNG = np.random.default_rng(0)
NUMBERS = np.repeat([0, 1, 2], [10, 20, 30])
X = RNG.normal(size=(60, 2)) + 3 * NUMBERS[:, None]
NAMES = np.array(["ash", "birch", "cedar"])
Y = NAMES[NUMBERS]
LOSS = SoftmaxCrossEntropy()


def net(input_shape: int | None = 2, *layers: Any) -> Sequential:
    return Sequential([*layers, Dense(3)], input_shape=input_shape, rng=0, dtype="float64")


def frames() -> list[Any]:
    """The names as each library has them."""
    found: list[Any] = [Y, Y.astype(object), Y.tolist(), Y.reshape(-1, 1)]
    pandas = pytest.importorskip("pandas")
    series = pandas.Series(Y)
    found += [series, series.astype("category"), series.astype("string"), series.astype(object)]
    polars = pytest.importorskip("polars")
    return [*found, polars.Series(Y.tolist()), polars.Series(Y.tolist(), dtype=polars.Categorical)]


USES: dict[str, Callable[[Sequential, Any], Any]] = {
    "evaluate": lambda net, y: net.evaluate(X, y, loss=LOSS, metrics=[Accuracy()]),
    "step": lambda net, y: Trainer(net, LOSS, SGD(0.1)).step(X, y),
    "trace": lambda net, y: str(net.trace(X, y, LOSS)),
    "objective": lambda net, y: net.objective(X, y, LOSS)(np.zeros(9)),
    "range test": lambda net, y: learning_rate_range_test(net, X, y, LOSS, SGD(0.1), steps=10).losses.tolist(),
    "lbfgs": lambda net, y: fit_lbfgs(net, X, y, LOSS, max_iterations=3)["loss"],
    "accuracy": lambda net, y: Accuracy()(net.predict(X), y),
    "area": lambda net, y: ROCAUC("macro")(net.predict(X), y),
    "confusion matrix": lambda net, y: confusion_matrix(net.predict(X), y).tolist(),
    "cross-validation": lambda _, y: cross_validate(
        net, X, y, loss=LOSS, optimizer=SGD(0.1), folds=2, stratify=True, rng=0
    )["loss"],
    "folds": lambda _, y: [test.tolist() for _, test in k_fold(60, 5, stratify=y, rng=0)],
}


@pytest.mark.parametrize("use", USES)
def test_names_do_what_their_labels_do(use: str) -> None:
    expected = USES[use](net(), NUMBERS)
    for y in frames():
        assert USES[use](net(), y) == expected, type(y)


@pytest.mark.parametrize("use", ["step", "lbfgs"])
def test_a_network_remembers_what_it_was_trained_on(use: str) -> None:
    pandas = pytest.importorskip("pandas")
    frame, trained = pandas.DataFrame(X, columns=["height", "width"]), net()
    if use == "step":
        Trainer(trained, LOSS, SGD(0.1)).step(frame, Y)
    else:
        fit_lbfgs(trained, frame, Y, LOSS, max_iterations=3)
    assert (trained.classes, trained.columns) == (tuple(NAMES), ("height", "width"))
    assert set(trained.predict_classes(frame)) <= set(NAMES)


def test_evaluation_teaches_no_names() -> None:
    evaluated = net()
    evaluated.evaluate(X, Y, loss=LOSS)
    learning_rate_range_test(evaluated, X, Y, LOSS, SGD(0.1), steps=10)
    assert evaluated.classes is None


def test_a_part_of_the_classes_has_no_order() -> None:
    with pytest.raises(
        DataError, match=r"expected 3 classes, .* got 2, .*: set net.classes to all names, in the order"
    ):
        net().trace(X[:30], Y[:30], LOSS)
    named = net()
    named.classes = ("cedar", "birch", "ash")
    assert str(named.trace(X[:30], Y[:30], LOSS)) == str(net().trace(X[:30], 2 - NUMBERS[:30], LOSS))


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_missing_name_has_its_row_in_the_error(missing: Any) -> None:
    y: Any = [*Y[:5], missing, *Y[6:]]
    with pytest.raises(DataError, match=rf"^y: expected the name of a class in each row, got {missing} in row 5: "):
        net().fit(X, y, loss=LOSS, optimizer=SGD(0.1))
    pandas = pytest.importorskip("pandas")
    y = pandas.Series(y)
    with pytest.raises(DataError, match=r"in row 5: keep .*, with known = y\.notna\(\)$") as caught:
        net().fit(X, y, loss=LOSS, optimizer=SGD(0.1))
    known = eval(str(caught.value).rpartition(" = ")[2], {"y": y})
    net().fit(X[known], np.asarray(y)[known], loss=LOSS, optimizer=SGD(0.1))


def test_weights_of_classes_by_name() -> None:
    def fitted(y: Any, weights: Any) -> list[float]:
        options: Any = {"loss": LOSS, "optimizer": SGD(0.01), "class_weight": weights, "rng": 0, "epochs": 2}
        return net().fit(X, y, **options)["loss"]

    by_name = fitted(Y, {"cedar": 0.5, "ash": 4.0})
    assert by_name == fitted(NUMBERS, {2: 0.5, 0: 4.0}) != fitted(NUMBERS, None)
    named = net()
    named.classes = tuple(NAMES)
    options: Any = {"loss": LOSS, "optimizer": SGD(0.01), "class_weight": {"cedar": 0.5, "ash": 4.0}, "rng": 0}
    assert named.fit(X, NUMBERS, epochs=2, **options)["loss"] == by_name  # the network knows the names
    with pytest.raises(ConfigurationError, match=r"class_weight: expected names of classes, .*, got 'Cedar'$"):
        fitted(Y, {"Cedar": 2.0})
    with pytest.raises(ArgumentTypeError, match=r"class_weight: expected whole-number labels as keys, got 'cedar'$"):
        fitted(NUMBERS, {"cedar": 2.0})


def test_metrics_that_are_called_refuse_names_for_predictions() -> None:
    with pytest.raises(DataTypeError, match=r"got names of classes: use \(prediction == target\)\.mean\(\)"):
        Accuracy()(Y, Y)


def test_metrics_that_are_called_take_series() -> None:
    pandas = pytest.importorskip("pandas")
    target = pandas.Series([1.0, 2.0])
    assert MeanAbsoluteError()(np.array([1.0, 3.0]), target) == 0.5


STANDARDIZED: dict[str, Callable[[Sequential, Any], Any]] = {
    "range test": lambda net, x: learning_rate_range_test(net, x, Y, LOSS, SGD(0.1), steps=10).losses,
    "lbfgs": lambda net, x: fit_lbfgs(net, x, Y, LOSS, max_iterations=5)["loss"],
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("use", STANDARDIZED)
def test_standardization_is_learned_where_a_network_is_trained(use: str) -> None:
    """On inputs of another scale a network with ``Standardize`` does the same, without a warning."""
    run = STANDARDIZED[use]
    small, large = net(2, Standardize()), net(None, Standardize())  # the second one is not built yet
    np.testing.assert_allclose(run(small, X), run(large, X * 1e4 + 1e5), rtol=1e-6)
    assert small.layers[0].is_adapted == (use == "lbfgs")  # a range test changes nothing
    assert (large.built is not None) == (use == "lbfgs")
    if use == "lbfgs":
        np.testing.assert_allclose(small.predict_proba(X), large.predict_proba(X * 1e4 + 1e5), rtol=1e-6)


def test_a_range_test_warns_about_the_scale_as_fit_does() -> None:
    with pytest.warns(UserWarning, match=r"x: feature \d has numbers of about ±.*, and a network learns well from ±1"):
        learning_rate_range_test(net(None, Dense(4), Tanh()), X * 1e3, Y, LOSS, Adam(), steps=10)


def test_stratified_folds_by_the_targets() -> None:
    options: Any = {"loss": LOSS, "optimizer": SGD(0.1), "folds": 3, "rng": 0}
    by_names = cross_validate(net, X, Y, stratify=Y, **options)
    rows = np.eye(3)[NUMBERS]
    for y in (Y, NUMBERS, rows):
        assert cross_validate(net, X, y, stratify=True, **options) == by_names
    without = cross_validate(net, X, Y, **options)
    assert cross_validate(net, X, Y, stratify=False, **options) == without != by_names
    one: Any = {"loss": SigmoidBinaryCrossEntropy(), "optimizer": SGD(0.1), "folds": 3, "rng": 0}

    def single() -> Sequential:
        return Sequential([Dense(1)], rng=0)

    answers = (NUMBERS == 2).astype(int)
    assert cross_validate(single, X, answers[:, None], stratify=True, **one) == cross_validate(
        single, X, answers[:, None], stratify=answers, **one
    )


def test_stratify_needs_classes() -> None:
    with pytest.raises(ArgumentTypeError, match=r"^k_fold: stratify: .* got True: write stratify=y$"):
        list(k_fold(60, stratify=True))
    options: Any = {"loss": LOSS, "optimizer": SGD(0.1), "stratify": True}
    with pytest.raises(TypeError, match=r"stratify: expected the class of each sample, .* got float64: leave it out"):
        cross_validate(net, X, X[:, 0], **options)


def test_cross_validation_needs_a_function() -> None:
    with pytest.raises(ArgumentTypeError, match=r"make_network: .* got Sequential\(.*\): write lambda: Sequential\("):
        cross_validate(net(), X, Y, loss=LOSS, optimizer=SGD(0.1))  # type: ignore[arg-type]


def test_objective_of_a_network_that_is_not_built() -> None:
    objective = Objective(net(None), LOSS, X, Y)
    assert objective.start.shape == (9,)
