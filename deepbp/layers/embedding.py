"""Embedding layer for categorical inputs."""

import numpy as np
from attrs import define, field

from deepbp.errors import ConfigurationError, DataError
from deepbp.errors.validators import boolean, instance_of, positive_int
from deepbp.formulas.language import Formula
from deepbp.initializers import Initializer, Uniform
from deepbp.layers.layer import Builder, Layer
from deepbp.parameters import UNBUILT, Parameter
from deepbp.sparse_parameters import RowParameter
from deepbp.typing import Array, Shape


@define(eq=False)
class Embedding(Layer[Array]):
    """Embedding layer for categorical inputs: y = E[x], one row of a trainable table E for each category.

    Equals a ``Dense`` without bias on one-hot rows, without their zeros. The categories, whole numbers from 0 to K − 1,
    may come in an array of any real type. A network that begins with an ``Embedding`` keeps whole numbers as they are;
    any other converts its input to floats, which represent them exactly. Several columns share the table; for one table
    per column, and columns that hold no categories, use ``Split``::

        Split([[Embedding(7, 3), Flatten()], [Embedding(50, 8), Flatten()], None], sizes=(1, 1, 4))

    Shapes: x (B, …), E (K, O), y (B, …, O).

    Gradients: ∂L/∂E[k] = Σ δ over all places where x is k; other rows are unchanged. Categories have no derivative, so
    the backpropagated gradient is 0. Weight decay does not apply to the table.

    Args:
        categories: K, the number of rows.
        units: O, the number of features of a category.
        table_init: the initializer of E; uniform between −0.05 and 0.05 by default.
        sparse_gradient: whether a step changes only the rows that occur in its batch, and costs nothing for the others:
            for large tables. ``SGD`` without momentum and weight decay, and ``Adagrad`` without weight decay, give the
            same numbers either way. ``Adam`` then updates m, v and E in these rows only, as PyTorch's ``SparseAdam``
            and TensorFlow's ``LazyAdam`` do; by default its momentum keeps moving a row that no longer occurs. Other
            optimizers raise ``ConfigurationError``.

    Raises:
        ConfigurationError: by ``build``, for more categories than floats represent exactly: 2²⁴ = 16 777 216 in
            float32.
        DataError: for a value that is not a whole number from 0 to K − 1; the message names the first one.

    >>> import numpy as np
    >>> from deepbp.layers import Builder, Embedding
    >>> embedding = Embedding(3, 2)
    >>> _ = Builder().build(embedding, (2,))
    >>> embedding.table.value = [[0, 0], [1, 10], [2, 20]]
    >>> embedding.predict(np.array([[2, 1]]))
    array([[[ 2., 20.],
            [ 1., 10.]]], dtype=float32)

    Source: Bengio et al. 2003.
    """

    formula = Formula(
        "take(table, x)", backward="0 * x", gradients={"table": "sum_rows(delta, x, table)"}, symbols={"table": "E"}
    )
    stepwise = any_length = True

    categories: int = field(validator=positive_int)
    units: int = field(validator=positive_int)
    table_init: Initializer = field(factory=Uniform, kw_only=True, validator=instance_of(Initializer))
    sparse_gradient: bool = field(default=False, kw_only=True, validator=boolean)
    table: Parameter = field(init=False, default=UNBUILT)

    @property
    def takes_categories(self) -> bool:
        return True

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        exact = 2 ** (np.finfo(builder.dtype).nmant + 1)
        if self.categories > exact:  # a number too large would be rounded to a category that there is
            raise ConfigurationError(
                f"{self}: expected at most {exact} categories, which {builder.dtype} can tell apart, got "
                f"{self.categories}: give the network dtype='float64'"
            )
        table = builder.parameter((self.categories, self.units), self.table_init, decay=False)
        self.table = RowParameter(table.value, decay=False) if self.sparse_gradient else table
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
        if x.dtype == np.intp and (not x.size or np.maximum.reduce(x.view(np.uintp), axis=None) < known):
            return x  # whole numbers in range; unsigned, negative ones are very large
        with np.errstate(invalid="ignore"):  # NaN and infinity, which are no row
            rows = x.astype(np.intp)
        fits = (rows == x) & (rows >= 0) & (rows < known)
        if not fits.all():
            place = [int(axis[0]) for axis in np.nonzero(~fits)]
            raise DataError(
                f"{self}: x: expected whole numbers from 0 to {known - 1}, got {x[tuple(place)]} at x{place}"
            )
        return rows
