"""Every layer that comes with deepbp can be stored, in both formats, and comes back as it was."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from every_builtin import BUILTIN_LAYERS
from stored import stored

from deepbp import Sequential
from deepbp.layers import Layer, same_configuration
from deepbp.testing.configuration import holds_functions
from deepbp.typing import Array, Shape


def inputs(network: Sequential) -> Array:
    """Whole numbers of at least 0, which every layer takes, those of categories, too."""
    return np.random.default_rng(0).integers(0, 2, size=(5, *(network.input_shape or ()))).astype(network.dtype)


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
@pytest.mark.parametrize(("layer", "shape"), BUILTIN_LAYERS, ids=[repr(layer) for layer, _ in BUILTIN_LAYERS])
def test_every_layer_comes_back(layer: Layer[Any], shape: Shape, ending: str, tmp_path: Path) -> None:
    if holds_functions(layer):
        pytest.skip("tests/files has functions")
    dtype = layer.built.dtype if layer.built else np.float64
    network = Sequential([copy.deepcopy(layer)], input_shape=shape, rng=0, dtype=dtype)
    other = stored(network, tmp_path, ending, x=inputs(network))
    assert same_configuration(other, network)
    assert repr(other) == repr(network)
    assert other.shapes == network.shapes
