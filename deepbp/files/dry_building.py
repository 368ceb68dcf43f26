"""Building a network without memory for its numbers and without chance: only its shapes come out."""

from collections.abc import Collection
from typing import Any, cast

import numpy as np
from attrs import define, field

from deepbp.arrays import as_shape
from deepbp.errors import FileFormatError
from deepbp.initializers import Initializer
from deepbp.layers import Builder
from deepbp.typing import Array, Shape


class Placeholder(np.ndarray[Any, Any]):
    """An array of any shape in the memory of one number: all its places are the same. It can be written to."""

    @classmethod
    def of(cls, shape: Shape, dtype: Any) -> "Placeholder":
        """A new one."""
        one = np.ones(1, dtype).view(cls)
        return cast(Placeholder, np.lib.stride_tricks.as_strided(one, shape, (0,) * len(shape), subok=True))

    def __deepcopy__(self, memo: dict[int, Any] | None, /) -> "Placeholder":
        return self.of(self.shape, self.dtype)


@define(eq=False)
class DryBuilder(Builder):
    """A builder whose arrays are placeholders, of shapes that a file has numbers for."""

    allowed: Collection[Shape] = field(kw_only=True)

    def _draw(self, shape: Shape, initializer: Initializer) -> Array:
        shape = as_shape(shape, "shape")
        if shape not in self.allowed:
            raise FileFormatError(f"needs an array of shape {shape}, and the file has none of this shape")
        return Placeholder.of(shape, self.dtype)

    def with_rng(self, rng: np.random.Generator) -> "DryBuilder":
        other = DryBuilder(rng, self.dtype, allowed=self.allowed)
        other._made = self._made
        return other
