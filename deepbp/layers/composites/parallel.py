"""Several layers that get the same input."""

from collections.abc import Sequence
from typing import Any

from attrs import define, field

from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.layers.composites.branched import Branched
from deepbp.layers.composites.inner import as_layer
from deepbp.layers.composites.merging import Merge, valid_merge
from deepbp.layers.layer import Layer


def as_branches(branches: Any) -> "tuple[Layer[Any] | None, ...]":
    """A converter: each a layer, a list of layers, or None for one that passes its input on."""
    if not isinstance(branches, list | tuple):
        raise ArgumentTypeError(f"branches: expected a list of layers, got {branches!r}: write [Dense(4), ...]")
    if not branches:
        raise ConfigurationError("branches: expected at least one branch, got an empty list")
    return tuple(None if one is None else as_layer(one, f"branches.{i}") for i, one in enumerate(branches))


@define(eq=False)
class Parallel(Branched):
    """y = merge(f₁(x), f₂(x), …): each branch gets the same input.

    Backward: with "concat" each branch gets its columns of δ, with "add" all of it, with "mean" δ / n, and with
    "multiply" δ · Π of the other branches' outputs, which is multiplied out, not divided, so it is right at 0. The
    input was copied, so what the branches pass back adds: ∂L/∂x = Σ fᵢ.backward(δᵢ).

    A network of several outputs ends with one of these: its columns are the outputs one beside the other. See ``Split``
    for several inputs.

    Args:
        branches: each a layer, a list of layers, or None, which passes the input on as it is.
        merge: "concat", side by side along the last axis; "add"; "multiply"; or "mean".

    Raises:
        ShapeError: when built, where the branches' outputs do not fit together.

    Source: Szegedy et al. 2015 for branches side by side; Srivastava, Greff & Schmidhuber 2015 for products, as gates.
    """

    branches: "Sequence[Layer[Any] | None]" = field(converter=as_branches)
    merge: Merge = field(default="concat", kw_only=True, validator=valid_merge)

    def named_branches(self) -> "dict[str, Layer[Any] | None]":
        return {f"branches.{i}": layer for i, layer in enumerate(self.branches)}

    def merging(self) -> Merge:
        return self.merge
