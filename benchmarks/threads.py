"""Training steps on two threads: ``Trainer(threads=2)`` beside one thread, and beside two threads of the BLAS.

Each contender is a process of its own. In each round they run one after another for a quarter of a second, with pauses
in which threads that wait by computing come to rest. Prints a Markdown table of medians of rounds, by the clock: two
cores must be free.

    python -m benchmarks.threads --rounds 40
"""

import argparse
import json
import os
import subprocess
import sys
import time
from statistics import median
from typing import Any

import numpy as np

from benchmarks.images_and_sequences import IMAGES, SEQUENCES
from benchmarks.layer_steps import Step, images_of_deepbp, sequence_layer
from benchmarks.measure import PAUSE, THREAD_VARIABLES
from deepbp import Sequential, Trainer
from deepbp.layers import Dense, ReLU
from deepbp.losses import MeanSquaredError, SoftmaxCrossEntropy
from deepbp.optimizers import Adam

CONTENDERS = {"one thread": (1, 1), "two of the BLAS": (1, 2), "threads=2": (2, 2)}
"""The threads of the trainer, and those that the BLAS may have."""
DENSE = "784-512-512-10, batch 128"
NAMES = [*IMAGES, *(name for name, (kind, *_) in SEQUENCES.items() if kind != "RNN"), DENSE]
BLOCK = 0.25  # seconds


def step_of(name: str, threads: int) -> Step:
    """A whole training step."""
    rng = np.random.default_rng(0)
    if name in IMAGES:
        shape, plan = IMAGES[name]
        x, y = rng.normal(size=shape).astype("f4"), rng.integers(0, 10, shape[0])
        return images_of_deepbp(shape, plan, x, y, threads)
    if name == DENSE:
        x, y = rng.normal(size=(128, 784)).astype("f4"), rng.integers(0, 10, 128)
        dense = Sequential([Dense(512), ReLU(), Dense(512), ReLU(), Dense(10)], input_shape=784, rng=0)
        of_classes = Trainer(dense, SoftmaxCrossEntropy(), Adam(), threads=threads)
        return lambda: of_classes.step(x, y)
    kind, batch, length, features, size = SEQUENCES[name]
    net = Sequential([sequence_layer(kind, size)], input_shape=(length, features), rng=0)
    x = rng.normal(size=(batch, length, features)).astype("f4")
    y = rng.normal(size=net.predict(x).shape).astype("f4")
    trainer = Trainer(net, MeanSquaredError(), Adam(), threads=threads)
    return lambda: trainer.step(x, y)


def work(threads: int) -> None:
    """Answer requests: for each name of a step, its median time in a block."""
    steps: dict[str, Step] = {}
    for line in sys.stdin:
        name = json.loads(line)
        if name not in steps:
            steps.clear()  # the memory of one
            steps[name] = step_of(name, threads)
            for _ in range(5):
                steps[name]()
        times: list[float] = []
        end = time.perf_counter() + BLOCK
        while time.perf_counter() < end or len(times) < 3:
            start = time.perf_counter()
            steps[name]()
            times.append(time.perf_counter() - start)
        print(median(times), flush=True)


def start(threads: int, of_blas: int) -> "subprocess.Popen[str]":
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(of_blas))}
    command = [sys.executable, "-m", "benchmarks.threads", "--worker", str(threads)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def ask(process: Any, name: str) -> float:
    process.stdin.write(json.dumps(name) + "\n")
    process.stdin.flush()
    seconds = float(process.stdout.readline())
    time.sleep(PAUSE)
    return seconds


def main(rounds: int, only: str) -> None:
    processes = {name: start(*threads) for name, threads in CONTENDERS.items()}
    others = [name for name in CONTENDERS if name != "threads=2"]
    print(f"| step | {', ms | '.join(CONTENDERS)}, ms | {' | '.join(f'{one} / threads=2' for one in others)} |")
    print("| --- |" + " --- |" * (len(CONTENDERS) + len(others)))
    for name in NAMES:
        if only not in name:
            continue
        for process in processes.values():
            ask(process, name)
        times = [{one: ask(process, name) for one, process in processes.items()} for _ in range(rounds)]
        medians = [f"{median(each[one] for each in times) * 1000:.2f}" for one in processes]
        ratios = [f"{median(each[one] / each['threads=2'] for each in times):.2f}" for one in others]
        print(f"| {name} | {' | '.join(medians)} | {' | '.join(ratios)} |", flush=True)
    for process in processes.values():
        process.kill()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", default="")
    parser.add_argument("--worker", type=int)
    given = parser.parse_args()
    if given.worker is None:
        main(given.rounds, given.only)
    else:
        work(given.worker)
