"""Parameters, buffers, and the flat vectors that hold all parameters of a network."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from attrs import define, field, frozen

from deepbp import kernels
from deepbp.errors import (
    ArgumentTypeError,
    ConfigurationError,
    ContractError,
    DataTypeError,
    NotBuiltError,
    ShapeError,
    shown,
)
from deepbp.typing import Array, Shape


class Changes:
    """Notes that an array has moved, or a setting of a layer has changed, of which a program may hold the address.

    ``latest`` is then another object, so that one comparison tells that nothing has changed.
    """

    latest: object = object()


changes = Changes()


def _write_through(parameter: Any, attribute: Any, value: Any) -> Array:
    """Setter of ``value``: copy the numbers into place, since the array may be a view into a network's vector."""
    held: Array = parameter.value
    place = f"{type(parameter).__name__}: expected"
    try:
        given = np.asarray(value)
    except ValueError:
        raise DataTypeError(f"{place} numbers, got rows of different lengths") from None
    if given.shape != held.shape:
        raise ShapeError(f"{place} a value of shape {held.shape}, got {given.shape}")
    try:
        held[...] = given
    except (TypeError, ValueError):
        raise DataTypeError(f"{place} numbers, got {given.dtype}") from None
    return held


def _is_array(instance: Any, attribute: Any, value: Any) -> None:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
        raise ArgumentTypeError(f"{type(instance).__name__}: expected an array of numbers, got {shown(value)}")


@define(eq=False)
class Buffer:
    """Array that is part of a layer's state and saved with it, but not trained, such as a running mean.

    Assigning to ``value`` copies the numbers into the array. Raises ``ShapeError`` for another shape. While the buffer
    is ``frozen``, by ``freeze(statistics=True)``, its layer computes as in inference and does not change it.

    >>> import numpy as np
    >>> from deepbp import Buffer
    >>> buffer = Buffer(np.zeros(2))
    >>> buffer.value = [1.0, 2.0]
    >>> buffer.value
    array([1., 2.])
    """

    value: Array = field(on_setattr=_write_through, validator=_is_array)
    frozen: bool = field(default=False, init=False)

    def adopt(self, value: Array) -> None:
        """Hold this very array, of any shape, where assigning to ``value`` copies; for arrays read from a file."""
        object.__setattr__(self, "value", value)
        changes.latest = object()


class _Unbuilt:
    """Placeholder of a parameter before ``build``; any use raises ``NotBuiltError``."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # which copying and pickling look up
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
    """Trainable array ``value`` and the gradient ``grad`` of the loss with respect to it.

    Gradients are *accumulated*: each use of the parameter adds its share, so a layer used twice gets the sum. The first
    share after a clear is written directly into place; until then ``grad`` reads as zeros. While the parameter is
    ``frozen``, nothing is accumulated: ``Layer.freeze`` excludes it from training.

    Args:
        value: the first values.
        decay: whether weight decay and L1 or L2 penalties apply, if it has two or more dimensions; not to tables.

    >>> import numpy as np
    >>> from deepbp import Parameter
    >>> weight = Parameter(np.array([1.0, 2.0]))
    >>> weight.accumulate(np.array([0.5, 0.0]))
    >>> weight.accumulate(np.array([0.5, 1.0]))
    >>> weight.grad
    array([1., 1.])
    """

    is_sparse: ClassVar[bool] = False

    value: Array = field(on_setattr=_write_through)
    _grad: Array | None
    _vector: Any  # the ParameterVector of which ``value`` is a view, or None
    _unwritten: "set[Parameter]"  # the parameters without a gradient, shared by a whole vector: a clear is one call
    frozen: bool
    decay: bool

    def __init__(self, value: Array, *, decay: bool = True) -> None:
        _is_array(self, None, value)
        if value.dtype.kind != "f":
            raise DataTypeError(f"Parameter: expected an array of float32 or float64, got {value.dtype}")
        self._place(value, None, None, {self})
        self.frozen, self.decay = False, decay

    def _place(self, value: Array, grad: Array | None, vector: Any, unwritten: "set[Parameter]") -> None:
        object.__setattr__(self, "value", value)  # without the setter, which copies
        self._grad, self._vector, self._unwritten = grad, vector, unwritten
        if hasattr(self, "frozen"):  # nobody knows a new one
            changes.latest = object()

    def __repr__(self) -> str:
        return f"Parameter(shape={self.value.shape}, dtype={self.value.dtype})"

    @property
    def is_decayed(self) -> bool:
        """Whether weight decay applies: to weights, and neither to vectors, such as biases, nor to tables."""
        return self.decay and self.value.ndim >= 2

    @property
    def grad(self) -> Array:
        """∂L/∂value: the sum of the shares accumulated since the last clear."""
        grad = self._grad_array()
        if self in self._unwritten:
            grad[...] = 0  # assigned: `grad *= 0` would keep a NaN for ever
            self._unwritten.remove(self)
        return grad

    def _grad_array(self) -> Array:
        if self._grad is None:  # created on first use, so inference holds no gradients
            self._grad = np.zeros_like(self.value)
        return self._grad

    def clear_grad(self) -> None:
        """Reset the gradient to zero."""
        self._unwritten.add(self)

    def accumulate(self, gradient: Array) -> None:
        """Add a share of the gradient. Raises ContractError for another shape or dtype."""
        try:
            fits = gradient.shape == self.value.shape
        except AttributeError:
            raise ContractError(
                f"gradient: expected an array of shape {self.value.shape}, got {shown(gradient)}"
            ) from None
        if not fits:
            raise ContractError(_wrong_shape(gradient.shape, self.value.shape))
        if self.frozen:
            return
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
        """Add the share ``a @ b``, written directly into place the first time; raises as ``accumulate`` does."""
        if self.frozen:
            if a.shape[-1:] != b.shape[-2:][:1]:  # without this, a delta of another batch would pass unnoticed
                raise ContractError(f"gradient: the product of {a.shape} and {b.shape} does not exist")
            return
        if self in self._unwritten:
            grad = self._grad if self._grad is not None else self._grad_array()
            try:
                kernels.unchecked.matrix_product(a, b, grad)
                self._unwritten.remove(self)
                return
            except (AttributeError, TypeError, ValueError):  # another shape or dtype: accumulate reports it
                pass
        try:
            a, b = np.asarray(a), np.asarray(b)
            product = kernels.matrix_product(a, b) if a.ndim == b.ndim == 2 else a @ b
        except (TypeError, ValueError):
            one, other = (getattr(array, "shape", array) for array in (a, b))
            raise ContractError(f"gradient: the product of {one} and {other} does not exist") from None
        self.accumulate(product)

    def accumulate_sum(self, rows: Array) -> None:
        """Add the share Σ ``rows``, over axis 0, as the gradient of a bias is; raises as ``accumulate`` does."""
        shape = getattr(rows, "shape", ())
        if len(shape) != 2 or shape[1:] != self.value.shape:
            got = shape or shown(rows)
            raise ContractError(f"gradient: expected rows of shape {('N', *self.value.shape)}, got {got}")
        if self.frozen:
            return
        if self in self._unwritten and rows.dtype == self.value.dtype:
            kernels.unchecked.column_sum(rows, self._grad_array())
            self._unwritten.remove(self)
        else:
            self.accumulate(kernels.column_sum(rows))

    def accumulate_rows(self, rows: Array, gradient: Array) -> None:
        """Add ``gradient[i]`` to row ``rows[i]``; rows may repeat. Raises ContractError for arrays that do not fit."""
        held = self.value
        try:
            fits = rows.dtype.kind in "iu" and held.ndim > 0 and gradient.shape == (len(rows), *held.shape[1:])
        except (AttributeError, TypeError):
            fits = False
        if not fits or rows.ndim != 1:
            got = " and ".join(str(getattr(array, "shape", array)) for array in (rows, gradient))
            raise ContractError(f"gradient: expected N whole numbers and {('N', *held.shape[1:])}, got {got}")
        if not np.can_cast(gradient.dtype, held.dtype, "same_kind"):
            raise ContractError(f"gradient: expected {held.dtype}, got {gradient.dtype}")
        if len(rows) == 0 or self.frozen:
            return
        grad = self._cleared()
        whole = np.ascontiguousarray(grad).reshape(len(held), -1)  # a copy only of an array in Fortran order
        try:
            kernels.add_rows(whole, rows.astype(np.intp, copy=False), np.reshape(gradient, (len(rows), -1)))
        except IndexError:
            found = f"{rows.min()} to {rows.max()}"
            raise ContractError(f"gradient: expected rows from 0 to {len(held) - 1}, got {found}") from None
        if not np.may_share_memory(whole, grad):
            grad[...] = whole.reshape(held.shape)

    def _cleared(self) -> Array:
        return self.grad

    def adopt(self, value: Array) -> None:
        """Hold this very array, of any shape, where assigning to ``value`` copies; for arrays read from a file."""
        if self._vector is not None:
            self._vector.outdated = True
        self._place(value, None, None, {self})

    def freeze(self, frozen: bool = True) -> None:
        """Exclude the parameter from training, or include it again; its vector is then no longer current."""
        if frozen != self.frozen and self._vector is not None:
            self._vector.outdated = True
        self.frozen = frozen
        changes.latest = object()
        self.clear_grad()

    def __getstate__(self) -> tuple[Array, Array | None, bool, bool]:
        return self.value, None if self in self._unwritten else self._grad, self.frozen, self.decay

    def __setstate__(self, state: tuple[Array, Array | None, bool, bool]) -> None:
        value, grad, self.frozen, self.decay = state  # a copy is not part of the vector of its original
        self._place(value, grad, None, {self} if grad is None else set())


def _wrong_shape(got: tuple[int, ...], expected: tuple[int, ...]) -> str:
    fix = ": sum over the batch (axis 0)" if got[1:] == expected else ""
    fix = fix or (": it is transposed" if got == expected[::-1] else "")
    return f"gradient has shape {got}, expected {expected}{fix}"


class ParameterVector:
    """All parameters of a network in two flat vectors, ``values`` and ``grads``; each parameter becomes a view.

    An optimizer's step, a norm, a clip and a checkpoint are then one operation on one array each. Parameters of two or
    more dimensions, except tables, come first, so ``matrices`` is one slice, the part to which weight decay applies.
    ``names`` are the keys of a mapping, such as ``"0.weight"``, and ``""`` for a list.

    >>> import numpy as np
    >>> from deepbp import Parameter, ParameterVector
    >>> vector = ParameterVector({"bias": Parameter(np.array([3.0])), "weight": Parameter(np.array([[1.0, 2.0]]))})
    >>> vector.values, vector.names, vector.matrices
    (array([1., 2., 3.]), ('weight', 'bias'), slice(0, 2, None))
    """

    values: Array
    matrices: slice
    parameters: tuple[Parameter, ...]
    names: tuple[str, ...]
    shapes: tuple[Shape, ...]
    largest: int = 0
    """The numbers of the largest parameter."""
    sparse: tuple[Parameter, ...] = ()  # those whose gradient is 0 except in some rows
    outdated = False  # set when a parameter moves to another vector, or is frozen or unfrozen

    def __init__(self, parameters: Iterable[Parameter] | Mapping[str, Parameter]) -> None:
        named = _named_once(parameters)
        self.parameters = tuple(sorted(named, key=lambda p: not p.is_decayed))
        self.names = tuple(named[p] for p in self.parameters)
        self.shapes = tuple(p.value.shape for p in self.parameters)
        self.largest = max((p.value.size for p in self.parameters), default=0)
        self.sparse = tuple(p for p in self.parameters if p.is_sparse)
        dtypes = {p.value.dtype for p in self.parameters}
        if len(dtypes) > 1:
            raise ConfigurationError(f"parameters: expected one dtype, got {sorted(map(str, dtypes))}")
        self.values = np.empty(sum(p.value.size for p in self.parameters), next(iter(dtypes), np.float32))
        self.matrices = slice(0, sum(p.value.size for p in self.parameters if p.is_decayed))
        self._grads = np.zeros_like(self.values)
        self._unwritten: set[Parameter] = set()
        # Copy each parameter to its place, and make it a view of that place; a vector it was part of is then outdated.
        for p, value, grad in self._places():
            if p._vector is not None:
                p._vector.outdated = True
            value[...], grad[...] = p.value, p.grad
            p._place(value, grad, self, self._unwritten)

    def _places(self) -> Iterator[tuple[Parameter, Array, Array]]:
        """Each parameter, and the views of ``values`` and ``grads`` at its place."""
        start = 0
        for p in self.parameters:
            end = start + p.value.size
            value, grad = (flat[start:end].reshape(p.value.shape) for flat in (self.values, self._grads))
            yield p, value, grad
            start = end

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the parameters of a copy views of the copy: arrays are copied one by one, which separates them."""
        self.__dict__.update(state)
        if not self.outdated:
            for p, value, grad in self._places():
                p._place(value, grad, self, self._unwritten)

    @classmethod
    def of(cls, parameters: Iterable[Parameter] | Mapping[str, Parameter]) -> Self:
        """The current vector of exactly these parameters, and names if any are given; otherwise a new one."""
        named = _named_once(parameters)
        held = next(iter(named))._vector if named else None
        if (
            isinstance(held, cls)
            and set(held.parameters) == named.keys()
            and held.is_current()
            and (not any(named.values()) or named == dict(zip(held.parameters, held.names, strict=True)))
        ):
            return held
        return cls(parameters if isinstance(parameters, Mapping) else tuple(named))

    def is_current(self) -> bool:
        """Whether all parameters are still views of this vector; otherwise it would train nothing."""
        return not self.outdated

    @property
    def grads(self) -> Array:
        """∂L/∂values; zeros for parameters to which nothing was accumulated."""
        if self._unwritten or self.sparse:
            for p in (*self._unwritten, *self.sparse):
                _ = p.grad  # reading writes the zeros
        return self._grads

    def clear_grads(self) -> None:
        """Reset all gradients; nothing is written, the next share overwrites."""
        self._unwritten.update(self.parameters)


def _named_once(parameters: Any) -> dict[Parameter, str]:
    """The parameters with their names, the first one for a repeated parameter."""
    try:
        if isinstance(parameters, Mapping):
            pairs = [(parameter, name) for name, parameter in parameters.items()]
        else:
            pairs = [(parameter, "") for parameter in parameters]
    except TypeError:
        pairs = [(None, "")]
    named: dict[Parameter, str] = {}
    for parameter, name in pairs:
        if not isinstance(parameter, Parameter) or not isinstance(name, str):
            raise ArgumentTypeError(f"parameters: expected Parameters in a list, or by name, got {shown(parameters)}")
        named.setdefault(parameter, name)
    return named


@frozen
class Members:
    """Which parameters form a part of a vector, and where: as few slices of the whole as possible."""

    names: tuple[str, ...]
    shapes: tuple[Shape, ...]
    runs: tuple[slice, ...]

    @classmethod
    def of(cls, names: Sequence[str], shapes: Sequence[Shape], chosen: Sequence[int]) -> Self:
        """The parameters at the chosen positions, among those with these names and shapes."""
        ends = np.cumsum([0, *(_size(shape) for shape in shapes)]).tolist()
        runs: list[slice] = []
        for position in chosen:
            start, end = ends[position], ends[position + 1]
            if runs and runs[-1].stop == start:
                start = runs.pop().start
            runs.append(slice(start, end))
        own = tuple(shapes[position] for position in chosen)
        return cls(tuple(names[position] for position in chosen), own, tuple(runs))


def _size(shape: Shape) -> int:
    return int(np.prod(shape, dtype=int))


class Part(ParameterVector):
    """Part of a vector: a view where its members are adjacent, otherwise a copy, which ``write_back`` writes back."""

    def __init__(self, whole: ParameterVector, members: Members) -> None:
        self._whole, self._members = whole, members
        self.names, self.shapes, end = members.names, members.shapes, whole.matrices.stop
        self.matrices = slice(0, sum(min(run.stop, end) - run.start for run in members.runs if run.start < end))
        self.values, self._grads = (_gathered(flat, members.runs) for flat in (whole.values, whole.grads))
        self._unwritten = set()

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:  # type: ignore[override]  # created on first use
        """Parameters that are views of this part."""
        made, start = [], 0
        for shape in self.shapes:
            end = start + _size(shape)
            value, grad = (flat[start:end].reshape(shape) for flat in (self.values, self._grads))
            parameter = Parameter(value)
            parameter._place(value, grad, self, self._unwritten)
            made.append(parameter)
            start = end
        return tuple(made)

    def is_current(self) -> bool:
        return self._whole.is_current()

    def write_back(self) -> None:
        """Copy the values into the whole vector, unless they are a view of it."""
        if len(self._members.runs) == 1:
            return
        start = 0
        for run in self._members.runs:
            end = start + run.stop - run.start
            self._whole.values[run] = self.values[start:end]
            start = end


def _gathered(flat: Array, runs: tuple[slice, ...]) -> Any:
    return flat[runs[0]] if len(runs) == 1 else np.concatenate([flat[run] for run in runs])


Buffer.__module__ = Parameter.__module__ = ParameterVector.__module__ = "deepbp"  # the public path, which pickles name
