"""The losses on whole batches, each one pass over the numbers; sums are added up in float64."""

from typing import Any

import numpy as np

from deepbp.kernels.fused.activations import check_floats
from deepbp.kernels.fused.compiled import compiled
from deepbp.kernels.fused.exponential import exp_negative


@compiled
def squared_error(prediction: Any, target: Any, factor: float) -> Any:
    delta = np.empty(prediction.shape, prediction.dtype)
    p, t, d = prediction.ravel(), target.ravel(), delta.ravel()
    scale = delta.dtype.type(factor)
    total = 0.0
    for i in range(p.size):
        difference = p[i] - t[i]
        total += difference * difference
        d[i] = scale * difference
    return total, delta


@compiled
def softmax_cross_entropy(z: Any, labels: Any, weight: Any) -> Any:
    check_floats(z)
    probability = np.empty(z.shape, z.dtype)
    rows, classes = z.shape
    value = 0.0
    for row in range(rows):
        label = labels[row]
        if label < 0 or label >= classes:
            raise IndexError("label out of range")
        largest = z[row, 0]
        for j in range(classes):
            largest = max(largest, z[row, j])
        for j in range(classes):
            probability[row, j] = exp_negative(z[row, j] - largest)
        total = probability.dtype.type(0)
        for j in range(classes):
            total += probability[row, j]
        for j in range(classes):
            probability[row, j] /= total
        term = np.log(total) - (z[row, label] - largest)
        value += term if weight is None else term * weight[row]
    return value, probability


@compiled
def softmax_cross_entropy_backward(probability: Any, labels: Any, weight: Any) -> Any:
    delta = np.empty(probability.shape, probability.dtype)
    rows, classes = probability.shape
    one = probability.dtype.type(1)
    share = one / probability.dtype.type(rows)
    for row in range(rows):
        factor = share if weight is None else share * weight[row]
        for j in range(classes):
            delta[row, j] = probability[row, j] * factor
        delta[row, labels[row]] = (probability[row, labels[row]] - one) * factor
    return delta
