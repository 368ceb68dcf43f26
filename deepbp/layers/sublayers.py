"""Sublayers: the built layers that run inside of composites, and locate errors."""

from functools import cached_property
from typing import Any, Self, cast

from attrs import field, frozen

from deepbp.errors import DeepBPError, NotBuiltError
from deepbp.layers.boundary import locate, place_of
from deepbp.layers.chain import AnyLayer, Chain, LayerLike
from deepbp.layers.layer import Builder, Layer, check_class
from deepbp.layers.masking import Context
from deepbp.parameters import Parameter
from deepbp.typing import Array, Shape


def as_layer(value: LayerLike, name: str = "layer") -> AnyLayer:
    """Convert a list of layers to a chain; a layer stays as it is."""
    try:
        if isinstance(value, list | tuple):
            value = Chain(value)
        check_class(value)
    except DeepBPError as error:
        raise error.placed(name) from None
    return cast(AnyLayer, value)


class _Identity:
    """The identity, for a branch without a layer."""

    def _run_forward(self, x: Array) -> tuple[Array, None]:
        return x, None

    def _run_backward(self, saved: None, delta: Array) -> Array:
        return delta

    def _run_predict(self, x: Array) -> Array:
        return x

    def forward_with(self, x: Array, context: Context) -> tuple[Array, None]:
        return x, None

    def predict_with(self, x: Array, context: Context) -> Array:
        return x

    def start(self, batch: int) -> None:
        return None

    def step(self, x: Array, state: None) -> tuple[Array, None]:
        return x, None


@frozen(eq=False)
class Sublayer:
    """A built layer that runs inside a composite, under the name by which exceptions refer to it.

    Attributes:
        name: the field that holds the layer, such as ``"body"`` or ``"branches.1"``.
        layer: None is the identity.
    """

    name: str
    layer: Layer[Any] | None
    input_shape: Shape
    output_shape: Shape
    has_penalty: bool = field(init=False)
    _runs: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        layer = self.layer
        object.__setattr__(self, "_runs", _Identity() if layer is None else layer)
        object.__setattr__(self, "has_penalty", layer is not None and layer.has_penalty())

    @cached_property
    def parameters(self) -> list[Parameter]:
        """All parameters inside, found on first use: a walk at each level would make building slow."""
        return [] if self.layer is None else self.layer.parameters()

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

    def forward(self, x: Array, context: Context | None = None) -> tuple[Array, Any]:
        whole = self._run("_run_forward", x) if context is None else self._run("forward_with", x, context)
        pair: tuple[Array, Any] = whole
        return pair

    def backward(self, saved: Any, delta: Array) -> Array:
        grad_input: Array = self._run("_run_backward", saved, delta)
        return grad_input

    def backward_parameters(self, saved: Any, delta: Array) -> None:
        self._run("_run_backward_parameters", saved, delta)

    def penalty(self, saved: Any) -> float:
        return float(self._run("penalty", saved)) if self.has_penalty else 0.0

    def predict(self, x: Array, context: Context | None = None) -> Array:
        given = self._run("_run_predict", x) if context is None else self._run("predict_with", x, context)
        output: Array = given
        return output

    def start(self, batch: int) -> Any:
        return self._runs.start(batch)

    def step(self, x: Array, state: Any) -> tuple[Array, Any]:
        pair: tuple[Array, Any] = self._run("step", x, state)
        return pair

    def _run(self, method: str, *arguments: Any) -> Any:
        try:
            return getattr(self._runs, method)(*arguments)
        except Exception as error:
            array = None if method == "penalty" else arguments["backward" in method]
            name = method.removeprefix("_run_").removesuffix("_with")
            locate(error, place_of(self.name, self.layer), name, array, self.input_shape)
            raise


def require_built_sublayers(layer: Layer[Any], inner: tuple[Sublayer, ...]) -> None:
    """Raise NotBuiltError if a composite has no built sublayers."""
    if not inner:
        raise NotBuiltError(
            f"{type(layer).__name__}: its sizes are not known yet: give the network input_shape=..., or call build"
        )
