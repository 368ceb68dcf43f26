"""Merging of branches: concatenation, sum, product or mean, and the gradient of each."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from attrs import Attribute

from deepbp.errors import ArgumentTypeError, ConfigurationError, ShapeError, shown
from deepbp.typing import Array, Shape

Merge: TypeAlias = Literal["concat", "add", "multiply", "mean"]
"""Side by side along the last axis; Σ fᵢ; Π fᵢ; Σ fᵢ / n."""


def validate_merge(instance: Any, attribute: "Attribute[Merge]", value: Merge) -> None:
    """Validate the name of a merge rule."""
    names = ", ".join(map(repr, get_args(Merge)))
    place = f"{type(instance).__name__}: merge: expected one of {names}, got {shown(value)}"
    if not isinstance(value, str):
        raise ArgumentTypeError(place)
    if value not in get_args(Merge):
        raise ConfigurationError(place)


def merged_shape(merge: Merge, shapes: Sequence[Shape]) -> Shape:
    """The sample shape of the merged outputs, from the branches' output shapes."""
    listed = " and ".join(map(str, dict.fromkeys(shapes)))
    if merge == "concat":
        if () in shapes or len({shape[:-1] for shape in shapes}) > 1:
            raise ShapeError(
                f"merge='concat' lays samples side by side along their last axis, so all other sizes must be equal, "
                f"got {listed}: end the branches with Flatten() or Reshape(...)"
            )
        return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))
    if len(set(shapes)) > 1:
        raise ShapeError(
            f"merge={merge!r} needs branches that give samples of one shape, got {listed}: "
            "end the others with a layer such as Dense(n), or use merge='concat'"
        )
    return shapes[0]


def merge_outputs(merge: Merge, outputs: Sequence[Array]) -> Array:
    """Merge the branches' outputs into one array."""
    if merge == "concat":
        return np.concatenate(outputs, axis=-1)
    if merge == "multiply":
        return _product(outputs)
    total = sum_arrays(outputs)
    return total / len(outputs) if merge == "mean" else total


def split_delta(merge: Merge, widths: Sequence[int], outputs: Sequence[Array], delta: Array) -> list[Array]:
    """Return the upstream gradient of each branch's output.

    Args:
        widths: the last sizes of the branches' outputs, for "concat".
        outputs: the branches' outputs, for "multiply".
    """
    if merge == "concat":
        ends = list(accumulate(widths))
        return [delta[..., end - width : end] for width, end in zip(widths, ends, strict=True)]
    if merge == "multiply":
        return [_product([delta, *outputs[:i], *outputs[i + 1 :]]) for i in range(len(outputs))]
    share = delta / len(widths) if merge == "mean" else delta
    return [share] * len(widths)


def sum_arrays(arrays: Sequence[Array]) -> Array:
    """The sum of the arrays; a single array is returned as it is."""
    total = arrays[0]
    for position, array in enumerate(arrays[1:]):
        total = np.add(total, array, out=total if position else None)  # the first sum makes a new array
    return total


def _product(arrays: Sequence[Array]) -> Array:
    """The product of the arrays. A quotient instead would fail at 0."""
    product = arrays[0]
    for array in arrays[1:]:
        product = product * array
    return product
