"""Mistakes at the door of a network: what is said, by which error, and that nothing was changed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from networks import X, small, values

from deepbp import Sequential, errors
from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, DataTypeError, DeepBPError, ShapeError
from deepbp.layers import Dense, Flatten, Sigmoid
from deepbp.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    Loss,
    MeanSquaredError,
    SigmoidBinaryCrossEntropy,
    SoftmaxCrossEntropy,
    SumSquaredError,
)
from deepbp.optimizers import SGD, Adam
from deepbp.typing import Array

Y = X[:, :2]
LABELS = np.arange(9) % 2
WITH_NAN = np.where(np.arange(27).reshape(9, 3) == 14, np.nan, X)
WITH_INFINITY = np.where(np.arange(27).reshape(9, 3) == 26, -np.inf, X)


def refuses(error: type[DeepBPError], message: str, action: Callable[[Sequential], object]) -> None:
    net = small()
    before = values(net)
    with pytest.raises(error) as caught:
        action(net)
    assert message in str(caught.value)
    assert values(net) == before


BAD_INPUTS: list[tuple[Any, type[DeepBPError], str]] = [
    (X[:, :2], ShapeError, "expects samples of shape (3,), so an array of shape (N, 3), got (9, 2)"),
    (X[0], ShapeError, "got (3,): this looks like one sample, use x[None] for a batch of one"),
    (X[:, :, None], ShapeError, "got (9, 3, 1): use x.reshape((-1, 3))"),
    (3.0, ShapeError, "x: expected samples along axis 0, got the single number 3.0"),
    (X[:0], DataError, "x: expected at least one sample, got none (shape (0, 3))"),
    ([], DataError, "x: expected at least one sample, got none (shape (0,))"),
    (WITH_NAN, DataError, "x: expected finite numbers, got nan at x[4, 2]: drop or fill such samples first"),
    (WITH_INFINITY, DataError, "x: expected finite numbers, got -inf at x[8, 2]: drop or fill such samples first"),
    (WITH_NAN.T.copy().T, DataError, "x: expected finite numbers, got nan at x[4, 2]"),
    (X * 1e300, DataError, "x: expected numbers that float32 can hold, got "),
    (X * 1j, DataTypeError, "x: expected real numbers, got complex128 (ndarray): use numpy.stack([x.real, x.imag]"),
    (np.array([[object()] * 3]), DataTypeError, "x: expected real numbers, got <object object at"),
    (X.astype(str), DataTypeError, "x: expected real numbers, got <U32 (ndarray): use x.astype(float)"),
    ("three", DataTypeError, "x: expected real numbers, got <U5 (str): convert it to an array of numbers"),
    (None, DataTypeError, "x: expected real numbers, got None (NoneType): convert it to an array of numbers"),
    (np.zeros((9, 3), "M8[s]"), DataTypeError, "x: expected real numbers, got datetime64[s] (ndarray)"),
    ([[1, 2, 3], [4, 5]], DataTypeError, "x: expected an array of numbers, got rows of different lengths ("),
]
bad_inputs = pytest.mark.parametrize(
    ("x", "error", "message"), BAD_INPUTS, ids=[message for _, _, message in BAD_INPUTS]
)


@bad_inputs
def test_inputs_of_predict(x: Any, error: type[DeepBPError], message: str) -> None:
    refuses(error, message, lambda net: net.predict(x))
    refuses(error, message, lambda net: net.predict(x, batch_size=2))


@bad_inputs
def test_inputs_of_evaluate(x: Any, error: type[DeepBPError], message: str) -> None:
    refuses(error, message, lambda net: net.evaluate(x, Y, loss=MeanSquaredError()))


@bad_inputs
def test_inputs_of_fit(x: Any, error: type[DeepBPError], message: str) -> None:
    refuses(error, message, lambda net: net.fit(x, Y, loss=MeanSquaredError(), optimizer=SGD(0.1)))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [case for case in BAD_INPUTS if case[1] is not ShapeError and "float32 can hold" not in case[2]],
)
def test_inputs_of_a_first_fit(x: Any, error: type[DeepBPError], message: str) -> None:
    """The network learns its sizes from x, so any shape is right; and it learns none from what is refused."""
    net = Sequential([Dense(2)])
    with pytest.raises(error) as caught:
        net.fit(x, Y, loss=MeanSquaredError(), optimizer=SGD(0.1))
    assert message in str(caught.value)
    assert net.built is None


FEWER = "expected the same number of samples everywhere, got: x has 9, y has 8"
BAD_TARGETS: list[tuple[Loss[Any], Any, type[DeepBPError], str]] = [
    (MeanSquaredError(), Y[:8], DataError, FEWER),
    (SoftmaxCrossEntropy(), LABELS[:8], DataError, FEWER),
    (
        SumSquaredError(),
        Y[:, :1],
        ShapeError,
        "y: the network's output, and so the loss, expects samples of shape (2,)",
    ),
    (SumSquaredError(), Y[:, 0], ShapeError, "so an array of shape (N, 2), got (9,)"),
    (SumSquaredError(), WITH_NAN[:, 1:], DataError, "y: expected finite numbers, got nan at y[4, 1]"),
    (SumSquaredError(), Y * 1e300, DataError, "y: expected numbers that float32 can hold, got "),
    (SumSquaredError(), [object()] * 9, DataTypeError, "y: expected real numbers, got <object object at"),
    (SumSquaredError(), Y[:0], DataError, "y: expected at least one sample, got none (shape (0, 2))"),
    (
        SumSquaredError(),
        [[1, 2], [3]],
        DataTypeError,
        "y: expected an array of numbers, got rows of different lengths (",
    ),
    (SumSquaredError(), ["cat"] * 9, DataTypeError, "y: expected real numbers, got <U3 (list): number the texts first"),
    (
        SoftmaxCrossEntropy(),
        LABELS + 1,
        DataError,
        "y: expected labels from 0 to 1, for the network has 2 outputs, got 2",
    ),
    (
        SoftmaxCrossEntropy(),
        LABELS - 1,
        DataError,
        "y: expected labels from 0 to 1, for the network has 2 outputs, got -1",
    ),
    (CrossEntropy(), LABELS * 9, DataError, "y: expected labels from 0 to 1, for the network has 2 outputs, got 9"),
    (
        SoftmaxCrossEntropy(),
        LABELS * 1.0,
        DataTypeError,
        "expected whole-number labels, got float64: use y.astype(int)",
    ),
    (SoftmaxCrossEntropy(), LABELS[:, None], ShapeError, "got (9, 1): use y.reshape(-1) for labels"),
    (SoftmaxCrossEntropy(), Y, DataError, "y: expected numbers from 0 to 1, got "),
    (
        SoftmaxCrossEntropy(),
        np.full((9, 2), 0.4),
        DataError,
        "y: expected rows that sum to 1, as one-hot labels do, got ",
    ),
    (SigmoidBinaryCrossEntropy(), Y, DataError, "encode the answers as 0 and 1"),
    (
        SigmoidBinaryCrossEntropy(),
        LABELS,
        ShapeError,
        "expects samples of shape (2,), so an array of shape (N, 2), got (9,)",
    ),
]


@pytest.mark.parametrize(("loss", "y", "error", "message"), BAD_TARGETS, ids=[case[3] for case in BAD_TARGETS])
def test_targets(loss: Loss[Any], y: Any, error: type[DeepBPError], message: str) -> None:
    refuses(error, message, lambda net: net.fit(X, y, loss=loss, optimizer=SGD(0.1)))
    refuses(error, message, lambda net: net.evaluate(X, y, loss=loss))


@pytest.mark.parametrize("loss", [SumSquaredError(), MeanSquaredError(), BinaryCrossEntropy()])
def test_n_against_n_1_is_an_error_that_names_the_fix(loss: Loss[Any]) -> None:
    y: Array = LABELS.astype(float)
    column = Sequential([Dense(1), Sigmoid()], input_shape=3)
    column.fit(X, y, loss=loss, optimizer=SGD(0.1))  # where it can mean one thing only
    with pytest.raises(ShapeError, match=r"prediction's shape \(9, 1\), got \(9,\): use target\.reshape\(-1, 1\)$"):
        loss.forward(column.predict(X), y)
    with pytest.raises(ShapeError, match=r"prediction's shape \(9,\), got \(9, 1\): use target\[\.\.\., 0\]$"):
        loss.forward(y, y[:, None])


ARGUMENTS: list[tuple[dict[str, Any], type[DeepBPError], str]] = [
    ({"batch_size": 0}, ConfigurationError, "batch_size: expected at least 1, or None for a full batch, got 0"),
    ({"batch_size": -1}, ConfigurationError, "batch_size: expected at least 1, or None for a full batch, got -1"),
    ({"batch_size": 2.5}, ArgumentTypeError, "batch_size: expected a whole number, or None for a full batch, got 2.5"),
    ({"batch_size": "64"}, ArgumentTypeError, "expected a whole number, or None for a full batch, got '64'"),
    ({"batch_size": True}, ArgumentTypeError, "expected a whole number, or None for a full batch, got True"),
    ({"epochs": -1}, ConfigurationError, "epochs: expected a whole number of at least 0, got -1"),
    ({"epochs": 1.0}, ArgumentTypeError, "epochs: expected a whole number of at least 0, got 1.0"),
    ({"epochs": "10"}, ArgumentTypeError, "epochs: expected a whole number of at least 0, got '10'"),
    ({"epochs": None}, ArgumentTypeError, "epochs: expected a whole number of at least 0, got None"),
    ({"epochs": True}, ArgumentTypeError, "epochs: expected a whole number of at least 0, got True"),
    ({"loss": "mse"}, ArgumentTypeError, "loss: expected Loss, got 'mse'"),
    ({"loss": MeanSquaredError}, ArgumentTypeError, "an instance rather than the class: MeanSquaredError()"),
    ({"optimizer": "adam"}, ArgumentTypeError, "optimizer: expected Optimizer, got 'adam'"),
    ({"optimizer": Adam}, ArgumentTypeError, "an instance rather than the class: Adam()"),
    ({"metrics": ["accuracy"]}, ArgumentTypeError, "metrics: expected callables such as Accuracy(), got 'accuracy'"),
    ({"rng": "seed"}, ArgumentTypeError, "rng: expected a whole number, a numpy.random.Generator or None, got 'seed'"),
    ({"rng": -1}, ConfigurationError, "rng: expected a seed of at least 0, got -1"),
    ({"sample_weight": -np.ones(9)}, DataError, "sample_weight: expected weights of at least 0, got -1.0"),
    ({"sample_weight": [np.nan] * 9}, DataError, "sample_weight: expected finite numbers, got nan at sample_weight[0]"),
    ({"sample_weight": np.ones(8)}, DataError, "got: x has 9, y has 9, sample_weight has 8"),
    ({"sample_weight": np.ones((9, 1))}, ShapeError, "or one for each target, shape (9, 2), got shape (9, 1)"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), ARGUMENTS, ids=[repr(case[0]) for case in ARGUMENTS])
def test_arguments_of_fit(arguments: dict[str, Any], error: type[DeepBPError], message: str) -> None:
    given: dict[str, Any] = {"loss": MeanSquaredError(), "optimizer": SGD(0.1), **arguments}
    refuses(error, message, lambda net: net.fit(X, Y, **given))


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, "64", True])
def test_batch_size_everywhere(batch_size: Any) -> None:
    kind = ConfigurationError if batch_size in (0, -1) else ArgumentTypeError
    refuses(kind, "batch_size: expected ", lambda net: net.predict(X, batch_size=batch_size))
    refuses(
        kind, "batch_size: expected ", lambda net: net.evaluate(X, Y, loss=MeanSquaredError(), batch_size=batch_size)
    )


@pytest.mark.parametrize("loss", ["mse", MeanSquaredError, None, lambda p, t: 0.0])
def test_loss_of_evaluate(loss: Any) -> None:
    message = "loss: expected an instance such as MeanSquaredError(), got "
    refuses(ArgumentTypeError, message, lambda net: net.evaluate(X, Y, loss=loss))


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (([],), ConfigurationError, "layers: expected at least one layer, got an empty list"),
        ((Dense(2),), ArgumentTypeError, "layers: expected a list of layers, got Dense(2): write [Dense(4), ...]"),
        (
            ([Dense(2), Sigmoid],),
            errors.ContractError,
            "layer 1: expected a layer, got the class Sigmoid: write Sigmoid()",
        ),
        (([Flatten(), "relu"],), errors.ContractError, "layer 1: expected a layer, got 'relu'"),
        (([Dense(2)], 0), ConfigurationError, "input_shape: expected sizes of at least 1, got 0"),
        (([Dense(2)], (3.0,)), ArgumentTypeError, "input_shape: expected whole numbers, such as (3,), got (3.0,)"),
        (([Dense(2)], None, 1.5), ArgumentTypeError, "rng: expected a whole number, a numpy.random.Generator or None"),
    ],
)
def test_constructing_a_network(arguments: tuple[Any, ...], kind: type[DeepBPError], message: str) -> None:
    layers, *more = arguments
    with pytest.raises(kind) as caught:
        Sequential(layers, **dict(zip(("input_shape", "rng"), more, strict=False)))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.ShapeError, ValueError),
        (errors.DataError, ValueError),
        (errors.DataTypeError, TypeError),
        (errors.ConfigurationError, ValueError),
        (errors.ArgumentTypeError, TypeError),
        (errors.NotBuiltError, RuntimeError),
        (errors.ContractError, TypeError),
        (errors.NonFiniteError, ArithmeticError),
    ],
)
def test_each_error_is_also_the_builtin_that_fits(error: type[DeepBPError], builtin: type[Exception]) -> None:
    assert issubclass(error, DeepBPError)
    assert issubclass(error, builtin)
