"""Embeddings: rows of a table by whole numbers, and a gradient for those rows alone."""

import re
from typing import Any

import numpy as np
import pytest

from deepbp import Parameter, Sequential
from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, DataTypeError, DeepBPError
from deepbp.initializers import Initializer
from deepbp.layers import Builder, Dense, Embedding, Flatten, Split
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import Adam
from deepbp.typing import Shape


def built(*shape: int, categories: int = 5, dtype: str = "float64") -> Embedding:
    layer = Embedding(categories, 2)
    Builder(0, dtype).build(layer, shape)
    layer.table.value = np.arange(2.0 * categories).reshape(categories, 2)
    return layer


@pytest.mark.parametrize("kind", ["int8", "uint16", "int64", "float32", "float64", "float16"])
def test_each_whole_number_becomes_its_row(kind: str) -> None:
    y, _ = built(2).forward(np.array([[0, 3], [4, 4], [1, 0]], kind))
    np.testing.assert_array_equal(y, [[[0, 1], [6, 7]], [[8, 9], [8, 9]], [[2, 3], [0, 1]]])


def test_single_numbers_and_booleans() -> None:
    np.testing.assert_array_equal(built().predict(np.array([2.0, 0.0])), [[4, 5], [0, 1]])
    np.testing.assert_array_equal(built().predict(np.array([True, False])), [[2, 3], [0, 1]])
    np.testing.assert_array_equal(built().predict(np.array([-0.0])), [[0, 1]])


def test_the_gradient_of_a_row_is_the_sum_over_its_places(rng: np.random.Generator) -> None:
    layer, x, delta = built(3), rng.integers(0, 4, (6, 3)), rng.normal(size=(6, 3, 2))
    moved = layer.backward(layer.forward(x)[1], delta)
    np.testing.assert_array_equal(moved, np.zeros((6, 3)))
    expected = np.zeros((5, 2))
    for place in np.ndindex(x.shape):
        expected[x[place]] += delta[place]
    np.testing.assert_allclose(layer.table.grad, expected, rtol=1e-14)
    np.testing.assert_array_equal(layer.table.grad[4], [0, 0])  # it never occurred


def test_rows_that_do_not_occur_stay_as_they_are() -> None:
    net = Sequential([Embedding(4, 1), Flatten()], input_shape=1, rng=0)
    before = net.parameters()[0].value.copy()
    x = np.array([[1], [3], [1]])
    net.fit(x, np.ones((3, 1)), loss=MeanSquaredError(), optimizer=Adam(), epochs=3)
    changed = (net.parameters()[0].value != before)[:, 0]
    np.testing.assert_array_equal(changed, [False, True, False, True])


@pytest.mark.parametrize(
    ("bad", "text"),
    [(2.5, "2.5"), (-1, "-1.0"), (5, "5.0"), (1e30, "1e+30"), (np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")],
)
def test_the_first_bad_place_is_named(bad: float, text: str) -> None:
    x = np.array([[0.0, 1.0], [2.0, bad], [bad, 0.0]])
    message = f"Embedding(5, 2): x: expected whole numbers from 0 to 4, got {text} at x[1, 1]"
    for call in (built(2).forward, built(2).predict):
        with pytest.raises(DataError) as caught:
            call(x)
        assert str(caught.value) == message


def test_a_network_says_where_it_stands() -> None:
    net = Sequential([Embedding(3, 2)], input_shape=4, rng=0)
    with pytest.raises(
        DataError, match=r"^layer 0, Embedding\(3, 2\): x: expected whole numbers from 0 to 2, got 3 at "
    ):
        net.predict(np.full((1, 4), 3))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.array([["a"]]), DataTypeError, "Embedding(5, 2): x: expected an array of float32 or float64, got <U1"),
        (
            np.array([[1j]]),
            DataTypeError,
            "Embedding(5, 2): x: expected an array of float32 or float64, got complex128",
        ),
        ([[1]], ArgumentTypeError, "Embedding(5, 2): x: expected an array with samples along axis 0, got [[1]]"),
        (np.int64(1), ArgumentTypeError, "Embedding(5, 2): x: expected an array with samples along axis 0, got "),
    ],
)
def test_other_things_are_refused(x: Any, error: type[DeepBPError], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        built(1).forward(x)


class Small(Builder):
    """Makes no table of many megabytes."""

    def parameter(self, shape: Shape, initializer: Initializer, *, decay: bool = True) -> Parameter:
        return Parameter(np.zeros((1, 1), self.dtype))


def test_no_more_categories_than_the_number_type_can_tell_apart() -> None:
    exact = 2**24
    assert np.float32(exact - 1) != np.float32(exact)
    assert np.float32(exact) == np.float32(exact + 1)
    Embedding(exact, 1).build((1,), Small(0, "float32"))
    Embedding(exact + 1, 1).build((1,), Small(0, "float64"))
    message = (
        r"Embedding\(16777217, 1\): expected at most 16777216 categories, which float32 can tell apart, got 16777217"
    )
    with pytest.raises(ConfigurationError, match=message):
        Embedding(exact + 1, 1).build((1,), Small(0, "float32"))


def test_columns_of_categories_and_of_numbers_in_one_network(rng: np.random.Generator) -> None:
    """What a category is worth, plus twice the number beside it."""
    worth = np.array([3.0, -1.0, 0.5, 2.0])
    kinds, sizes = rng.integers(0, 4, 300), rng.normal(size=300)
    x, y = np.column_stack([kinds, sizes]), (worth[kinds] + 2 * sizes)[:, None]
    net = Sequential([Split([[Embedding(4, 3), Flatten()], None], sizes=(1, 1)), Dense(1)], input_shape=2, rng=0)
    net.fit(x, y, loss=MeanSquaredError(), optimizer=Adam(0.05), epochs=40)
    assert net.evaluate(x, y, loss=MeanSquaredError())["loss"] < 1e-4
    with pytest.raises(DataError, match=r"x: expected whole numbers from 0 to 3, got 0\.5 at x\[0, 0\]"):
        net.predict([[0.5, 0.0]])
