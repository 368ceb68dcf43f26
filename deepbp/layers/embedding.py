"""A row of numbers for each category, learned."""

import numpy as np
from attrs import define, field

from deepbp.errors import ConfigurationError, DataError
from deepbp.errors.validators import instance_of, positive_int
from deepbp.initializers import Initializer, Uniform
from deepbp.layers.layer import Builder, Layer
from deepbp.parameters import UNBUILT, Parameter
from deepbp.typing import Array, Shape


@define(eq=False)
class Embedding(Layer[Array]):
    """y = E[x]: each category, a whole number from 0 to K − 1, becomes its row of the table E.

    It is a ``Dense`` without bias on one-hot rows, without the zeros. The whole numbers may come in an array of any
    type; a network makes floats of them, which hold them exactly. Several columns share the table; one for each column
    is a ``Split``, which also takes columns that hold no categories::

        Split([[Embedding(7, 3), Flatten()], [Embedding(50, 8), Flatten()], None], sizes=(1, 1, 4))

    Shapes: x (B, …), E (K, O), y (B, …, O).

    Backward: ∂L/∂E[k] = Σ δ over all places where x is k; other rows are not touched. A whole number cannot change a
    little, so the error signal of the input is 0.

    Args:
        categories: K, how many rows there are.
        units: O, how many numbers stand for a category.
        table_init: how the rows are drawn, evenly between −0.05 and 0.05 unless it says otherwise.

    Raises:
        ConfigurationError: when built for floats that cannot count so far: float32 is exact up to 2²⁴ = 16 777 216.
        DataError: for what is no whole number from 0 to K − 1, naming the first place.

    Source: Bengio et al. 2003.
    """

    takes_categories = True

    categories: int = field(validator=positive_int)
    units: int = field(validator=positive_int)
    table_init: Initializer = field(factory=Uniform, kw_only=True, validator=instance_of(Initializer))
    table: Parameter = field(init=False, default=UNBUILT)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        exact = 2 ** (np.finfo(builder.dtype).nmant + 1)
        if self.categories > exact:  # a number too large would be rounded to a category that there is
            raise ConfigurationError(
                f"{self}: expected at most {exact} categories, which {builder.dtype} can tell apart, got "
                f"{self.categories}: give the network dtype='float64'"
            )
        self.table = builder.parameter((self.categories, self.units), self.table_init)
        return (*input_shape, self.units)

    def forward(self, x: Array) -> tuple[Array, Array]:
        rows = self._rows(x)
        return self.table.value.take(rows, axis=0), rows

    def backward(self, rows: Array, delta: Array) -> Array:
        self._run_backward_parameters(rows, delta)
        return np.zeros(rows.shape, delta.dtype)

    def backward_parameters(self, rows: Array, delta: Array) -> None:
        self.table.accumulate_rows(rows.reshape(-1), delta.reshape(-1, self.units))  # ∂L/∂E[k] = Σ δ where x is k

    def _rows(self, x: Array) -> Array:
        known = len(self.table.value)
        with np.errstate(invalid="ignore"):  # NaN and infinity, which are no row
            rows = x.astype(np.intp)
        fits = (rows == x) & (rows >= 0) & (rows < known)
        if not fits.all():
            place = [int(axis[0]) for axis in np.nonzero(~fits)]
            raise DataError(
                f"{self}: x: expected whole numbers from 0 to {known - 1}, got {x[tuple(place)]} at x{place}"
            )
        return rows
