"""Predictions in machine code: the inference pass of a network as a program, for batches of a few rows."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from attrs import define, field

from deepbp import kernels
from deepbp._tables import in_order
from deepbp._validation import as_numbers, as_samples, as_type, check_sample_shape, input_dtype, require_built
from deepbp.errors import DataError
from deepbp.layers import Chain, Layer
from deepbp.layers.chain import columns_of
from deepbp.program.layout import NotLoweredError
from deepbp.program.program import Program, Slot
from deepbp.training.data import blocks_of_rows, input_batches
from deepbp.training.programmed import SHAPES, is_on
from deepbp.typing import Array, Shape

FEW, LITTLE = 1024, 2**22  # rows, and bytes of memory: of larger predictions, a program saves nothing


class _Pass:
    """The inference pass for one shape of batches. Raises NotLoweredError where a part of it would run in Python."""

    def __init__(self, model: Layer[Any], x: Array) -> None:
        self.program = program = Program(x.dtype, len(x), training=False)
        self.x = program.array(x.shape[1:])
        program.then("check_finite", self.x, self.x[0].size)
        y = program.lower_predict(model, Slot(self.x, None))
        self.y = y.value
        program.then("check_finite", self.y, y.width)  # NumPy warns about an overflow in a layer
        if program.in_python:
            raise NotLoweredError(f"{program.in_python[0]} has no instructions")
        if program.bytes > LITTLE:
            raise NotLoweredError("it needs much memory")
        program.assemble()
        self._rates = np.zeros(1)
        program.prepare(self._rates, self._rates)


@define(eq=False)
class Predictions:
    """The inference passes of a network as programs, one for each shape; they are made when they are needed.

    >>> import numpy as np
    >>> from deepbp import Sequential
    >>> from deepbp.layers import Dense
    >>> net = Sequential([Dense(1)], input_shape=2, rng=0)
    >>> net.predict(np.zeros((1, 2))).tolist()  # with compiled kernels, by a program
    [[0.0]]
    """

    model: Chain
    _free: dict[Shape, list[_Pass]] = field(factory=dict, init=False)  # those that no thread uses now
    _met: set[Shape] = field(factory=set, init=False)  # the shapes of which there was one batch

    def __call__(self, x: Array) -> Array | None:
        """The prediction for finite samples of the network's dtype; None where its layers must compute it."""
        free = self._free.get(x.shape)
        if free is None:
            free = self._made(x)
        if not free:
            return None
        try:
            one = free.pop()
        except IndexError:  # another thread has taken it
            return None
        program = one.program
        if x.dtype != program.dtype:
            free.append(one)
            return None
        if not program.is_current() or kernels.current() != "numba":
            self._free.pop(x.shape, None)  # the next call makes another
            return None
        one.x[...] = x
        y = one.y.copy() if program.run(0, 0) else None
        free.append(one)
        return y

    def run(self, x: Array) -> Array:
        """The prediction for valid samples of the network's dtype."""
        if (y := self(x)) is None:
            y = Chain._run_predict(self.model, x)
        return y

    def of_batches(self, x: Any, batch_size: int | None, place: Callable[[], str]) -> Array:
        """The prediction for whatever ``Sequential.predict`` takes; ``place`` names the first layer in errors."""
        built, columns = require_built(self.model, self.model.built), columns_of(self.model)
        batches: Iterable[Array]
        if type(x) is np.ndarray:  # a copy in another dtype would be as large as the data: convert block by block
            array = as_numbers(x, "x")
            check_sample_shape(array, "x", built.input_shape, place(), x)
            blocks = blocks_of_rows(len(array), batch_size)
            names = ["x", *(f"x[{rows.start}:]" for rows in blocks[1:])]
            dtype = input_dtype(array, built.dtype, built.takes_categories)
            batches = (as_type(array[rows], name, dtype) for name, rows in zip(names, blocks, strict=True))
        else:

            def convert(part: Any) -> Array:
                part, categories = in_order(part, columns, "x"), built.takes_categories
                return as_samples(part, "x", built.input_shape, built.dtype, place, categories=categories)

            batches = input_batches(x, convert, batch_size, len(built.input_shape))
        outputs = [self.run(batch) for batch in batches]
        if not outputs:
            raise DataError("x: expected at least one batch, got none: a generator may have been used before")
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)

    def _made(self, x: Array) -> list[_Pass]:
        """Make a program for batches of this shape; after some shapes, only at the second batch."""
        shape, built = x.shape, self.model.built
        fits = built is not None and len(shape) > 0 and shape[1:] == built.input_shape and x.dtype == built.dtype
        if not fits or not 0 < len(x) <= FEW or kernels.current() != "numba":
            return []
        if len(self._free) >= SHAPES // 2 and shape not in self._met:
            self._met = {*list(self._met)[-SHAPES:], shape}
            return []
        if len(self._free) >= SHAPES:
            self._free.pop(next(iter(self._free)), None)
        try:
            made = [_Pass(self.model, x)] if is_on() else []
        except NotLoweredError:
            made = []
        return self._free.setdefault(shape, made)
