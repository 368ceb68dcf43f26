"""How a parameter's first values are drawn.

An initializer is called with the parameter's shape, the network's random generator and the dtype. A shape's last axis
is the outputs and the others the inputs, as in ``x @ W``: ``fan_in`` is the product of all axes but the last,
``fan_out`` the last; a vector counts its length as both.
"""

from abc import ABC, abstractmethod
from math import prod, sqrt
from typing import Any, ClassVar

import numpy as np
from attrs import field, frozen

from deepbp._suggestions import ExplainedArguments, suggest_names
from deepbp.errors import ConfigurationError, ShapeError
from deepbp.errors.validators import finite, non_negative, positive
from deepbp.typing import Array, Shape

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "LeCunNormal",
    "Normal",
    "Ones",
    "Orthogonal",
    "Uniform",
    "Zeros",
]


class Initializer(ExplainedArguments, ABC):
    """Draws the first values of a parameter."""

    @abstractmethod
    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
        """New values of this shape and dtype; every random number comes from ``rng``."""


@frozen
class Constant(Initializer):
    """Every number is ``value``."""

    value: float = field(validator=finite)

    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
        return np.full(shape, self.value, dtype)


@frozen
class Zeros(Initializer):
    """All zeros: right for biases, never for the weights of a hidden layer, whose neurons would stay identical."""

    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
        return np.zeros(shape, dtype)


@frozen
class Ones(Initializer):
    """All ones: right for gains."""

    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
        return np.ones(shape, dtype)


@frozen
class Uniform(Initializer):
    """Evenly between ``low`` and ``high``."""

    low: float = field(default=-0.05, validator=finite)
    high: float = field(default=0.05, validator=finite)

    def __attrs_post_init__(self) -> None:
        if self.low > self.high:
            raise ConfigurationError(f"Uniform: expected low ≤ high, got low={self.low}, high={self.high}")

    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
        return rng.uniform(self.low, self.high, shape).astype(dtype, copy=False)


@frozen
class Normal(Initializer):
    """Normally distributed around ``mean`` with standard deviation ``std``."""

    mean: float = field(default=0.0, validator=finite)
    std: float = field(default=0.05, validator=non_negative)

    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
        return rng.normal(self.mean, self.std, shape).astype(dtype, copy=False)


class _Scaled(Initializer):
    """Numbers around zero whose variance is fitted to the layer, so that signals keep their size."""

    distribution: ClassVar[str]

    @abstractmethod
    def variance(self, fan_in: int, fan_out: int) -> float:
        """The variance of each number."""

    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
        fan_in, fan_out = (prod(shape[:-1]), shape[-1]) if len(shape) > 1 else (prod(shape), prod(shape))
        std = sqrt(self.variance(fan_in, fan_out))
        if self.distribution == "uniform":  # on [−a, a] the variance is a²/3
            values = rng.uniform(-sqrt(3) * std, sqrt(3) * std, shape)
        else:
            values = rng.normal(0.0, std, shape)
        return values.astype(dtype, copy=False)


class _Glorot(_Scaled):
    def variance(self, fan_in: int, fan_out: int) -> float:
        return 2 / (fan_in + fan_out)


class _He(_Scaled):
    def variance(self, fan_in: int, fan_out: int) -> float:
        return 2 / fan_in


@frozen
class GlorotUniform(_Glorot):
    """Var = 2 / (fan_in + fan_out), uniform: for sigmoid, tanh and softmax (Glorot & Bengio 2010)."""

    distribution = "uniform"


@frozen
class GlorotNormal(_Glorot):
    """Var = 2 / (fan_in + fan_out), normal: for sigmoid, tanh and softmax (Glorot & Bengio 2010)."""

    distribution = "normal"


@frozen
class HeUniform(_He):
    """Var = 2 / fan_in, uniform: for ReLU and its relatives (He et al. 2015)."""

    distribution = "uniform"


@frozen
class HeNormal(_He):
    """Var = 2 / fan_in, normal: for ReLU and its relatives (He et al. 2015)."""

    distribution = "normal"


@frozen
class LeCunNormal(_Scaled):
    """Var = 1 / fan_in, normal: for SELU and linear layers (LeCun et al. 1998)."""

    distribution = "normal"

    def variance(self, fan_in: int, fan_out: int) -> float:
        return 1 / fan_in


@frozen
class Orthogonal(Initializer):
    """``gain`` times a matrix with orthonormal rows or columns, so lengths survive any depth (Saxe et al. 2014).

    The matrix is (product of all axes but the last, last axis). Raises ShapeError for a vector.
    """

    gain: float = field(default=1.0, validator=positive)

    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
        if len(shape) < 2:
            raise ShapeError(f"Orthogonal: expected a shape of two or more axes, got {shape}: use Zeros() for a vector")
        rows, columns = prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
        q = q * np.sign(np.diag(r))  # without this the result would not be spread evenly over all such matrices
        return (self.gain * (q if rows >= columns else q.T)).reshape(shape).astype(dtype)


globals()["__getattr__"] = suggest_names(__name__)
