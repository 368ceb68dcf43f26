"""The door: what is let in, what it becomes, and the words with which the rest is turned away."""

from typing import Any, cast

import numpy as np
import pytest

from deepbp._validation import (
    ROWS_AT_ONCE,
    as_dtype,
    as_generator,
    as_numbers,
    as_samples,
    as_shape,
    check_finite,
    check_same_length,
    ones,
    require_built,
)
from deepbp.errors import (
    ArgumentTypeError,
    ConfigurationError,
    DataError,
    DataTypeError,
    DeepBPError,
    NotBuiltError,
    ShapeError,
)
from deepbp.errors.validators import check_word, whole

FLOAT32 = np.dtype(np.float32)


def test_whole_numbers() -> None:
    assert [whole("n", 1), whole("n", np.int8(7), 7), whole("n", 0, 0)] == [1, 7, 0]
    for value in (2.0, True, "2", None):
        with pytest.raises(ArgumentTypeError, match=r"^n: expected a whole number of at least 1, got"):
            whole("n", value)
    with pytest.raises(ConfigurationError, match=r"^steps: expected a whole number of at least 10, got 9$"):
        whole("steps", 9, 10)


def test_one_of_a_few_words() -> None:
    assert check_word("kind", "a", ("a", "b")) == "a"
    for value in ("c", None, ["a"]):
        with pytest.raises(ConfigurationError, match=r"^kind: expected 'a', 'b' or 'd', got "):
            check_word("kind", value, ("a", "b", "d"))
    with pytest.raises(ConfigurationError, match=r"^kind: expected 'a', got 3$"):
        check_word("kind", 3, ["a"])


def test_what_is_built_is_returned() -> None:
    assert require_built(object(), (3,)) == (3,)
    with pytest.raises(NotBuiltError, match=r"^object: its sizes are not known yet: give input_shape=\.\.\."):
        require_built(object(), None)


@pytest.mark.parametrize("value", [3, (3,), [3], np.int64(3)])
def test_shapes_as_a_user_may_write_them(value: Any) -> None:
    shape = as_shape(value)
    assert shape == (3,)
    assert type(shape[0]) is int


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("3", ArgumentTypeError, "input_shape: expected whole numbers, such as (3,), got '3'"),
        (2.0, ArgumentTypeError, "input_shape: expected whole numbers, such as (3,), got 2.0"),
        (True, ArgumentTypeError, "input_shape: expected whole numbers, such as (3,), got True"),
        ((3, None), ArgumentTypeError, "input_shape: expected whole numbers, such as (3,), got (3, None)"),
        (0, ConfigurationError, "input_shape: expected sizes of at least 1, got 0"),
        ((4, -1), ConfigurationError, "input_shape: expected sizes of at least 1, got (4, -1)"),
    ],
)
def test_what_is_no_shape(value: Any, error: type[DeepBPError], message: str) -> None:
    with pytest.raises(error) as caught:
        as_shape(value)
    assert str(caught.value) == message


@pytest.mark.parametrize("value", ["float32", np.float32, np.dtype("float32"), "f4"])
def test_dtypes_as_a_user_may_write_them(value: Any) -> None:
    assert as_dtype(value) == FLOAT32


@pytest.mark.parametrize("value", ["float16", int, "complex128", "no such", 3])
def test_other_dtypes_are_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="dtype: expected 'float32' or 'float64', got"):
        as_dtype(value)


def test_a_seed_gives_a_generator_and_a_generator_is_kept() -> None:
    held, numpy_seed = np.random.default_rng(1), cast(int, np.int64(5))
    assert as_generator(held) is held
    assert as_generator(5).random() == as_generator(numpy_seed).random() == np.random.default_rng(5).random()
    assert as_generator(None).random() != as_generator(None).random()


@pytest.mark.parametrize(
    ("value", "error"), [(-1, ConfigurationError), (1.0, ArgumentTypeError), (True, ArgumentTypeError)]
)
def test_what_is_no_seed(value: Any, error: type[DeepBPError]) -> None:
    with pytest.raises(error, match=f"rng: expected .*, got {value!r}"):
        as_generator(value)


@pytest.mark.parametrize("data", [[[1, 2], [3, 4]], np.ones((2, 2), np.uint8), np.ones((2, 2), bool)])
def test_numbers(data: Any) -> None:
    np.testing.assert_array_equal(as_numbers(data, "x"), np.asarray(data))


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([[1], [1, 2]], DataTypeError, "x: expected an array of numbers, got rows of different lengths"),
        (
            np.array([1, None]),
            DataError,
            "x: expected finite numbers, got nan at x[1]: drop or fill such samples first",
        ),
        (["a", "b"], DataTypeError, "x: expected real numbers, got <U1 (list): number the texts first"),
        (np.ones(2, complex), DataTypeError, "x: expected real numbers, got complex128 (ndarray)"),
        (np.zeros(2, "datetime64[s]"), DataTypeError, "x: expected real numbers, got datetime64[s] (ndarray)"),
        (3.0, ShapeError, "x: expected samples along axis 0, got the single number 3.0"),
        (np.ones((0, 3)), DataError, "x: expected at least one sample, got none (shape (0, 3))"),
        ([[1.0, 2.0], [3.0, np.nan]], DataError, "x: expected finite numbers, got nan at x[1, 1]"),
        ([1.0, -np.inf], DataError, "x: expected finite numbers, got -inf at x[1]: drop or fill such samples first"),
    ],
)
def test_what_are_no_numbers(data: Any, error: type[DeepBPError], message: str) -> None:
    with pytest.raises(error) as caught:
        as_numbers(data, "x")
    assert str(caught.value).startswith(message)


def test_nan_far_down_is_named_by_its_place() -> None:
    x = np.zeros((ROWS_AT_ONCE + 10, 2), np.float32)
    x[ROWS_AT_ONCE + 7, 1] = np.nan
    with pytest.raises(DataError, match=rf"got nan at x\[{ROWS_AT_ONCE + 7}, 1\]"):
        as_numbers(x, "x")


def test_samples_are_converted_and_not_copied_where_they_fit() -> None:
    x = np.ones((2, 3), np.float32)
    assert as_samples(x, "x", (3,), FLOAT32) is x
    converted = as_samples([[1, 2, 3]], "x", (3,), FLOAT32)
    assert converted.dtype == np.float32
    np.testing.assert_array_equal(converted, [[1, 2, 3]])


@pytest.mark.parametrize(
    ("got", "shape", "fix"),
    [
        ((4, 2), (3,), ""),
        ((3,), (3,), ": this looks like one sample, use x[None] for a batch of one"),
        ((4,), (1,), ": use x.reshape(-1, 1)"),
        ((4, 2, 3), (6,), ": use x.reshape((-1, 6))"),
        ((4, 3, 8, 8), (8, 8, 3), ": the axes are in another order, use x.transpose((0, 2, 3, 1))"),
        ((4, 8, 8, 3), (3, 8, 8), ": the axes are in another order, use x.transpose((0, 3, 1, 2))"),
        ((4, 20, 6), (6, 20), ": the axes are in another order, use x.transpose((0, 2, 1))"),
        ((4, 3, 2, 5), (3, 5, 2), ": the axes are in another order, use x.transpose((0, 1, 3, 2))"),
        ((4, 1, 5, 6), (6, 5, 1), ": the axes are in another order, use x.transpose((0, 3, 2, 1))"),
        ((4, 1, 8, 8), (8, 8, 1), ": use x.reshape((-1, 8, 8, 1))"),
        ((4, 8, 8), (8, 8, 1), ": use x.reshape((-1, 8, 8, 1))"),
    ],
)
def test_samples_of_another_shape(got: Any, shape: Any, fix: str) -> None:
    with pytest.raises(ShapeError) as caught:
        as_samples(np.ones(got), "x", shape, FLOAT32)
    whole = f"(N, {', '.join(map(str, shape))})"
    expected = f"x: the network expects samples of shape {shape}, so an array of shape {whole}, got {got}{fix}"
    assert str(caught.value) == expected


def test_lengths_that_differ_are_listed() -> None:
    check_same_length(x=np.ones(3), y=np.ones((3, 2)), sample_weight=None)
    with pytest.raises(DataError, match="expected the same number of samples everywhere, got: x has 3, y has 4"):
        check_same_length(x=np.ones(3), y=np.ones((4, 2)), sample_weight=None)


def test_shared_ones_cannot_be_written() -> None:
    vector = ones(4, FLOAT32)
    np.testing.assert_array_equal(vector, np.ones(4, np.float32))
    assert vector.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        vector[0] = 2


@pytest.mark.parametrize("rows", [k * ROWS_AT_ONCE + more for k in (1, 2) for more in (-1, 0, 1)])
def test_the_last_row_is_looked_at_whatever_the_number_of_rows(rows: int) -> None:
    """Rows are checked in pieces."""
    array = np.zeros((rows, 1), "float32")
    check_finite(array, "x")
    for row in (0, ROWS_AT_ONCE - 2, rows - 1):
        array[:] = 0
        array[row] = np.nan
        with pytest.raises(DataError, match=rf"^x: expected finite numbers, got nan at x\[{row}, 0\]"):
            check_finite(array, "x")
