"""Type aliases used in all signatures."""

from collections.abc import Callable, Sequence
from typing import Any, Self, TypeAlias, TypeVar, TypeVarTuple, Unpack

import numpy as np
import numpy.typing as npt

__all__ = [
    "Array",
    "ArrayLike",
    "Seed",
    "Shape",
    "ShapeLike",
]

Array: TypeAlias = npt.NDArray[Any]
"""Numbers with samples along axis 0.

>>> import numpy as np
>>> from deepbp.typing import Array
>>> def centered(x: Array) -> Array:
...     return x - x.mean(axis=0)
>>> centered(np.array([[1.0], [3.0]]))
array([[-1.],
       [ 1.]])
"""

Shape: TypeAlias = tuple[int, ...]
"""The shape of one sample, without the axis of samples; an ``AnySize``, which users see as None, equals every size.

>>> from deepbp import Sequential
>>> from deepbp.layers import Dense
>>> from deepbp.typing import Shape
>>> shape: Shape | None = Sequential([Dense(2)], input_shape=3).input_shape
>>> shape
(3,)
"""

Seed: TypeAlias = int | np.random.Generator | None
"""A seed, a generator, or None for a different start every time.

>>> from deepbp import Sequential
>>> from deepbp.layers import Dense
>>> from deepbp.typing import Seed
>>> def classifier(rng: Seed) -> Sequential:
...     return Sequential([Dense(2)], input_shape=3, rng=rng)
>>> one, other = classifier(rng=7), classifier(rng=7)
>>> bool((one.layers[0].weight.value == other.layers[0].weight.value).all())
True
"""

ArrayLike: TypeAlias = npt.ArrayLike
"""Anything that NumPy converts to an array: lists, arrays, data frames.

>>> import numpy as np
>>> from deepbp.typing import ArrayLike
>>> def largest(x: ArrayLike) -> float:
...     return float(np.asarray(x).max())
>>> largest([1, 3, 2]), largest(np.ones(4))
(3.0, 1.0)
"""

ShapeLike: TypeAlias = int | Sequence[int | None]
"""A shape as users write it: ``3``, ``(3,)`` or ``[28, 28]``; None for a size that may differ from batch to batch.

>>> from deepbp import Sequential
>>> from deepbp.layers import GRU
>>> from deepbp.typing import ShapeLike
>>> shape: ShapeLike = (None, 3)  # any number of steps
>>> Sequential([GRU(2)], input_shape=shape, rng=0)
Sequential([GRU(2)], input_shape=(None, 3), rng=0)
"""


class AnySize(int):
    """A size in a shape that may differ from batch to batch, such as the number of steps; it equals every size.

    So the shape of each batch equals the shape that a layer was built for, wherever they are compared. Users write, and
    read, None.
    """

    def __new__(cls) -> Self:
        return super().__new__(cls, -1)

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, int)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = int.__hash__

    def __repr__(self) -> str:
        return "None"

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        return type(self), ()


_Result = TypeVar("_Result")
_Arguments = TypeVarTuple("_Arguments")


def freely_named(method: Callable[[Unpack[_Arguments]], _Result]) -> Callable[[Unpack[_Arguments]], _Result]:
    """Let an override name its arguments: for type checkers alone, for which ``forward(self, z)`` would be an error."""
    return method
