"""Serialization of every built-in layer in both formats."""

import contextlib
import copy
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from every_builtin import BUILTIN_LAYERS
from stored import stored

import deepbp
from deepbp import Sequential
from deepbp.errors import FileFormatError
from deepbp.files import write_archive
from deepbp.files.network import describe_model
from deepbp.layers import Layer, same_configuration
from deepbp.testing.configuration import holds_functions
from deepbp.typing import Array, Shape


def inputs(network: Sequential) -> Array:
    """Whole numbers of at least 0, which every layer takes, those of categories, too."""
    return np.random.default_rng(0).integers(0, 2, size=(5, *(network.input_shape or ()))).astype(network.dtype)


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
@pytest.mark.parametrize(("layer", "shape"), BUILTIN_LAYERS, ids=[repr(layer) for layer, _ in BUILTIN_LAYERS])
def test_every_layer_survives_serialization(layer: Layer[Any], shape: Shape, ending: str, tmp_path: Path) -> None:
    if holds_functions(layer):
        pytest.skip("tests/files has functions")
    dtype = layer.built.dtype if layer.built else np.float64
    network = Sequential([copy.deepcopy(layer)], input_shape=shape, rng=0, dtype=dtype)
    other = stored(network, tmp_path, ending, x=inputs(network))
    assert same_configuration(other, network)
    assert repr(other) == repr(network)
    assert other.shapes == network.shapes


def absurd(value: Any) -> Iterator[Any]:
    """The same description with one whole number in it absurdly large, for each of them."""
    items = list(enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ())
    for key, inner in items:
        changes = [10**12] if type(inner) is int and key != "object" else absurd(inner)
        for changed in changes:
            copied = copy.copy(value)
            copied[key] = changed
            yield copied


@pytest.mark.parametrize(("layer", "shape"), BUILTIN_LAYERS, ids=[repr(layer) for layer, _ in BUILTIN_LAYERS])
def test_absurd_sizes_in_a_file_allocate_no_memory(layer: Layer[Any], shape: Shape, tmp_path: Path) -> None:
    if holds_functions(layer):
        pytest.skip("tests/files has functions")
    dtype = layer.built.dtype if layer.built else np.float64
    description, arrays = describe_model(Sequential([copy.deepcopy(layer)], input_shape=shape, rng=0, dtype=dtype))
    for key in ("objects", "input_shape"):
        for changed in absurd(description[key]):
            write_archive(tmp_path / "network.npz", {**description, key: changed}, arrays)
            tracemalloc.start()
            with contextlib.suppress(FileFormatError):  # what is no size may be large
                deepbp.load(tmp_path / "network.npz")
            assert tracemalloc.get_traced_memory()[1] < 20_000_000
            tracemalloc.stop()
