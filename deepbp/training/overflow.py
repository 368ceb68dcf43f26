"""Overflow: gradient clipping, the first place that is not finite, and computations without NumPy's warnings."""

import warnings
from collections.abc import Callable
from contextvars import copy_context
from math import isfinite, sqrt
from typing import Any, Literal, ParamSpec, TypeVar

import numpy as np

from deepbp.kernels import unchecked as kernels
from deepbp.layers import Chain, Layer
from deepbp.losses import Loss
from deepbp.parameters import ParameterVector
from deepbp.typing import Array

P = ParamSpec("P")
R = TypeVar("R")


def first_overflow(model: Layer[Any], loss: Loss[Any], x: Array, y: Array) -> str:
    """Name the first array that is not finite for this batch: the data, or the output of a layer, at any depth.

    Runs the training pass, which changes running averages and draws random numbers: restore both afterwards.
    """
    for name, array in (("the inputs x", x), ("the targets y", y)):
        finite = np.isfinite(array) | np.isnan(array) if array is y and loss._takes_missing() else np.isfinite(array)
        if not finite.all():
            return name
    from deepbp.layers.observed_pass import ObservedPass

    run = ObservedPass.of(model)
    with np.errstate(all="ignore"):
        run.forward(x)  # what overflows in training may not in inference, as in BatchNorm
    overflowed = (one.node for one in run.records if one.node.is_signal and not np.isfinite(one.output).all())
    node = next(overflowed, None)
    return "" if node is None else node.description()


def first_bad_gradient(model: Layer[Any], parameters: ParameterVector) -> str:
    """Name the parameter nearest to the output whose gradient is not finite: the backward pass failed there first."""
    held = set(parameters.parameters)
    names = [name for name, p in model.named_parameters().items() if p in held and not np.isfinite(p.grad).all()]
    return names[-1] if names else ""


def warn_if_squashed_twice(model: Layer[Any], loss: Loss[Any], stacklevel: int = 4) -> None:
    """Warn about a loss on logits or scores after a softmax or sigmoid, which would train poorly without an error."""
    if loss.expects not in ("logits", "scores"):
        return
    last = model
    while (inner := _last_inside(last)) is not None:
        last = inner
    if last._loss_on_outputs:
        wants = "logits and applies its own" if loss.expects == "logits" else "scores, which may have any size"
        warnings.warn(
            f"the network ends with {last}, and {type(loss).__name__} expects {wants}: "
            f"drop the last layer, or use a loss on probabilities such as {last._loss_on_outputs}()",
            UserWarning,
            stacklevel=stacklevel,
        )


def _last_inside(layer: Layer[Any]) -> Layer[Any] | None:
    """The layer that a composite ends with; None for a leaf, and where branches end together."""
    if isinstance(layer, Chain):
        return layer.layers[-1]
    if type(layer).inner_graph is Layer.inner_graph:
        return None
    from deepbp.layers.observed_pass import stated_graph

    graph = stated_graph(layer)
    return None if graph is None else graph.output.layer


def clip(grads: Array, value: float | None, norm: float | None) -> bool:
    """Clip each gradient to ±``value``, then the norm of the whole vector to ``norm``; False if it is not finite."""
    length = sqrt(grads.dot(grads))
    if not isfinite(length):
        if not np.isfinite(grads).all():
            return False
        length = _length(grads)
    if value is not None:
        kernels.clip_values(grads, value)
        length = length if norm is None else _length(grads)
    if norm is not None:
        if length > max(norm, LARGE_NORM):  # norm / length may be too small a factor for the dtype
            grads /= np.abs(grads).max()
            grads *= norm / _length(grads)
        else:
            kernels.clip_norm(grads, length, norm)
    return True


LARGE_NORM = 1e30


def _length(grads: Array) -> float:
    """The norm in float64: the square of a large float32 overflows although the number does not."""
    length = float(np.linalg.norm(grads.astype(np.float64)))
    if isfinite(length) or not len(grads):
        return length
    largest = float(np.abs(grads).max())
    return largest * float(np.linalg.norm(grads / largest))


class FloatingPointErrors:
    """Calls functions under fixed handling of floating-point errors, at a tenth of the cost of ``np.errstate``.

    NumPy keeps the handling in a context variable. A copied context in which it was set has the variable and the value,
    which is then set in the caller's own context: functions see all other context variables as they are.
    """

    def __init__(self, **how: Literal["ignore", "warn"]) -> None:
        before = copy_context()
        after = before.copy()
        after.run(np.seterr, **how)
        self._variable, self._value = next(
            (name, value) for name, value in after.items() if value is not before.get(name)
        )

    def __call__(self, function: Callable[P, R], *arguments: P.args, **keywords: P.kwargs) -> R:
        token = self._variable.set(self._value)
        try:
            return function(*arguments, **keywords)
        finally:
            self._variable.reset(token)


ignoring_errors = FloatingPointErrors(all="ignore")
usual_errors = FloatingPointErrors(over="warn", divide="warn", invalid="warn", under="ignore")  # NumPy's own default
