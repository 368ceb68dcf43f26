"""Saying in words why an array does not fit a layer that is used by itself; a network has checked its arrays before."""

from typing import Any, Literal

import numpy as np

from deepbp.errors import ArgumentTypeError, DataTypeError, DeepBPError, NotBuiltError, ShapeError
from deepbp.layers.layer import Layer


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
