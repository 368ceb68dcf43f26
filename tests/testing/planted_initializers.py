"""Initializers with one mistake each."""

from typing import Any

import numpy as np
from attrs import define, field, frozen
from planting import Planted, from_percent, planter

from deepbp.errors import ShapeError
from deepbp.initializers import Initializer, Normal, Zeros
from deepbp.typing import Array, Shape

INITIALIZERS: list[Planted] = []
planted = planter(INITIALIZERS)
DType = np.dtype[Any]


@planted("shape_and_dtype", r"expected an array of shape \(6, 4\), got shape \(4, 6\)")
@frozen
class Transposed(Normal):
    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: DType) -> Array:
        return super().__call__(shape[::-1], rng, dtype)


@planted("shape_and_dtype", r"expected float32, got float64: end with .astype")
@frozen
class AlwaysFloat64(Normal):
    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: DType) -> Array:
        return rng.normal(size=shape)


@planted("shape_and_dtype", r"refuses every shape, at last with: nothing fits")
@frozen
class RefusesAll(Normal):
    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: DType) -> Array:
        raise ShapeError("nothing fits")


@planted("values_are_finite", r"expected finite numbers, got inf")
@frozen
class Infinite(Normal):
    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: DType) -> Array:
        return np.full(shape, np.inf, dtype)


@planted("random_numbers_come_from_rng", r"the same seed gives other values: draw every random number from rng")
@frozen
class HiddenGlobalRandomness(Normal):
    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: DType) -> Array:
        return np.random.normal(size=shape).astype(dtype)  # noqa: NPY002


@planted("draws_differ", r"two draws in a row are equal: rng is copied or seeded anew")
@frozen
class CopiesTheGenerator(Normal):
    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: DType) -> Array:
        made = np.random.Generator(type(rng.bit_generator)())
        made.bit_generator.state = rng.bit_generator.state
        return super().__call__(shape, made, dtype)


_kept: dict[tuple[Shape, DType], Array] = {}


@planted("each_array_is_new", r"two calls return the same array")
@frozen
class KeepsItsArrays(Zeros):
    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: DType) -> Array:
        return _kept.setdefault((shape, dtype), super().__call__(shape, rng, dtype))


@planted("each_array_is_new", r"the array is read-only")
@frozen
class BroadcastsOneNumber(Zeros):
    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: DType) -> Array:
        return np.broadcast_to(np.zeros((), dtype), shape)


@planted("configuration_is_frozen", r"put @frozen, from attrs, above the class")
@define
class NotFrozen(Initializer):
    value: float = 1.0

    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: DType) -> Array:
        return np.full(shape, self.value, dtype)


@planted("repr_can_be_pasted_back", r"repr cannot be pasted back: N\(0, 1\) raises NameError")
@frozen(repr=False)
class PrettyRepr(Normal):
    def __repr__(self) -> str:
        return "N(0, 1)"


@planted("configuration_rebuilds", r"the constructor, given what the fields hold, makes something else")
@frozen
class ConvertsTwice(Zeros):
    percent: float = field(default=50.0, converter=from_percent)


@planted("copy_and_pickle", r"pickle raises TypeError: not today")
@frozen
class RefusesToBePickled(Zeros):
    def __reduce__(self) -> str:
        raise TypeError("not today")

    def __deepcopy__(self, memo: Any) -> "RefusesToBePickled":
        return self


@planted("each_array_is_new", r"the entries share their memory: np.broadcast_to needs a copy")
@frozen
class RowsShareTheirMemory(Zeros):
    def __call__(self, shape: Shape, rng: np.random.Generator, dtype: DType) -> Array:
        one = np.zeros(shape[-1], dtype)
        return np.lib.stride_tricks.as_strided(one, shape, (*(0,) * (len(shape) - 1), one.itemsize))
