"""Sparse gradients: parameters of which a step uses a few rows, and updates that touch no other number."""

from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from attrs import define, field

from deepbp.parameters import Parameter, ParameterVector
from deepbp.typing import Array, Shape

_ALL = slice(None)
_NONE = np.zeros(0, np.intp)


@define(eq=False, init=False, repr=False, getstate_setstate=False)
class RowParameter(Parameter):
    """Parameter whose gradient is 0 except in the rows that a batch uses, such as the table of an ``Embedding``.

    ``grad`` is an array of the shape of ``value``, as of any parameter. The rows that are not 0 are known, so a clear
    and an update need not touch the others.

    >>> import numpy as np
    >>> from deepbp.sparse_parameters import RowParameter
    >>> table = RowParameter(np.zeros((1000, 2)))
    >>> table.clear_grad()
    >>> table.accumulate_rows(np.array([7, 3, 7]), np.ones((3, 2)))
    >>> table.touched_rows(), table.grad[7]
    (array([3, 7]), array([2., 2.]))
    """

    is_sparse: ClassVar[bool] = True

    _rows: Any = field(init=False)  # those whose gradient may differ from 0: an array, or a slice of all
    _is_exposed: bool = field(
        init=False
    )  # whether the gradient was handed out, so that other rows may have been written

    def _place(self, value: Array, grad: Array | None, vector: Any, unwritten: Any) -> None:
        Parameter._place(self, value, grad, vector, unwritten)
        self._rows, self._is_exposed = _ALL, False

    def _cleared(self) -> Array:
        """The gradient, with zeros in place of the one before the last clear."""
        grad = self._grad_array()
        if self in self._unwritten:
            grad[_ALL if self._is_exposed else self._rows] = 0
            self._rows, self._is_exposed = _NONE, False
            self._unwritten.remove(self)
        return grad

    @property
    def grad(self) -> Array:
        """∂L/∂value: the sum of the shares accumulated since the last clear."""
        grad = self._cleared()
        self._is_exposed = True
        return grad

    def accumulate(self, gradient: Array) -> None:
        """Add a share of the gradient in all rows; see ``Parameter.accumulate``."""
        Parameter.accumulate(self, gradient)
        self._rows = _ALL

    def accumulate_product(self, a: Array, b: Array) -> None:
        """Add the share ``a @ b`` in all rows; see ``Parameter.accumulate_product``."""
        Parameter.accumulate_product(self, a, b)
        self._rows = _ALL

    def accumulate_sum(self, rows: Array) -> None:
        """Add the share Σ ``rows`` in all rows; see ``Parameter.accumulate_sum``."""
        Parameter.accumulate_sum(self, rows)
        self._rows = _ALL

    def accumulate_rows(self, rows: Array, gradient: Array) -> None:
        """Add ``gradient[i]`` to row ``rows[i]``; see ``Parameter.accumulate_rows``."""
        Parameter.accumulate_rows(self, rows, gradient)
        if self._rows is not _ALL and not self.frozen:
            self._rows = np.union1d(self._rows, rows)

    def touched_rows(self) -> Array:
        """The rows whose gradient may differ from 0, in ascending order."""
        grad = self._cleared()
        if self._rows is _ALL:
            return np.arange(len(grad))
        if self._is_exposed:
            written = grad.reshape(len(grad), -1).any(axis=1)
            self._rows = np.union1d(self._rows, np.flatnonzero(written))
        rows: Array = self._rows
        return rows


class Touched(ParameterVector):
    """The numbers of a vector that an update may change, copied: dense parameters, and touched rows of sparse ones."""

    sparse = ()

    def __init__(self, whole: ParameterVector) -> None:
        self._whole = whole
        self._rows: dict[Parameter, Array] = {}
        self._indices: list[slice | Array] = []
        start = 0
        for p in whole.parameters:
            if isinstance(p, RowParameter):
                rows, width = p.touched_rows(), p.value[0].size
                self._rows[p] = rows
                self._indices.append((start + rows[:, None] * width + np.arange(width)).reshape(-1))
            else:
                _ = p.grad  # writes zeros where nothing was accumulated
                self._indices.append(slice(start, start + p.value.size))
            start += p.value.size
        self.values, self._grads = self.gather(whole.values), self.gather(whole._grads)
        self.matrices = slice(0, 0)  # optimizers with weight decay change all rows, and take no sparse gradients
        self._unwritten = set()

    @cached_property
    def names(self) -> tuple[str, ...]:  # type: ignore[override]
        """A name for each dense parameter and each row, for errors."""
        named = zip(self._whole.names, self._whole.parameters, strict=True)
        return tuple(
            one
            for name, p in named
            for one in ([f"{name}[{row}]" for row in self._rows[p]] if p in self._rows else [name])
        )

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:  # type: ignore[override]
        """Their shapes."""
        every = self._whole.parameters
        return tuple(
            one
            for p in every
            for one in ([p.value.shape[1:]] * len(self._rows[p]) if p in self._rows else [p.value.shape])
        )

    def gather(self, flat: Array) -> Array:
        """Copy these numbers of an array as long as the whole vector."""
        return np.concatenate([flat[place] for place in self._indices])

    def scatter(self, part: Array, flat: Array) -> None:
        """Write them back."""
        start = 0
        for place in self._indices:
            end = start + (place.stop - place.start if isinstance(place, slice) else len(place))
            flat[place] = part[start:end]
            start = end

    def write_grads(self) -> None:
        """Write the gradients back into the whole vector."""
        self.scatter(self._grads, self._whole._grads)
