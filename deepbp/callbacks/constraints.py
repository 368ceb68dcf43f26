"""Constraints on weights, applied after every update: a largest norm, norm 1, numbers that are not negative."""

from abc import ABC, abstractmethod
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from attrs import define, field

from deepbp.errors import ConfigurationError, shown
from deepbp.errors.validators import instance_of, optional, positive
from deepbp.layers import Layer
from deepbp.parameters import Parameter
from deepbp.training.trainer import Callback, Trainer
from deepbp.typing import Array


@define(eq=False)
class Constraint(Callback, ABC):
    """Base class of constraints: projected gradient descent, w ← project(w) when ``fit`` starts and after each update.

    A subclass defines ``project``, which returns the nearest array that meets the constraint. It works with every
    optimizer, and leaves frozen parameters unchanged. A constraint is a callback of ``fit``: after steps by hand, call
    ``apply``. Full-batch optimizers, such as ``fit_lbfgs``, have no callbacks, and so no constraints.

    >>> import numpy as np
    >>> from deepbp import Sequential
    >>> from deepbp.callbacks import Constraint
    >>> from deepbp.layers import Dense
    >>> class Symmetric(Constraint):
    ...     def project(self, value):
    ...         return (value + value.T) / 2
    >>> net = Sequential([Dense(3)], input_shape=3, rng=0)
    >>> Symmetric().apply(net)
    >>> bool((net.layers[0].weight.value == net.layers[0].weight.value.T).all())
    True

    Args:
        parameters: a pattern for the names of parameters, such as ``"0.weight"`` or ``"*.weight"``; None is all of two
            or more dimensions, that is weights without biases and normalization scales.

    Raises:
        ConfigurationError: when ``fit`` starts, if no parameter matches.
    """

    parameters: str | None = field(default=None, validator=optional(instance_of(str)), kw_only=True)
    _held: list[Parameter] = field(init=False, factory=list, repr=False)

    @abstractmethod
    def project(self, value: Array) -> Array:
        """The nearest array that meets the constraint, of the same shape."""

    def apply(self, model: Layer[Any]) -> None:
        """Project the parameters of a network, in place."""
        self._project(self._matching(model))

    def on_fit_start(self, trainer: Trainer) -> None:
        self._held = self._matching(trainer.model)
        self._project(self._held)

    def on_step_end(self, trainer: Trainer, loss: float) -> None:
        self._project(self._held)

    def _project(self, parameters: list[Parameter]) -> None:
        for parameter in parameters:
            if not parameter.frozen:
                parameter.value = self.project(parameter.value)

    def _matching(self, model: Layer[Any]) -> list[Parameter]:
        named, pattern = model.named_parameters(), self.parameters
        found = [p for n, p in named.items() if (p.value.ndim > 1 if pattern is None else fnmatchcase(n, pattern))]
        if not found:
            raise ConfigurationError(
                f"{type(self).__name__}: parameters: expected a pattern that matches one of {', '.join(named)}, "
                f"got {shown(pattern)}"
            )
        return found


def _norms(value: Array) -> Array:
    """(1, …, units): of the weights that lead to each unit, along all axes but the last; of a vector, of all of it."""
    axes = tuple(range(max(value.ndim - 1, 1)))
    return np.asarray(np.sqrt(np.square(value, dtype=np.float64).sum(axis=axes, keepdims=True)))


def _scaled(value: Array, factors: Array) -> Array:
    """The weights times the factors. Those that are 1 within rounding are: what was projected stays as it is."""
    near = abs(factors - 1) <= 4 * np.finfo(value.dtype).eps
    return np.asarray(value * np.where(near, 1, factors).astype(value.dtype))


@define(eq=False)
class MaxNorm(Constraint):
    """Max-norm regularization: w ← w · min(1, c / ‖w‖) for the weights w that lead to each unit.

    >>> import numpy as np
    >>> from deepbp.callbacks import MaxNorm
    >>> MaxNorm(5.0).project(np.array([[6.0, 0.3], [8.0, 0.4]]))  # ‖w‖ is 10, and 0.5
    array([[3. , 0.3],
           [4. , 0.4]])

    Args:
        limit: c, the largest norm; Srivastava et al. recommend 3 to 4, with dropout.

    Source: Srebro & Shraibman 2005; Srivastava et al. 2014, section 5.1.
    """

    limit: float = field(validator=positive)

    def project(self, value: Array) -> Array:
        return _scaled(value, self.limit / np.maximum(_norms(value), self.limit))


@define(eq=False)
class UnitNorm(Constraint):
    """Unit norm: w ← w / ‖w‖ for the weights w that lead to each unit; weights that are all 0 stay so.

    >>> import numpy as np
    >>> from deepbp.callbacks import UnitNorm
    >>> UnitNorm().project(np.array([[6.0, 0.0], [8.0, 0.0]]))
    array([[0.6, 0. ],
           [0.8, 0. ]])
    """

    def project(self, value: Array) -> Array:
        norms = _norms(value)
        return _scaled(value, 1 / np.where(norms == 0, 1, norms))


@define(eq=False)
class NonNegative(Constraint):
    """Non-negative weights: w ← max(w, 0).

    >>> import numpy as np
    >>> from deepbp.callbacks import NonNegative
    >>> NonNegative().project(np.array([[-1.0, 2.0]]))
    array([[0., 2.]])
    """

    def project(self, value: Array) -> Array:
        return np.asarray(np.maximum(value, 0))
