"""All parameters of a network as one vector."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np

from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.parameter.parameter import Parameter
from deepbp.typing import Array, Shape


class ParameterVector:
    """All parameters of a network end to end in two flat vectors, ``values`` and ``grads``, each parameter a view.

    An optimizer's step, a norm, a clip and a checkpoint are then one operation on one array each. Parameters of two
    or more dimensions lie first, so ``matrices`` is one slice: the part that weight decay touches. ``names`` are those
    by which the parameters were given, such as ``"0.weight"``, and ``""`` where they came in a list.
    """

    values: Array
    matrices: slice
    parameters: tuple[Parameter, ...]
    names: tuple[str, ...]
    shapes: tuple[Shape, ...]

    def __init__(self, parameters: Iterable[Parameter] | Mapping[str, Parameter]) -> None:
        named = _each_once(parameters)
        self.parameters = tuple(sorted(named, key=lambda p: p.value.ndim < 2))
        self.names = tuple(named[p] for p in self.parameters)
        self.shapes = tuple(p.value.shape for p in self.parameters)
        dtypes = {p.value.dtype for p in self.parameters}
        if len(dtypes) > 1:
            raise ConfigurationError(f"parameters: expected one dtype, got {sorted(map(str, dtypes))}")
        self.values = np.empty(sum(p.value.size for p in self.parameters), next(iter(dtypes), np.float32))
        self.matrices = slice(0, sum(p.value.size for p in self.parameters if p.value.ndim >= 2))
        self._grads = np.zeros_like(self.values)
        self._unwritten: set[Parameter] = set()
        self._taken_over = False
        start = 0
        for p in self.parameters:
            if p._vector is not None:
                p._vector.outdate()
            end = start + p.value.size
            value, grad = (flat[start:end].reshape(p.value.shape) for flat in (self.values, self._grads))
            value[...], grad[...] = p.value, p.grad
            p._place(value, grad, self, self._unwritten)
            start = end

    @classmethod
    def of(cls, parameters: Iterable[Parameter] | Mapping[str, Parameter]) -> Self:
        """The vector that holds exactly these parameters: the one they lie in already, or a new one.

        It knows them by the names that are given, if any are.
        """
        named = _each_once(parameters)
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
        """False once another vector has taken over one of the parameters: this one would then train nothing."""
        if self._taken_over or not self.parameters:
            return not self._taken_over
        return self.parameters[0]._vector is self  # those of a copy stand alone, the first like the others

    def outdate(self) -> None:
        """From now on it is not current: another vector has one of the parameters, or one was frozen or let back in."""
        self._taken_over = True

    @property
    def grads(self) -> Array:
        """∂L/∂values; the part of a parameter to which nothing was accumulated reads as zeros."""
        if self._unwritten:
            for p in tuple(self._unwritten):
                _ = p.grad  # reading makes the zeros
        return self._grads

    def clear_grads(self) -> None:
        """Forget all gradients; nothing is written, the next share overwrites."""
        self._unwritten.update(self.parameters)


def _each_once(parameters: Any) -> dict[Parameter, str]:
    """The parameters with their names; one that comes twice keeps its first."""
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
            raise ArgumentTypeError(f"parameters: expected Parameters in a list, or by name, got {parameters!r}")
        named.setdefault(parameter, name)
    return named
