"""A factor and an offset for each feature, and no more than that."""

import numpy as np
import pytest

from deepbp.initializers import Constant
from deepbp.layers import Builder, Scale, Shift


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 2, 3)])
def test_each_feature_gets_its_own(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    scale, shift = Scale(), Shift()
    x, delta = rng.normal(size=(2, 4, *shape))
    for layer in (scale, shift):
        Builder(0, "float64").build(layer, shape)
        np.testing.assert_array_equal(layer.predict(x), x)  # it starts as the identity
    numbers = np.array([2.0, -1.0, 0.5])
    scale.gain.value = shift.shift.value = numbers
    (scaled, remembered), (shifted, kept) = scale.forward(x), shift.forward(x)
    by_scale, by_shift = scale.backward(remembered, delta), shift.backward(kept, delta)
    gains, shifts = [0.0] * 3, [0.0] * 3
    for place in np.ndindex(x.shape):
        feature = place[-1]
        assert scaled[place] == numbers[feature] * x[place]
        assert shifted[place] == numbers[feature] + x[place]
        assert by_scale[place] == numbers[feature] * delta[place]
        assert by_shift[place] == delta[place]
        gains[feature] += x[place] * delta[place]
        shifts[feature] += delta[place]
    np.testing.assert_allclose(scale.gain.grad, gains, rtol=1e-12)
    np.testing.assert_allclose(shift.shift.grad, shifts, rtol=1e-12)


def test_other_first_values() -> None:
    scale, shift = Scale(gain_init=Constant(0.1)), Shift(shift_init=Constant(-3))
    for layer, expected in ((scale, 0.2), (shift, -1.0)):
        Builder(0, "float64").build(layer, (2,))
        np.testing.assert_allclose(layer.predict(np.full((1, 2), 2.0)), [[expected, expected]])
