"""Saying of an error inside a layer made of layers where it happened."""

from typing import Any

from deepbp.errors import DeepBPError
from deepbp.layers.layer import Layer
from deepbp.typing import Shape


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
