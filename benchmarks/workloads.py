"""Workloads: networks, batch sizes, and data."""

from typing import Any

import numpy as np
from attrs import frozen


@frozen
class Workload:
    """A network, and how to train it or predict with it."""

    name: str
    sizes: tuple[int, ...]
    batch: int
    optimizer: str = "adam"
    hidden: str = "relu"
    loss: str = "softmax_cross_entropy"  # or "sum_squared_error", behind a sigmoid
    learning_rate: float = 1e-3
    bias: bool = True
    dtype: str = "float32"
    inference: bool = False
    count: int = 16  # batches of an epoch, drawn once: with a single one, the loss would collapse to zero

    def batches(self) -> list[tuple[Any, Any]]:
        """Return (x, y) pairs; y are labels, or rows of numbers between 0 and 1 for the squared error."""
        rng = np.random.default_rng(0)
        pairs = []
        for _ in range(self.count):
            x = rng.normal(size=(self.batch, self.sizes[0])).astype(self.dtype)
            y: Any = rng.integers(0, self.sizes[-1], self.batch)
            if self.loss == "sum_squared_error":
                y = rng.uniform(0.1, 0.9, (self.batch, self.sizes[-1])).astype(self.dtype)
            pairs.append((x, y))
        return pairs

    def weights(self) -> list[Any]:
        """Return the initial weights for all libraries, each (inputs, outputs); biases start at zero."""
        rng = np.random.default_rng(1)
        pairs = zip(self.sizes, self.sizes[1:], strict=False)
        return [(rng.normal(size=pair) * np.sqrt(2 / sum(pair))).astype(self.dtype) for pair in pairs]


WORKLOADS = [
    Workload(
        "3-4-1 of the notes, batch 4, SGD",
        (3, 4, 1),
        4,
        optimizer="sgd",
        hidden="sigmoid",
        loss="sum_squared_error",
        learning_rate=0.1,
        bias=False,
        dtype="float64",
        count=1024,
    ),
    Workload("3-4-2, batch 4, SGD", (3, 4, 2), 4, optimizer="sgd", hidden="sigmoid", learning_rate=0.1, count=1024),
    Workload("64-32-10, batch 32, Adam", (64, 32, 10), 32, count=64),
    Workload(
        "784-30-10 sigmoid, batch 10, SGD",
        (784, 30, 10),
        10,
        optimizer="sgd",
        hidden="sigmoid",
        loss="sum_squared_error",
        learning_rate=0.1,
        count=64,
    ),
    Workload("20 layers of 64, batch 32, Adam", (64, *(64,) * 19, 10), 32, count=64),
    Workload("784-128-10, batch 64, Adam", (784, 128, 10), 64, count=32),
    Workload("784-512-512-10, batch 128, Adam", (784, 512, 512, 10), 128),
    Workload("1024-2048-2048-10, batch 512, Adam", (1024, 2048, 2048, 10), 512, count=4),
    Workload("64-32-10, inference, batch 1", (64, 32, 10), 1, inference=True),
    Workload("784-512-512-10, inference, batch 1024", (784, 512, 512, 10), 1024, inference=True),
]
