"""Sequential composition of layers."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from attrs import define, evolve, field

from deepbp._validation import require_built
from deepbp.errors import (
    ArgumentTypeError,
    ConfigurationError,
    ContractError,
    DeepBPError,
    NotBuiltError,
    ShapeError,
    shown,
)
from deepbp.layers.boundary import locate, place_of
from deepbp.layers.inner_graph import InnerGraph, Node
from deepbp.layers.layer import Builder, Layer, check_class
from deepbp.layers.masking import Context
from deepbp.parameters import Parameter
from deepbp.program.program import Program, Slot
from deepbp.typing import Array, Shape

if TYPE_CHECKING:

    class AnyLayer(Layer[Any]):
        """A layer inside another, whose class a type checker cannot know: other attributes, as ``weight``, are Any."""

        def __getattr__(self, name: str) -> Any: ...

else:
    AnyLayer = Layer


def columns_of(layer: Layer[Any]) -> tuple[str, ...] | None:
    """The names of the columns that a network, or the network at its start, was trained on; None if it has none."""
    while isinstance(layer, Chain) and layer.built is not None and layer.built.columns is None:
        layer = layer.layers[0]
    return None if layer.built is None else layer.built.columns


def set_columns(layer: Layer[Any], columns: Sequence[str] | None) -> None:
    """Set the names of the columns of a built network; None forgets them. Raises ConfigurationError for no names."""
    built = require_built(layer, layer.built)
    if columns is None:
        if isinstance(layer, Chain):
            set_columns(layer.layers[0], None)
    elif not _are_names(columns):
        raise ConfigurationError(f"columns: expected a list of names, or None, got {shown(columns)}")
    elif built.input_shape != (len(columns),):
        shape = built.input_shape
        raise ConfigurationError(f"columns: expected names for samples of shape {shape}, got {len(columns)}")
    layer.built = evolve(built, columns=None if columns is None else tuple(columns))


def remember(layer: Layer[Any], **known: Any) -> None:
    """Set what a built network knows of its targets: ``target_columns``, ``classes``, ``loss``; None forgets it.

    Raises ConfigurationError for what are no names, and for names of another number of classes.
    """
    built = require_built(layer, layer.built)
    for name in ("target_columns", "classes"):
        if (given := known.get(name)) is not None:
            if not _are_names(given) or (name == "classes" and len(set(given)) < len(given)):
                raise ConfigurationError(f"{name}: expected a list of names, or None, got {shown(given)}")
            known[name] = tuple(given)
    outputs = built.output_shape[-1] if built.output_shape else 1
    if known.get("classes") is not None and len(known["classes"]) != (2 if outputs == 1 else outputs):
        raise ConfigurationError(
            f"classes: expected a name for each class of outputs of shape {built.output_shape}, got "
            f"{len(known['classes'])}: {known['classes']!r:.200}"
        )
    layer.built = evolve(built, **known)


def column_names_of(layer: Layer[Any]) -> dict[str, list[str]]:
    """The names of columns and classes, as files have them."""
    built = layer.built
    targets, classes = (None, None) if built is None else (built.target_columns, built.classes)
    found = {"columns": columns_of(layer), "target_columns": targets, "classes": classes}
    return {name: list(columns) for name, columns in found.items() if columns is not None}


def restore_column_names(layer: Layer[Any], stored: Mapping[str, Any]) -> None:
    """Set, or forget, the names of columns and classes."""
    set_columns(layer, stored.get("columns"))
    remember(layer, target_columns=stored.get("target_columns"), classes=stored.get("classes"))


def _are_names(columns: object) -> bool:
    return isinstance(columns, list | tuple) and all(isinstance(name, str) for name in columns)


_PASSED: Any = object()
"""What is saved for a layer whose pass the next one includes."""

LayerLike: TypeAlias = Layer[Any] | Sequence[Layer[Any]]
"""A layer, or layers one after another."""


def _as_layers(layers: Sequence[Layer[Any]]) -> tuple[AnyLayer, ...]:
    if not isinstance(layers, list | tuple):
        raise ArgumentTypeError(f"layers: expected a list of layers, got {shown(layers)}: write [Dense(4), ...]")
    if not layers:
        raise ConfigurationError("layers: expected at least one layer, got an empty list")
    for position, layer in enumerate(layers):
        try:
            check_class(layer)
        except DeepBPError as error:
            raise error.placed(f"layer {position}") from None
    return tuple(cast(Sequence[AnyLayer], layers))


@define(eq=False)
class Chain(Layer[list[Any]]):
    """Sequential composition of layers: y = fₙ(… f₂(f₁(x))). The base class of ``Sequential``.

    Backpropagated gradient: the layers' ``backward`` in reverse order. ``backward_parameters`` ends at the first layer
    with trainable parameters.

    Args:
        layers: from the first, which takes the input, to the last.

    >>> import numpy as np
    >>> from deepbp.layers import Builder, Chain, Dense, ReLU
    >>> chain = Chain([Dense(4), ReLU(), Dense(2)])
    >>> Builder(rng=0).build(chain, (3,))
    (2,)
    >>> chain.predict(np.ones((5, 3), np.float32)).shape
    (5, 2)
    """

    any_length = True
    _locates_errors = True
    _wrong_delta = (
        "expects an error signal of shape {expected} for each sample, got an array of shape {got}: "
        "a loss returns ∂L/∂prediction, of the prediction's shape"
    )

    layers: tuple[AnyLayer, ...] = field(converter=_as_layers)
    shapes: tuple[Shape, ...] = field(default=(), init=False)  # of the input, and of each layer's output
    _parameters: "tuple[list[Parameter], ...] | None" = field(default=None, init=False)  # of each layer, on first use
    _penalized: tuple[int, ...] = field(default=(), init=False)  # the positions of the layers that add to the loss
    _included: tuple[int, ...] = field(default=(), init=False)  # those whose pass the next one includes

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        if not isinstance(builder, Builder):
            raise ArgumentTypeError(f"{type(self).__name__}: builder: expected a Builder, got {shown(builder)}")
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
        self.shapes, self._parameters = tuple(shapes), None
        # A max pooling includes the pass of a ReLU in front of it, as it takes the largest of ReLU(z), of which a chain
        # then neither writes nor reads the whole image. Its subclasses do not: they may pool in another way.
        pairs = pairwise(map(type, self.layers))
        self._included = tuple(i for i, (one, after) in enumerate(pairs) if one in vars(after).get("_includes", ()))
        self._penalized = tuple(i for i, layer in enumerate(self.layers) if layer.has_penalty())
        return shapes[-1]

    def forward(self, x: Array) -> tuple[Array, list[Any]]:
        saved: list[Any] = []
        included = self._included
        try:
            for position, layer in enumerate(self.layers):
                if not included:
                    x, memory = layer._run_forward(x)
                elif position in included:
                    memory = _PASSED
                else:
                    x, memory = (layer.forward_rectified if position - 1 in included else layer._run_forward)(x)
                saved.append(memory)
        except Exception as error:
            self._locate(error, len(saved), "forward", x)
            raise
        return x, saved

    def backward(self, saved: list[Any], delta: Array) -> Array:
        position = len(self.layers)
        try:
            while position:
                position -= 1
                if saved[position] is not _PASSED:
                    delta = self.layers[position]._run_backward(saved[position], delta)
        except Exception as error:
            self._check_saved(saved)
            self._locate(error, position, "backward", delta)
            raise
        return delta

    def backward_parameters(self, saved: list[Any], delta: Array) -> None:
        # The pass ends at the first layer that has anything to train: nothing below it needs an error signal.
        first = 0
        if self._parameters is None:
            self._parameters = tuple(layer.parameters() for layer in self.layers)
        for held in self._parameters:
            if held and not (held[0].frozen and all(parameter.frozen for parameter in held)):
                break
            first += 1
        else:
            return
        position = len(self.layers)
        try:
            while (position := position - 1) > first:
                if saved[position] is not _PASSED:
                    delta = self.layers[position]._run_backward(saved[position], delta)
            self.layers[first]._run_backward_parameters(saved[first], delta)
        except Exception as error:
            self._check_saved(saved)
            self._locate(error, position, "backward_parameters" if position == first else "backward", delta)
            raise

    def lower(self, program: Program, x: Slot) -> Slot:
        for layer in self.layers:
            x = program.lower(layer, x)
        return x

    def lower_predict(self, program: Program, x: Slot) -> Slot:
        for layer in self.layers:
            x = program.lower_predict(layer, x)
        return x

    def penalty(self, saved: list[Any]) -> float:
        total = 0.0
        for position in self._penalized:
            try:
                total += self.layers[position].penalty(saved[position])
            except Exception as error:
                self._check_saved(saved)
                self._locate(error, position, "penalty", None)
                raise
        return total

    def has_penalty(self) -> bool:
        return bool(self._penalized) if self.built else any(layer.has_penalty() for layer in self.layers)

    def predict(self, x: Array) -> Array:
        included, position = self._included, 0
        try:
            for position, layer in enumerate(self.layers):
                if not included:
                    x = layer._run_predict(x)
                elif position not in included:
                    x = layer.forward_rectified(x)[0] if position - 1 in included else layer._run_predict(x)
        except Exception as error:
            self._locate(error, position, "predict", x)
            raise
        return x

    def forward_with(self, x: Array, context: Context) -> tuple[Array, list[Any]]:
        saved: list[Any] = []
        try:
            for layer in self.layers:
                before = x
                x, memory = layer.forward_with(x, context)
                context = context.after(before, x)
                saved.append(memory)
        except Exception as error:
            self._locate(error, len(saved), "forward", x)
            raise
        return x, saved

    def predict_with(self, x: Array, context: Context) -> Array:
        position = 0
        try:
            for layer in self.layers:
                before, x = x, layer.predict_with(x, context)
                context = context.after(before, x)
                position += 1
        except Exception as error:
            self._locate(error, position, "predict", x)
            raise
        return x

    @property
    def takes_categories(self) -> bool:
        return bool(self.layers) and self.layers[0].takes_categories

    def start(self, batch: int) -> list[Any]:
        return [layer.start(batch) for layer in self.layers]

    def step(self, x: Array, state: list[Any]) -> tuple[Array, list[Any]]:
        after: list[Any] = []
        try:
            for layer, before in zip(self.layers, state, strict=True):
                x, now = layer.step(x, before)
                after.append(now)
        except Exception as error:
            self._locate(error, len(after), "step", x)
            raise
        return x, after

    def inner_graph(self) -> InnerGraph:
        names = ("x", *map(str, range(len(self.layers))))
        nodes = (Node(name, layer, source) for name, layer, source in zip(names[1:], self.layers, names, strict=False))
        return InnerGraph(self.shapes[0], nodes)

    def _check_saved(self, saved: Any) -> None:
        if not isinstance(saved, list) or len(saved) != len(self.layers):
            raise ContractError(
                f"{type(self).__name__}: backward: expects what forward returned as saved, got {shown(saved)}"
            ) from None

    def _require_built(self) -> None:
        if not self.shapes:
            raise NotBuiltError(
                f"{type(self).__name__}: its sizes are not known yet: give input_shape=..., or call build(input_shape)"
            )

    def _array_place(self, is_delta: bool) -> str:
        return f"{self._place(len(self.layers) - 1)}: backward" if is_delta else self._place(0)

    def _place(self, position: int) -> str:
        return place_of(f"layer {position}", self.layers[position])

    def _locate(self, error: Exception, position: int, method: str, array: Any) -> None:
        locate(error, self._place(position), method, array, self.shapes[position])
