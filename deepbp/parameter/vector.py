"""All parameters of a network as one vector."""

from collections.abc import Iterable
from typing import Any, Self

import numpy as np

from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.parameter.parameter import Parameter
from deepbp.typing import Array


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
    def of(cls, parameters: Iterable[Parameter]) -> Self:
        """The vector that holds exactly these parameters: the one they lie in already, or a new one."""
        parameters = _each_once(parameters)
        held = parameters[0]._vector if parameters else None
        if isinstance(held, cls) and set(held.parameters) == set(parameters) and held.is_current():
            return held
        return cls(parameters)

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


def _each_once(parameters: Any) -> tuple[Parameter, ...]:
    try:
        each = tuple(parameters)
    except TypeError:
        each = (None,)
    if not all(isinstance(parameter, Parameter) for parameter in each):
        raise ArgumentTypeError(f"parameters: expected Parameters in a list, got {parameters!r}")
    return tuple(dict.fromkeys(each))
