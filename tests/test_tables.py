"""Data frames, series, Arrow tables and other containers: taken where they hold numbers, told apart where not."""

import datetime
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.lib.recfunctions import structured_to_unstructured

from deepbp import Sequential
from deepbp._validation import as_numbers, as_samples
from deepbp.errors import DataError, DataTypeError, DeepBPError, ShapeError
from deepbp.layers import Dense
from deepbp.losses import BinaryCrossEntropy, Loss, MeanSquaredError, SigmoidBinaryCrossEntropy, SoftmaxCrossEntropy
from deepbp.optimizers import SGD
from deepbp.typing import Array

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")
pyarrow = pytest.importorskip("pyarrow")
sparse = pytest.importorskip("scipy.sparse")

COLUMNS = {"a": [1, 2, 3], "b": [0.5, 1.5, 2.5], "c": [True, False, True]}
EXPECTED = np.array([[1, 0.5, 1], [2, 1.5, 0], [3, 2.5, 1]])
FRAMES: dict[str, Any] = {
    "pandas": lambda: pandas.DataFrame(COLUMNS),
    "pandas, nullable": lambda: pandas.DataFrame(COLUMNS).convert_dtypes(),
    "pandas, Arrow": lambda: pandas.DataFrame(COLUMNS).convert_dtypes(dtype_backend="pyarrow"),
    "pandas, categories": lambda: pandas.DataFrame(COLUMNS).astype({"a": "category"}),
    "pandas, sparse column": lambda: pandas.DataFrame(COLUMNS).assign(a=pandas.arrays.SparseArray(COLUMNS["a"])),
    "pandas, objects": lambda: pandas.DataFrame(COLUMNS).astype(object),
    "pandas, a name twice": lambda: pandas.DataFrame(EXPECTED, columns=["a", "a", "b"]),
    "polars": lambda: polars.DataFrame(COLUMNS),
    "polars, decimals": lambda: polars.DataFrame(COLUMNS).with_columns(polars.col("b").cast(polars.Decimal(10, 2))),
    "Arrow table": lambda: pyarrow.table(COLUMNS),
    "Arrow batch": lambda: pyarrow.RecordBatch.from_pydict(COLUMNS),
    "array of objects": lambda: np.array(
        [[1, Decimal("0.5"), True], [2, Fraction(3, 2), False], [3, 2.5, True]], object
    ),
    "list of lists": lambda: EXPECTED.tolist(),
    "masked array without a mask": lambda: np.ma.masked_array(EXPECTED),
}
SERIES: dict[str, Any] = {
    "pandas": lambda: pandas.Series([1, 2, 3]),
    "pandas, nullable": lambda: pandas.Series([1, 2, 3], dtype="Int64"),
    "pandas, Arrow": lambda: pandas.Series([1, 2, 3], dtype="int64[pyarrow]"),
    "pandas, categories": lambda: pandas.Series([1, 2, 3], dtype="category"),
    "pandas index": lambda: pandas.Index([1, 2, 3]),
    "polars": lambda: polars.Series([1, 2, 3]),
    "Arrow array": lambda: pyarrow.array([1, 2, 3]),
    "Arrow, chunked": lambda: pyarrow.chunked_array([[1, 2], [3]]),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_frames_of_numbers_are_taken(kind: str) -> None:
    array = as_numbers(FRAMES[kind](), "x")
    assert array.dtype == np.float64
    np.testing.assert_array_equal(array, EXPECTED)


@pytest.mark.parametrize("kind", SERIES)
def test_series_of_whole_numbers_are_taken_as_they_are(kind: str) -> None:
    array = as_numbers(SERIES[kind](), "y")
    assert array.dtype == np.int64
    np.testing.assert_array_equal(array, [1, 2, 3])


def test_yes_and_no_are_booleans() -> None:
    for data in (pandas.Series([True, False], dtype="boolean"), polars.Series([True, False]), [True, False]):
        array = as_numbers(data, "y")
        assert array.dtype == bool
        assert array.tolist() == [True, False]


MISSING = [
    pandas.DataFrame({"a": [1.0, 2.0], "height": [1.0, None]}),
    pandas.DataFrame({"a": [1, 2], "height": pandas.array([1, None], dtype="Int64")}),
    pandas.DataFrame({"a": [1, 2], "height": pandas.array([True, None], dtype="boolean")}),
    pandas.DataFrame({"a": [1, 2], "height": pandas.array([1, pandas.NA], dtype=object)}),
    polars.DataFrame({"a": [1, 2], "height": [1, None]}),
    polars.DataFrame({"a": [1, 2], "height": [True, None]}),
    pyarrow.table({"a": [1, 2], "height": [1, None]}),
]


@pytest.mark.parametrize("data", MISSING, ids=lambda data: type(data).__module__)
def test_a_missing_entry_is_named_by_its_column_and_row(data: Any) -> None:
    with pytest.raises(
        DataError, match=r"^x: expected finite numbers, got nan at row 1 of column 'height': drop or fill"
    ):
        as_numbers(data, "x")


def test_masked_entries_are_never_taken() -> None:
    masked = np.ma.masked_array([[1.0, 2.0], [3.0, -9999.0]], mask=[[False, False], [False, True]])
    with pytest.raises(DataError, match=re.escape("x: expected no masked entries, got one at x[1, 1]")) as error:
        as_numbers(masked, "x")
    filled = follow(str(error.value), masked, "x")
    np.testing.assert_array_equal(filled, [[1, 2], [3, 2]])


def follow(message: str, data: Any, name: str) -> Array:
    """Do what the message advises, as a user would who pastes it, and convert again."""
    advice = re.split(r": use |for example with ", message)[-1].split(", from ")[0]
    names = {"numpy": np, "pandas": pandas, "polars": polars, "structured_to_unstructured": structured_to_unstructured}
    return as_numbers(eval(advice, {**names, name: data}), name)


DAYS = [datetime.datetime(2024, 1, day) for day in (1, 2, 4)]
SECONDS = [0.0, 86400.0, 259200.0]
SPANS = [datetime.timedelta(seconds=s) for s in SECONDS]
CODES = [1, 0, 1]
TEXTS = ["b", "a", "b"]
WITH_ADVICE: list[tuple[str, Any, Any]] = [
    ("texts in a list", TEXTS, CODES),
    ("texts in an array", np.array(TEXTS), CODES),
    ("texts as objects", np.array(TEXTS, object), CODES),
    ("bytes", np.array(TEXTS, "S"), CODES),
    ("pandas texts", pandas.Series(TEXTS), CODES),
    ("pandas categories", pandas.Series(TEXTS, dtype="category"), CODES),
    ("polars texts", polars.Series(TEXTS), CODES),
    ("Arrow texts", pyarrow.array(TEXTS), CODES),
    ("numerals", ["1.5", "2"], [1.5, 2]),
    ("pandas numerals", pandas.Series(["1.5", "2"]), [1.5, 2]),
    ("polars numerals", polars.Series(["1.5", "2"]), [1.5, 2]),
    ("dates in an array", np.array(DAYS, "datetime64[ns]"), SECONDS),
    ("dates as objects", np.array(DAYS, object), SECONDS),
    ("dates in a list", DAYS, SECONDS),
    ("pandas dates", pandas.Series(DAYS), SECONDS),
    ("polars dates", polars.Series(DAYS), SECONDS),
    ("Arrow dates", pyarrow.chunked_array([DAYS]), SECONDS),
    ("durations", np.array(SPANS, "timedelta64[s]"), SECONDS),
    ("durations in a list", SPANS, SECONDS),
    ("pandas durations", pandas.Series(SPANS), SECONDS),
    ("polars durations", polars.Series(SPANS), SECONDS),
    ("complex", np.array([1 + 2j]), [[1, 2]]),
    ("complex in a list", [1 + 2j], [[1, 2]]),
    ("pandas complex", pandas.Series([1 + 2j]), [[1, 2]]),
    ("fields", np.array([(1, 2.5)], dtype=[("a", int), ("b", float)]), [[1, 2.5]]),
    ("sparse matrix", sparse.csr_matrix(np.eye(2)), np.eye(2)),
    ("sparse array", sparse.coo_array(np.eye(2)), np.eye(2)),
    ("arrays in a list of polars", polars.Series([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    ("arrays in pandas", pandas.Series([np.array([1, 2]), np.array([3, 4])]), [[1, 2], [3, 4]]),
    ("pandas frame with texts", pandas.DataFrame({"n": [1, 2, 3], "t": TEXTS}), [[1, 0, 1], [2, 1, 0], [3, 0, 1]]),
    ("polars frame with texts", polars.DataFrame({"n": [1, 2, 3], "t": TEXTS}), [[1, 0, 1], [2, 1, 0], [3, 0, 1]]),
    ("Arrow table with texts", pyarrow.table({"n": [1, 2, 3], "t": TEXTS}), [[1, 0, 1], [2, 1, 0], [3, 0, 1]]),
    ("pandas frame with dates", pandas.DataFrame({"the day": DAYS}), np.c_[SECONDS]),
    ("polars frame with dates", polars.DataFrame({"the day": DAYS}), np.c_[SECONDS]),
    ("Arrow table with dates", pyarrow.table({"the day": DAYS}), np.c_[SECONDS]),
    ("pandas frame with durations", pandas.DataFrame({"t": SPANS}), np.c_[SECONDS]),
    ("pandas frame with numerals", pandas.DataFrame({"t": ["1", "2"]}), [[1], [2]]),
    ("polars frame with numerals", polars.DataFrame({"t": ["1", "2"]}), [[1], [2]]),
]


@pytest.mark.parametrize(
    ("data", "expected"), [case[1:] for case in WITH_ADVICE], ids=[case[0] for case in WITH_ADVICE]
)
def test_what_the_error_advises_works(data: Any, expected: Any) -> None:
    with pytest.raises(DeepBPError) as error:
        as_numbers(data, "y")
    assert isinstance(error.value, DataTypeError)
    np.testing.assert_allclose(follow(str(error.value), data, "y"), expected)


def test_a_lazy_frame_is_to_be_collected() -> None:
    x, y = polars.DataFrame({"a": [1.0, 2.0]}), [[1.0], [2.0]]
    net = Sequential([Dense(1)], input_shape=1, rng=0)
    for call in (
        lambda: net.predict(x.lazy()),
        lambda: net.fit(x.lazy(), y, loss=MeanSquaredError(), optimizer=SGD(0.1)),
    ):
        with pytest.raises(DataTypeError, match=r"^x: expected a frame in memory, got a LazyFrame: use x\.collect"):
            call()
    np.testing.assert_array_equal(net.predict(x.lazy().collect()), net.predict(x))


def test_the_first_text_is_shown_with_its_column_and_row() -> None:
    frame = pandas.DataFrame({"bill": [1.5, 2.5], "species": [None, "Adelie"]})
    with pytest.raises(DataTypeError, match=r"^x: column 'species': expected real numbers, got 'Adelie' in row 1 "):
        as_numbers(frame, "x")
    with pytest.raises(DataTypeError, match=re.escape("x: expected real numbers, got 'b' at x[1, 0] ")):
        as_numbers(np.array([[1, 2], ["b", 3]], object), "x")


@pytest.mark.parametrize("data", [{"a": 1}, [{"a": 1}], [object()], [[1], [2, 3]], {1, 2}, "text", None])
def test_junk_is_no_data(data: Any) -> None:
    with pytest.raises(DeepBPError, match=r"^x: expected"):
        as_numbers(data, "x")


def trained(y: Any, loss: Loss[Any], outputs: int = 1) -> bytes:
    net = Sequential([Dense(outputs)], input_shape=2, rng=0)
    x = np.array([[1.0, 2.0], [3.0, 5.0], [4.0, 1.0]])
    net.fit(pandas.DataFrame(x, columns=["a", "b"]), y, loss=loss, optimizer=SGD(0.01), epochs=3)
    return net.layers[0].parameters()[0].value.tobytes()


@pytest.mark.parametrize("loss", [MeanSquaredError(), SigmoidBinaryCrossEntropy()], ids=repr)
def test_one_number_a_sample_is_the_target_of_one_output(loss: Loss[Any]) -> None:
    y = np.array([0.0, 1.0, 1.0])
    expected = trained(y.reshape(-1, 1), loss)
    for given in (y, y.tolist(), pandas.Series(y), polars.Series(y), pyarrow.array(y), pandas.Series(y).to_frame()):
        assert trained(given, loss) == expected


def test_one_number_a_sample_is_no_target_of_several_outputs() -> None:
    with pytest.raises(ShapeError, match=r"y: .*expects samples of shape \(3,\)"):
        trained(np.zeros(3), MeanSquaredError(), outputs=3)
    with pytest.raises(ShapeError, match=r"loss: expected a target of the prediction's shape \(3, 1\), got \(3,\)"):
        MeanSquaredError().forward(np.zeros((3, 1)), np.zeros(3))  # by hand, nothing is converted
    assert BinaryCrossEntropy().prepare_target([0, 1], (1,), np.dtype("float32")).shape == (2, 1)


LABELS = [2, 0, 1]
COLUMNS_OF_LABELS = [
    np.c_[LABELS],
    np.c_[LABELS].tolist(),
    pandas.DataFrame({"class": LABELS}),
    polars.DataFrame({"class": LABELS}),
    pyarrow.table({"class": LABELS}),
    pandas.Series(LABELS, dtype=float),
]


@pytest.mark.parametrize("y", COLUMNS_OF_LABELS, ids=lambda y: type(y).__module__)
def test_the_advice_for_labels_works_for_the_type_that_was_given(y: Any) -> None:
    with pytest.raises(DeepBPError) as error:
        trained(y, SoftmaxCrossEntropy(), outputs=3)
    advice = str(error.value).split(": use ")[-1].split(" for ")[0].split(" if ")[0]
    assert trained(eval(advice, {"numpy": np, "y": y}), SoftmaxCrossEntropy(), outputs=3) == trained(
        np.array(LABELS), SoftmaxCrossEntropy(), outputs=3
    )


SEEDS = [np.random.SeedSequence(7), np.random.RandomState(7), np.random.PCG64(7), np.int64(7), np.uint8(7)]


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: type(seed).__name__)
def test_seeds_of_numpy_are_taken(seed: Any) -> None:
    assert Sequential([Dense(1)], input_shape=2, rng=seed).layers[0].parameters()[0].value.any()


F32, F64 = np.dtype("float32"), np.dtype("float64")


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (pandas.DataFrame({"size": [1, 2], "id": [7, 100_100_037]}), "row 1 of column 'id'"),
        (polars.DataFrame({"size": [1.5, 2], "id": [7, 100_100_037]}), "row 1 of column 'id'"),
        (np.array([[1, 7], [2, 100_100_037]]), r"x\[1, 1\]"),
        (np.array([[1.5, 7], [2, 100_100_037]]), r"x\[1, 1\]"),
    ],
    ids=["pandas", "polars", "whole numbers", "floats"],
)
def test_whole_numbers_that_float32_rounds_are_told(data: Any, place: str) -> None:
    with pytest.warns(UserWarning, match=rf"x: float32 takes 100100037 at {place} as 100100040: .*dtype='float64'"):
        as_samples(data, "x", (2,), F32)
    as_samples(data, "x", (2,), F64)


@pytest.mark.parametrize("value", [2**24, -(2**24), 2**30, 16_777_217.5, 1e30, 3e7 + 0.5])
def test_numbers_that_float32_holds_or_rounds_as_any_fraction_need_no_warning(value: float) -> None:
    as_samples(np.array([[value]]), "x", (1,), F32)
    with pytest.warns(UserWarning, match="as 16777216"):
        as_samples(np.array([[2**24 + 1]]), "x", (1,), F32)
