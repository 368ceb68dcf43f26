"""Number types, and gradients at the edge."""

import warnings

import numpy as np

from deepbp.testing.arrays import expect_same
from deepbp.testing.check import CheckFailure
from deepbp.testing.optimizers.case import STEPS, OptimizerCase


def dtype_is_kept(case: OptimizerCase) -> None:
    """The state of float32 parameters is float32, and their steps are those of float64, rounded."""
    results = []
    for dtype in ("float32", "float64"):
        parameters = case.parameters(dtype)
        state = case.subject.start(parameters)
        case.steps(parameters, state, range(STEPS), lambda step, p=parameters: case.gradient(step, p.values))  # type: ignore[misc]
        for name, value in state.items():
            if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.dtype != dtype:
                raise CheckFailure(f"state[{name!r}] is {value.dtype} for {dtype} parameters: use np.zeros_like")
        results.append(parameters.values)
    expect_same(results[0], results[1], "steps in float32 go elsewhere than in float64, by more than rounding", 1e-4)


def extreme_gradients(case: OptimizerCase) -> None:
    """Gradients of zero, subnormal, 1e-12 and 1e8 give no warning and no NaN."""
    for dtype in ("float32", "float64"):
        tiny = float(np.finfo(dtype).smallest_subnormal)
        for size in (0.0, tiny, 1e-12, 1e8):
            parameters = case.parameters(dtype)
            state = case.subject.start(parameters)
            gradient = np.full_like(parameters.values, size)
            try:
                with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
                    warnings.simplefilter("error")
                    case.steps(parameters, state, range(STEPS), lambda step, g=gradient: g)  # type: ignore[misc]
            except (FloatingPointError, Warning) as error:
                raise CheckFailure(f"gradients of {size:g}, {dtype}: {error}") from error
            if not np.isfinite(parameters.values).all():
                raise CheckFailure(f"gradients of {size:g}, {dtype}: the parameters are no longer finite")
