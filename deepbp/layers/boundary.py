"""Saying in words why an array does not fit a layer that is used by itself; a network has checked its arrays before."""

from typing import Any, Literal

import numpy as np
from attrs import frozen

from deepbp.errors import ArgumentTypeError, ContractError, DataTypeError, DeepBPError, NotBuiltError, ShapeError
from deepbp.layers.layer import Layer
from deepbp.typing import Array, Shape


def refusal(layer: Layer[Any], error: Exception, name: Literal["x", "z", "delta"], array: Any) -> Exception:
    """What to raise where an array made NumPy raise ``error``: who expected which shape, and what came.

    The error itself where the array is not the reason.
    """
    if isinstance(error, NotBuiltError):
        return error.placed(repr(layer))
    if not isinstance(array, np.ndarray) or array.ndim == 0:
        return ArgumentTypeError(
            f"{layer}: {name}: expected an array with samples along axis 0, got {array!r}: use numpy.asarray({name})"
        )
    shape = layer.built and (layer.built.output_shape if name == "delta" else layer.built.input_shape)
    if shape is not None and array.shape[1:] != shape:
        return ShapeError(f"{layer}: {name}: expected samples of shape {shape}, got an array of shape {array.shape}")
    if array.dtype.kind not in "fiu":
        return DataTypeError(f"{layer}: {name}: expected an array of float32 or float64, got {array.dtype}")
    if isinstance(error, ValueError) and not isinstance(error, DeepBPError):
        return ShapeError(f"{layer}: {name}: cannot take an array of shape {array.shape}: {error}")
    return error


def expect_floats(layer: Layer[Any], z: Any, name: Literal["x", "z"] = "z") -> None:
    """Refuse what is no array of float32 or float64 with samples along axis 0, before NumPy makes something of it."""
    dtype = getattr(z, "dtype", None)
    if dtype is None or dtype.kind != "f" or z.ndim == 0:
        from deepbp.kernels._messages import WHOLE_NUMBERS

        raise refusal(layer, DataTypeError(WHOLE_NUMBERS), name, z)


def expect_alike(output: Array, delta: Array) -> None:
    """Refuse an error signal of another shape than the output, before NumPy repeats it along an axis."""
    if output.shape != delta.shape:
        from deepbp.kernels._messages import OTHER_SHAPE

        raise ShapeError(OTHER_SHAPE, output.shape, delta.shape)


def place_of(name: str, layer: Layer[Any]) -> str:
    """``layer 2, Dense(4)``: of a layer made of layers the class alone, for those inside are named when it is they."""
    inside = any(isinstance(found, Layer) for found in layer.named_layers().values())
    return f"{name}, {type(layer).__name__ if inside else layer}"


def explained(error: Exception, place: str, method: str, shape: Shape, input_shape: Shape) -> Exception:
    """The error that a method raised, to be raised again: with the place in its message, or beside it in a note.

    ``shape`` is that of the array which came in.
    """
    if isinstance(error, DeepBPError):
        return error.placed(place)
    got = "delta of shape" if method.startswith("backward") else "input of shape"
    layer_input = str(("samples", *input_shape)).replace("'", "")
    error.add_note(f"in {place}: {method}, {got} {shape}; the layer's input is {layer_input}")
    return error


@frozen(eq=False)
class CheckedLayer:
    """Runs a layer and checks what it returns: a pair, and arrays of the promised shapes."""

    layer: Layer[Any]
    input_shape: Shape
    output_shape: Shape

    def forward(self, x: Array) -> tuple[Array, Any]:
        pair: Any = self.layer.forward(x)
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise ContractError(f"forward: expected the pair (output, saved), returned {_describe(pair)}")
        self._check(pair[0], (len(x), *self.output_shape), "forward: build promised an output")
        return pair

    def backward(self, saved: Any, delta: Array) -> Array:
        moved = self.layer.backward(saved, delta)
        self._check(moved, (len(delta), *self.input_shape), "backward: expected the error signal of the input,")
        return moved

    def backward_parameters(self, saved: Any, delta: Array) -> None:
        self.layer.backward_parameters(saved, delta)

    def penalty(self, saved: Any) -> float:
        value: Any = self.layer.penalty(saved)
        if not isinstance(value, float):
            raise ContractError(f"penalty: expected a float, what is added to the loss, returned {_describe(value)}")
        return value

    def infer(self, x: Array) -> Array:
        output = self.layer.infer(x)
        self._check(output, (len(x), *self.output_shape), "predict: build promised an output")
        return output

    def _check(self, value: Any, shape: Shape, expected: str) -> None:
        if not isinstance(value, np.ndarray) or value.shape != shape:
            raise ContractError(f"{expected} of shape {shape}, returned {_describe(value)}")


def checked(layer: Layer[Any], input_shape: Shape, output_shape: Shape) -> "Layer[Any] | CheckedLayer":
    """The layer itself where it is deepbp's own and proven by its tests, for checks cost a small net a fifth."""
    own = type(layer).__module__.partition(".")[0] == "deepbp"
    return layer if own else CheckedLayer(layer, input_shape, output_shape)


def _describe(value: object) -> str:
    return f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else f"{value!r}"
