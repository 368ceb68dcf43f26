"""Old trainings beside young ones: the time of a step around step 100 and around step 2,000, for each optimizer.

Half of the hidden units are dead, so half of the optimizer's means decay, as in real trainings. Prints the median ratio
of interleaved blocks: ``python -m benchmarks.aging``.
"""

from collections.abc import Iterator
from statistics import median
from time import perf_counter

import numpy as np

from deepbp import Sequential, Trainer, kernels
from deepbp.layers import Dense, ReLU
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    AMSGrad,
    Lion,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
)

OPTIMIZERS: list[Optimizer] = [
    SGD(0.01),
    SGD(0.01, momentum=0.9),
    SGD(0.01, momentum=0.9, nesterov=True),
    Adam(),
    AdamW(),
    AMSGrad(),
    NAdam(),
    RAdam(),
    RMSprop(centered=True, momentum=0.9),
    Adagrad(),
    Adadelta(),
    Lion(),
    Rprop(),
]
YOUNG, OLD, BLOCK, ROUNDS = 100, 2000, 25, 15


def stepper(optimizer: Optimizer, age: int) -> Iterator[float]:
    """Yield the seconds of blocks of steps, all about ``age`` steps after the start."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4096, 64)).astype(np.float32), rng.integers(0, 10, 4096)

    def begin() -> Trainer:
        net = Sequential([Dense(256), ReLU(), Dense(256), ReLU(), Dense(10)], input_shape=64, rng=0)
        for layer in (net.layers[0], net.layers[2]):
            layer.bias.value[::2] = -100  # dead from the second step on, when the first one has filled the means
        trainer = Trainer(net, SoftmaxCrossEntropy(), optimizer)
        for name, array in trainer.state.items():
            if isinstance(array, np.ndarray) and name not in ("size", "direction"):
                array[:] = 1e-3
        return trainer

    trainer, step = begin(), 0

    def run(steps: int) -> float:
        nonlocal step
        start = perf_counter()
        for _ in range(steps):
            rows = slice(32 * (step % 128), 32 * (step % 128) + 32)
            trainer.step(x[rows], y[rows])
            step += 1
        return perf_counter() - start

    run(age)
    while True:
        yield run(BLOCK) / BLOCK
        if step >= age + 8 * BLOCK and age < OLD:
            trainer, step = begin(), 0
            run(age)


def main() -> None:
    print(f"| optimizer | kernels | µs a step at step {YOUNG} | at step {OLD} | ratio |\n|---|---|---|---|---|")
    for optimizer in OPTIMIZERS:
        for form in ("numpy", "numba"):
            kernels.use(form)
            young, old = stepper(optimizer, YOUNG), stepper(optimizer, OLD)
            pairs = [(next(young), next(old)) for _ in range(ROUNDS)]
            early, late = (1e6 * median(column) for column in zip(*pairs, strict=True))
            ratio = median(b / a for a, b in pairs)
            print(f"| {optimizer!r} | {form} | {early:.0f} | {late:.0f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
