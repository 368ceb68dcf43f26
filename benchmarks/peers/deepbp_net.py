"""deepbp, through its public interface."""

from collections.abc import Callable
from itertools import cycle
from typing import Any

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


def prepare(workload: Workload) -> Callable[[], Any]:
    net, batches = build(workload), cycle(workload.batches())
    if workload.inference:
        return lambda: net.predict(next(batches)[0])
    loss = SumSquaredError() if workload.loss == "sum_squared_error" else SoftmaxCrossEntropy()
    optimizer = SGD(workload.learning_rate) if workload.optimizer == "sgd" else Adam(workload.learning_rate)
    trainer = Trainer(net, loss, optimizer)
    return lambda: trainer.step(*next(batches))
