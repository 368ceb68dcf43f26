"""Why is this gradient this number? The chain of factors, with values, and its check by a difference."""

from copy import deepcopy
from typing import Any, Self

import numpy as np
from attrs import frozen

from deepbp.derivation.document import Block, Document, Heading, Paragraph, Values, Written
from deepbp.derivation.expressions import Math, alone
from deepbp.derivation.paths import Index, entry, paths, rounded
from deepbp.derivation.price import Price
from deepbp.derivation.step import derivative
from deepbp.derivation.trace import Trace
from deepbp.errors import PositionError
from deepbp.layers import Layer
from deepbp.layers.pen import Symbol
from deepbp.testing.numeric_gradient import numeric_gradient
from deepbp.typing import Array

_DIFFERENCE = Math(("(L(w + h) - L(w - h)) / (2 * h)",), {"L": Symbol("L"), "w": Symbol("w"), "h": Symbol("h")})


@frozen(eq=False, repr=False)
class Explanation(Written):
    """One entry of one gradient: how it comes about, and what its definition gives. It prints itself.

    Attributes:
        parameter, index: such as ``"0.weight"`` and ``(1, 2)``.
        gradient: ∂L/∂weight, from the trace.
        numeric: the same as a difference, (L(w + h) − L(w − h)) / 2h, in float64.
    """

    trace: Trace
    parameter: str
    index: Index
    gradient: float
    numeric: float

    @classmethod
    def of(cls, trace: Trace, parameter: str, index: int | Index) -> Self:
        """Raises PositionError where there is no such parameter, or no such entry."""
        if parameter not in trace.gradients:
            raise PositionError(
                f"explain: no parameter {parameter!r}: there are {', '.join(trace.gradients) or 'none'}"
            )
        gradient = trace.gradients[parameter]
        place = index if isinstance(index, tuple) else (index,)
        if len(place) != gradient.ndim or any(not -n <= i < n for i, n in zip(place, gradient.shape, strict=True)):
            raise PositionError(f"explain: {parameter} has shape {gradient.shape}, there is no entry {index}")
        exact = tuple(int(i) % n for i, n in zip(place, gradient.shape, strict=True))
        return cls(trace, parameter, exact, float(gradient[exact]), _difference(trace, parameter, exact))

    def document(self) -> Document:
        places = {
            f"{one.step.place}.{name}".lstrip("."): symbol
            for one in reversed(self.trace.steps)
            for name, symbol in one.step.parameters.items()
            if not isinstance(one.step, Price)
        }
        symbol = places[self.parameter]
        weight, shown = entry(symbol, self.index), list(self.index)
        uses = [
            (position, name)
            for position, one in enumerate(self.trace.steps)
            for name, other in one.step.parameters.items()
            if other == symbol
        ]
        first, name = uses[0]
        blocks: list[Block] = [
            Paragraph((alone(weight), f" is entry {shown} of {self.parameter}:")),
            Values(alone(weight), self.trace.steps[first].parameters[name][self.index]),
        ]
        for position, name in uses:
            step = self.trace.steps[position].step
            if isinstance(step, Price):
                blocks.append(Heading(f"Its penalty, {step.penalty}"))
            elif len(uses) > 1:
                blocks.append(Heading(f"Its use in layer {step.place}"))
            blocks += paths(self.trace, position, name, self.index)
        added = "the shares of all uses, added" if len(uses) > 1 else "all shares, added"
        blocks += [
            Heading("The result, and its check"),
            Values(alone(derivative(weight)), np.asarray(self.gradient), added),
            Values(_DIFFERENCE, np.asarray(self.numeric), "the difference that defines it, in float64"),
            Paragraph((f"They are {abs(self.gradient - self.numeric):.1e} apart.",)),
        ]
        return Document(f"Why the gradient of {self.parameter}{shown} is {rounded(self.gradient)}", tuple(blocks))


def _difference(trace: Trace, parameter: str, index: Index) -> float:
    """The central difference, each time on a fresh copy: layers that are random draw the same numbers again."""
    x, y = _wide(trace.data.x), _wide(trace.data.y)
    weight = None if trace.data.sample_weight is None else _wide(trace.data.sample_weight)
    network = _in_float64(trace.network)

    def loss(moved: Array) -> float:
        copied = deepcopy(network)
        copied.named_parameters()[parameter].value = moved
        prediction, saved = copied.forward(x)
        return float(trace.loss_function.forward(prediction, y, weight)[0]) + copied.penalty(saved)

    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        start = network.named_parameters()[parameter].value.copy()
        return float(numeric_gradient(loss, start, places=[index])[index])


def _in_float64(network: Layer[Any]) -> Layer[Any]:
    copied = deepcopy(network)
    for parameter in copied.parameters():
        parameter.__setstate__((parameter.value.astype(np.float64), None, parameter.frozen))
    for buffer in copied.named_buffers().values():
        object.__setattr__(buffer, "value", buffer.value.astype(np.float64))  # past the hook that keeps the dtype
    return copied


def _wide(array: Array) -> Array:
    return array.astype(np.float64) if array.dtype.kind == "f" else array
