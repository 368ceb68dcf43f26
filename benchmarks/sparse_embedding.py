"""A step of a table of 1,000,000 × 16 numbers, of which a batch uses 128 rows: deepbp beside PyTorch.

Prints the median ratios of interleaved blocks of steps to PyTorch's sparse optimizer: below 1 is faster. Needs PyTorch:
``python -m benchmarks.sparse_embedding``.
"""

from collections.abc import Callable
from statistics import median
from time import perf_counter

import numpy as np

from deepbp import Sequential, Trainer
from deepbp.layers import Dense, Embedding, Flatten
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD, Adam, Optimizer

ROWS, WIDTH, BATCH, COLUMNS = 1_000_000, 16, 32, 4
BLOCK, ROUNDS = 10, 15
X = np.random.default_rng(0).integers(0, ROWS, (64, BATCH, COLUMNS))
Y = np.random.default_rng(1).normal(size=(64, BATCH, 1)).astype(np.float32)


def ours(optimizer: Optimizer, sparse: bool) -> Callable[[int], object]:
    """A step of deepbp."""
    embedding = Embedding(ROWS, WIDTH, sparse_gradient=sparse)
    net = Sequential([embedding, Flatten(), Dense(1)], input_shape=COLUMNS, rng=0)
    trainer = Trainer(net, MeanSquaredError(), optimizer)
    return lambda step: trainer.step(X[step % 64], Y[step % 64])


def theirs(adam: bool) -> Callable[[int], object]:
    """A step of PyTorch, with sparse gradients."""
    import torch

    torch.set_num_threads(1)
    embedding, dense = torch.nn.Embedding(ROWS, WIDTH, sparse=True), torch.nn.Linear(COLUMNS * WIDTH, 1)
    optimizers: list[torch.optim.Optimizer] = [torch.optim.SGD([*embedding.parameters(), *dense.parameters()], 0.1)]
    if adam:
        optimizers = [torch.optim.SparseAdam(list(embedding.parameters())), torch.optim.Adam(dense.parameters())]

    def step(number: int) -> float:
        for optimizer in optimizers:
            optimizer.zero_grad()
        prediction = dense(embedding(torch.from_numpy(X[number % 64])).flatten(1))
        loss = ((prediction - torch.from_numpy(Y[number % 64])) ** 2).mean()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        return float(loss.item())

    return step


def seconds(step: Callable[[int], object], first: int, steps: int) -> float:
    """The time of a step, the mean of a block."""
    start = perf_counter()
    for number in range(first, first + steps):
        step(number)
    return (perf_counter() - start) / steps


def main() -> None:
    """Print the ratios for each optimizer."""
    for name, optimizer in (("SGD", SGD(0.1)), ("Adam", Adam())):
        peer, sparse, dense = theirs(name == "Adam"), ours(optimizer, True), ours(optimizer, False)
        for one in (peer, sparse, dense):
            seconds(one, 0, 2)
        ratios: list[tuple[float, float]] = []
        for number in range(ROUNDS):
            base = seconds(peer, number * BLOCK, BLOCK)
            ratios.append((seconds(sparse, number * BLOCK, BLOCK) / base, seconds(dense, number, 1) / base))
        first, second = (median(column) for column in zip(*ratios, strict=True))
        print(f"{name:5} sparse_gradient=True {first:7.2f}   sparse_gradient=False {second:7.1f}")


if __name__ == "__main__":
    main()
