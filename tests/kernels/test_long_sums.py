"""Sums of very many float32 numbers keep the digits of float32: the reference is NumPy's sum in float64."""

from types import ModuleType

import numpy as np
import pytest
from forms import in_both_forms

from deepbp import Parameter
from deepbp._validation import ones
from deepbp.kernels.blocks import LONG_BATCH, long_product
from deepbp.kernels.numpy_normalization import _column_mean as batch_mean
from deepbp.layers import Builder, Dense, PReLU
from deepbp.losses import MeanAbsoluteError, MeanSquaredError
from deepbp.metrics import MeanAbsoluteError as Distance
from deepbp.typing import Array

MANY = 1_000_003
EPS = float(np.finfo(np.float32).eps)


def tenths(*shape: int) -> Array:
    """Numbers whose rounded sum, one after the other, is 1 % too large at 10⁶."""
    return np.full(shape, 0.1, np.float32)


@in_both_forms
@pytest.mark.parametrize("classes", [100, 1000, MANY])
def test_softmax_of_many_classes(form: ModuleType, classes: int) -> None:
    z = np.full((1, classes), np.log(0.1), np.float32)
    z[0, 0] = 0
    power = np.exp(z.astype(np.float64))
    p = power / power.sum()
    np.testing.assert_allclose(form.softmax(z), p, rtol=16 * EPS)
    value, residual = form.cross_entropy_residual(z, np.array([1]), None)
    assert value == pytest.approx(-np.log(p[0, 1]), rel=4 * EPS)
    expected = p.copy()
    expected[0, 1] -= 1
    np.testing.assert_allclose(residual, expected, rtol=16 * EPS)
    y, delta = p.astype(np.float32), 1 + tenths(1, classes)
    wide = y.astype(np.float64), delta.astype(np.float64)
    moved = wide[0] * (wide[1] - (wide[0] * wide[1]).sum())
    size = float(np.abs(wide[0] * wide[1]).max())
    np.testing.assert_allclose(form.softmax_backward(y, delta), moved, atol=32 * EPS * size)


@pytest.mark.parametrize("use", [1, 2])
def test_the_gradient_of_a_bias(use: int) -> None:
    dense, delta = Dense(3), tenths(MANY, 3)
    Builder(0).build(dense, (1,))
    assert dense.bias is not None
    for _ in range(use):
        dense.backward_parameters(np.zeros((MANY, 1), np.float32), delta)
    np.testing.assert_allclose(dense.bias.grad, use * delta.sum(axis=0, dtype=np.float64), rtol=8 * EPS)


def test_the_gradient_of_a_slope() -> None:
    layer = PReLU()
    Builder(0).build(layer, (1,))
    z = -tenths(MANY, 1)
    layer.backward(layer.forward(z)[1], np.ones_like(z))
    np.testing.assert_allclose(layer.slope.grad, z.sum(axis=0, dtype=np.float64), rtol=8 * EPS)


def test_the_mean_of_a_batch() -> None:
    rows = 1 + tenths(MANY, 4)
    np.testing.assert_allclose(batch_mean(rows), rows.mean(axis=0, dtype=np.float64), rtol=4 * EPS)


def test_means_of_losses_and_metrics(rng: np.random.Generator) -> None:
    prediction, target = rng.random((MANY, 1), np.float32), np.zeros((MANY, 1), np.float32)
    wide = prediction.astype(np.float64)
    assert MeanSquaredError().forward(prediction, target)[0] == pytest.approx((wide**2).mean(), rel=4 * EPS)
    assert MeanAbsoluteError().forward(prediction, target)[0] == pytest.approx(wide.mean(), rel=4 * EPS)
    assert Distance()(prediction, target) == pytest.approx(wide.mean(), rel=1e-12)


def test_where_long_begins(rng: np.random.Generator) -> None:
    for count in (LONG_BATCH, LONG_BATCH + 1, 3 * LONG_BATCH):
        delta = rng.normal(size=(count, 2)).astype(np.float32)
        bias = Parameter(np.zeros(2, np.float32))
        bias.accumulate_sum(delta)
        np.testing.assert_allclose(bias.grad, delta.sum(axis=0, dtype=np.float64), atol=0.05)
        assert long_product(ones(count, delta.dtype), delta).dtype == np.float32
