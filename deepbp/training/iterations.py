"""What a numerical optimizer did, iteration by iteration."""

from collections.abc import Callable
from importlib.util import find_spec
from numbers import Integral, Real
from typing import Any

import numpy as np

from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.training.history import History
from deepbp.training.interrupt import Interrupt
from deepbp.training.objective import Objective
from deepbp.typing import Array


class Iterations(History):
    """A history whose rows are iterations: ``["loss"][0]`` is the loss of the start, ``["loss"][k]`` after iteration k.

    Attributes:
        converged: whether it ended because there was no more to gain, rather than at a limit.
        message: why it ended, in the words of the optimizer.
        interrupted: whether Ctrl-C ended it. The network has the values of the last whole iteration in any case.
    """

    def __init__(self) -> None:
        super().__init__()
        self.converged = False
        self.message = ""


class Enough(Exception):  # noqa: N818 (no error: it ends an optimizer from inside)
    """Raised in what the optimizer calls, when it has done what it may."""


class Run:
    """Keeps the values that iterations reach and the losses there, and writes the last into the network at the end."""

    def __init__(self, objective: Objective, max_iterations: int) -> None:
        self.history = Iterations()
        self._objective, self._limit = objective, max_iterations
        self._interrupt = Interrupt()
        self.reached = objective.start

    def note(self, values: Array, loss: float) -> None:
        """An iteration reached these values. Raises Enough when it was the last one wanted."""
        self.reached = np.array(values, np.float64)
        self.history.append({"loss": float(loss)})
        if self._interrupt.requested or self.history.epochs > self._limit:
            raise Enough

    def through(self, optimize: Callable[[], tuple[bool, str]]) -> Iterations:
        """Let it run; it tells whether it converged, and why it ended."""
        history = self.history
        with self._interrupt:
            try:
                history.converged, history.message = optimize()
            except Enough:
                history.message = f"stopped after {history.epochs - 1} iterations"
            except KeyboardInterrupt:
                self._interrupt.requested = True
            finally:
                self._objective.assign(self.reached)
            history.interrupted = self._interrupt.requested
        return history


def need_scipy(place: str) -> None:
    """Raise ConfigurationError, with the fix, where SciPy is not installed."""
    if not find_spec("scipy"):
        raise ConfigurationError(f"{place}: SciPy is not installed: pip install 'deepbp[scipy]'")


def check_limits(place: str, tolerance: Any, **counts: Any) -> None:
    """A tolerance above 0, and counts that are whole numbers of at least 1."""
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, Integral):
            raise ArgumentTypeError(f"{place}: {name}: expected a whole number of at least 1, got {count!r}")
        if count < 1:
            raise ConfigurationError(f"{place}: {name}: expected a whole number of at least 1, got {count!r}")
    if isinstance(tolerance, bool) or not isinstance(tolerance, Real):
        raise ArgumentTypeError(f"{place}: tolerance: expected a number above 0, got {tolerance!r}")
    if not 0 < float(tolerance) < float("inf"):
        raise ConfigurationError(f"{place}: tolerance: expected a number above 0, got {tolerance!r}")
