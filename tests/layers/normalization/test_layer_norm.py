"""Layer normalisation: every row by its own mean and variance."""

from math import sqrt

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.errors import ShapeError
from deepbp.layers import Builder, LayerNorm


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4)])
@pytest.mark.parametrize("epsilon", [1e-5, 0.3])
def test_each_row_written_out(shape: tuple[int, ...], epsilon: float, rng: np.random.Generator) -> None:
    layer = LayerNorm(epsilon=epsilon)
    Builder(0, "float64").build(layer, shape)
    gain, shift = rng.normal(size=4), rng.normal(size=4)
    layer.gain.value, layer.shift.value = gain, shift
    x = rng.normal(2, 3, (5, *shape))
    expected = np.empty_like(x)
    for place in np.ndindex(x.shape[:-1]):
        row = list(x[place])
        mean = sum(row) / 4
        variance = sum((v - mean) ** 2 for v in row) / 4  # divided by n: the biased variance
        expected[place] = [
            g * (v - mean) / sqrt(variance + epsilon) + s for v, g, s in zip(row, gain, shift, strict=True)
        ]
    np.testing.assert_allclose(layer.forward(x)[0], expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(layer.predict(x), layer.forward(x)[0])


def test_numbers_of_pytorch() -> None:
    """torch.nn.LayerNorm(4) of PyTorch 2.13, in float64."""
    layer = LayerNorm()
    Builder(0, "float64").build(layer, (4,))
    layer.gain.value, layer.shift.value = np.array([1.5, -0.5, 2.0, 1.0]), np.array([0.25, 1.0, 0.0, -1.0])
    y, saved = layer.forward(np.array([[1.0, 2.0, 4.0, -3.0], [0.5, -6.0, 0.0, 2.0]]))
    moved = layer.backward(saved, np.array([[1.0, -2.0, 0.5, 3.0], [-1.0, 0.25, 2.0, 1.0]]))
    torch_y = [[0.25, 0.80388401572, 2.353391811358, -2.568927874238]]
    torch_y += [[0.926433687099, 1.840417611244, 0.573943734508, -0.057092436165]]
    torch_grad = [[-0.04902899607, -0.124458406465, 0.116914741306, 0.056572661229]]
    torch_grad += [[-0.828738859602, -0.093843141936, 0.996925838784, -0.074343837246]]
    np.testing.assert_allclose(y, torch_y, rtol=0, atol=1e-12)
    np.testing.assert_allclose(moved, torch_grad, rtol=0, atol=1e-12)
    torch_gain = [-0.450955791399, -1.204672742741, 1.162291687347, -3.76387605888]
    np.testing.assert_allclose(layer.gain.grad, torch_gain, rtol=0, atol=1e-12)
    np.testing.assert_allclose(layer.shift.grad, [0, -1.75, 2.5, 4], rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(1,), (5, 1)])
def test_one_feature_minus_its_mean_is_nothing(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ShapeError, match=r"layer 0, LayerNorm\(\): expects at least 2 features, got \((5, )?1,?\): a number"
    ):
        Sequential([LayerNorm()], input_shape=shape)
