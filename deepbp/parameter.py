"""What a network learns: parameters, their gradients, and all of them as one vector."""

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from attrs import define, field

from deepbp.errors import ArgumentTypeError, ConfigurationError, ContractError, DataTypeError, NotBuiltError, ShapeError
from deepbp.typing import Array


def _write_through(parameter: Any, attribute: Any, value: Any) -> Array:
    """Assigning to ``value`` copies the numbers into place, for the array may be a view into a network's vector."""
    held: Array = parameter.value
    given = np.asarray(value)
    if given.shape != held.shape:
        raise ShapeError(f"{type(parameter).__name__}: expected a value of shape {held.shape}, got {given.shape}")
    try:
        held[...] = given
    except (TypeError, ValueError):
        raise DataTypeError(f"{type(parameter).__name__}: expected numbers, got {given.dtype}") from None
    return held


def _is_array(instance: Any, attribute: Any, value: Any) -> None:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
        raise ArgumentTypeError(f"{type(instance).__name__}: expected an array of numbers, got {value!r}")


@define(eq=False)
class Buffer:
    """An array that belongs to a layer and is saved with it, but is not trained, such as a running mean."""

    value: Array = field(on_setattr=_write_through, validator=_is_array)


class _Unbuilt:
    """Stands where ``build`` will put a parameter, and says so when it is used before."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copying and pickling ask for those
            raise AttributeError(name)
        raise NotBuiltError(
            "its sizes are not known yet, so it has no parameters: give the network input_shape=..., or call build or "
            "fit first"
        )

    def __repr__(self) -> str:
        return "<not built yet>"

    def __reduce__(self) -> str:
        return "UNBUILT"


UNBUILT: Any = _Unbuilt()


@define(eq=False, init=False, repr=False)
class Parameter:
    """An array that is trained, and the gradient of the loss with respect to it.

    Gradients are *accumulated*: each use of the parameter adds its share, so a layer used twice gets the sum. The
    first share after a clear is written straight into place; until then ``grad`` reads as zeros.
    """

    value: Array = field(on_setattr=_write_through)
    _grad: Array | None
    _vector: "ParameterVector | None"
    _unwritten: (
        "set[Parameter]"  # the cleared ones: of the whole vector where there is one, so that a clear is one call
    )

    def __init__(self, value: Array) -> None:
        _is_array(self, None, value)
        if value.dtype.kind != "f":
            raise DataTypeError(f"Parameter: expected an array of float32 or float64, got {value.dtype}")
        self._place(value, None, None, {self})

    def _place(
        self, value: Array, grad: Array | None, vector: "ParameterVector | None", unwritten: "set[Parameter]"
    ) -> None:
        object.__setattr__(self, "value", value)  # past the hook that copies
        self._grad, self._vector, self._unwritten = grad, vector, unwritten

    def __repr__(self) -> str:
        return f"Parameter(shape={self.value.shape}, dtype={self.value.dtype})"

    @property
    def grad(self) -> Array:
        """∂L/∂value, of the same shape: the sum of all that was accumulated since the last clear."""
        grad = self._grad_array()
        if self in self._unwritten:
            grad[...] = 0  # assigned: `grad *= 0` would keep a NaN for ever
            self._unwritten.remove(self)
        return grad

    def _grad_array(self) -> Array:
        if self._grad is None:  # made at the first need, so that inference holds no gradients
            self._grad = np.zeros_like(self.value)
        return self._grad

    def clear_grad(self) -> None:
        """Forget the gradient."""
        self._unwritten.add(self)

    def accumulate(self, gradient: Array) -> None:
        """Add a share of the gradient. Raises ContractError where its shape is not the value's."""
        try:
            fits = gradient.shape == self.value.shape
        except AttributeError:
            raise ContractError(f"gradient: expected an array of shape {self.value.shape}, got {gradient!r}") from None
        if not fits:
            raise ContractError(_wrong_shape(gradient.shape, self.value.shape))
        grad = self._grad_array()
        try:
            if self in self._unwritten:
                np.copyto(grad, gradient)
                self._unwritten.remove(self)
            else:
                grad += gradient
        except TypeError:
            raise ContractError(f"gradient: expected {self.value.dtype}, got {gradient.dtype}") from None

    def accumulate_product(self, a: Array, b: Array) -> None:
        """Add the share ``a @ b``, a matrix product, or a vector's with a matrix; raises as ``accumulate`` does.

        The first share goes straight into place.
        """
        if self in self._unwritten:
            try:
                a.dot(b, self._grad if self._grad is not None else self._grad_array())
                self._unwritten.remove(self)
                return
            except (AttributeError, TypeError, ValueError):  # another shape, which accumulate names, or another dtype
                pass
        try:
            product = np.asarray(a) @ np.asarray(b)
        except (TypeError, ValueError):
            shapes = f"{np.shape(a)} and {np.shape(b)}"
            raise ContractError(f"gradient: the product of {shapes} does not exist") from None
        self.accumulate(product)

    def __getstate__(self) -> tuple[Array, Array | None]:
        return self.value, None if self in self._unwritten else self._grad

    def __setstate__(self, state: tuple[Array, Array | None]) -> None:
        value, grad = state  # a copy stands alone: it is no part of the vector its original lies in
        self._place(value, grad, None, {self} if grad is None else set())


def _each_once(parameters: Any) -> tuple[Parameter, ...]:
    each = tuple(parameters) if isinstance(parameters, Iterable) else (parameters,)
    if not isinstance(parameters, Iterable) or not all(isinstance(parameter, Parameter) for parameter in each):
        raise ArgumentTypeError(f"parameters: expected Parameters in a list, got {parameters!r}")
    return tuple(dict.fromkeys(each))


def _wrong_shape(got: tuple[int, ...], expected: tuple[int, ...]) -> str:
    fix = ": sum over the batch (axis 0)" if got[1:] == expected else ""
    fix = fix or (": it is transposed" if got == expected[::-1] else "")
    return f"gradient has shape {got}, expected {expected}{fix}"


class ParameterVector:
    """All parameters of a network end to end in two flat vectors, ``values`` and ``grads``, each parameter a view.

    An optimizer's step, a norm, a clip and a checkpoint are then one operation on one array each. Parameters of two
    or more dimensions lie first, so ``matrices`` is one slice: the part that weight decay touches.
    """

    values: Array
    matrices: slice

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        self.parameters = tuple(sorted(_each_once(parameters), key=lambda p: p.value.ndim < 2))
        dtypes = {p.value.dtype for p in self.parameters}
        if len(dtypes) > 1:
            raise ConfigurationError(f"parameters: expected one dtype, got {sorted(map(str, dtypes))}")
        self.values = np.empty(sum(p.value.size for p in self.parameters), next(iter(dtypes), np.float32))
        self.matrices = slice(0, sum(p.value.size for p in self.parameters if p.value.ndim >= 2))
        self._grads = np.zeros_like(self.values)
        self._unwritten: set[Parameter] = set()
        start = 0
        for p in self.parameters:
            end = start + p.value.size
            value, grad = (flat[start:end].reshape(p.value.shape) for flat in (self.values, self._grads))
            value[...], grad[...] = p.value, p.grad
            p._place(value, grad, self, self._unwritten)
            start = end

    @classmethod
    def of(cls, parameters: Iterable[Parameter]) -> Self:
        """The vector that holds exactly these parameters: the one they lie in already, or a new one."""
        parameters = _each_once(parameters)
        held = parameters[0]._vector if parameters else None
        if isinstance(held, cls) and set(held.parameters) == set(parameters) and held.is_current():
            return held
        return cls(parameters)

    def is_current(self) -> bool:
        """False once another vector has taken over one of the parameters: this one would then train nothing."""
        return all(p._vector is self for p in self.parameters)

    @property
    def grads(self) -> Array:
        """∂L/∂values; the part of a parameter to which nothing was accumulated reads as zeros."""
        for p in tuple(self._unwritten):
            _ = p.grad  # reading makes the zeros
        return self._grads

    def clear_grads(self) -> None:
        """Forget all gradients; nothing is written, the next share overwrites."""
        self._unwritten.update(self.parameters)
