"""Diagnosis of failing trainings: the first place that overflowed, and losses that do not fit the last layer."""

import warnings
from typing import Any

import numpy as np

from deepbp.layers import Chain, Layer, Sigmoid, Softmax
from deepbp.layers.observed_pass import ObservedPass, stated_graph
from deepbp.losses import Loss
from deepbp.parameters import ParameterVector
from deepbp.typing import Array


def first_overflow(model: Layer[Any], loss: Loss[Any], x: Array, y: Array) -> str:
    """Name the first array that is not finite for this batch: the data, or the output of a layer, at any depth.

    Runs the training pass, which changes running averages and draws random numbers: restore both afterwards.
    """
    for name, array in (("the inputs x", x), ("the targets y", y)):
        finite = np.isfinite(array) | np.isnan(array) if array is y and loss._takes_missing() else np.isfinite(array)
        if not finite.all():
            return name
    run = ObservedPass.of(model)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
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
    if isinstance(last, Softmax | Sigmoid):
        wants = "logits and applies its own" if loss.expects == "logits" else "scores, which may have any size"
        instead = "CrossEntropy" if isinstance(last, Softmax) else "BinaryCrossEntropy"
        warnings.warn(
            f"the network ends with {last}, and {type(loss).__name__} expects {wants}: "
            f"drop the last layer, or use a loss on probabilities such as {instead}()",
            UserWarning,
            stacklevel=stacklevel,
        )


def _last_inside(layer: Layer[Any]) -> Layer[Any] | None:
    """The layer that a composite ends with; None for a leaf, and where branches end together."""
    if isinstance(layer, Chain):
        return layer.layers[-1]
    graph = None if type(layer).inner_graph is Layer.inner_graph else stated_graph(layer)
    return None if graph is None else graph.output.layer
