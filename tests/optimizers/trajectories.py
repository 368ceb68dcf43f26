"""An optimizer's steps held against its paper's formulas for a single number, step by step, in double precision."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from deepbp.optimizers import Optimizer
from deepbp.parameters import Parameter, ParameterVector
from deepbp.typing import Array

STEPS = 25
SHAPES = [(3,), (2, 3), (), (1, 2, 2)]  # only the second and the last may decay
Path: TypeAlias = Iterator[float]
"""One number's values after each step, given its start, its gradients, the rates, and whether it decays."""
Case: TypeAlias = tuple[Optimizer, Callable[..., Path], dict[str, Any], float]
"""An optimizer, the formula of one number's path, its arguments, and the decay of matrices."""


def falling(step: int) -> float:
    return 0.1 / (1 + step)


def name_of(case: Case) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in case[2].items())
    return f"{case[1].__name__}({settings}) decay {case[3]}"


def assert_follows(case: Case, rng: np.random.Generator) -> None:
    """All numbers of parameters of several shapes go where the formula says, to twelve digits."""
    optimizer, formula, arguments, decay = case
    parameters = [Parameter(rng.normal(size=shape)) for shape in SHAPES]
    starts = [p.value.copy() for p in parameters]
    gradients = [rng.normal(size=(STEPS, *shape)) for shape in SHAPES]
    for g in gradients:
        g[3] = 0  # a step at which there is nothing to learn
    vector = ParameterVector(parameters)
    state, paths = optimizer.start(vector), []
    for step in range(STEPS):
        vector.clear_grads()
        for p, g in zip(parameters, gradients, strict=True):
            p.accumulate(g[step])
        optimizer.step(vector, state)
        paths.append([p.value.copy() for p in parameters])
    rates = [_rate(optimizer, step) for step in range(STEPS)]
    for index, (start, g) in enumerate(zip(starts, gradients, strict=True)):
        with_decay = {"decay": decay} if decay and start.ndim >= 2 else {}
        for place in np.ndindex(start.shape):
            own = [float(x) for x in g[(slice(None), *place)]]
            expected = list(formula(float(start[place]), own, rates, **arguments, **with_decay))
            got: Array = np.array([path[index][place] for path in paths])
            np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13)


def _rate(optimizer: Optimizer, step: int) -> float:
    rate = optimizer.learning_rate
    return rate(step) if callable(rate) else rate  # type: ignore[no-any-return]
