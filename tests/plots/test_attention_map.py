"""The plot of attention: rows look at columns, with the names of the steps."""

from typing import Any

import numpy as np
import pytest

from deepbp.errors import ShapeError
from deepbp.layers import Builder, SelfAttention
from deepbp.plots import attention_map

pytestmark = pytest.mark.usefixtures("no_screen")


def test_the_map_of_a_layer() -> None:
    layer = SelfAttention(2, causal=True)
    Builder(0).build(layer, (4, 6))
    weights = layer.attention_weights(np.random.default_rng(0).normal(size=(2, 4, 6)).astype(np.float32))
    axes: Any = attention_map(weights[1, 0], "abcd")
    np.testing.assert_allclose(axes.images[0].get_array(), weights[1, 0])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c", "d"]
    with pytest.raises(ShapeError, match=r"use weights\[0, 0\]"):
        attention_map(weights)
    with pytest.raises(ShapeError, match="a name for each row"):
        attention_map(weights[0, 0], "abc")
