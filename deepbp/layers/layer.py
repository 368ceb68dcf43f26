"""The contract of a layer, its base class, and the builder that creates its parameters."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import attrs
import numpy as np
from attrs import define, field

from deepbp._config import configuration_text
from deepbp._validation import as_dtype, as_generator, as_shape
from deepbp.errors import ArgumentTypeError, ConfigurationError, ContractError, DeepBPError, NotBuiltError, ShapeError
from deepbp.errors.validators import explain_constructor
from deepbp.formulas.language import Formula
from deepbp.initializers import Initializer, Zeros
from deepbp.layers import boundary
from deepbp.layers.boundary import Built
from deepbp.layers.inner_graph import InnerGraph, refuse_nesting
from deepbp.layers.masking import Steps
from deepbp.parameters import Buffer, Parameter, changes
from deepbp.program.program import Program, Slot
from deepbp.typing import Array, Shape, freely_named

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    # `Layer` alone means `Layer[Any]`, and a list of different layers is a list[Layer[object]].
    Saved = TypeVarWithDefault("Saved", default=Any, covariant=True)
else:
    Saved = TypeVar("Saved")


@define(eq=False)
class Layer(Steps, ABC, Generic[Saved]):
    """Base class of layers: one step of a network, with its forward and backward pass.

    A subclass is an attrs class, ``@define(eq=False)``, with ``forward`` and ``backward``; the arguments of the
    constructor are its fields and its whole configuration, from which ``repr``, copies and files come. Parameters,
    buffers and sublayers are found in the fields, also in lists and dicts.

    Arrays hold samples along axis 0; a shape never includes that axis. ``delta`` is the upstream gradient (the error
    signal) ∂L/∂output, and ``backward`` returns the backpropagated gradient ∂L/∂input. Never modify an input array, or
    an array after returning it. The public passes validate their arrays and name the layer in exceptions; see
    docs/extending.md.

    >>> import numpy as np
    >>> from attrs import define
    >>> from deepbp.layers import Layer
    >>> @define(eq=False)
    ... class Square(Layer):
    ...     def forward(self, x):
    ...         return x * x, x
    ...     def backward(self, x, delta):
    ...         return 2 * x * delta
    >>> y, saved = Square().forward(np.array([[3.0]]))
    >>> y, Square().backward(saved, np.ones((1, 1)))
    (array([[9.]]), array([[6.]]))
    """

    formula: ClassVar[Formula | None] = None
    """The mathematics, stated once: ``summary`` and ``derivation`` print it, and the checks evaluate it."""

    surrogate_gradient: ClassVar[bool] = False
    """Whether ``backward`` passes on something else than the derivative on purpose; the formula must then say what."""

    @property
    def takes_categories(self) -> bool:
        """Whether ``forward`` also takes arrays of whole numbers, such as the categories of ``Embedding``."""
        return False

    validates_itself: ClassVar[tuple[str, ...]] = ()
    """Names of passes whose public form validates its own input, as ``Sequential.predict`` does."""

    _member_fields: ClassVar[tuple[str, ...]] = ()  # the names of the fields that may hold members, public ones first
    _normalizes: ClassVar[bool] = False  # whether the scale of its inputs does not matter
    _loss_on_outputs: ClassVar[str] = ""  # the loss to use on the probabilities that the layer returns, if it does

    built: Built | None = field(default=None, init=False)

    # The boundary sets these on each subclass: the passes as the class defines them, without input validation.
    _run_forward: ClassVar[Callable[..., Any]]
    _run_backward: ClassVar[Callable[..., Any]]
    _compares_delta: ClassVar[bool] = False  # backward itself compares delta with an array in saved
    _locates_errors: ClassVar[bool] = False  # an exception from inside names the path to the sublayer
    _wrong_input: ClassVar[str] = "{name}: expected samples of shape {expected}, got an array of shape {got}"
    _wrong_delta: ClassVar[str] = _wrong_input

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        owned = [a.name for a in attrs.fields(cls) if not a.metadata.get("beside")]  # "beside": a reference, not inside
        cls._member_fields = tuple(sorted(owned, key=lambda name: name.startswith("_")))
        added = attrs.inspect(cls)
        if added.added_repr:  # attrs' own would print parameters, too, and could not be pasted back
            cls.__repr__ = Layer.__repr__  # type: ignore[method-assign]
        if added.added_pickling:  # attrs' own fails where a field has no value yet: a layer could not be copied unbuilt
            cls.__getstate__, cls.__setstate__ = Layer.__getstate__, Layer.__setstate__  # type: ignore[method-assign]
        boundary.install(cls, Layer)
        if "__setattr__" in vars(cls) or cls.__setattr__ is object.__setattr__:  # attrs' own, with validators
            untyped: Any = cls  # for type checkers, the class has no __setattr__ of its own
            untyped.__setattr__ = boundary.keeping_parameters(cls.__setattr__)
        explain_constructor(cls)

    def build(self, input_shape: Shape, builder: "Builder") -> Shape:
        """Create the parameters for samples of this shape, and return the shape of the output's samples."""
        return input_shape

    @abstractmethod
    @freely_named
    def forward(self, x: Array) -> tuple[Array, Saved]:
        """Run the training pass: return the output, and the values that ``backward`` needs, which the layer never keeps
        itself.
        """

    @abstractmethod
    @freely_named
    def backward(self, saved: Saved, delta: Array) -> Array:  # type: ignore[misc]
        """Accumulate the parameter gradients, and return the backpropagated gradient ∂L/∂x."""

    @freely_named
    def backward_parameters(self, saved: Saved, delta: Array) -> None:  # type: ignore[misc]
        """Accumulate the parameter gradients only: the input of a network's first layer needs no gradient."""
        self.backward(saved, delta)

    @freely_named
    def penalty(self, saved: Saved) -> float:  # type: ignore[misc]
        """Return the penalty that this layer adds to the loss (regularization), given what ``forward`` saved.

        ``backward`` and ``backward_parameters`` add the gradient of the penalty. A composite returns the sum over its
        sublayers.
        """
        return 0.0

    def has_penalty(self) -> bool:
        """Whether ``penalty`` can be other than 0."""
        return type(self).penalty is not Layer.penalty

    @freely_named
    def predict(self, x: Array) -> Array:
        """Run the inference pass. Layers with another behaviour in training, such as dropout, override it."""
        return self.forward(x)[0]

    def lower(self, program: Program, x: Slot) -> Slot:
        """Add this layer to a program, a step in machine code; by default as calls of its own passes."""
        return program.layer(self, x)

    def lower_predict(self, program: Program, x: Slot) -> Slot:
        """Add the inference pass: by default that of training, or a call of ``predict`` where the class has its own."""
        return program.lower(self, x) if type(self).predict is Layer.predict else program.layer(self, x)

    def _run_backward_parameters(self, saved: Any, delta: Array) -> None:
        self._run_backward(saved, delta)

    def _run_predict(self, x: Array) -> Array:
        output: Array = self._run_forward(x)[0]
        return output

    def _require_built(self) -> None:
        """Raise NotBuiltError if the layer cannot run before it is built; composites do."""

    def _array_place(self, is_delta: bool) -> str:
        """The place to name in the message about an array that does not fit."""
        return repr(self)

    def inner_graph(self) -> InnerGraph | None:
        """The graph of the layers inside, for a built composite layer; None, the default, leaves it a black box.

        ``summary``, diagrams, traces, derivations and signals look inside a composite that states its graph.
        """
        return None

    def stated_formula(self) -> Formula | None:
        """The formula of this layer, for classes whose formula depends on the configuration."""
        return self.formula

    def __call__(self, x: Array) -> Array:
        """``predict``."""
        return self.predict(x)

    def __repr__(self) -> str:
        """The constructor call that creates a layer of the same configuration."""
        try:
            return configuration_text(self)
        except RecursionError:  # too deep for a network, which ``Builder.build`` reports
            return f"{type(self).__name__}(...)"

    def __getstate__(self) -> dict[str, Any]:
        """The fields that have a value, after the layers inside, innermost first, so that no copy recurses deeply."""
        return {"": inner_first(self)[:-1], **_state(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            if name:
                object.__setattr__(self, name, value)  # as they were: no converter or validator runs
        changes.latest = object()

    def named_parameters(self) -> dict[str, Parameter]:
        """Return all parameters by their paths, such as ``"0.weight"``; a shared parameter has one path, the first."""
        return {name: found for name, found in self._walk() if isinstance(found, Parameter)}

    def named_buffers(self) -> dict[str, Buffer]:
        """Return all buffers by their paths."""
        return {name: found for name, found in self._walk() if isinstance(found, Buffer)}

    def named_layers(self) -> dict[str, "Layer[Any]"]:
        """Return the sublayers at all depths by their paths."""
        return {name: found for name, found in self._walk() if isinstance(found, Layer)}

    def parameters(self) -> list[Parameter]:
        """Return all parameters, each once."""
        return list(self.named_parameters().values())

    def trainable_parameters(self) -> list[Parameter]:
        """Return the parameters that are not frozen."""
        return list(self.named_trainable_parameters().values())

    def named_trainable_parameters(self) -> dict[str, Parameter]:
        """Return the parameters that are not frozen by their paths."""
        return {name: parameter for name, parameter in self.named_parameters().items() if not parameter.frozen}

    def freeze(self, statistics: bool = False) -> None:
        """Exclude all parameters inside from training, from the next step on, also of a ``Trainer`` that exists.

        The optimizer's state of these parameters is kept until they are unfrozen. Gradients still pass through the
        layer, unless nothing below it trains. Training passes still update buffers, such as running means; with
        ``statistics``, a ``BatchNorm`` inside computes with its running averages, as in inference, and keeps them.
        Raises NotBuiltError if the layer has no parameters yet.
        """
        self._set_frozen("freeze", True, statistics)

    def unfreeze(self) -> None:
        """Include all parameters and statistics inside in training again, from the next step on."""
        self._set_frozen("unfreeze", False, True)

    def _set_frozen(self, method: str, frozen: bool, statistics: bool) -> None:
        parameters = self.parameters()
        if not parameters and self.built is None:  # those that build makes later would not be frozen, silently
            raise NotBuiltError(
                f"{type(self).__name__}: {method}: its sizes are not known yet, so it has no parameters: "
                "give the network input_shape=..., or call build, before"
            )
        for parameter in parameters:
            parameter.freeze(frozen)
        for buffer in self.named_buffers().values() if statistics else ():
            buffer.frozen = frozen

    def named_members(self) -> "list[tuple[str, _Member]]":
        """Return all parameters, buffers and sublayers by their paths, depth first; a shared one has its first path."""
        return self._walk()

    def _walk(self) -> "list[tuple[str, _Member]]":
        seen, walked = {id(self)}, list[tuple[str, _Member]]()
        open_layers = [("", iter(members(self)))]
        while open_layers:
            prefix, rest = open_layers[-1]
            for name, found in rest:
                if id(found) not in seen:
                    seen.add(id(found))
                    walked.append((prefix + name, found))
                    if isinstance(found, Layer):
                        open_layers.append((f"{prefix}{name}.", iter(members(found))))
                        break
            else:
                open_layers.pop()
        return walked


@define(eq=False)
class Elementwise(Layer[Saved]):
    """Base class of layers that keep the shape, and whose ``saved`` is, or begins with, an array of that shape.

    Most activations, normalization and noise: ``backward`` compares the shape of delta with that array's.
    """

    stepwise = any_length = True
    _compares_delta = True

    @classmethod
    def __attrs_init_subclass__(cls) -> None:
        if boundary.is_part_of_deepbp(cls):  # a user's subclass may save something else
            for method in ("backward_parameters", "backward"):
                if method in vars(cls):
                    setattr(cls, method, boundary.comparing_delta(vars(cls)[method]))
        super().__attrs_init_subclass__()


_Member = Parameter | Buffer | Layer[Any]
_PLAIN = {type(None), bool, int, float, str, Built, np.random.Generator}  # isinstance is slow for abstract classes


def members(layer: Layer[Any]) -> list[tuple[str, _Member]]:
    """The parameters, buffers and sublayers in a layer's own fields, with their names.

    Items of a list or dict are named ``field.key``, or ``key`` if the field is ``layers`` or ``held``. Public fields
    come first, so that a member that a private field also holds gets the public name.
    """
    found: list[tuple[str, _Member]] = []
    for name in layer._member_fields:
        value = getattr(layer, name, None)
        if type(value) in _PLAIN:
            continue
        if isinstance(value, Parameter | Buffer | Layer):
            found.append((name, value))
        elif isinstance(value, list | tuple | dict):
            prefix = "" if name in ("layers", "held") else f"{name}."
            for key, item in value.items() if isinstance(value, dict) else enumerate(value):
                if isinstance(item, Parameter | Buffer | Layer):
                    found.append((f"{prefix}{key}", item))
    return found


def inner_first(layer: Layer[Any]) -> list[Layer[Any]]:
    """The layer and all layers inside, each once, after those inside it."""
    seen, ordered = {id(layer)}, list[Layer[Any]]()
    open_layers = [(layer, iter(members(layer)))]
    while open_layers:
        for _, found in open_layers[-1][1]:
            if isinstance(found, Layer) and id(found) not in seen:
                seen.add(id(found))
                open_layers.append((found, iter(members(found))))
                break
        else:
            ordered.append(open_layers.pop()[0])
    return ordered


def _state(layer: Layer[Any]) -> dict[str, Any]:
    """The fields that have a value and belong to a copy, too."""
    fields = [a.name for a in attrs.fields(type(layer)) if a.metadata.get("copied", True)]
    return {name: getattr(layer, name) for name in fields if hasattr(layer, name)}


@define(eq=False)
class Builder:
    """Creates the parameters and buffers of layers, with one random generator and one dtype for a whole network.

    Args:
        rng: a seed or a generator for the initial values.
        dtype: ``"float32"`` or ``"float64"``, of all parameters.

    >>> from deepbp.layers import Builder, Dense
    >>> dense = Dense(4)
    >>> Builder(rng=0).build(dense, (3,))  # returns the output shape
    (4,)
    >>> dense.weight.value.shape
    (3, 4)
    """

    rng: np.random.Generator = field(default=None, converter=as_generator)
    dtype: np.dtype[Any] = field(default="float32", converter=as_dtype)  # pyright: ignore[reportAssignmentType]
    memory_shape: Shape | None = field(default=None, init=False)  # of the encoder's output, inside of a decoder
    _made: list[tuple[Layer[Any], dict[str, Any]]] = field(factory=list, init=False)  # with their state before
    _latest: dict[int, Any] = field(factory=dict, init=False)  # how a layer was built last, by its id
    _depth: int = field(default=0, init=False)  # of the layer that is being built

    def parameter(self, shape: Shape, initializer: Initializer, *, decay: bool = True) -> Parameter:
        """Create a trainable parameter with values from the initializer; ``decay``: see ``Parameter``."""
        return Parameter(self._draw(shape, initializer), decay=decay)

    def buffer(self, shape: Shape, initializer: Initializer | None = None) -> Buffer:
        """Create a buffer, an array that is saved but not trained; zeros by default."""
        return Buffer(self._draw(shape, Zeros() if initializer is None else initializer))

    def _draw(self, shape: Shape, initializer: Initializer) -> Array:
        shape = as_shape(shape, "shape")
        if not callable(initializer) or isinstance(initializer, type):
            raise ArgumentTypeError(f"initializer: expected one such as Zeros(), got {initializer!r}")
        if prod(shape) * self.dtype.itemsize >= 2**63:
            raise ConfigurationError(f"expected a parameter that memory can hold, got one of shape {shape}")
        try:
            with np.errstate(all="ignore"):
                values = initializer(shape, self.rng, self.dtype)
        except OverflowError:
            values = np.full(shape, np.inf, self.dtype)
        except Exception as error:
            error.add_note(f"in initializer {initializer!r}, shape {shape}")
            raise
        if not isinstance(values, np.ndarray) or values.shape != shape or values.dtype != self.dtype:
            got = f"{values.dtype} of shape {values.shape}" if isinstance(values, np.ndarray) else repr(values)
            raise ContractError(f"initializer {initializer!r}: expected {self.dtype} of shape {shape}, got {got}")
        if not np.isfinite(values).all():
            raise ConfigurationError(
                f"initializer {initializer!r}: expected finite numbers of {self.dtype}, got others"
            )
        return np.asarray(values, order="C")  # as kernels take them

    def build(self, layer: Layer[Any], input_shape: Shape) -> Shape:
        """Build a layer for samples of this shape, or check the shape of a built one, and return its output shape.

        Composites call this for their sublayers. A layer that holds parameters or sublayers already keeps them and
        their shapes. One without, such as an activation, may be built for several, unless its ``build`` stores them.
        """
        check_class(layer)
        input_shape = as_shape(input_shape, any_size=True)
        if min(input_shape, default=1) < 1 and not layer.any_length:
            raise ShapeError(f"needs to know all sizes of its samples, got {input_shape}: give them in input_shape=...")
        built = layer.built
        if built is not None and self._latest.get(id(layer)) == (input_shape, self.rng):
            return built.output_shape  # the same layer again, in another place of the network
        if built is not None and members(layer):
            boundary.refuse_other(built, input_shape, self.dtype)
            return built.output_shape
        if not self._depth:
            every = inner_first(layer)
            refuse_nesting({a: [b for _, b in members(a) if isinstance(b, Layer)] for a in every})
        before = _state(layer)
        self._depth += 1
        try:
            output_shape = layer.build(input_shape, self)
        except DeepBPError:
            raise
        except Exception as error:
            error.add_note(f"in build of {layer}, input shape {input_shape}")
            raise
        finally:
            self._depth -= 1
        if not isinstance(output_shape, tuple) or not all(isinstance(n, int | np.integer) for n in output_shape):
            raise ContractError(f"build: expected the output shape, a tuple of sizes, returned {output_shape!r}")
        if built is not None:
            if boundary.stores_something_else(before, _state(layer)):
                layer.__setstate__(before)
                boundary.refuse_other(built, input_shape, self.dtype)
            for name, value in before.items():
                if isinstance(value, np.random.Generator):  # of the first network, as its parameters would be
                    setattr(layer, name, value)
        shapes = {**(built.output_shapes if built else {}), input_shape: output_shape}
        layer.built = Built(input_shape, output_shape, self.dtype, shapes, bool(members(layer)), layer.takes_categories)
        self._made.append((layer, before))
        self._latest[id(layer)] = (input_shape, self.rng)
        return output_shape

    def with_rng(self, rng: np.random.Generator) -> "Builder":
        """The same builder with another generator, for a nested network with a seed of its own."""
        other = attrs.evolve(self, rng=rng)
        other._made, other._latest, other._depth = self._made, self._latest, self._depth
        other.memory_shape = self.memory_shape
        return other

    def undo(self) -> None:
        """Return all layers to their state before this builder built them, after a failed build."""
        for layer, before in reversed(self._made):
            Layer.__setstate__(layer, before)


def check_class(layer: Any) -> None:
    """Raise ContractError unless this is a layer of an attrs class without ``__eq__``, as copies and files need."""
    if isinstance(layer, type) and issubclass(layer, Layer):
        raise ContractError(f"expected a layer, got the class {layer.__name__}: write {layer.__name__}()")
    if not isinstance(layer, Layer):
        raise ContractError(f"expected a layer, got {' '.join(repr(layer).split()):.150}")
    cls = type(layer)
    if "__attrs_attrs__" not in cls.__dict__:
        raise ContractError(
            f"class {cls.__name__}: put @define(eq=False), from attrs, above the class: its fields are its "
            "configuration, and a result kept on the layer would be an error at once"
        )
    if attrs.inspect(cls).added_eq:
        raise ContractError(f"class {cls.__name__}: write @define(eq=False): two layers are never the same layer")
