"""PyTorch, eager."""

import os
from collections.abc import Callable
from itertools import cycle
from typing import Any

import torch

from benchmarks.workloads import Workload

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def build(workload: Workload) -> Any:
    """Return the network with the workload's initial weights."""
    layers: list[Any] = []
    for weight in workload.weights():
        linear = torch.nn.Linear(*weight.shape, bias=workload.bias, dtype=getattr(torch, workload.dtype))
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight.T.copy()))
            if workload.bias:
                linear.bias.zero_()
        layers += [linear, torch.nn.ReLU() if workload.hidden == "relu" else torch.nn.Sigmoid()]
    return torch.nn.Sequential(*layers[:-1], *([torch.nn.Sigmoid()] if workload.loss == "sum_squared_error" else []))


def prepare(workload: Workload, wrap: Callable[[Any], Any] = lambda model: model) -> Callable[[], Any]:
    model = wrap(build(workload))
    batches = cycle([(torch.from_numpy(x), torch.from_numpy(y)) for x, y in workload.batches()])
    if workload.inference:

        def infer() -> Any:
            with torch.no_grad():
                return model(next(batches)[0]).numpy()

        return infer
    squared = workload.loss == "sum_squared_error"
    loss = torch.nn.MSELoss(reduction="sum") if squared else torch.nn.CrossEntropyLoss()
    kind = torch.optim.SGD if workload.optimizer == "sgd" else torch.optim.Adam
    optimizer = kind(model.parameters(), lr=workload.learning_rate)

    def train() -> Any:
        x, y = next(batches)
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        return value.item()

    return train
