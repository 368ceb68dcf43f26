"""Saying in words why an array does not fit a layer that is used by itself; a network has checked its arrays before."""

from typing import Any, Literal

import numpy as np

from deepbp.errors import ArgumentTypeError, DataTypeError, DeepBPError, NotBuiltError, ShapeError
from deepbp.layers.layer import Layer
from deepbp.typing import Array


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
        from deepbp.kernels.refusals import WHOLE_NUMBERS  # kernels are loaded at their first use

        raise refusal(layer, DataTypeError(WHOLE_NUMBERS), name, z)


def expect_alike(output: Array, delta: Array) -> None:
    """Refuse an error signal of another shape than the output, before NumPy repeats it along an axis."""
    if output.shape != delta.shape:
        from deepbp.kernels.refusals import OTHER_SHAPE

        raise ShapeError(OTHER_SHAPE, output.shape, delta.shape)
