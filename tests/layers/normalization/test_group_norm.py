"""Group normalisation: every sample by the means and variances of groups of its features."""

from math import sqrt
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.errors import DeepBPError, ShapeError
from deepbp.layers import Builder, GroupNorm, LayerNorm
from deepbp.typing import Array


def built(layer: Any, *shape: int) -> Any:
    Builder(0, "float64").build(layer, shape)
    return layer


def by_hand(x: Array, groups: int, gain: Array, shift: Array, epsilon: float) -> Array:
    y, width = np.empty_like(x), x.shape[-1] // groups
    for sample in range(len(x)):
        for start in range(0, x.shape[-1], width):
            block = x[sample, ..., start : start + width]  # all places, and the features of this group
            mean = sum(block.flat) / block.size
            variance = sum((v - mean) ** 2 for v in block.flat) / block.size
            for feature in range(start, start + width):
                normal = (x[sample, ..., feature] - mean) / sqrt(variance + epsilon)
                y[sample, ..., feature] = gain[feature] * normal + shift[feature]
    return y


@pytest.mark.parametrize(("groups", "shape"), [(2, (6,)), (3, (6,)), (1, (4, 6)), (6, (4, 6)), (2, (2, 3, 6))])
@pytest.mark.parametrize("epsilon", [1e-5, 0.3])
def test_each_group_written_out(groups: int, shape: tuple[int, ...], epsilon: float, rng: np.random.Generator) -> None:
    layer, x = built(GroupNorm(groups, epsilon=epsilon), *shape), rng.normal(2, 3, (5, *shape))
    gain, shift = rng.normal(size=6), rng.normal(size=6)
    layer.gain.value, layer.shift.value = gain, shift
    np.testing.assert_allclose(layer.forward(x)[0], by_hand(x, groups, gain, shift, epsilon), rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(layer.predict(x), layer.forward(x)[0])


def test_one_group_of_flat_samples_is_layer_normalisation(rng: np.random.Generator) -> None:
    x, delta = rng.normal(size=(2, 5, 4))
    one, other = built(GroupNorm(1), 4), built(LayerNorm(), 4)
    (y, saved), (expected, theirs) = one.forward(x), other.forward(x)
    np.testing.assert_allclose(y, expected, rtol=1e-13)
    np.testing.assert_allclose(one.backward(saved, delta), other.backward(theirs, delta), rtol=1e-12)


def test_numbers_of_pytorch() -> None:
    """torch.nn.GroupNorm(2, 4) of PyTorch 2.13, in float64: groups of neighbours, ε inside the root."""
    layer = built(GroupNorm(2), 4)
    layer.gain.value, layer.shift.value = np.array([1.5, -0.5, 2.0, 1.0]), np.array([0.25, 1.0, 0.0, -1.0])
    y, saved = layer.forward(np.array([[1.0, 2.0, 4.0, -3.0], [0.5, -6.0, 0.0, 2.0]]))
    moved = layer.backward(saved, np.array([[1.0, -2.0, 0.5, 3.0], [-1.0, 0.25, 2.0, 1.0]]))
    torch_y = [[-1.2499700009, 0.5000099997, 1.999999183674, -1.999999591837]]
    torch_y += [[1.749999289941, 1.499999763314, -1.999990000075, -4.999962500252e-06]]
    torch_grad = [[1.999880006043e-05, -1.999880005954e-05, -2.332358659540e-07, 2.332358659540e-07]]
    torch_grad += [[-2.002728152206e-07, 2.002728152761e-07, 1.499977500252e-05, -1.499977500252e-05]]
    np.testing.assert_allclose(y, torch_y, rtol=0, atol=1e-12)
    np.testing.assert_allclose(moved, torch_grad, rtol=0, atol=1e-14)
    torch_gain = [-1.999979527228, -2.249959882857, -1.499990204157, -2.000003775473]
    np.testing.assert_allclose(layer.gain.grad, torch_gain, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("groups", "shape", "message"),
    [
        (4, (6,), r"layer 0, GroupNorm\(4\): cannot cut 6 features into 4 equal groups, got \(6,\)"),
        (12, (2, 6), r"layer 0, GroupNorm\(12\): cannot cut 6 features into 12 equal groups, got \(2, 6\)"),
        (6, (6,), r"layer 0, GroupNorm\(6\): expects groups of at least 2 numbers, got \(6,\): a number minus"),
        (1, (1,), r"layer 0, GroupNorm\(1\): expects groups of at least 2 numbers, got \(1,\): a number minus"),
    ],
)
def test_groups_that_make_no_sense(groups: int, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(DeepBPError, match=message) as caught:
        Sequential([GroupNorm(groups)], input_shape=shape)
    assert type(caught.value) is ShapeError
