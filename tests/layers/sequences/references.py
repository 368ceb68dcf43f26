"""Independent references: recurrences and attention written out, one sample, one step and one number after another."""

from math import exp, sqrt, tanh
from typing import Any

import numpy as np

from deepbp.layers import Builder, Layer
from deepbp.typing import Array


def built(layer: Any, shape: Any, dtype: str = "float64", seed: int = 0) -> Any:
    """The layer, built, with random numbers also in its biases."""
    Builder(seed, dtype).build(layer, shape)
    rng = np.random.default_rng(seed + 1)
    for parameter in layer.parameters():
        parameter.value = parameter.value + 0.3 * rng.standard_normal(parameter.value.shape)
    return layer


def sigma(z: float) -> float:
    return 1 / (1 + exp(-z))


def states(layer: Any, x: Array) -> Array:
    """The states of all steps (B, T, U), by the formulas in the docstrings."""
    units, kind = layer.units, type(layer).__name__
    W, R, b = (p.value for p in (layer.weight, layer.recurrent_weight, layer.bias))  # noqa: N806
    found = np.zeros((*x.shape[:2], units))
    for n, sequence in enumerate(x):
        h, c = [0.0] * units, [0.0] * units
        order = range(len(sequence))
        for t in reversed(order) if layer.reverse else order:
            before = np.array(h)

            def inputs(gate: int, j: int, t: int = t, sequence: Array = sequence) -> float:
                column = gate * units + j
                return float(sequence[t] @ W[:, column] + b[column])

            def moved(gate: int, j: int, before: Array = before) -> float:
                return float(before @ R[:, gate * units + j])

            for j in range(units):
                if kind == "SimpleRNN":
                    h[j] = tanh(inputs(0, j) + moved(0, j))
                elif kind == "LSTM":
                    i, f, g, o = (inputs(k, j) + moved(k, j) for k in range(4))
                    c[j] = sigma(f) * c[j] + sigma(i) * tanh(g)
                    h[j] = sigma(o) * tanh(c[j])
                else:
                    r, u = (sigma(inputs(k, j) + moved(k, j)) for k in range(2))
                    candidate = tanh(inputs(2, j) + r * (moved(2, j) + layer.hidden_bias.value[j]))
                    h[j] = (1 - u) * candidate + u * before[j]
            found[n, t] = h
    return found


def attention(layer: Any, x: Array) -> Array:
    """Self-attention, one query after another."""
    width = len(layer.output_weight.value)
    size = width // layer.heads
    qkv = x @ layer.weight.value + layer.bias.value
    y = np.zeros((*x.shape[:2], width))
    for n in range(len(x)):
        for head in range(layer.heads):
            q, k, v = (qkv[n, :, part * width + head * size :][:, :size] for part in range(3))
            for t in range(x.shape[1]):
                last = t + 1 if layer.causal else x.shape[1]
                weights = [exp(float(q[t] @ k[s]) / sqrt(size)) for s in range(last)]
                y[n, t, head * size : (head + 1) * size] = sum(w * v[s] for s, w in enumerate(weights)) / sum(weights)
    return np.asarray(y @ layer.output_weight.value + layer.output_bias.value)


def results(layer: Layer[Any], x: Array, delta: Array) -> list[Array]:
    """The output, ∂L/∂x, and all parameter gradients."""
    for parameter in layer.parameters():
        parameter.clear_grad()
    y, saved = layer.forward(x)
    moved = layer.backward(saved, delta)
    return [y, moved, *(p.grad.copy() for p in layer.parameters())]
