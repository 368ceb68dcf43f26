"""Arrays of other libraries that are several arrays, or parts of them, here: recurrent layers and attention.

PyTorch has two biases where one is enough, rows for columns, and all directions and layers in one module; Keras has the
gates of a GRU in another order, and a list of arrays without names.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from deepbp.errors import ConfigurationError
from deepbp.layers import GRU, BatchNorm, DepthwiseConv2D, Layer, SelfAttention
from deepbp.layers.recurrent import Recurrent
from deepbp.typing import Array, Shape


class Combined(NamedTuple):
    """An array of a layer here, made of arrays of a file."""

    sources: tuple[str, ...]
    shape: Shape
    combine: Callable[..., Array]


def as_numpy(array: Any) -> Any:
    """An array of another library as one of NumPy, in float32 where NumPy has no such dtype, as bfloat16."""
    if hasattr(array, "detach"):  # a tensor of PyTorch, perhaps on another device
        array = array.detach().cpu()
        array = array.float() if str(array.dtype).endswith("bfloat16") else array
    return np.asarray(array)


_RECURRENT = re.compile(r"(?:(.*)\.)?(weight|bias)_(ih|hh)_l(\d+)(_reverse)?")
_ATTENTION = {"in_proj_weight": "weight", "in_proj_bias": "bias"}
_ATTENTION |= {"out_proj.weight": "output_weight", "out_proj.bias": "output_bias"}


def from_pytorch(shapes: Mapping[str, Shape]) -> dict[str, Combined]:
    """What arrays of PyTorch's recurrent modules and of ``MultiheadAttention`` are here, by names in the same modules.

    The reverse direction of a module is the ``reversed_layer`` of ``Bidirectional``; layer k of several is module k
    inside.
    """
    made: dict[str, Combined] = {}
    matches = {name: match for name in shapes if (match := _RECURRENT.fullmatch(name))}
    several = {match[1] for match in matches.values() if match[4] != "0"}
    both = {(match[1], match[4]) for match in matches.values() if match[5]}
    for name, match in matches.items():
        if match[2] != "weight" or match[3] != "hh":
            continue
        module, number = match[1], match[4]
        place = [part for part in (module, number if module in several else "") if part]
        if (module, number) in both:
            place.append("reversed_layer" if match[5] else "layer")
        for own, one in _recurrent(name, shapes):
            made[".".join([*place, own])] = one
    for name, shape in shapes.items():
        for theirs, own in _ATTENTION.items():
            prefix = name.removesuffix(theirs)
            if prefix != name and f"{prefix}in_proj_weight" in shapes and prefix[-1:] in (".", ""):
                made[f"{prefix}{own}"] = Combined((name,), shape[::-1], np.transpose)
    return made


def _recurrent(name: str, shapes: Mapping[str, Shape]) -> Iterator[tuple[str, Combined]]:
    """The parameters of one direction of one layer, given the name of its ``weight_hh``."""
    inputs = name.replace("weight_hh", "weight_ih")
    biases = tuple(one.replace("weight", "bias") for one in (inputs, name))
    shape = shapes[name]
    if len(shape) != 2 or len(shapes.get(inputs, ())) != 2 or any(shapes.get(one) != shape[:1] for one in biases):
        return
    wide, units = shape
    yield "weight", Combined((inputs,), shapes[inputs][::-1], np.transpose)
    yield "recurrent_weight", Combined((name,), shape[::-1], np.transpose)
    if wide == 3 * units:  # a GRU, whose candidate has a bias on both sides of the reset gate
        yield "bias", Combined(biases, (wide,), _bias_of_gru)
        yield "hidden_bias", Combined(biases[1:], (units,), lambda own: own[2 * units :])
    else:
        yield "bias", Combined(biases, (wide,), np.add)


def _bias_of_gru(inputs: Array, hidden: Array) -> Array:
    gates = len(hidden) // 3 * 2
    return np.concatenate([inputs[:gates] + hidden[:gates], inputs[gates:]])


def recurrent_for_pytorch(layer: Recurrent, suffix: str = "") -> dict[str, Array]:
    """The arrays of one direction of a recurrent module, with zeros for the second bias where one is enough."""
    hidden = np.zeros_like(layer.bias.value)
    if isinstance(layer, GRU):
        hidden[2 * layer.units :] = layer.hidden_bias.value
    arrays = {"weight_ih": layer.weight.value.T, "weight_hh": layer.recurrent_weight.value.T}
    arrays |= {"bias_ih": layer.bias.value, "bias_hh": hidden}
    return {f"{name}_l0{suffix}": array for name, array in arrays.items()}


def attention_for_pytorch(layer: SelfAttention) -> dict[str, Array]:
    """The arrays of a ``MultiheadAttention``."""
    return {theirs: getattr(layer, own).value.T for theirs, own in _ATTENTION.items()}


def arrays_for_keras(network: Layer[Any]) -> dict[str, Array]:
    """The arrays of ``model.set_weights``, as ``arr_0``, ``arr_1``, …, in the order of the layers."""
    every, found = {"": network, **network.named_layers()}, list[Array]()
    owners = dict.fromkeys(name.rpartition(".")[0] for name in (*network.named_parameters(), *network.named_buffers()))
    for owner in map(every.__getitem__, owners):
        for own in _of_keras(owner):
            array: Array = getattr(owner, own).value
            if isinstance(owner, GRU):
                hidden = np.zeros_like(owner.bias.value)
                hidden[2 * owner.units :] = owner.hidden_bias.value
                array = gates_of_keras(np.stack([array, hidden]) if own == "bias" else array)  # its own inverse
            if isinstance(owner, DepthwiseConv2D) and own == "weight":
                array = array.reshape(*array.shape[:2], owner.groups, owner.multiplier)
            found.append(array)
    return {f"arr_{i}": array for i, array in enumerate(found)}


def gates_of_keras(array: Array) -> Array:
    """The last axis of an array of a GRU, whose gates Keras has in the order z, r, h, in the order r, u, n; or back."""
    update, reset, candidate = np.split(array, 3, axis=-1)
    return np.concatenate([reset, update, candidate], axis=-1)


def from_keras(shapes: Mapping[str, Shape], network: Layer[Any]) -> dict[str, Combined]:
    """What the arrays ``arr_0``, ``arr_1``, … of ``model.get_weights()`` are here, in the order of the layers.

    Raises ConfigurationError if their number is another one.
    """
    every = {"": network, **network.named_layers()}
    owners = dict.fromkeys(name.rpartition(".")[0] for name in (*network.named_parameters(), *network.named_buffers()))
    wanted = [(owner, own) for owner in owners for own in _of_keras(every[owner])]
    found = sorted(shapes, key=lambda name: (len(name), name))
    if found != [f"arr_{i}" for i in range(len(wanted))]:
        raise ConfigurationError(
            f"the file: expected {len(wanted)} arrays of a Keras model, arr_0, arr_1, ..., got {', '.join(found)}: "
            "write them with safetensors.numpy.save_file({f'arr_{i}': numpy.ascontiguousarray(a) for i, a in "
            "enumerate(model.get_weights())}, path)"
        )
    made: dict[str, Combined] = {}
    for name, (owner, own) in zip(found, wanted, strict=True):
        prefix, shape = f"{owner}." if owner else "", shapes[name]
        if isinstance(every[owner], DepthwiseConv2D) and len(shape) == 4:  # (KH, KW, C, M) there, (KH, KW, 1, C·M) here
            here = (*shape[:2], 1, shape[2] * shape[3])
            made[prefix + own] = Combined((name,), here, lambda array, here=here: array.reshape(here))
        elif not isinstance(every[owner], GRU):
            made[prefix + own] = Combined((name,), shape, np.asarray)
        elif own != "bias" or len(shape) != 2:
            made[prefix + own] = Combined((name,), shape, gates_of_keras)
        else:
            units = shape[1] // 3
            made[f"{prefix}bias"] = Combined((name,), shape[1:], lambda both: _bias_of_gru(*gates_of_keras(both)))
            made[f"{prefix}hidden_bias"] = Combined(
                (name,), (units,), lambda both, units=units: gates_of_keras(both)[1, 2 * units :]
            )
    return made


def _of_keras(layer: Layer[Any]) -> list[str]:
    """A layer's own arrays in the order of Keras."""
    own = [name for name in (*layer.named_parameters(), *layer.named_buffers()) if "." not in name]
    if isinstance(layer, BatchNorm):
        return ["gain", "shift", "running_mean", "running_variance"]
    return [name for name in own if name != "hidden_bias"]  # a row of the bias in Keras
