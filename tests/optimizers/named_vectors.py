"""A vector of named parameters, and trainings of some of them with gradients that do not depend on the others."""

from typing import Any

import numpy as np

from deepbp.optimizers import Optimizer
from deepbp.parameters import Parameter, ParameterVector
from deepbp.typing import Array

SHAPES = {"0.weight": (3, 4), "0.bias": (4,), "1.slope": (4,), "2.body.0.weight": (4, 2), "2.body.0.bias": (2,)}
ALL = list(SHAPES)


def drawn(seed: int, dtype: Any) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape).astype(dtype) for name, shape in SHAPES.items()}


def vector_of(names: list[str], dtype: Any = np.float64) -> ParameterVector:
    start = drawn(0, dtype)
    return ParameterVector({name: Parameter(start[name].copy()) for name in names})


def train(optimizer: Optimizer, vector: ParameterVector, steps: int = 12) -> dict[str, Array]:
    state = optimizer.start(vector)
    for step in range(steps):
        gradients = drawn(1 + step, vector.values.dtype)
        vector.clear_grads()
        for name, parameter in zip(vector.names, vector.parameters, strict=True):
            parameter.accumulate(gradients[name])
        optimizer.step(vector, state)
        assert state["step"] == step + 1
    return {name: p.value for name, p in zip(vector.names, vector.parameters, strict=True)}
