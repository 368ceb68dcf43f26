"""Input validation of layers, and the location of exceptions: the boundary around the passes of every layer.

``Layer`` installs the boundary in each subclass. The public ``forward``, ``backward``, ``backward_parameters`` and
``predict`` validate their array and name the layer in any exception, so a layer's own code holds formulas only.
``_run_forward``, ``_run_backward``, ``_run_backward_parameters`` and ``_run_predict`` are the functions as the class
defines them: composites, whose own boundary has validated the array, call these. For a class that is defined outside
deepbp, both forms also hold the function to the contract of a layer and raise ``ContractError``.
"""

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from types import FunctionType
from typing import Any, TypeAlias

import attrs
import numpy as np
from attrs import frozen

from deepbp._config import same_configuration
from deepbp.errors import ArgumentTypeError, ContractError, DataTypeError, DeepBPError, NotBuiltError, ShapeError, shown
from deepbp.errors.validators import as_python_number
from deepbp.parameters import Buffer, Parameter, changes
from deepbp.typing import Array, Shape

Function: TypeAlias = Callable[..., Any]

_MISSING: Any = object()
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))

_in_users_predict: ContextVar[bool] = ContextVar("in the predict of a user's layer", default=False)
is_inner_call = _in_users_predict.get
"""Whether ``predict`` of a user's composite is the caller: its arrays are activations, possibly empty or infinite."""


@frozen
class Built:
    """The shapes and the dtype that a layer was built for.

    Attributes:
        output_shapes: by input shape; a layer that holds nothing may be built for several.
        is_fixed: whether the layer holds parameters or sublayers, so that it takes samples of ``input_shape`` only.
        takes_categories: whether whole numbers stay whole numbers, as the categories of an ``Embedding``.
        columns: the names of the columns of the data frame that the layer, as a whole network, was trained on.
        target_columns: those of the data frame that held its targets.
        classes: the names of the classes that its outputs stand for.
        loss, programs: the loss that it was trained with, and how the steps ran unless they were programs alone.
    """

    input_shape: Shape
    output_shape: Shape
    dtype: np.dtype[Any]
    output_shapes: dict[Shape, Shape]
    is_fixed: bool
    takes_categories: bool
    columns: tuple[str, ...] | None = None
    target_columns: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None
    loss: Any = None
    programs: str = ""


def install(cls: Any, base: Any) -> None:
    """Set the public and the private form of every pass on ``cls``, a subclass of ``base``, which is ``Layer``."""
    is_own = is_part_of_deepbp(cls)
    for lower, passes in (
        ("lower", ("forward", "backward", "backward_parameters", "penalty")),
        ("lower_predict", ("predict",)),
    ):
        owner = next(parent for parent in cls.__mro__ if lower in vars(parent))
        if any(unwrapped(getattr(cls, one)) is not unwrapped(getattr(owner, one)) for one in passes):
            setattr(cls, lower, getattr(base, lower))  # that of the owner would run the owner's passes
    for method in ("forward", "predict"):
        if method in {*vars(cls)} - {*cls.validates_itself} and f"{method}_with" not in vars(cls):
            setattr(cls, f"{method}_with", getattr(base, f"{method}_with"))
    for method, validate, hold in (
        ("forward", _validating_input, _returning_pair),
        ("backward", _validating_delta, _returning_delta),
        ("backward_parameters", _validating_delta, None),
        ("predict", _validating_input, _returning_output),
    ):
        owner = next(parent for parent in cls.__mro__ if method in vars(parent))
        public = vars(owner)[method]
        if owner is base or (is_own and owner is not cls):
            continue  # abstract, a default that calls the other methods, or inherited together with its boundary
        if not isinstance(public, FunctionType):  # a static method, for example, is left as it is
            setattr(cls, f"_run_{method}", public)
            continue
        function = unwrapped(vars(owner).get(f"_run_{method}", public))
        run = function if is_own or hold is None else hold(function, method)
        setattr(cls, f"_run_{method}", run)
        if method not in cls.validates_itself:
            setattr(cls, method, validate(run, method))
    if cls.predict is base.predict and isinstance(run := vars(cls).get("_run_forward"), FunctionType):
        cls._run_predict = _output_of(run if is_own else _returning_pair(unwrapped(run), "predict"))
    if not is_own and isinstance(penalty := vars(cls).get("penalty"), FunctionType):
        cls.penalty = _returning_float(penalty)


def is_part_of_deepbp(cls: type) -> bool:
    """Whether the class is deepbp's own: tests hold it to the contract, and no check is needed at run time."""
    return cls.__module__.partition(".")[0] == "deepbp"


def unwrapped(function: Any) -> Any:
    """The function as its class defines it, without the boundary."""
    while hasattr(function, "inside_boundary"):
        function = function.inside_boundary
    return function


def comparing_delta(backward: Function) -> Function:
    """Wrap ``backward`` to compare the shapes of delta and of ``saved``, or its first item: NumPy would broadcast."""

    @wraps(backward)
    def compared(self: Any, saved: Any, delta: Array) -> Any:
        try:
            shape = (saved[0] if type(saved) is tuple else saved).shape
        except (AttributeError, IndexError):
            raise ContractError(
                f"{self}: backward: expects what forward returned as saved, got {shown(saved)}"
            ) from None
        if delta.shape != shape:
            raise ShapeError(f"backward: expected a delta of the output's shape {shape}, got {delta.shape}")
        return backward(self, saved, delta)

    return compared


def check_samples(x: Array, delta: Array) -> None:
    """Raise ShapeError unless delta has as many samples as x: NumPy would broadcast a single one."""
    if len(delta) != len(x):
        raise ShapeError(f"backward: expected a delta for {len(x)} samples, got {delta.shape}")


def _marked(wrapper: Any, function: Function) -> Function:
    wrapper.inside_boundary = function
    return wrapper  # type: ignore[no-any-return]


# The public forms: validate the array, run the pass, and name the layer in an exception.


def _validating_input(run: Function, method: str) -> Function:
    name = _parameter(run, 1)

    @wraps(run)
    def validated(self: Any, x: Any = _MISSING, *more: Any, **named: Any) -> Any:
        call = run
        if x is _MISSING or more or named:
            x, call = _bound(run, name, (x, *more), named)
        built = self.built
        if (  # an ordinary array of the shape that the layer was built for needs no closer look
            built is None
            or type(x) is not np.ndarray
            or x.dtype not in FLOATS
            or (shape := x.shape)[1:] != built.input_shape
            or not shape
        ):
            is_super_call = getattr(type(self), method) is not validated and method not in self.validates_itself
            _validate(self, name, x, is_delta=False, any_shape=is_super_call)
        try:
            return call(self, x)
        except Exception as error:
            _locate(self, error, method, name, x)
            raise

    return _marked(validated, run)


def _validating_delta(run: Function, method: str) -> Function:
    name = _parameter(run, 2)

    @wraps(run)
    def validated(self: Any, saved: Any = _MISSING, delta: Any = _MISSING, *more: Any, **named: Any) -> Any:
        call = run
        if delta is _MISSING or more or named:
            delta, call = _bound(run, name, (saved, delta, *more), named)
        built = self.built
        if (
            built is None
            or type(delta) is not np.ndarray
            or delta.dtype not in FLOATS
            or (shape := delta.shape)[1:] != built.output_shape
            or not shape
        ):
            is_super_call = getattr(type(self), method) is not validated
            _validate(self, name, delta, is_delta=True, any_shape=is_super_call or self._compares_delta)
        try:
            return call(self, saved, delta)
        except Exception as error:
            _locate(self, error, method, name, delta)
            raise

    return _marked(validated, run)


def _bound(run: Function, name: str, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Function]:
    """The array of a call with keywords or further arguments, and the call itself, which reports missing ones."""
    bound = inspect.signature(run).bind_partial(None, *(value for value in given if value is not _MISSING), **named)
    return bound.arguments.get(name), lambda self, *_: run(self, *bound.args[1:], **bound.kwargs)


def _parameter(function: Function, position: int) -> str:
    """The name of a function's parameter."""
    names = list(inspect.signature(function).parameters)
    return names[position] if position < len(names) else "x"


def _validate(layer: Any, name: str, array: Any, *, is_delta: bool, any_shape: bool) -> None:
    """Raise unless ``array`` holds native floats and samples of the built shape; of any shape if ``any_shape``.

    A subclass may call ``super().forward`` with arrays of another shape than its own ``build`` returned.
    """
    built = layer.built
    if built is None:
        layer._require_built()
    place = layer._array_place(is_delta)
    if not isinstance(array, np.ndarray) or array.ndim == 0:
        raise ArgumentTypeError(
            f"{place}: {name}: expected an array with samples along axis 0, "
            f"got {shown(array)}: use numpy.asarray({name})"
        )
    if type(array) is not np.ndarray and isinstance(array, np.matrix | np.ma.MaskedArray):  # of other products and sums
        raise ArgumentTypeError(
            f"{place}: {name}: expected a plain array, got a {type(array).__name__}: use numpy.asarray({name})"
        )
    if built is not None and built.is_fixed and not any_shape:
        expected = built.output_shape if is_delta else built.input_shape
        if array.shape[1:] != expected:
            text = layer._wrong_delta if is_delta else layer._wrong_input
            raise ShapeError(f"{place}: {text.format(name=name, expected=expected, got=array.shape)}")
    if array.dtype in FLOATS or (layer.takes_categories and not is_delta and array.dtype.kind in "fiub"):
        return
    got = "whole numbers" if array.dtype.kind in "iu" else str(array.dtype)
    raise DataTypeError(f"{place}: {name}: expected an array of float32 or float64, got {got}{_fix(array.dtype)}")


def _fix(dtype: np.dtype[Any]) -> str:
    if dtype.kind == "c":
        return ": use .real, or .real and .imag as two features"
    if dtype.kind in "fiub":
        wide = dtype.kind == "f" and dtype.itemsize > 4
        return f": use .astype('{'float64' if wide else 'float32'}')"
    return ": convert it to numbers, with .astype('float32') where that is possible"


def predict(layer: Any, x: Array) -> Array:
    """The inference pass of any layer on a batch; unlike ``Sequential.predict`` it converts no data."""
    _validate(layer, "x", x, is_delta=False, any_shape=False)
    try:
        output: Array = layer._run_predict(x)
    except Exception as error:
        _locate(layer, error, "predict", "x", x)
        raise
    return output


# The contract: what a function of a user's class must return.


def _returning_pair(function: Function, method: str) -> Function:
    @wraps(function)
    def held(self: Any, *arguments: Any, **named: Any) -> Any:
        pair = function(self, *arguments, **named)
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise ContractError(f"forward: expected the pair (output, saved), returned {describe(pair)}")
        if type(self)._run_forward is held or method == "predict":
            _check_output(self, pair[0], method, [*arguments, *named.values()][0])
        return pair

    return _marked(held, function)


def _output_of(forward: Function) -> Function:
    def predict(self: Any, x: Array) -> Any:
        return forward(self, x)[0]

    return predict


def _returning_output(function: Function, method: str) -> Function:
    @wraps(function)
    def held(self: Any, *arguments: Any, **named: Any) -> Any:
        token = _in_users_predict.set(True)
        try:
            output = function(self, *arguments, **named)
        finally:
            _in_users_predict.reset(token)
        if type(self)._run_predict is held:
            _check_output(self, output, method, [*arguments, *named.values()][0])
        return output

    return _marked(held, function)


def _check_output(layer: Any, output: Any, method: str, x: Any) -> None:
    expected = None if layer.built is None else layer.built.output_shapes.get(np.shape(x)[1:])
    if expected is not None:
        _check_result(output, {(len(x), *expected)}, f"{method}: build promised an output")
    elif not isinstance(output, np.ndarray):
        raise ContractError(f"{method}: expected an array as output, returned {shown(output)}")


def _returning_delta(function: Function, method: str) -> Function:
    @wraps(function)
    def held(self: Any, *arguments: Any, **named: Any) -> Any:
        result = function(self, *arguments, **named)
        if type(self)._run_backward is held:
            delta = [*arguments, *named.values()][1]
            shapes = {} if self.built is None else self.built.output_shapes
            expected = {(len(delta), *shape) for shape, output in shapes.items() if output == delta.shape[1:]}
            if expected or not isinstance(result, np.ndarray):
                _check_result(result, expected, "backward: expected the error signal of the input,")
        return result

    return _marked(held, function)


def _check_result(value: Any, shapes: set[Shape], expected: str) -> None:
    if not isinstance(value, np.ndarray) or value.shape not in shapes:
        shape = " or ".join(map(str, sorted(shapes)))
        raise ContractError(f"{expected} of shape {shape}, returned {describe(value)}")
    if not value.dtype.isnative:  # which compiled kernels would read as the other order
        name = value.dtype.name
        raise ContractError(f"{expected} in this machine's byte order, returned {value.dtype!r}: use .astype({name!r})")


def _returning_float(penalty: Function) -> Function:
    @wraps(penalty)
    def held(self: Any, saved: Any) -> float:
        value = penalty(self, saved)
        if not isinstance(value, float):
            raise ContractError(f"penalty: expected a float, what is added to the loss, returned {describe(value)}")
        return value

    return _marked(held, penalty)


def describe(value: object) -> str:
    """A value that is not the one expected, for the message."""
    return f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else f"{value!r}"


def keeping_parameters(assign: Callable[[Any, str, Any], None]) -> Callable[[Any, str, Any], None]:
    """Wrap ``__setattr__`` of a class so that it raises instead of replacing a parameter or buffer by plain numbers."""

    def assign_member(self: Any, name: str, value: Any) -> None:
        if isinstance(value, np.ndarray | np.generic | list | tuple | float):
            held = getattr(self, name, None)
            declared = str(next((a.type for a in attrs.fields(type(self)) if a.name == name), ""))
            kind = next((kind for kind in ("Parameter", "Buffer") if kind in declared), type(held).__name__)
            if isinstance(held, Parameter | Buffer) or (kind in declared and isinstance(value, np.ndarray)):
                fix = f".{name}.value = ..."
                if not isinstance(held, Parameter | Buffer):
                    fix = f"builder.{kind.lower()}(...) in build, and {fix} from then on"
                got = describe(value)
                raise ArgumentTypeError(f"{type(self).__name__}: {name}: expected a {kind}, got {got}: use {fix}")
            if isinstance(value, np.generic) and getattr(attrs.fields_dict(type(self)).get(name), "validator", None):
                value = as_python_number(value)  # as the validator does for an argument of the constructor
        assign(self, name, value)
        changes.latest = object()

    return assign_member


def check_delta(layer: Any, delta: Array, x: Shape) -> None:
    """Raise ShapeError unless an error signal has the shape of the output for an array of this shape, (B, …)."""
    sample = delta.shape[1:] if layer.built is None else layer.built.output_shapes.get(x[1:], delta.shape[1:])
    if delta.shape != (x[0], *sample):
        expected = f"a delta of the output's shape {(x[0], *sample)}"
        raise ShapeError(f"backward: expected {expected}, got {delta.shape}")


# What a layer was built for.


def refuse_other(built: Built, input_shape: Shape, dtype: np.dtype[Any]) -> None:
    """Raise unless a layer that serves one shape and dtype alone was built for these."""
    if built.dtype != dtype:
        raise ContractError(f"the layer was built with {built.dtype}, the network has {dtype}")
    if built.input_shape != input_shape:
        raise ShapeError(
            f"the layer was built for samples of shape {built.input_shape}, got {input_shape}: "
            "make a new layer, or use it with the same shape"
        )


def stores_something_else(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether a second ``build`` has stored something else than the first; a random generator may be another one."""

    def same(value: Any, held: Any) -> bool:
        fits: bool = getattr(value, "dtype", None) == getattr(held, "dtype", None)
        return fits and same_configuration(value, held)

    return any(
        not isinstance(value, np.random.Generator) and not same(value, before.get(name))
        for name, value in after.items()
    )


# Where an exception happened.


def place_of(name: str, layer: Any) -> str:
    """``layer 2, Dense(4)``; of a composite the class alone, whose sublayers follow by name."""
    return f"{name}, {type(layer).__name__ if layer.named_layers() else layer}"


def locate(error: Exception, place: str, method: str, array: Any, input_shape: Shape | None) -> None:
    """Add the place to an exception of a pass: to the message of deepbp's errors, to any other as a note."""
    if isinstance(error, DeepBPError):
        error.placed(place)
    else:
        _add_note(error, place, method, array, input_shape)


def _locate(layer: Any, error: Exception, method: str, name: str, array: Any) -> None:
    """Add the layer to an exception of its own public pass."""
    if layer._locates_errors:
        return  # the exception names the path to the sublayer already
    if isinstance(error, NotBuiltError):
        if not str(error).startswith(f"{layer}: "):  # from super()
            error.placed(repr(layer))
        return
    if is_part_of_deepbp(type(layer)) and type(error) is ValueError and _is_from_numpy(error):
        raise ShapeError(f"{layer}: {name}: {_wrong_shape(layer, error, method, array)}") from None
    _add_note(error, repr(layer), method, array, layer.built and layer.built.input_shape)


def _is_from_numpy(error: Exception) -> bool:
    """Whether deepbp's own code called NumPy with a wrong array: no user's code, and no other library, raised it."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    module = "" if frame is None else frame.tb_frame.f_globals.get("__name__", "")
    return module.partition(".")[0] in ("deepbp", "numpy") and not hasattr(error, "__notes__")


def _wrong_shape(layer: Any, error: ValueError, method: str, array: Any) -> str:
    """The message about an array that NumPy could not take, for a layer without a fixed shape."""
    got = getattr(array, "shape", ())
    if layer.built is not None:
        shapes = layer.built.output_shapes
        known = list(shapes.values() if method.startswith("backward") else shapes)
        if got[1:] not in known:
            return f"expected samples of shape {known[-1]}, got an array of shape {got}"
    return f"cannot take an array of shape {got}: {error}"


def _add_note(error: Exception, place: str, method: str, array: Any, input_shape: Shape | None) -> None:
    note = f"in {place}: {method}"
    if array is not None:
        kind = "delta" if method.startswith("backward") else "input"
        note += f", {kind} of shape {getattr(array, 'shape', None)}"
    if input_shape is not None:
        note += f"; the layer's input is {('samples', *input_shape)}".replace("'samples'", "samples")
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)
