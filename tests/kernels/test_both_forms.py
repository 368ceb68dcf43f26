"""The two forms of every kernel give the same numbers, and both are as accurate as they say."""

from itertools import product
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from forms import fused, in_both_forms, needs_numba

from deepbp.errors import DataTypeError, ShapeError
from deepbp.kernels import numpy_kernels as plain
from deepbp.kernels.blocks import BLOCK

DTYPES = [np.float32, np.float64]
SHAPES = [(1, 1), (4, 3), (32, 10), (5, 257), (0, 4), (2, 3, 5)]
ELEMENTWISE = ["sigmoid", "tanh", "relu", "softmax"]


def assert_close(one: Any, other: Any, ulp: float, size: float | None = None) -> None:
    """Equal to some units in the last place, of each number or, for sums that may cancel, of a given size."""
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    resolution = np.spacing(np.maximum(np.abs(other), np.finfo(other.dtype).tiny))
    if size is not None:
        resolution = np.maximum(resolution, np.spacing(np.asarray(size, other.dtype)))
    assert (np.abs(one - other) <= ulp * resolution).all()


def draw(shape: tuple[int, ...], dtype: Any, seed: int = 0, scale: float = 3.0) -> Any:
    return np.random.default_rng(seed).normal(0, scale, shape).astype(dtype)


@needs_numba
def test_every_kernel_has_both_forms() -> None:
    assert plain.__all__ == fused.__all__


@needs_numba
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_activations_agree(name: str, shape: tuple[int, ...], dtype: Any) -> None:
    z = draw(shape, dtype)
    assert_close(getattr(fused, name)(z), getattr(plain, name)(z), ulp=16 if name == "softmax" else 4)


@needs_numba
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_error_signals_agree(name: str, shape: tuple[int, ...], dtype: Any) -> None:
    y, delta = getattr(plain, name)(draw(shape, dtype)), draw(shape, dtype, seed=1)
    backward = f"{name}_backward"
    assert_close(getattr(fused, backward)(y, delta), getattr(plain, backward)(y, delta), ulp=8, size=4.0)


@needs_numba
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*ELEMENTWISE, *(f"{name}_backward" for name in ELEMENTWISE)])
def test_arrays_in_any_layout_give_the_same_numbers(name: str, dtype: Any) -> None:
    kernel = getattr(fused, name)
    arguments = [np.abs(draw((6, 4), dtype, seed=s)) / 20 for s in range(2 if name.endswith("backward") else 1)]
    expected = kernel(*arguments)
    other = [np.asfortranarray(a) if dtype == np.float32 else np.repeat(a, 2, axis=1)[:, ::2] for a in arguments]
    read_only = [a.copy() for a in arguments]
    for array in read_only:
        array.flags.writeable = False
    for variant in (other, read_only):  # each layout is compiled anew
        np.testing.assert_array_equal(kernel(*variant), expected)


@in_both_forms
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("count", "columns", "rows"), [(0, 3, 2), (5, 1, 3), (40, 20, 7), (300, 16, 1000), (9, 0, 4)])
def test_add_rows_adds_in_order(form: ModuleType, dtype: Any, count: int, columns: int, rows: int) -> None:
    total, shares = draw((rows, columns), dtype), draw((count, columns), dtype, seed=1)
    labels = np.random.default_rng(2).integers(0, rows, count)
    expected = total.copy()
    for label, share in zip(labels, shares, strict=True):
        expected[label] += share  # the same roundings, one after the other
    for kind in (np.intp, np.int32):
        found = total.copy()
        form.add_rows(found, labels.astype(kind), shares)
        np.testing.assert_array_equal(found, expected)
    found = np.asfortranarray(total)
    form.add_rows(found, labels, np.asfortranarray(shares))
    np.testing.assert_array_equal(found, expected)


@in_both_forms
def test_add_rows_writes_nothing_where_it_refuses(form: ModuleType) -> None:
    total, shares = draw((4, 3), np.float32), draw((2, 3), np.float32)
    before = total.copy()
    for wrong in (-1, 4):
        with pytest.raises(IndexError, match="label out of range"):
            form.add_rows(total, np.array([0, wrong]), shares)
    for labels, given in ((np.array([0]), shares), (np.zeros((2, 1), int), shares), (np.array([0, 1]), shares[:, :2])):
        with pytest.raises(ShapeError, match="expected a vector of labels and a row of shares for each"):
            form.add_rows(total, labels, given)
    with pytest.raises(DataTypeError, match="expected labels that are whole numbers"):
        form.add_rows(total, np.array([0.0, 1.0]), shares)
    np.testing.assert_array_equal(total, before)


@in_both_forms
@pytest.mark.parametrize("dtype", DTYPES)
def test_add_bias_adds_to_each_row_in_place(form: ModuleType, dtype: Any) -> None:
    z, bias = draw((5, 3), dtype), draw((3,), dtype, seed=1)
    expected = z + bias
    form.add_bias(z, bias)
    np.testing.assert_array_equal(z, expected)


@needs_numba
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (33, 4), (3, 5, 2)])
def test_squared_error_agrees(shape: tuple[int, ...], dtype: Any) -> None:
    prediction, target = draw(shape, dtype), draw(shape, dtype, seed=1)
    (one, delta), (other, expected) = (f.squared_error(prediction, target, 0.3) for f in (fused, plain))
    assert one == pytest.approx(other, rel=1e-5 if dtype == np.float32 else 1e-13)
    assert_close(delta, expected, ulp=1)


@needs_numba
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 2), (32, 10), (7, 300)])
def test_softmax_cross_entropy_agrees(shape: tuple[int, int], dtype: Any, weighted: bool) -> None:
    z = draw(shape, dtype, scale=10.0)
    rng = np.random.default_rng(1)
    labels = rng.integers(0, shape[1], shape[0])
    weight = rng.uniform(0, 2, shape[0]).astype(dtype) if weighted else None
    (one, p), (other, q) = (f.cross_entropy_residual(z, labels, weight) for f in (fused, plain))
    assert one == pytest.approx(other, rel=1e-5 if dtype == np.float32 else 1e-13)
    assert_close(p, q, ulp=32)
    value, probability = fused.softmax_cross_entropy(z, labels, weight)
    assert value == pytest.approx(other)
    assert_close(probability, plain.softmax(z), ulp=32)
    old = plain.softmax_cross_entropy_backward(probability, labels, weight)
    one, other = (f.cross_entropy_residual_backward(q, weight) for f in (fused, plain))
    assert_close(one, old, ulp=32, size=1 / shape[0])
    assert_close(one, other, ulp=4, size=1 / shape[0])


@in_both_forms
@pytest.mark.parametrize("dtype", DTYPES)
def test_cross_entropies_take_scores_in_any_layout(form: ModuleType, dtype: Any) -> None:
    z, labels, weight = draw((5, 4), dtype), np.array([0, 3, 1, 1, 2]), np.arange(5, dtype=dtype)
    value, residual = plain.cross_entropy_residual(z, labels, weight)
    fortran, strided = (np.asfortranarray(z),), (np.repeat(z, 2, axis=1)[:, ::2], z[::-1].copy()[::-1])
    for layout in fortran if dtype == np.float32 else strided:  # each is compiled anew
        again, other = form.cross_entropy_residual(layout, labels, weight)
        assert again == pytest.approx(value, rel=1e-5)
        assert_close(other, residual, ulp=32)


@in_both_forms
@pytest.mark.parametrize("label", [-1, 3, 2**40])
def test_a_label_out_of_range_is_refused(form: ModuleType, label: int) -> None:
    with pytest.raises(IndexError):
        form.cross_entropy_residual(np.zeros((2, 3)), np.array([0, label]), None)


@needs_numba
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1, 100, BLOCK + 7])
@pytest.mark.parametrize(
    ("name", "states", "settings"),
    [
        ("sgd", 0, (0.1,)),
        ("sgd_momentum", 1, (0.1, 0.9, False)),
        ("sgd_momentum", 1, (0.1, 0.9, True)),
        ("adam", 2, (0.01, 0.9, 0.999, 1e-8)),
    ],
)
def test_updates_agree(name: str, states: int, settings: tuple[Any, ...], size: int, dtype: Any) -> None:
    arrays = [draw((size,), dtype, seed=seed) for seed in range(2 + states)]
    arrays[2:] = [np.abs(state) for state in arrays[2:]]
    results = []
    for form in (fused, plain):
        copies = [array.copy() for array in arrays]
        getattr(form, name)(*copies, *settings)
        results.append(copies)
    for one, other in zip(*results, strict=True):
        assert_close(one, other, ulp=4, size=4.0)
    assert not np.array_equal(results[0][0], arrays[0])
    np.testing.assert_array_equal(results[0][1], arrays[1])  # the gradients stay as they are


@needs_numba
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "states", "settings"),
    [
        ("amsgrad", 3, (0.01, 0.9, 0.999, 1e-8)),
        ("lion", 1, (0.01, 0.9, 0.99)),
        ("adagrad", 1, (0.01, 1e-10)),
        ("adadelta", 2, (1.0, 0.95, 1e-6)),
        ("rmsprop", 3, (0.01, 0.9, 0.5, 1e-8)),
        ("rmsprop", 1, (None, None, 0.01, 0.9, 0.0, 1e-8)),
    ],
)
def test_updates_are_the_same(name: str, states: int, settings: tuple[Any, ...], dtype: Any) -> None:
    """Compiled updates round every operation as NumPy does; only subnormal numbers of a state become 0."""
    arrays = [draw((BLOCK + 7,), dtype, seed=seed) for seed in range(2 + states)]
    arrays[2:] = [np.abs(state) for state in arrays[2:]]
    arrays[1][:2], arrays[2][:2] = 0, (np.finfo(dtype).tiny, 0)
    results = []
    for form in (fused, plain):
        copies = [array.copy() for array in arrays]
        getattr(form, name)(*copies, *settings)
        results.append(copies)
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, np.where(np.abs(other) < np.finfo(dtype).tiny, 0, other))
    assert not np.array_equal(results[0][0], arrays[0])


@needs_numba
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "settings"), [("elu", (1.05, 1.7, 0.5)), ("softplus", (2.0,))])
def test_exponential_activations_agree(name: str, settings: tuple[float, ...], dtype: Any) -> None:
    z = np.stack([draw((1000,), dtype, seed, scale) for seed, scale in enumerate((1e-5, 0.1, 1.0, 20.0))])
    y = getattr(plain, name)(z, *settings)
    assert_close(getattr(fused, name)(z, *settings), y, ulp=8)
    if name == "softplus":
        one, other = (form.softplus_backward(y, z, -2.0) for form in (fused, plain))
        assert_close(one, other, ulp=8)


@needs_numba
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [0, 1, 1000, BLOCK + 1])
def test_clipping_agrees(size: int, dtype: Any) -> None:
    grads = draw((size,), dtype)
    norm = float(np.linalg.norm(grads.astype(np.float64)))
    for name, settings, bounded in (
        ("clip_values", (0.7,), np.clip(grads.astype(np.float64), -0.7, 0.7)),
        ("clip_norm", (norm, 0.5), grads * (0.5 / norm if norm > 0.5 else 1.0)),
        ("clip_norm", (norm, 2 * norm), grads),
    ):
        for form in (fused, plain):
            clipped = grads.copy()
            getattr(form, name)(clipped, *settings)
            assert_close(clipped, bounded.astype(dtype), ulp=1)


@in_both_forms
@pytest.mark.parametrize("dtype", DTYPES)
def test_sigmoid_is_accurate_on_both_sides(form: ModuleType, dtype: Any) -> None:
    """Within 4 units in the last place of the true value, from where it is the smallest normal number to 1."""
    lowest = np.log(np.finfo(dtype).tiny)
    z = np.concatenate([np.linspace(lowest, -lowest, 100_001), np.geomspace(1e-30, 1, 1000)]).astype(dtype)[:, None]
    wide = z.astype(np.longdouble)
    truth = np.where(wide < 0, np.exp(wide), 1) / (1 + np.exp(-np.abs(wide)))
    error = np.abs(form.sigmoid(z).astype(np.longdouble) - truth) / np.spacing(truth.astype(dtype))
    assert error.max() <= 4


@in_both_forms
@pytest.mark.parametrize("dtype", DTYPES)
def test_tanh_is_accurate_everywhere(form: ModuleType, dtype: Any) -> None:
    """Within 4 units in the last place of the true value, near zero, too."""
    positive = np.concatenate([np.geomspace(1e-30, 1, 50_001), np.linspace(1, 30, 50_001)]).astype(dtype)
    z = np.stack([-positive, positive])
    truth = np.tanh(z.astype(np.longdouble))
    error = np.abs(form.tanh(z).astype(np.longdouble) - truth) / np.spacing(np.abs(truth).astype(dtype))
    assert error.max() <= 4


@in_both_forms
@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_cross_entropy_is_accurate_for_any_scores(form: ModuleType, dtype: Any) -> None:
    """One row at a time, of few or many classes: within 4 units in the last place of the larger of loss and 1."""
    for gap, classes in product((*np.linspace(0, 80, 41), 150, 1e4), (3, 20)):
        z = np.array([[0, gap, *[gap / 2] * (classes - 2)]], dtype)
        for label in range(3):
            wide = z.astype(np.longdouble)
            truth = float(np.log(np.exp(wide).sum()) - wide[0, label])
            value, _ = form.cross_entropy_residual(z, np.array([label]), None)
            assert abs(value - truth) <= 4 * np.spacing(np.asarray(max(truth, 1.0), dtype))


@in_both_forms
@pytest.mark.parametrize("dtype", DTYPES)
def test_extremes_give_no_warning_and_no_nan(form: ModuleType, dtype: Any) -> None:
    z = np.array([[-1e4, 1e4, 0.0, np.finfo(dtype).smallest_subnormal, -0.0]], dtype)
    for name in ELEMENTWISE:
        y = getattr(form, name)(z)
        assert np.isfinite(y).all()
        assert np.isfinite(getattr(form, f"{name}_backward")(y, z)).all()


@in_both_forms
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu"])
def test_nan_stays_nan(form: ModuleType, name: str, dtype: Any) -> None:
    assert np.isnan(getattr(form, name)(np.array([[np.nan]], dtype))).all()


FOUR, THREE = np.zeros(4), np.zeros(3)
REFUSED: dict[str, tuple[str, tuple[Any, ...], type[Exception]]] = {
    **{
        name: (name, (np.array([[1, 2]]),), DataTypeError) for name in (*ELEMENTWISE, "gelu", "gaussian", "erf", "erfc")
    },
    "whole scores": ("cross_entropy_residual", (np.array([[1, 2]]), np.array([0]), None), DataTypeError),
    "short bias": ("add_bias", (np.zeros((2, 3)), np.zeros(1)), ShapeError),
    "long bias": ("add_bias", (np.zeros((2, 3)), FOUR), ShapeError),
    "target": ("squared_error", (np.zeros((2, 3)), np.zeros((2, 1)), 1.0), ShapeError),
    "labels": ("cross_entropy_residual", (np.zeros((2, 3)), np.array([0]), None), ShapeError),
    "weights": ("cross_entropy_residual", (np.zeros((2, 3)), np.array([0, 1]), np.ones(1)), ShapeError),
    "shares": ("sigmoid_cross_entropy", (np.zeros((2, 3)), np.zeros((2, 3)), np.zeros((2, 2))), ShapeError),
    "weights back": ("cross_entropy_residual_backward", (np.zeros((2, 3)), np.ones(1)), ShapeError),
    "sgd": ("sgd", (FOUR, THREE, 0.1), ShapeError),
    "momentum gradients": ("sgd_momentum", (FOUR, THREE, FOUR, 0.1, 0.9, False), ShapeError),
    "momentum state": ("sgd_momentum", (FOUR, FOUR, THREE, 0.1, 0.9, False), ShapeError),
    "adam gradients": ("adam", (FOUR, THREE, FOUR, FOUR, 0.1, 0.9, 0.999, 1e-8), ShapeError),
    "adam mean": ("adam", (FOUR, FOUR, THREE, FOUR, 0.1, 0.9, 0.999, 1e-8), ShapeError),
    "adam square": ("adam", (FOUR, FOUR, FOUR, THREE, 0.1, 0.9, 0.999, 1e-8), ShapeError),
    **{f"{name} back": (f"{name}_backward", (np.zeros((2, 3)), np.zeros((2, 1))), ShapeError) for name in ELEMENTWISE},
}


@in_both_forms
@pytest.mark.parametrize("case", REFUSED)
def test_both_forms_refuse_the_same(form: ModuleType, case: str) -> None:
    """A compiled loop would read, or write, outside of an array; NumPy would broadcast."""
    name, arguments, error = REFUSED[case]
    with pytest.raises(error) as caught:
        getattr(form, name)(*arguments)
    with pytest.raises(error) as expected:
        getattr(plain, name)(*arguments)
    if error is not IndexError:
        assert str(caught.value).split(",")[0] == str(expected.value).split(",")[0]


@in_both_forms
@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_of_columns(form: ModuleType, dtype: Any) -> None:
    """Of rows that fill a run or not, and columns that fill vectors or not, in any layout, also into an array."""
    for rows in (0, 1, 2, 3, 4, 7, 511, 512, 517, 1030):
        for columns in (1, 2, 15, 16, 17, 40):
            values = draw((rows, columns), dtype, seed=rows)
            exact = values.sum(axis=0, dtype=np.float64)
            size = np.abs(values).sum(axis=0, dtype=np.float64)
            beside = np.full((columns, 2 * rows), np.nan, dtype).T
            beside[::2] = values
            fixed = values.copy()
            fixed.flags.writeable = False
            out = np.full(columns, np.nan, dtype)
            assert form.column_sum(values, out) is out
            made = [out, *(form.column_sum(each) for each in (values, beside[::2], fixed))]
            for each in made:
                assert each.dtype == dtype
                assert (np.abs(each - exact) <= 200 * np.finfo(dtype).eps * size).all(), (rows, columns)
            assert form is plain or all(np.array_equal(each, out) for each in made)
