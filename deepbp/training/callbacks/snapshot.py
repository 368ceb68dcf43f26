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
        self._check(trainer)
        _vector(trainer).values[...] = self.values
        for buffer, value in zip(trainer.buffers, self.buffers, strict=True):
            buffer.value = value

    def _check(self, trainer: "Trainer") -> None:
        own = [_vector(trainer).values, *(buffer.value for buffer in trainer.buffers)]
        stored = [self.values, *self.buffers]
        if [_size(one) for one in own] != [_size(one) for one in stored]:
            raise ConfigurationError(
                f"callbacks: expected the state of a model of {own[0].size} parameters and {len(own) - 1} buffers, "
                f"got one of {np.size(stored[0])} and {len(stored) - 1}, or of other shapes or types"
            )

    def is_in(self, trainer: "Trainer") -> bool:
        """Whether the model's parameters are these."""
        return np.array_equal(_vector(trainer).values, self.values)

    def state(self, name: str) -> dict[str, Any]:
        """For a callback's state."""
        return {name: self.values, f"{name}_buffers": self.buffers}

    @classmethod
    def restored(cls, state: Mapping[str, Any], name: str, trainer: "Trainer") -> Self | None:
        """The one that was stored under this name, or None. Raises ConfigurationError for that of another model."""
        if name not in state:
            return None
        found = cls(state[name], list(state[f"{name}_buffers"]))
        found._check(trainer)
        return found


def _vector(trainer: "Trainer") -> ParameterVector:
    return ParameterVector.of(trainer.model.trainable_parameters())  # another trainer may have laid out its own


def _size(array: Any) -> Any:
    return (array.dtype, array.shape) if isinstance(array, np.ndarray) else None
