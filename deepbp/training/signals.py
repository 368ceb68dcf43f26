"""The sizes of what flows through a network: activations forwards, error signals and gradients backwards."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import numpy as np
from attrs import frozen

from deepbp.errors import ConfigurationError
from deepbp.layers import Chain, Layer
from deepbp.layers.formula import Formula, evaluate
from deepbp.losses import Loss
from deepbp.training.data import Data
from deepbp.typing import Array

FLAT = 0.05  # of the steepest slope: below it an activation counts as saturated
_GRID = np.linspace(-20.0, 20.0, 4001)


@frozen(eq=False)
class Signals:
    """One look at a network of L layers, each array of shape (L,).

    Attributes:
        step: how many updates had been made.
        loss: of the samples that were looked at.
        activations: root mean square of each layer's output.
        error_signals: root mean square of δ = ∂L/∂(the layer's output).
        gradients: root mean square of ∂L/∂(the layer's parameters); NaN for a layer without any of its own.
        dead: the share of units whose slope is 0 for every sample; NaN where no slope is known.
        saturated: the share of activations whose slope is below 5 % of the steepest one; NaN for a layer that is no
            squashing function, such as ReLU.
    """

    step: int
    loss: float
    activations: Array
    error_signals: Array
    gradients: Array
    dead: Array
    saturated: Array


def leaves(model: Layer[Any], place: str = "") -> Iterator[tuple[str, Layer[Any]]]:
    """The layers in the order in which they run, chains walked into, by the places that ``named_layers`` gives."""
    if isinstance(model, Chain):
        for position, layer in enumerate(model.layers):
            yield from leaves(layer, f"{place}.{position}" if place else str(position))
    else:
        yield place, model


def measure(model: Layer[Any], loss: Loss[Any], data: Data, step: int) -> Signals:
    """Run the samples forwards and backwards through a copy, so that nothing in the model changes."""
    layers = [layer for _, layer in leaves(deepcopy(model))]
    memories: list[Any] = []
    activations, error_signals, shut = [], [], []
    with np.errstate(all="ignore"):  # sizes that are not finite are part of the answer
        x = data.x
        for layer in layers:
            x, memory = layer.forward(x)
            memories.append(memory)
            activations.append(_size(x))
            shut.append(_shut(layer, memory, x))
        value, loss_saved = loss.forward(x, data.y, data.sample_weight)
        delta = loss.backward(loss_saved)
        for layer in layers:
            for parameter in layer.parameters():
                parameter.clear_grad()
        for layer, memory in zip(layers[:0:-1], memories[:0:-1], strict=True):
            error_signals.append(_size(delta))
            delta = layer.backward(memory, delta)
        error_signals.append(_size(delta))
        layers[0].backward_parameters(memories[0], delta)
        return Signals(
            step,
            value,
            np.array(activations),
            np.array(error_signals[::-1]),
            np.array(list(_gradient_sizes(layers))),
            *np.array(shut).T,
        )


def _size(*arrays: Array) -> float:
    """Root mean square, summed in float64, for the square of a small float32 is 0; NaN of nothing."""
    count = sum(array.size for array in arrays)
    total = sum(float(np.sum(np.square(array, dtype=np.float64))) for array in arrays)
    return float(np.sqrt(total / count)) if count else float("nan")


def _gradient_sizes(layers: list[Layer[Any]]) -> Iterator[float]:
    """One for each layer; a parameter that is used again counts where it is used first."""
    seen: set[int] = set()
    for layer in layers:
        own = [parameter for parameter in layer.parameters() if id(parameter) not in seen]
        seen.update(map(id, own))
        yield _size(*(parameter.grad for parameter in own))


def _shut(layer: Layer[Any], memory: Any, y: Array) -> tuple[float, float]:
    """The shares of dead units and of saturated activations."""
    formula = layer.stated_formula()
    if formula is None or not formula.derivative:
        return float("nan"), float("nan")
    slopes = np.abs(layer.backward(memory, np.ones_like(y)))  # each number by itself, so ones give the slopes
    steepest = _steepest_of_squashing(formula)
    saturated = float("nan") if steepest is None else float(np.mean(slopes < FLAT * steepest))
    return float(np.mean((slopes == 0).all(axis=0))), saturated


def _steepest_of_squashing(formula: Formula) -> float | None:
    """The steepest slope of a function that is flat on both sides; None for any other."""
    try:
        names = {"x": _GRID, "y": evaluate(formula.forward, {"x": _GRID})}
        slopes = np.abs(np.broadcast_to(evaluate(formula.derivative, names), _GRID.shape).astype(float))
    except ConfigurationError:  # it has parameters of its own
        return None
    steepest = float(slopes.max())
    return steepest if max(slopes[0], slopes[-1]) < FLAT * steepest else None
