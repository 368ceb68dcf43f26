"""Weight initialization: how the first values of a parameter are drawn.

An initializer is called with the parameter's shape, the network's random generator and the dtype. The last two axes of
a shape are the inputs and the outputs, as in ``x @ W``, and all before them, if any, the places of a kernel: ``fan_in``
is the product of all axes but the last, ``fan_out`` of all but the last but one; for a vector, both are its length.
"""

from abc import ABC, abstractmethod
from math import prod, sqrt
from typing import Any, ClassVar

import numpy as np
from attrs import field, frozen

from deepbp._suggestions import suggest_names
from deepbp.errors import ConfigurationError, ShapeError
from deepbp.errors.validators import ExplainedArguments, finite, non_negative, positive
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
    """Base class of initializers, which draw the first values of a parameter.

    >>> import numpy as np
    >>> from deepbp.initializers import Initializer
    >>> class Alternating(Initializer):
    ...     def __call__(self, shape, rng, dtype):
    ...         return (1 - 2 * (np.arange(np.prod(shape)) % 2)).reshape(shape).astype(dtype)
    >>> Alternating()((2, 2), np.random.default_rng(0), np.dtype("float64"))
    array([[ 1., -1.],
           [ 1., -1.]])
    """

    @abstractmethod
    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
        """New values of this shape and dtype, with all random numbers from ``rng``."""


@frozen
class Constant(Initializer):
    """Constant initialization: every number is ``value``.

    >>> import numpy as np
    >>> from deepbp.initializers import Constant
    >>> Constant(0.5)((2,), np.random.default_rng(0), np.dtype("float64"))
    array([0.5, 0.5])
    """

    value: float = field(validator=finite)

    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
        return np.full(shape, self.value, dtype)


@frozen
class Zeros(Initializer):
    """All zeros: for biases, never for the weights of a hidden layer, whose units would stay identical.

    >>> import numpy as np
    >>> from deepbp.initializers import Zeros
    >>> Zeros()((2,), np.random.default_rng(0), np.dtype("float64"))
    array([0., 0.])
    """

    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
        return np.zeros(shape, dtype)


@frozen
class Ones(Initializer):
    """All ones: for gains, such as those of normalization layers.

    >>> import numpy as np
    >>> from deepbp.initializers import Ones
    >>> Ones()((2,), np.random.default_rng(0), np.dtype("float64"))
    array([1., 1.])
    """

    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
        return np.ones(shape, dtype)


@frozen
class Uniform(Initializer):
    """Uniform distribution on [low, high).

    >>> import numpy as np
    >>> from deepbp.initializers import Uniform
    >>> values = Uniform(-0.1, 0.1)((100, 10), np.random.default_rng(0), np.dtype("float32"))
    >>> bool(values.min() >= -0.1), bool(values.max() < 0.1)
    (True, True)
    """

    low: float = field(default=-0.05, validator=finite)
    high: float = field(default=0.05, validator=finite)

    def __attrs_post_init__(self) -> None:
        if self.low > self.high:
            raise ConfigurationError(f"Uniform: expected low ≤ high, got low={self.low}, high={self.high}")

    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
        return rng.uniform(self.low, self.high, shape).astype(dtype, copy=False)


@frozen
class Normal(Initializer):
    """Normal distribution with this mean and standard deviation.

    >>> import numpy as np
    >>> from deepbp.initializers import Normal
    >>> values = Normal(mean=1.0, std=0.05)((100, 100), np.random.default_rng(0), np.dtype("float32"))
    >>> round(float(values.mean()), 2), round(float(values.std()), 2)
    (1.0, 0.05)
    """

    mean: float = field(default=0.0, validator=finite)
    std: float = field(default=0.05, validator=non_negative)

    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
        return rng.normal(self.mean, self.std, shape).astype(dtype, copy=False)


class _Scaled(Initializer):
    """Base class of initializers whose variance depends on the layer, so that signals keep their size."""

    distribution: ClassVar[str]

    @abstractmethod
    def variance(self, fan_in: int, fan_out: int) -> float:
        """The variance of each number."""

    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
        fan_in, fan_out = prod(shape[:-1]), prod(shape[:-2]) * prod(shape[-1:])
        if len(shape) < 2:
            fan_in = fan_out
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
    """Glorot (Xavier) uniform, Var = 2 / (fan_in + fan_out), |w| ≤ √(6 / (fan_in + fan_out)): for sigmoid, tanh.

    >>> import numpy as np
    >>> from deepbp.initializers import GlorotUniform
    >>> round(float(GlorotUniform()((150, 50), np.random.default_rng(0), np.dtype("float64")).var()), 3)  # 2 / 200
    0.01

    Source: Glorot & Bengio 2010.
    """

    distribution = "uniform"


@frozen
class GlorotNormal(_Glorot):
    """Glorot (Xavier) normal, Var = 2 / (fan_in + fan_out), for sigmoid, tanh and softmax.

    >>> import numpy as np
    >>> from deepbp.initializers import GlorotNormal
    >>> round(float(GlorotNormal()((150, 50), np.random.default_rng(0), np.dtype("float64")).var()), 3)  # 2 / 200
    0.01

    Source: Glorot & Bengio 2010.
    """

    distribution = "normal"


@frozen
class HeUniform(_He):
    """He (Kaiming) uniform, Var = 2 / fan_in, so |w| ≤ √(6 / fan_in), for ReLU and its relatives.

    >>> import numpy as np
    >>> from deepbp.initializers import HeUniform
    >>> round(float(HeUniform()((200, 50), np.random.default_rng(0), np.dtype("float64")).var()), 3)  # 2 / 200
    0.01

    Source: He et al. 2015.
    """

    distribution = "uniform"


@frozen
class HeNormal(_He):
    """He (Kaiming) normal, Var = 2 / fan_in, for ReLU and its relatives.

    >>> import numpy as np
    >>> from deepbp.initializers import HeNormal
    >>> round(float(HeNormal()((200, 50), np.random.default_rng(0), np.dtype("float64")).var()), 3)  # 2 / 200
    0.01

    Source: He et al. 2015.
    """

    distribution = "normal"


@frozen
class LeCunNormal(_Scaled):
    """LeCun normal, Var = 1 / fan_in, for SELU and linear layers.

    >>> import numpy as np
    >>> from deepbp.initializers import LeCunNormal
    >>> round(float(LeCunNormal()((100, 50), np.random.default_rng(0), np.dtype("float64")).var()), 3)  # 1 / 100
    0.01

    Source: LeCun et al. 1998.
    """

    distribution = "normal"

    def variance(self, fan_in: int, fan_out: int) -> float:
        return 1 / fan_in


@frozen
class Orthogonal(Initializer):
    """Orthogonal initialization: ``gain`` times a matrix with orthonormal rows or columns, which keeps lengths.

    The matrix has the shape (product of all axes but the last, last axis). Raises ``ShapeError`` for a vector.

    >>> import numpy as np
    >>> from deepbp.initializers import Orthogonal
    >>> values = Orthogonal()((3, 2), np.random.default_rng(0), np.dtype("float32"))
    >>> np.allclose(values.T @ values, np.eye(2), atol=1e-6)
    True

    Source: Saxe et al. 2014.
    """

    gain: float = field(default=1.0, validator=positive)

    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
        if len(shape) < 2:
            raise ShapeError(f"Orthogonal: expected a shape of two or more axes, got {shape}: use Zeros() for a vector")
        rows, columns = prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
        q = q * np.sign(np.diag(r))  # makes the distribution uniform over all such matrices
        return (self.gain * (q if rows >= columns else q.T)).reshape(shape).astype(dtype)


globals()["__getattr__"] = suggest_names(__name__)
