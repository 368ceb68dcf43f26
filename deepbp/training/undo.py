"""What a training pass leaves behind besides gradients, taken back where no update comes of it."""

from typing import Any, Self

import numpy as np
from attrs import define, field

from deepbp.layers import Chain, Layer
from deepbp.parameter import Buffer
from deepbp.training.position import generators_in
from deepbp.typing import Array


@define(eq=False)
class Undo:
    """Buffers, such as running means, and where the random generators stand from which layers draw.

    From ``note`` to ``done`` an update is under way. Where it overflows, or is cut off, ``take_back`` makes all as it
    was before, so that the next pass over the same batch, by whoever reads the file of the training, is the same. The
    weights cannot be taken back: ``settled`` is False while the optimizer moves them, or when that was cut off.
    """

    buffers: list[Buffer]
    generators: list[np.random.Generator]
    settled: bool = field(default=True, init=False)
    _before: "tuple[list[Array], list[Any]] | None" = field(default=None, init=False)

    @classmethod
    def of(cls, model: Layer[Any]) -> Self:
        """Of a model. The generator that a chain holds draws first values and rows, which no pass does."""
        return cls(list(model.named_buffers().values()), list(generators_in(model, besides=Chain).values()))

    def note(self) -> None:
        """An update begins."""
        if self.buffers or self.generators:
            values = [buffer.value.copy() for buffer in self.buffers]
            self._before = values, [generator.bit_generator.state for generator in self.generators]

    def done(self) -> None:
        """The update was made."""
        self._before = None

    def take_back(self) -> None:
        """Make all as it was, where an update was begun and not made."""
        if self._before is None:
            return
        values, states = self._before
        for buffer, value in zip(self.buffers, values, strict=True):
            buffer.value = value
        for generator, state in zip(self.generators, states, strict=True):
            generator.bit_generator.state = state
        self._before = None
