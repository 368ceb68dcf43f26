"""A copy of what a training changes in a model."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from attrs import frozen

from deepbp.errors import ConfigurationError
from deepbp.parameter import ParameterVector
from deepbp.typing import Array

if TYPE_CHECKING:
    from deepbp.training.trainer import Trainer


@frozen(eq=False)
class Snapshot:
    """The parameters that are trained, end to end, and the buffers, such as the running means of a normalisation."""

    values: Array
    buffers: list[Array]

    @classmethod
    def of(cls, trainer: "Trainer") -> Self:
        """A copy of the present ones."""
        return cls(_vector(trainer).values.copy(), [buffer.value.copy() for buffer in trainer.buffers])

    def put(self, trainer: "Trainer") -> None:
        """Write them into the model."""
        values, buffers = _vector(trainer).values, trainer.buffers
        if values.shape != self.values.shape or [b.value.shape for b in buffers] != [b.shape for b in self.buffers]:
            raise ConfigurationError(
                f"callbacks: expected the state of a model of {values.size} parameters and {len(buffers)} buffers, "
                f"got one of {self.values.size} and {len(self.buffers)}, or of other shapes"
            )
        values[...] = self.values
        for buffer, value in zip(buffers, self.buffers, strict=True):
            buffer.value = value

    def is_in(self, trainer: "Trainer") -> bool:
        """Whether the model's parameters are these."""
        return np.array_equal(_vector(trainer).values, self.values)

    def state(self, name: str) -> dict[str, Any]:
        """For a callback's state."""
        return {name: self.values, f"{name}_buffers": self.buffers}

    @classmethod
    def restored(cls, state: Mapping[str, Any], name: str) -> Self | None:
        """The one that was stored under this name, or None."""
        return cls(state[name], list(state[f"{name}_buffers"])) if name in state else None


def _vector(trainer: "Trainer") -> ParameterVector:
    return ParameterVector.of(trainer.model.trainable_parameters())  # another trainer may have laid out its own
