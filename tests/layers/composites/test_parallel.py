"""Branches side by side: what each merge gives, and what it hands back, written out."""

import math
import re
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.errors import ArgumentTypeError, ConfigurationError, ContractError, ShapeError
from deepbp.layers import Builder, Dense, Flatten, Layer, Maxout, Parallel, ReLU, Reshape, Sigmoid, Tanh
from deepbp.typing import Array


def built(layer: Layer[Any], *shape: int) -> Layer[Any]:
    Builder(0, "float64").build(layer, shape)
    return layer


X = np.array([[0.5, -1.0], [2.0, 0.25], [-0.75, 1.5]])
DELTA = np.array([[1.0, -2.0], [0.5, 3.0], [-1.5, 0.25]])


def slope(x: float) -> float:
    """tanh′."""
    return 1 - math.tanh(x) ** 2


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x))


EXPECTED = {
    "add": (
        lambda x: math.tanh(x) + logistic(x) + x,
        lambda x: slope(x) + logistic(x) * (1 - logistic(x)) + 1,
    ),
    "mean": (
        lambda x: (math.tanh(x) + logistic(x) + x) / 3,
        lambda x: (slope(x) + logistic(x) * (1 - logistic(x)) + 1) / 3,
    ),
    "multiply": (
        lambda x: math.tanh(x) * logistic(x) * x,
        lambda x: (
            slope(x) * logistic(x) * x + math.tanh(x) * logistic(x) * (1 - logistic(x)) * x + math.tanh(x) * logistic(x)
        ),
    ),
}


@pytest.mark.parametrize("merge", EXPECTED)
def test_numbers_of_three_branches_written_out(merge: Any) -> None:
    layer = built(Parallel([Tanh(), Sigmoid(), None], merge=merge), 2)
    y, saved = layer.forward(X)
    function, derivative = EXPECTED[merge]
    np.testing.assert_allclose(y, np.vectorize(function)(X), rtol=1e-14)
    np.testing.assert_allclose(layer.backward(saved, DELTA), DELTA * np.vectorize(derivative)(X), rtol=1e-14)
    np.testing.assert_array_equal(layer.predict(X), y)


def test_concat_lays_side_by_side_and_takes_apart() -> None:
    layer = built(Parallel([Dense(1, use_bias=False), None, Dense(3, use_bias=False)]), 2)
    one, other = (p.value for p in layer.parameters())
    y, saved = layer.forward(X)
    np.testing.assert_allclose(y, [[*(x @ one), *x, *(x @ other)] for x in X], rtol=1e-14)
    delta = np.arange(18.0).reshape(3, 6)
    expected = delta[:, :1] @ one.T + delta[:, 1:3] + delta[:, 3:] @ other.T
    np.testing.assert_allclose(layer.backward(saved, delta), expected, rtol=1e-14)
    np.testing.assert_allclose(layer.parameters()[1].grad, X.T @ delta[:, 3:], rtol=1e-14)


@pytest.mark.parametrize("zeros", [(0,), (0, 1), (0, 1, 2)])
def test_product_is_differentiated_right_where_factors_are_zero(zeros: tuple[int, ...]) -> None:
    """∂(abc)/∂a = bc: one zero leaves one derivative, two leave none. A division would give NaN."""
    factors = [Dense(1, use_bias=False) for _ in range(3)]
    layer = built(Parallel(factors, merge="multiply"), 1)
    values = [0.0 if i in zeros else (2.0, 3.0, 5.0)[i] for i in range(3)]
    for factor, value in zip(factors, values, strict=True):
        factor.weight.value = np.array([[value]])
    y, saved = layer.forward(np.array([[1.0]]))
    a, b, c = values
    assert y.item() == a * b * c
    moved = layer.backward(saved, np.array([[1.0]]))
    assert [factor.weight.grad.item() for factor in factors] == [b * c, a * c, a * b]
    assert moved.item() == 3 * a * b * c


def test_four_factors_each_lack_one() -> None:
    factors = [Dense(1, use_bias=False) for _ in range(4)]
    layer = built(Parallel(factors, merge="multiply"), 1)
    for factor, value in zip(factors, (2.0, 3.0, 5.0, 7.0), strict=True):
        factor.weight.value = np.array([[value]])
    layer.backward(layer.forward(np.array([[1.0]]))[1], np.array([[1.0]]))
    assert [factor.weight.grad.item() for factor in factors] == [105.0, 70.0, 42.0, 30.0]


def test_heads_are_columns_of_one_output(rng: np.random.Generator) -> None:
    """A layer under two heads gets the sum of both heads' error signals."""
    trunk, first, second = Dense(4), Dense(2), Dense(1)
    net = Sequential([trunk, Parallel([first, second])], input_shape=3, rng=0, dtype="float64")
    x, delta = rng.normal(size=(6, 3)), rng.normal(size=(6, 3))
    _, saved = net.forward(x)
    net.backward(saved, delta)
    back = delta[:, :2] @ first.weight.value.T + delta[:, 2:] @ second.weight.value.T
    np.testing.assert_allclose(trunk.weight.grad, x.T @ back, rtol=1e-13)
    hidden = x @ trunk.weight.value
    np.testing.assert_allclose(second.weight.grad, hidden.T @ delta[:, 2:], rtol=1e-13)


@pytest.mark.parametrize("merge", ["add", "mean", "multiply", "concat"])
def test_nobody_writes_into_what_the_branches_gave(merge: Any) -> None:
    kept: list[Array] = []
    layer = built(Parallel([None, None, Tanh()], merge=merge), 2)
    x = X.copy()
    for _ in range(2):
        y, saved = layer.forward(x)
        kept.append(y)
        layer.backward(saved, np.ones_like(y))
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(kept[0], kept[1])


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (
            Parallel([Dense(2), Dense(3)], merge="add"),
            (4,),
            "merge='add' needs branches that give samples of one shape, got (2,) and (3,): end the others with a "
            "layer such as Dense(n), or use merge='concat'",
        ),
        (Parallel([Dense(2), None], merge="multiply"), (4,), "merge='multiply' needs branches"),
        (Parallel([None, Reshape((4, 1))]), (2, 2), "so all other sizes must be equal, got (2, 2) and (4, 1): end"),
        (Parallel([None, Flatten()]), (2, 2), "so all other sizes must be equal, got (2, 2) and (4,)"),
        (Parallel([ReLU(), Maxout(3)]), (2, 2), "branches.1, Maxout(3): expects flat samples such as (64,)"),
    ],
    ids=range(5),
)
def test_shapes_that_do_not_fit(layer: Parallel, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=re.escape(message)):
        Sequential([layer], input_shape=shape)


@pytest.mark.parametrize(
    ("branches", "merge", "error", "message"),
    [
        (Dense(4), "add", ArgumentTypeError, r"branches: expected a list of layers, got Dense\(4\): write \[Dense"),
        (None, "add", ArgumentTypeError, "branches: expected a list of layers, got None"),
        ("64", "add", ArgumentTypeError, "branches: expected a list of layers, got '64'"),
        ([], "add", ConfigurationError, "branches: expected at least one branch, got an empty list"),
        ([Dense(2), 2.5], "add", ContractError, r"branches\.1: expected a layer, got 2\.5"),
        ([[]], "add", ConfigurationError, r"branches\.0: layers: expected at least one layer"),
        ([None], "sum", ConfigurationError, "Parallel: merge: expected one of 'concat', 'add', .*, got 'sum'"),
        ([None], None, ArgumentTypeError, "Parallel: merge: expected one of .*, got None"),
        ([None], 0, ArgumentTypeError, "Parallel: merge: expected one of .*, got 0"),
        ([None], np.nan, ArgumentTypeError, "Parallel: merge: expected one of .*, got nan"),
        ([None], ["add"], ArgumentTypeError, r"Parallel: merge: expected one of .*, got \['add'\]"),
    ],
)
def test_arguments_that_make_no_sense(branches: Any, merge: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Parallel(branches, merge=merge)
