"""Saying what is wrong with a training: where numbers stopped being finite, and a softmax applied twice."""

import warnings
from typing import Any

import numpy as np

from deepbp.layers import Chain, Layer, Penalized, Sigmoid, Softmax
from deepbp.layers.boundary import place_of
from deepbp.losses import Loss
from deepbp.parameters import ParameterVector
from deepbp.typing import Array


def first_overflow(model: Layer[Any], x: Array, y: Array) -> str:
    """The first place that is not finite for this batch: the data themselves, or the output of a layer."""
    for name, array in (("the inputs x", x), ("the targets y", y)):
        if not np.isfinite(array).all():
            return name
    places: list[str] = []
    layers: list[Layer[Any]] = [model]
    while layers:
        for position, layer in enumerate(layers):
            output = layer._run_predict(x)
            if not np.isfinite(output).all():
                places.append(place_of(f"layer {position}", layer))
                layers = list(layer.layers) if isinstance(layer, Chain) else []
                break
            x = output
        else:
            break
    return " > ".join(places[1:] if len(places) > 1 else places)


def first_bad_gradient(model: Layer[Any], parameters: ParameterVector) -> str:
    """The name of the parameter nearest to the output whose gradient is not finite: backward went wrong there first."""
    held = set(parameters.parameters)
    names = [name for name, p in model.named_parameters().items() if p in held and not np.isfinite(p.grad).all()]
    return names[-1] if names else ""


def warn_if_squashed_twice(model: Layer[Any], loss: Loss[Any], stacklevel: int = 4) -> None:
    """Say so where a loss on logits or scores stands behind a softmax or sigmoid: it would train poorly, silently."""
    last = model
    while isinstance(last, Chain | Penalized):
        last = last.layers[-1] if isinstance(last, Chain) else last.layer
    if isinstance(last, Softmax | Sigmoid) and loss.expects in ("logits", "scores"):
        wants = "logits and applies its own" if loss.expects == "logits" else "scores, which may have any size"
        instead = "CrossEntropy" if isinstance(last, Softmax) else "BinaryCrossEntropy"
        warnings.warn(
            f"the network ends with {last}, and {type(loss).__name__} expects {wants}: "
            f"drop the last layer, or use a loss on probabilities such as {instead}()",
            UserWarning,
            stacklevel=stacklevel,
        )
