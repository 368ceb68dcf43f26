"""Training on all samples at once by L-BFGS: few, long steps that know how the slope changes."""

from typing import Any

import numpy as np

from deepbp.layers import Layer
from deepbp.losses import Loss
from deepbp.training.iterations import Iterations, Run, check_limits, need_scipy
from deepbp.training.objective import Objective
from deepbp.typing import ArrayLike


def fit_lbfgs(
    model: Layer[Any],
    x: ArrayLike,
    y: ArrayLike,
    loss: Loss[Any],
    *,
    max_iterations: int = 200,
    tolerance: float = 1e-5,
    memory: int = 10,
    sample_weight: ArrayLike | None = None,
) -> Iterations:
    """w ← w − α H g, where H ≈ (∂²L/∂w²)⁻¹ comes from the last steps and changes of g, and a line search finds α.

    For smooth losses of data that fit into one batch; SciPy's L-BFGS-B does the work, from the extra
    ``deepbp[scipy]``. Build the network with ``dtype="float64"``: in float32 it ends at about seven digits of the loss.

    Args:
        model: a built layer, usually a Sequential, without layers that draw at random.
        max_iterations: where to end in any case.
        tolerance: it has converged when no number of the gradient is larger, or the loss falls no more.
        memory: how many steps H is made of.
        sample_weight: one for each sample.

    Raises:
        ConfigurationError: without SciPy, and for what ``Objective`` refuses.
        NonFiniteError: when the loss overflows; the network then has the values of the last iteration.

    Source: Liu & Nocedal 1989; Byrd, Lu, Nocedal & Zhu 1995.
    """
    check_limits("fit_lbfgs", tolerance, max_iterations=max_iterations, memory=memory)
    need_scipy("fit_lbfgs")
    from scipy.optimize import OptimizeResult, minimize

    objective = Objective(model, loss, x, y, sample_weight)
    run = Run(objective, max_iterations)

    def reached(intermediate_result: OptimizeResult) -> None:  # SciPy looks at the name of the argument
        run.note(intermediate_result.x, intermediate_result.fun)

    def optimize() -> tuple[bool, str]:
        run.note(objective.start, objective(objective.start))
        options = {
            "maxiter": max_iterations + 1,  # the run ends before
            "maxfun": 100 * max_iterations,
            "maxcor": memory,
            "gtol": tolerance,
            "ftol": float(np.finfo(objective.parameters.values.dtype).eps),
        }
        result = minimize(
            objective.value_and_gradient,
            objective.start,
            jac=True,
            method="L-BFGS-B",
            callback=reached,
            options=options,
        )
        return bool(result.success), str(result.message)

    return run.through(optimize)
