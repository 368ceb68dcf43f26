"""A chain of layers is a layer: forward from the first to the last, the error signal from the last to the first."""

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from attrs import define, field

from deepbp.errors import ArgumentTypeError, ConfigurationError, ContractError, DeepBPError, NotBuiltError, ShapeError
from deepbp.layers.boundary import CheckedLayer, checked, explained, place_of
from deepbp.layers.layer import Builder, Layer, check_class
from deepbp.parameters import Parameter
from deepbp.typing import Array, Shape


def _as_layers(layers: Any) -> tuple[Layer[Any], ...]:
    if not isinstance(layers, list | tuple):
        raise ArgumentTypeError(f"layers: expected a list of layers, got {layers!r}: write [Dense(4), ...]")
    if not layers:
        raise ConfigurationError("layers: expected at least one layer, got an empty list")
    for position, layer in enumerate(layers):
        try:
            check_class(layer)
        except DeepBPError as error:
            raise error.placed(f"layer {position}") from None
    return tuple(layers)


@define(eq=False)
class Chain(Layer[list[Any]]):
    """y = fₙ(… f₂(f₁(x))): layers one after another. Remembers what each of them remembers."""

    layers: Sequence[Layer[Any]] = field(converter=_as_layers)
    shapes: tuple[Shape, ...] = field(default=(), init=False)  # of the input, and of each layer's output
    _steps: "tuple[Layer[Any] | CheckedLayer, ...]" = field(default=(), init=False)
    _parameters: "tuple[list[Parameter], ...]" = field(default=(), init=False)  # of each layer
    _penalized: tuple[int, ...] = field(default=(), init=False)  # the positions of the layers that add to the loss

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        if not isinstance(builder, Builder):
            raise ArgumentTypeError(f"{type(self).__name__}: builder: expected a Builder, got {builder!r}")
        shapes = [input_shape]
        for position, layer in enumerate(self.layers):
            try:
                shapes.append(builder.build(layer, shapes[-1]))
            except DeepBPError as error:
                if isinstance(error, ShapeError) and position and " from layer" not in str(error):
                    got = f"got {shapes[-1]}"
                    error.args = (str(error).replace(got, f"{got} from {self._place(position - 1)}"),)
                raise error.placed(self._place(position)) from error.__cause__
            except Exception as error:
                error.add_note(f"in {self._place(position)}, input shape {shapes[-1]}")
                raise
        self.shapes = tuple(shapes)
        self._steps = tuple(map(checked, self.layers, shapes, shapes[1:]))
        self._parameters = tuple(layer.parameters() for layer in self.layers)
        self._penalized = tuple(i for i, layer in enumerate(self.layers) if layer.has_penalty())
        return shapes[-1]

    def forward(self, x: Array) -> tuple[Array, list[Any]]:
        self._check_input(x)
        saved: list[Any] = []
        try:
            for step in self._steps:
                x, memory = step.forward(x)
                saved.append(memory)
        except Exception as error:
            self._explain(error, len(saved), "forward", x.shape)
        return x, saved

    def backward(self, saved: list[Any], delta: Array) -> Array:
        return self._backward_to(0, saved, delta)

    def backward_parameters(self, saved: list[Any], delta: Array) -> None:
        first = 0
        for held in self._parameters:
            if held and not (held[0].frozen and all(parameter.frozen for parameter in held)):
                break
            first += 1
        if first < len(self.layers):  # no error signal is computed that no parameter needs
            delta = self._backward_to(first + 1, saved, delta)
            try:
                self._steps[first].backward_parameters(saved[first], delta)
            except Exception as error:
                self._check_saved(saved)
                self._explain(error, first, "backward_parameters", delta.shape)

    def _backward_to(self, last: int, saved: list[Any], delta: Array) -> Array:
        try:
            fits = delta.shape[1:] == self.shapes[-1]
        except (AttributeError, IndexError):
            fits = False
        if not fits:
            self._refuse_delta(delta)
        position = len(self.layers)
        try:
            while position > last:
                position -= 1
                delta = self._steps[position].backward(saved[position], delta)
        except Exception as error:
            self._check_saved(saved)
            self._explain(error, position, "backward", delta.shape)
        return delta

    def penalty(self, saved: list[Any]) -> float:
        total = 0.0
        for position in self._penalized:
            try:
                total += self._steps[position].penalty(saved[position])
            except Exception as error:
                self._check_saved(saved)
                self._explain(error, position, "penalty", self.shapes[position])
        return total

    def has_penalty(self) -> bool:
        return any(layer.has_penalty() for layer in self.layers)

    def predict(self, x: Array) -> Array:
        self._check_input(x)
        position = 0
        try:
            for position, step in enumerate(self._steps):  # noqa: B007  # the error names the position
                x = step.infer(x)
        except Exception as error:
            self._explain(error, position, "predict", x.shape)
        return x

    def _check_input(self, x: Array) -> None:
        try:
            if x.shape[1:] == self.shapes[0]:
                return
        except (AttributeError, IndexError):
            self._refuse_unbuilt()
            raise ArgumentTypeError(f"{self._place(0)}: expects an array, got {x!r}: use numpy.asarray(x)") from None
        raise ShapeError(
            f"{self._place(0)}: expects samples of shape {self.shapes[0]}, got an array of shape {x.shape}"
        )

    def _refuse_delta(self, delta: Any) -> NoReturn:
        self._refuse_unbuilt()
        place = f"{self._place(len(self.layers) - 1)}: backward: expects"
        if not isinstance(delta, np.ndarray):
            raise ArgumentTypeError(f"{place} the error signal, an array, got {delta!r}")
        raise ShapeError(
            f"{place} an error signal of shape {self.shapes[-1]} for each sample, got an array of shape {delta.shape}: "
            "a loss returns ∂L/∂prediction, of the prediction's shape"
        )

    def _check_saved(self, saved: Any) -> None:
        if not isinstance(saved, list) or len(saved) != len(self.layers):
            raise ContractError(
                f"{type(self).__name__}: backward: expects what forward returned as saved, got {saved!r}"
            ) from None

    def _refuse_unbuilt(self) -> None:
        if not self.shapes:
            raise NotBuiltError(
                f"{type(self).__name__}: its sizes are not known yet: give input_shape=..., or call build(input_shape)"
            ) from None

    def _place(self, position: int) -> str:
        return place_of(f"layer {position}", self.layers[position])

    def _explain(self, error: Exception, position: int, method: str, shape: Shape) -> NoReturn:
        raise explained(error, self._place(position), method, shape, self.shapes[position])
