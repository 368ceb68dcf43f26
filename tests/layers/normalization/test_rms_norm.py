"""Root-mean-square normalisation: every row by its own size, its mean left where it is."""

from math import sqrt

import numpy as np
import pytest

from deepbp.layers import Builder, RMSNorm


@pytest.mark.parametrize("shape", [(4,), (3, 4), (1,)])
@pytest.mark.parametrize("epsilon", [1e-6, 0.3])
def test_each_row_written_out(shape: tuple[int, ...], epsilon: float, rng: np.random.Generator) -> None:
    layer = RMSNorm(epsilon=epsilon)
    Builder(0, "float64").build(layer, shape)
    gain = rng.normal(size=shape[-1])
    layer.gain.value = gain
    x = rng.normal(2, 3, (5, *shape))
    expected = np.empty_like(x)
    for place in np.ndindex(x.shape[:-1]):
        row = list(x[place])
        root = sqrt(sum(v * v for v in row) / len(row) + epsilon)
        expected[place] = [g * v / root for v, g in zip(row, gain, strict=True)]
    np.testing.assert_allclose(layer.forward(x)[0], expected, rtol=1e-12)
    np.testing.assert_array_equal(layer.predict(x), layer.forward(x)[0])


def test_numbers_of_pytorch() -> None:
    """torch.nn.RMSNorm(4, eps=1e-6) of PyTorch 2.13, in float64."""
    layer = RMSNorm()
    Builder(0, "float64").build(layer, (4,))
    layer.gain.value = np.array([1.5, -0.5, 2.0, 1.0])
    y, saved = layer.forward(np.array([[1.0, 2.0, 4.0, -3.0], [0.5, -6.0, 0.0, 2.0]]))
    moved = layer.backward(saved, np.array([[1.0, -2.0, 0.5, 3.0], [-1.0, 0.25, 2.0, 1.0]]))
    torch_y = [[0.54772252099, -0.365148347327, 2.921186778615, -1.095445041981]]
    torch_y += [[0.236433110124, 0.945732440494, 0.0, 0.630488293663]]
    torch_grad = [[0.565979935922, 0.401663177191, 0.438178007055, 1.040672797185]]
    torch_grad += [[-0.480698372185, 0.054580304902, 1.260976587325, 0.28391553908]]
    np.testing.assert_allclose(y, torch_y, rtol=0, atol=1e-12)
    np.testing.assert_allclose(moved, torch_grad, rtol=0, atol=1e-12)
    torch_gain = [0.207526273911, -1.933459609555, 0.730296694654, -2.655846832279]
    np.testing.assert_allclose(layer.gain.grad, torch_gain, rtol=0, atol=1e-12)
