"""Full-batch optimizers: L-BFGS and Levenberg-Marquardt."""

from collections.abc import Callable
from importlib.util import find_spec
from math import inf, sqrt
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np

from deepbp.errors import ArgumentTypeError, ConfigurationError, NonFiniteError, shown
from deepbp.layers import Layer
from deepbp.losses import Loss, MeanSquaredError, SumSquaredError
from deepbp.losses.loss import weight_column
from deepbp.processes import Processes
from deepbp.training.history import History
from deepbp.training.interrupt import Interrupt
from deepbp.training.objective import Objective
from deepbp.training.overflow import usual_errors
from deepbp.typing import Array, ArrayLike


class Iterations(History):
    """The history of a full-batch optimizer: ``["loss"][k]`` is the loss after k iterations.

    >>> from deepbp.training import Iterations
    >>> iterations = Iterations()
    >>> iterations.append({"loss": 0.5})
    >>> iterations["loss"], iterations.converged
    ([0.5], False)

    Attributes:
        converged: whether the optimizer converged, rather than reached a limit.
        message: the optimizer's reason for ending.
        interrupted: whether Ctrl-C ended it. The network has the values of the last complete iteration in any case.
    """

    first: ClassVar[int] = 0  # the start, after no iteration

    def __init__(self) -> None:
        super().__init__()
        self.converged = False
        self.message = ""


class StopOptimization(Exception):  # noqa: N818 (not an error)
    """Raised in a function that SciPy's optimizer calls, to end it."""


class Run:
    """Records the iterations of an optimizer, and writes the values of the last one into the network."""

    def __init__(self, objective: Objective, max_iterations: int) -> None:
        self.history = Iterations()
        self._objective, self._limit = objective, max_iterations
        self._interrupt = Interrupt()
        self.reached = objective.start

    def note(self, values: Array, loss: float) -> None:
        """Record the values of an iteration. Raises StopOptimization after the last one."""
        self.reached = np.array(values, np.float64)
        self.history.append({"loss": float(loss)})
        processes = self._objective.processes
        if processes is not None:  # an interrupt of one process ends all at the same iteration
            self._interrupt.requested = bool(processes.sum(np.array([float(self._interrupt.requested)]))[0])
        if self._interrupt.requested or self.history.epochs > self._limit:
            raise StopOptimization

    def through(self, optimize: Callable[[], tuple[bool, str]]) -> Iterations:
        """Run an optimizer, a function that returns whether it converged, and why it ended."""
        history = self.history
        with self._interrupt:
            try:
                history.converged, history.message = usual_errors(optimize)
            except StopOptimization:
                history.message = f"stopped after {history.epochs - 1} iterations"
            except KeyboardInterrupt as error:
                if self._objective.processes is not None:
                    self._objective.processes._end_all(error)
                self._interrupt.requested = True
            except BaseException as error:
                if self._objective.processes is not None:
                    self._objective.processes._end_all(error)
                raise
            finally:
                self._objective.assign(self.reached)
            history.interrupted = self._interrupt.requested
        return history


def need_scipy(place: str) -> None:
    """Raise ConfigurationError if SciPy is not installed."""
    if not find_spec("scipy"):
        raise ConfigurationError(f"{place}: SciPy is not installed: pip install 'deepbp[scipy]'")


def check_limits(place: str, tolerance: Any, **counts: Any) -> None:
    """A tolerance above 0, and counts that are whole numbers of at least 1."""
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, Integral):
            raise ArgumentTypeError(f"{place}: {name}: expected a whole number of at least 1, got {shown(count)}")
        if count < 1:
            raise ConfigurationError(f"{place}: {name}: expected a whole number of at least 1, got {shown(count)}")
    if isinstance(tolerance, bool) or not isinstance(tolerance, Real):
        raise ArgumentTypeError(f"{place}: tolerance: expected a number above 0, got {shown(tolerance)}")
    if not 0 < float(tolerance) < float("inf"):
        raise ConfigurationError(f"{place}: tolerance: expected a number above 0, got {shown(tolerance)}")


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
    processes: Processes | None = None,
) -> Iterations:
    """Train with L-BFGS, a quasi-Newton method: w ← w − α H g, with H ≈ (∂²L/∂w²)⁻¹ and α from a line search.

    H is approximated from the last steps and the changes of the gradient g. For smooth losses, and data that fit into
    one batch. Uses SciPy's L-BFGS-B, from the extra ``deepbp[scipy]``. Build the network with ``dtype="float64"``:
    float32 has only about seven digits of the loss.

    >>> from deepbp import Sequential
    >>> from deepbp.layers import Dense
    >>> from deepbp.losses import MeanSquaredError
    >>> from deepbp.training import fit_lbfgs
    >>> net = Sequential([Dense(1)], input_shape=1, rng=0, dtype="float64")
    >>> history = fit_lbfgs(net, [[0.0], [1.0], [2.0]], [[1.0], [3.0], [5.0]], MeanSquaredError())
    >>> history.converged, net.predict([[10.0]]).round(3)
    (True, array([[21.]]))

    Args:
        model: a Sequential, or another built layer, without layers that draw random numbers.
        max_iterations: the largest number of iterations.
        tolerance: the optimizer has converged when no gradient is larger. Where the loss stops falling before that, the
            optimizer restarts with an empty memory as long as that lowers the loss; otherwise it ends, not converged.
        memory: the number of steps that H is computed from.
        sample_weight: a weight for each sample.
        processes: several processes, each with a part of the samples, all of which make the same steps.

    Raises:
        ConfigurationError: if SciPy is not installed, and as ``Objective`` does.
        NonFiniteError: if the loss overflows; the network then has the values of the last iteration.

    Source: Liu & Nocedal 1989; Byrd, Lu, Nocedal & Zhu 1995.
    """
    check_limits("fit_lbfgs", tolerance, max_iterations=max_iterations, memory=memory)
    need_scipy("fit_lbfgs")
    from scipy.optimize import OptimizeResult, minimize

    objective = Objective(model, loss, x, y, sample_weight, processes=processes)
    run = Run(objective, max_iterations)

    def reached(intermediate_result: OptimizeResult) -> None:  # SciPy looks at the name of the argument
        run.note(intermediate_result.x, intermediate_result.fun)

    def optimize() -> tuple[bool, str]:
        run.note(objective.start, objective(objective.start))
        precision = float(np.finfo(objective.parameters.values.dtype).eps)
        options = {
            "maxiter": max_iterations + 1,  # the run ends before
            "maxfun": 100 * max_iterations,
            "maxcor": memory,
            "gtol": tolerance,
            "ftol": precision,
        }
        # After a steep descent, H describes places that were left behind: its steps become so short that the loss seems
        # not to fall any more. A restart forgets H; the optimizer restarts until that helps no further.
        slope = inf
        while True:
            before = run.history["loss"][-1]
            result = minimize(
                objective.value_and_gradient,
                run.reached,
                jac=True,
                method="L-BFGS-B",
                callback=reached,
                options=options,
            )
            after, largest = float(result.fun), float(np.abs(result.jac).max())
            if largest <= tolerance:
                return True, str(result.message)
            if before - after <= precision * max(abs(before), abs(after)) and not largest < slope / 2:
                return False, (
                    f"the loss falls no further, at a largest gradient of {largest:.3g}, above the tolerance of "
                    f"{tolerance:g}: scale inputs and targets to about ±1, or use dtype='float64'"
                )
            slope = largest

    return run.through(optimize)


PLACE = "fit_levenberg_marquardt"
SMALLEST = 2 * float(np.finfo(np.float64).eps)  # of the tolerances that SciPy accepts


def fit_levenberg_marquardt(
    model: Layer[Any],
    x: ArrayLike,
    y: ArrayLike,
    loss: Loss[Any],
    *,
    max_iterations: int = 100,
    tolerance: float = 1e-10,
    sample_weight: ArrayLike | None = None,
) -> Iterations:
    """Train with Levenberg-Marquardt: w ← w − (Jᵀ J + λ D)⁻¹ Jᵀ r, with the loss Σ r², J = ∂r/∂w and damping λ.

    For regression with small networks: J has a row for each output of each sample and a column for each parameter,
    and each row needs a backward pass. Uses SciPy's ``least_squares``, from the extra ``deepbp[scipy]``. Build the
    network with ``dtype="float64"``. With more parameters than residuals, samples times outputs, SciPy's trust-region
    method ``"trf"`` takes the place of MINPACK's ``"lm"``; many weights then fit the data exactly.

    >>> from deepbp import Sequential
    >>> from deepbp.layers import Dense
    >>> from deepbp.losses import SumSquaredError
    >>> from deepbp.training import fit_levenberg_marquardt
    >>> net = Sequential([Dense(1)], input_shape=1, rng=0, dtype="float64")
    >>> history = fit_levenberg_marquardt(net, [[0.0], [1.0], [2.0]], [[1.0], [3.0], [5.0]], SumSquaredError())
    >>> history.converged, net.predict([[10.0]]).round(6)
    (True, array([[21.]]))

    Args:
        model: a Sequential, or another built layer, without layers that draw random numbers or mix samples.
        loss: ``SumSquaredError`` or ``MeanSquaredError``, which have the same minimum.
        max_iterations: the largest number of iterations.
        tolerance: the optimizer has converged when the relative change of the loss or the values is smaller, or the
            cosine between r and the columns of J is.
        sample_weight: a weight for each sample.

    Raises:
        ConfigurationError: if SciPy is not installed; for another loss; for penalties; and as ``Objective`` does.
        NonFiniteError: if the loss overflows; the network then has the values of the last iteration.

    Source: Levenberg 1944; Marquardt 1963; Moré 1978; for networks Hagan & Menhaj 1994.
    """
    check_limits(PLACE, tolerance, max_iterations=max_iterations)
    need_scipy(PLACE)
    from scipy.optimize import least_squares

    objective = Objective(model, loss, x, y, sample_weight)
    residuals = Residuals(objective)
    run = Run(objective, max_iterations)

    def jacobian(values: Array) -> Array:  # SciPy calls it at the start and after each iteration, sometimes twice
        if not run.history or not np.array_equal(values, run.reached):
            run.note(values, objective(values))
        return residuals.jacobian(values)

    def optimize() -> tuple[bool, str]:
        by_formula: Any = jacobian  # which SciPy takes, although its default is a text
        result = least_squares(
            residuals,
            objective.start,
            jac=by_formula,
            method="lm" if objective.data.y.size >= len(objective.start) else "trf",  # MINPACK's needs J of full rank
            x_scale="jac",
            **dict.fromkeys(("ftol", "xtol", "gtol"), max(tolerance, SMALLEST)),
            max_nfev=100 * max_iterations,
        )
        return bool(result.success), str(result.message)

    return run.through(optimize)


class Residuals:
    """The residuals r = √c (ŷ − y), one for each output of each sample, with the loss Σ r²; and ∂r/∂values."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        loss, model, data = objective.loss, objective.model, objective.data
        if not isinstance(loss, SumSquaredError | MeanSquaredError):
            raise ConfigurationError(
                f"{PLACE}: loss: expected a sum of squares, SumSquaredError() or MeanSquaredError(), "
                f"got {shown(loss)}: "
                "fit_lbfgs takes any loss"
            )
        if model.has_penalty():
            raise ConfigurationError(f"{PLACE}: the network has penalties, which are no residuals: use fit_lbfgs")
        share = loss.scale if isinstance(loss, SumSquaredError) else 1 / data.y.size
        weight = 1.0 if data.sample_weight is None else weight_column(data.sample_weight, data.y)
        self._roots = np.broadcast_to(np.sqrt(share * np.asarray(weight, np.float64)), data.y.shape)

    def __call__(self, values: Array) -> Array:
        """(N · outputs,)."""
        objective, data = self._objective, self._objective.data
        objective(values)  # raises for a loss that is not finite
        with np.errstate(all="ignore"):
            prediction = objective.model.forward(data.x)[0]
        return np.asarray(self._roots * (prediction - data.y)).reshape(-1)

    def jacobian(self, values: Array) -> Array:
        """(N · outputs, P). A backward pass adds up the gradients of all outputs, so each row needs one of its own."""
        objective, x = self._objective, self._objective.data.x
        model, parameters = objective.model, objective.parameters
        objective.place(values)
        rows = np.empty((self._roots.size, len(objective.start)))
        alone, row = [], 0
        with np.errstate(all="ignore"):
            together = model.forward(x)[0]
            for n in range(len(x)):
                prediction, saved = model.forward(x[n : n + 1])
                alone.append(prediction)
                for root, place in zip(self._roots[n].flat, np.ndindex(prediction.shape), strict=True):
                    delta = np.zeros_like(prediction)
                    delta[place] = root
                    parameters.clear_grads()
                    model.backward_parameters(saved, delta)
                    rows[row] = parameters.grads
                    row += 1
        _refuse_mixing(together, np.concatenate(alone))
        if not np.isfinite(rows).all():
            raise NonFiniteError(f"{PLACE}: a derivative of a residual is not finite: try inputs scaled to about ±1")
        return rows


def _refuse_mixing(together: Array, alone: Array) -> None:
    tolerance = sqrt(np.finfo(together.dtype).eps)
    if not np.allclose(together, alone, rtol=tolerance, atol=tolerance * float(np.abs(together).max())):
        raise ConfigurationError(
            f"{PLACE}: the network says of a sample alone what it does not say of it in a batch: a layer mixes the "
            "samples, such as BatchNorm, so residuals have no gradients of their own: use fit_lbfgs"
        )
