"""A handwritten NumPy loop; for the network of the notes, the lines of the notes."""

from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np

from benchmarks.workloads import Workload


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def prepare(workload: Workload) -> Callable[[], Any]:
    if workload.inference:
        return _inference(workload)
    return _notes(workload) if len(workload.sizes) == 3 and not workload.bias else _general(workload)


def _notes(workload: Workload) -> Callable[[], Any]:
    weights1, weights2 = workload.weights()
    batches, rate = cycle(workload.batches()), workload.learning_rate

    def step() -> float:
        nonlocal weights1, weights2
        x, y = next(batches)
        layer1 = sigmoid(np.dot(x, weights1))
        output = sigmoid(np.dot(layer1, weights2))
        bracket = 2 * (y - output) * (output * (1 - output))
        d2 = np.dot(layer1.T, bracket)
        d1 = np.dot(x.T, np.dot(bracket, weights2.T) * (layer1 * (1 - layer1)))
        weights1 = weights1 + rate * d1
        weights2 = weights2 + rate * d2
        return 0.0  # the notes do not compute the loss

    return step


def _forward(workload: Workload, x: Any, weights: list[Any], biases: list[Any]) -> list[Any]:
    activations = [x]
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        z = activations[-1] @ weight + bias
        if layer < len(weights) - 1:
            z = np.maximum(z, 0) if workload.hidden == "relu" else sigmoid(z)
        elif workload.loss == "sum_squared_error":
            z = sigmoid(z)
        activations.append(z)
    return activations


def _inference(workload: Workload) -> Callable[[], Any]:
    weights, batches = workload.weights(), cycle(workload.batches())
    biases = [np.zeros(w.shape[1], w.dtype) for w in weights]
    return lambda: _forward(workload, next(batches)[0], weights, biases)[-1]


def _general(workload: Workload) -> Callable[[], Any]:
    weights, batches, rate = workload.weights(), cycle(workload.batches()), workload.learning_rate
    biases = [np.zeros(w.shape[1], w.dtype) for w in weights]
    means = [np.zeros_like(p) for p in (*weights, *biases)]
    squares = [np.zeros_like(p) for p in (*weights, *biases)]
    count = 0

    def step() -> float:
        nonlocal count
        x, y = next(batches)
        activations = _forward(workload, x, weights, biases)
        output = activations[-1]
        if workload.loss == "sum_squared_error":
            value = float(np.sum((output - y) ** 2))
            delta = 2 * (output - y) * output * (1 - output)
        else:
            e = np.exp(output - output.max(axis=1, keepdims=True))
            p = e / e.sum(axis=1, keepdims=True)
            value = float(-np.log(p[np.arange(len(y)), y]).mean())
            delta = p
            delta[np.arange(len(y)), y] -= 1
            delta /= len(y)
        weight_grads: list[Any] = []
        bias_grads: list[Any] = []
        for layer in range(len(weights) - 1, -1, -1):
            weight_grads.insert(0, activations[layer].T @ delta)
            bias_grads.insert(0, delta.sum(axis=0))
            if layer:
                a = activations[layer]
                delta = (delta @ weights[layer].T) * ((a > 0) if workload.hidden == "relu" else a * (1 - a))
        count += 1
        for parameter, grad, m, v in zip((*weights, *biases), weight_grads + bias_grads, means, squares, strict=True):
            if workload.optimizer == "sgd":
                parameter -= rate * grad
            else:
                m[...] = 0.9 * m + 0.1 * grad
                v[...] = 0.999 * v + 0.001 * grad**2
                parameter -= rate * (m / (1 - 0.9**count)) / (np.sqrt(v / (1 - 0.999**count)) + 1e-8)
        return value

    return step
