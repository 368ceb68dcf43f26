"""A layer that did not come with deepbp is held to the contract each time it runs, and told in words what it broke."""

from typing import Any

import numpy as np
from attrs import frozen

from deepbp.errors import ContractError
from deepbp.layers.layer import Layer
from deepbp.typing import Array, Shape


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
    own = type(layer).__module__.startswith("deepbp.")
    return layer if own else CheckedLayer(layer, input_shape, output_shape)


def _describe(value: object) -> str:
    return f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else f"{value!r}"
