"""Some parameters of a vector as a vector of their own, so that an optimizer can move them alone."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
from attrs import frozen

from deepbp.parameter.parameter import Parameter
from deepbp.parameter.vector import ParameterVector
from deepbp.typing import Array, Shape


@frozen
class Members:
    """Which parameters make a part, and where their numbers lie in the whole: as few slices as there can be."""

    names: tuple[str, ...]
    shapes: tuple[Shape, ...]
    runs: tuple[slice, ...]
    matrices: slice

    @classmethod
    def of(cls, names: Sequence[str], shapes: Sequence[Shape], chosen: Sequence[int]) -> Self:
        """The chosen ones, by position, of parameters with these names and shapes."""
        ends = np.cumsum([0, *(_size(shape) for shape in shapes)]).tolist()
        runs: list[slice] = []
        for position in chosen:
            start, end = ends[position], ends[position + 1]
            if runs and runs[-1].stop == start:
                start = runs.pop().start
            runs.append(slice(start, end))
        own = tuple(shapes[position] for position in chosen)
        matrices = sum(_size(shape) for shape in own if len(shape) >= 2)
        return cls(tuple(names[position] for position in chosen), own, tuple(runs), slice(0, matrices))


def _size(shape: Shape) -> int:
    return int(np.prod(shape, dtype=int))


class Part(ParameterVector):
    """A view of the whole where the members lie end to end in it, otherwise a copy, which ``write_back`` returns."""

    def __init__(self, whole: ParameterVector, members: Members) -> None:
        self._whole, self._members = whole, members
        self.names, self.shapes, self.matrices = members.names, members.shapes, members.matrices
        self.values, self._grads = (_gathered(flat, members.runs) for flat in (whole.values, whole.grads))
        self._unwritten = set()

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:  # type: ignore[override]  # made only for those who look at them
        """Parameters that are views of this part."""
        made, start = [], 0
        for shape in self.shapes:
            end = start + _size(shape)
            value, grad = (flat[start:end].reshape(shape) for flat in (self.values, self._grads))
            parameter = Parameter(value)
            parameter._place(value, grad, self, self._unwritten)
            made.append(parameter)
            start = end
        return tuple(made)

    def is_current(self) -> bool:
        return self._whole.is_current()

    def write_back(self) -> None:
        """Put the values into the whole, where they do not lie there already."""
        if len(self._members.runs) == 1:
            return
        start = 0
        for run in self._members.runs:
            end = start + run.stop - run.start
            self._whole.values[run] = self.values[start:end]
            start = end


def _gathered(flat: Array, runs: tuple[slice, ...]) -> Any:
    return flat[runs[0]] if len(runs) == 1 else np.concatenate([flat[run] for run in runs])
