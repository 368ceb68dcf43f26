"""What a body makes of the input is added to the input itself."""

from collections.abc import Sequence
from typing import Any

from attrs import define, field

from deepbp.errors import ShapeError
from deepbp.layers.composites.branched import Branched
from deepbp.layers.composites.inner import as_layer
from deepbp.layers.composites.merging import Merge
from deepbp.layers.layer import Layer
from deepbp.typing import Shape


def _as_body(body: Any) -> Layer[Any]:
    return as_layer(body, "body")


def _as_shortcut(shortcut: Any) -> Layer[Any] | None:
    return None if shortcut is None else as_layer(shortcut, "shortcut")


@define(eq=False)
class Residual(Branched):
    """y = body(x) + shortcut(x): the body learns what is to be added to x, and errors pass by it unhindered.

    Backward: both terms get δ, and x acts through both, so ∂L/∂x = body.backward(δ) + shortcut.backward(δ). With the
    plain shortcut that is body.backward(δ) + δ, which does not vanish where the body's part does: many blocks in a row
    still learn.

    Args:
        body: a layer, or a list of layers, one after another.
        shortcut: a layer that gives x the shape of the body's output, such as ``Dense(n)``; None passes x on as it is.

    Raises:
        ShapeError: when built, where the two do not fit.

    Source: He, Zhang, Ren & Sun 2016.
    """

    body: Layer[Any] = field(converter=_as_body)
    shortcut: Layer[Any] | None = field(default=None, converter=_as_shortcut)

    def named_branches(self) -> "dict[str, Layer[Any] | None]":
        return {"body": self.body, "shortcut": self.shortcut}

    def merging(self) -> Merge:
        return "add"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        body, shortcut = shapes
        if body != shortcut:
            fix = "give the body an output of that shape, or shortcut= a layer that makes the body's"
            if len(body) == len(shortcut) == 1:
                fix = f"end the body with Dense({shortcut[0]}), or give shortcut=Dense({body[0]})"
            name = "the input itself" if self.shortcut is None else "the shortcut"
            raise ShapeError(
                f"the body gives samples of shape {body}, {name}, of shape {shortcut}, is to be added to it: {fix}"
            )
        return body
