"""A layer inside another one: made, built and run so that what goes wrong says where."""

from typing import Any, Self

from attrs import field, frozen

from deepbp.errors import DeepBPError, NotBuiltError
from deepbp.layers.builder import Builder, check_class
from deepbp.layers.chain import Chain
from deepbp.layers.checked import CheckedLayer, checked
from deepbp.layers.layer import Layer
from deepbp.layers.places import explained, place_of
from deepbp.layers.refusal import refusal
from deepbp.parameter import Parameter
from deepbp.typing import Array, Shape


def as_layer(value: Any, name: str = "layer") -> Layer[Any]:
    """A converter that lets a layer through and makes a chain of a list of layers."""
    try:
        if isinstance(value, list | tuple):
            return Chain(value)
        check_class(value)
    except DeepBPError as error:
        raise error.placed(name) from None
    layer: Layer[Any] = value
    return layer


def check_array(layer: Layer[Any], name: Any, array: Any, shapes: tuple[Shape, ...]) -> None:
    """An array must fit the layer that takes it: its ``x`` the first of the shapes, a ``delta`` the last."""
    if not shapes:
        raise NotBuiltError(
            f"{type(layer).__name__}: its sizes are not known yet: give the network input_shape=..., or call build"
        )
    expected = shapes[-1] if name == "delta" else shapes[0]
    try:
        fits = array.shape[1:] == expected and array.ndim > 0
    except AttributeError:
        fits = False
    if not fits:
        raise refusal(layer, ValueError(f"expected samples of shape {expected}"), name, array)


class Straight:
    """Stands where no layer does: everything passes as it is."""

    def forward(self, x: Array) -> tuple[Array, None]:
        return x, None

    def backward(self, saved: None, delta: Array) -> Array:
        return delta

    def infer(self, x: Array) -> Array:
        return x


@frozen(eq=False)
class Inner:
    """A built layer that is run inside another.

    Attributes:
        name: the field that holds it, such as ``"body"`` or ``"branches.1"``.
        layer: None passes everything on as it is.
        parameters: all that are inside.
    """

    name: str
    layer: Layer[Any] | None
    input_shape: Shape
    output_shape: Shape
    parameters: list[Parameter] = field(init=False)
    has_penalty: bool = field(init=False)
    _step: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        layer = self.layer
        step: Layer[Any] | CheckedLayer | Straight = Straight()
        if layer is not None:
            step = checked(layer, self.input_shape, self.output_shape)
        object.__setattr__(self, "_step", step)
        object.__setattr__(self, "parameters", [] if layer is None else layer.parameters())
        object.__setattr__(self, "has_penalty", layer is not None and layer.has_penalty())

    @classmethod
    def built(cls, name: str, layer: Layer[Any] | None, input_shape: Shape, builder: Builder) -> Self:
        """Build the layer for samples of this shape."""
        if layer is None:
            return cls(name, None, input_shape, input_shape)
        try:
            return cls(name, layer, input_shape, builder.build(layer, input_shape))
        except DeepBPError as error:
            raise error.placed(place_of(name, layer)) from error.__cause__
        except Exception as error:
            error.add_note(f"in {place_of(name, layer)}, input shape {input_shape}")
            raise

    @property
    def is_trained(self) -> bool:
        """Whether any parameter inside is not frozen."""
        return any(not parameter.frozen for parameter in self.parameters)

    def forward(self, x: Array) -> tuple[Array, Any]:
        try:
            pair: tuple[Array, Any] = self._step.forward(x)
        except Exception as error:
            raise self._explained(error, "forward", x.shape) from error.__cause__
        return pair

    def backward(self, saved: Any, delta: Array) -> Array:
        try:
            moved: Array = self._step.backward(saved, delta)
        except Exception as error:
            raise self._explained(error, "backward", delta.shape) from error.__cause__
        return moved

    def backward_parameters(self, saved: Any, delta: Array) -> None:
        try:
            self._step.backward_parameters(saved, delta)
        except Exception as error:
            raise self._explained(error, "backward_parameters", delta.shape) from error.__cause__

    def penalty(self, saved: Any) -> float:
        if not self.has_penalty:
            return 0.0
        try:
            value: float = self._step.penalty(saved)
        except Exception as error:
            raise self._explained(error, "penalty", ("samples", *self.input_shape)) from error.__cause__
        return value

    def infer(self, x: Array) -> Array:
        try:
            output: Array = self._step.infer(x)
        except Exception as error:
            raise self._explained(error, "predict", x.shape) from error.__cause__
        return output

    def _explained(self, error: Exception, method: str, shape: Any) -> Exception:
        assert self.layer is not None  # where there is none, nothing can go wrong
        return explained(error, place_of(self.name, self.layer), method, shape, self.input_shape)
