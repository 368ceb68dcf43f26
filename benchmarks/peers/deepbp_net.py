"""deepbp through ``fit`` and ``predict``: an epoch a call, over shuffled data in memory."""

from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np

from benchmarks.workloads import Workload
from deepbp import Sequential, Trainer
from deepbp.layers import Dense, ReLU, Sigmoid
from deepbp.losses import SoftmaxCrossEntropy, SumSquaredError
from deepbp.optimizers import SGD, Adam


def build(workload: Workload) -> Sequential:
    """Return the network with the workload's initial weights."""
    hidden = {"relu": ReLU, "sigmoid": Sigmoid}[workload.hidden]
    layers: list[Any] = []
    for units in workload.sizes[1:]:
        layers += [Dense(units, use_bias=workload.bias), hidden()]
    layers = layers[:-1] + ([Sigmoid()] if workload.loss == "sum_squared_error" else [])
    net = Sequential(layers, input_shape=workload.sizes[:1], rng=0, dtype=workload.dtype)
    for layer, weight in zip([n for n in net if isinstance(n, Dense)], workload.weights(), strict=True):
        layer.weight.value = weight
    return net


def trainer_of(workload: Workload) -> Trainer:
    """Return a trainer of the network."""
    loss = SumSquaredError() if workload.loss == "sum_squared_error" else SoftmaxCrossEntropy()
    optimizer = SGD(workload.learning_rate) if workload.optimizer == "sgd" else Adam(workload.learning_rate)
    return Trainer(build(workload), loss, optimizer)


def prepare_calls(workload: Workload) -> tuple[Callable[[int], Any], int]:
    if workload.inference:
        net, batches = build(workload), cycle(workload.batches())

        def predict(calls: int) -> None:
            for _ in range(calls):
                net.predict(next(batches)[0])

        return predict, 1
    trainer = trainer_of(workload)
    x, y = (np.concatenate(part) for part in zip(*workload.batches(), strict=True))
    return lambda calls: trainer.fit(x, y, epochs=calls, batch_size=workload.batch, progress=False), workload.count
