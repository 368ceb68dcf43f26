"""The arrays of a network as PyTorch or Keras have them, and files of them."""

from collections.abc import Mapping
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args, overload

import numpy as np

from deepbp._validation import require_built
from deepbp.errors import ConfigurationError
from deepbp.errors.validators import check_word
from deepbp.files.foreign_arrays import arrays_for_keras, attention_for_pytorch, recurrent_for_pytorch
from deepbp.files.network import state_dict
from deepbp.files.weights import (
    Convention,
    Conversion,
    flattened_images,
    kernels_last,
    leaf_of,
    outputs_last,
    owner_of,
    translation,
)
from deepbp.layers import Bidirectional, Dense, Layer, SelfAttention
from deepbp.layers.chain import column_names_of
from deepbp.layers.recurrent import Recurrent
from deepbp.storage.atomic import is_stream
from deepbp.storage.formats import write_file
from deepbp.typing import Array, Shape

_BACK: dict[Any, Conversion] = {
    np.transpose: np.transpose,
    np.asarray: np.asarray,
    outputs_last: lambda array: np.moveaxis(array, -1, 0),
    kernels_last: lambda array: np.transpose(array, (-1, -2, *range(array.ndim - 2))),
}


def weights_for(network: Layer[Any], convention: Literal["keras", "pytorch"]) -> dict[str, Array]:
    """The arrays of a network as PyTorch or Keras have them: the reverse of ``load_weights``.

    For PyTorch they are a ``state_dict`` whose modules have the paths of the layers, such as ``"0.weight"``; for Keras,
    ``model.set_weights([*arrays.values()])`` takes them.

    >>> from deepbp import Sequential
    >>> from deepbp.files import weights_for
    >>> from deepbp.layers import GRU, Dense
    >>> net = Sequential([GRU(4), Dense(2)], input_shape=(None, 3), rng=0)
    >>> {name: array.shape for name, array in weights_for(net, "pytorch").items()}["0.weight_hh_l0"]
    (12, 4)
    >>> [array.shape for array in weights_for(net, "keras").values()]
    [(3, 12), (4, 12), (2, 12), (4, 2), (2,)]

    Args:
        network: the built network.
        convention: of the arrays.

    Raises:
        ConfigurationError: for a layer that PyTorch does not have.
    """
    require_built(network, network.built)
    if check_word("convention", convention, ("keras", "pytorch")) == "keras":
        arrays = arrays_for_keras(network)
    else:
        arrays = {}
        held, images = {"": network, **network.named_layers()}, flattened_images(network)
        for owner in dict.fromkeys(map(owner_of, state_dict(network))):
            arrays |= _of_layer(owner, held, images.get(owner, ()))
    return {name: np.array(array, order="C") for name, array in arrays.items()}


def _of_layer(owner: str, held: Mapping[str, Layer[Any]], image: Shape) -> dict[str, Array]:
    layer, module = held[owner], owner
    if isinstance(layer, SelfAttention):
        arrays = attention_for_pytorch(layer)
    elif isinstance(layer, Recurrent):
        is_both = isinstance(held.get(owner_of(owner)), Bidirectional)
        module = owner_of(owner) if is_both else owner
        arrays = recurrent_for_pytorch(layer, "_reverse" if is_both and leaf_of(owner) == "reversed_layer" else "")
    else:
        known = translation(layer).items()
        arrays = {
            name: _BACK[convert](_channels_first(layer, own, image))
            for name, (own, convert) in known
            if getattr(layer, own)
        }
        if not arrays:
            raise ConfigurationError(f"weights_for: PyTorch has no module for {layer}")
    return {f"{module}.{name}".lstrip("."): array for name, array in arrays.items()}


def _channels_first(layer: Layer[Any], own: str, image: Shape) -> Array:
    """A layer's array, whose rows are moved from the order (H, W, C) of a flattened image to (C, H, W)."""
    value: Array = getattr(layer, own).value
    if not image or value.shape[:1] != (prod(image),) or (isinstance(layer, Dense) and own == "bias"):
        return value
    return np.moveaxis(value.reshape(*image, *value.shape[1:]), len(image) - 1, 0).reshape(value.shape)


@overload
def save_weights(network: Layer[Any], path: str | PathLike[str], *, convention: Convention = "deepbp") -> Path: ...


@overload
def save_weights(network: Layer[Any], path: BinaryIO, *, convention: Convention = "deepbp") -> BinaryIO: ...


def save_weights(
    network: Layer[Any], path: str | PathLike[str] | BinaryIO, *, convention: Convention = "deepbp"
) -> Path | BinaryIO:
    """Serialize the parameters and buffers of a network, without its architecture, for ``load_weights``.

    >>> from deepbp import Sequential
    >>> from deepbp.files import save_weights
    >>> from deepbp.layers import Dense, ReLU
    >>> net = Sequential([Dense(4), ReLU(), Dense(2)], input_shape=3, rng=0)
    >>> save_weights(net, "net.safetensors", convention="pytorch").name
    'net.safetensors'
    >>> net.load_weights("net.safetensors", convention="pytorch")
    4 loaded

    Args:
        network: the built network.
        path: a name ending in ``.npz`` or in ``.safetensors``, or a stream, as of ``save``.
        convention: ``"pytorch"`` for the arrays of a ``state_dict``, which ``safetensors.torch.load_file`` reads;
            ``"keras"`` for those of ``model.set_weights``, by the names ``arr_0``, ``arr_1``, … See ``weights_for``.

    Raises:
        ConfigurationError: for another ending; for a layer that PyTorch does not have.
        NotBuiltError: when the sizes are not known yet.
        OSError: when the folder does not exist, the disk is full, and so on.
    """
    require_built(network, network.built)
    check_word("convention", convention, get_args(Convention))
    if convention == "deepbp":
        arrays = {name: part.value for name, part in state_dict(network).items()}
    else:
        arrays = weights_for(network, convention)
    write_file(path, {"kind": "weights", **column_names_of(network)}, arrays)
    return path if is_stream(path) else Path(path)  # type: ignore[arg-type]  # a path, then
