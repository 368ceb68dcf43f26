"""Features lie along the last axis: what layers have in common that hold a number for each of them."""

from typing import Any

from deepbp.arrays import ones
from deepbp.errors import NotBuiltError, ShapeError
from deepbp.layers.layer import Layer
from deepbp.layers.refusal import expect_floats, refusal
from deepbp.parameter import Parameter
from deepbp.typing import Array, Shape


def features_of(input_shape: Shape) -> Shape:
    """``(F,)`` of samples (…, F). Raises ShapeError for samples that are single numbers."""
    if not input_shape:
        raise ShapeError("expects samples with an axis of features, got (): single numbers have none")
    return input_shape[-1:]


def expect_features(layer: Layer[Any], x: Any, held: Parameter) -> None:
    """Refuse what is no array (B, …, F) of floats, where F is the length of ``held``, before NumPy repeats it."""
    try:
        features = held.value.shape[0]
    except NotBuiltError as error:
        raise error.placed(repr(layer)) from None
    expect_floats(layer, x, "x")
    if x.ndim < 2 or x.shape[-1] != features:
        raise refusal(layer, ValueError(f"expected {features} features along the last axis"), "x", x)


def accumulate_features(parameter: Parameter, shares: Array) -> None:
    """Add to the gradient of a parameter (F,) the shares (B, …, F), summed over all axes but the last."""
    rows = shares.reshape(-1, shares.shape[-1])
    parameter.accumulate_product(ones(len(rows), rows.dtype), rows)
