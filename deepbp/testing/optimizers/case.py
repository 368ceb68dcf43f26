"""An optimizer under examination, and small sets of parameters for it to move."""

from collections.abc import Callable

import numpy as np
from attrs import frozen

from deepbp.optimizers import Optimizer, State
from deepbp.parameter import Parameter, ParameterVector
from deepbp.typing import Array

STEPS = 12
SHAPES = {"0.weight": (4, 3), "0.bias": (3,), "1.slope": (2,)}


@frozen
class OptimizerCase:
    """An optimizer, and small sets of parameters for it to move."""

    subject: Optimizer
    seed: int

    def parameters(self, dtype: str = "float64") -> ParameterVector:
        """A matrix and two vectors, always the same."""
        rng = np.random.default_rng(self.seed)
        return ParameterVector(
            {name: Parameter(rng.standard_normal(shape).astype(dtype)) for name, shape in SHAPES.items()}
        )

    def gradient(self, step: int, like: Array) -> Array:
        return np.random.default_rng([self.seed, step]).standard_normal(like.shape).astype(like.dtype)

    def steps(
        self, parameters: ParameterVector, state: State, steps: range, gradient: Callable[[int], Array] | None = None
    ) -> None:
        """Some steps with the gradients that belong to their numbers."""
        for step in steps:
            parameters.clear_grads()
            parameters.grads[...] = self.gradient(step, parameters.values) if gradient is None else gradient(step)
            self.subject.step(parameters, state)

    def rates(self) -> list[float]:
        return [self.subject.rate(step) for step in range(STEPS)]
