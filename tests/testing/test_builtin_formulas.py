"""Every stated backward pass of deepbp follows from its forward formula by the rules."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from every_builtin import ACTIVATIONS, BUILTIN_LAYERS, OTHERS

from deepbp import Sequential
from deepbp.formulas.derive import Derived
from deepbp.formulas.formula_text import read
from deepbp.formulas.language import evaluate
from deepbp.layers import (
    Chain,
    Layer,
    Parallel,
    Penalized,
    Repeat,
    Residual,
    Split,
    StopGradient,
)
from deepbp.testing.comparisons import values_of_fields
from deepbp.typing import Shape

EVERY = [
    (layer, shape) for layer, shape in (*ACTIVATIONS, *OTHERS, *BUILTIN_LAYERS) if not isinstance(layer, Sequential)
]
WITHOUT = {"Activation", "Masked", "EncoderDecoder"}
WITHOUT |= {"SimpleRNN", "GRU", "LSTM", "Bidirectional", "SelfAttention", "CrossAttention", "PerStep"}
"""Layers that state no formula; composites state a graph, whose parts state theirs."""
COMPOSITES = (Chain, Parallel, Penalized, Repeat, Residual, Split)
LAYERS = [pair for pair in EVERY if not isinstance(pair[0], (*COMPOSITES, StopGradient))]
LAYERS = [pair for pair in LAYERS if type(pair[0]).__name__ not in WITHOUT]

READABLE = {
    "Sigmoid": ("delta * y * (1 - y)", 1.0),
    "Tanh": ("delta * (1 - y**2)", 1.0),
    "Softmax": ("y * (delta - row_sum(delta * y))", 1.0),
    "LogSoftmax": ("delta - exp(y) * row_sum(delta)", 1.0),
    "SiLU": (None, 1.3),
    "GELU": (None, 1.3),
    "LayerNorm": (None, 1.3),
    "RMSNorm": (None, 1.3),
    "BatchNorm": (None, 1.3),
}


def derived(layer: Layer[Any], shape: Shape) -> tuple[Derived, dict[str, Any], Layer[Any]]:
    layer = deepcopy(layer)
    net = Sequential([layer], input_shape=shape, rng=0, dtype="float64")
    rng = np.random.default_rng(0)
    for parameter in layer.parameters():
        parameter.value = rng.standard_normal(parameter.value.shape)
    x = rng.standard_normal((5, *shape))
    assert net.built is not None
    stated = layer.stated_formula()
    assert stated is not None
    drawn = {name: rng.standard_normal(x.shape) for name in stated.saved}
    names = {
        **values_of_fields(layer),
        **drawn,
        "x": x,
        "input_shape": x.shape,
        "output_shape": (5, *net.built.output_shape),
    }
    found = Derived.of(read(stated.forward), ("x", *layer.named_parameters()), names)
    return found, {**names, "y": found.values.names["y"], "delta": found.values.names["delta"]}, layer


@pytest.mark.parametrize("pair", LAYERS, ids=lambda pair: f"{pair[0]}-{pair[1]}")
def test_the_derived_gradients_are_the_stated_ones(pair: tuple[Layer[Any], Shape]) -> None:
    found, names, layer = derived(*pair)
    stated = layer.stated_formula()
    assert stated is not None
    for name, expected in {"x": stated.passed_back, **stated.gradients}.items():
        one, other = evaluate(found.text(name), names), evaluate(expected, names)
        assert np.shape(one) == np.shape(other)
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", READABLE)
def test_they_read_like_the_stated_ones(name: str) -> None:
    pair = next(pair for pair in LAYERS if type(pair[0]).__name__ == name)
    expected, factor = READABLE[name]
    text = derived(*pair)[0].text("x")
    stated = type(pair[0]).formula
    assert stated is not None
    assert len(text) <= factor * max(len(stated.passed_back), len(expected or ""))
    assert expected is None or text == expected
