"""The floor: only the matrix products of a step."""

from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np

from benchmarks.workloads import Workload


def prepare(workload: Workload) -> Callable[[], Any]:
    weights, batches = workload.weights(), cycle(workload.batches())
    grads = [np.empty_like(weight) for weight in weights]
    rng = np.random.default_rng(2)
    signals = [rng.normal(size=(workload.batch, size)).astype(workload.dtype) for size in workload.sizes]

    def infer() -> Any:
        signals[0] = next(batches)[0]
        for signal, weight in zip(signals, weights, strict=False):
            out = signal.dot(weight)
        return out

    def train() -> Any:
        infer()
        for layer in range(len(weights) - 1, -1, -1):
            signals[layer].T.dot(signals[layer + 1], grads[layer])
            if layer:
                signals[layer + 1].dot(weights[layer].T)
        return 0.0

    return infer if workload.inference else train
