"""Data-parallel training: a cost model, fed by times that are measured here, and its prediction to 1,024 processes.

    python -m benchmarks.scaling            measures on 1, 2 and 3 processes, prints tables, draws docs/processes.svg
    python -m benchmarks.scaling --stored   prints and draws again from docs/processes.json

A step of R processes with n bytes of gradients takes t = t_own + t_sum, where t_own is what a process does by itself,
on its part of the batch and with the message, and the sum takes

    t_sum = min(log₂R (α + n β),  2 log₂R α + 2 (R − 1)/R n β)

with the latency α and the seconds β of a byte: recursive doubling for short messages, and Rabenseifner's algorithm, the
halves of halves, for long ones (Thakur, Rabenseifner & Gropp 2005). Times are the least of many, the least disturbed.
On fewer cores than processes, t_own is as many times as long. Needs the extras ``mpi`` and ``plots``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from math import log2
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from attrs import frozen

from deepbp import Sequential, Trainer
from deepbp.layers import Dense, ReLU
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.optimizers import Adam
from deepbp.processes import Processes
from deepbp.training import Data
from deepbp.training.together import Together

ROOT = Path(__file__).parent.parent
STORED, PICTURE = ROOT / "docs" / "processes.json", ROOT / "docs" / "processes.svg"
NETS = {(64, 32, 10): 32, (784, 128, 10): 64, (784, 512, 512, 10): 128, (1024, 2048, 2048, 10): 512}
"""Sizes of layers, and the rows of each process."""

COUNTS = (1, 2, 3)
FURTHER = 7  # numbers behind the gradients in a message
MOST = 1024  # processes of the prediction


@frozen
class Link:
    """What connects the processes: seconds of latency, and for each byte."""

    name: str
    latency: float
    per_byte: float

    def seconds(self, size: int, processes: int) -> float:
        """The time for a sum of ``size`` bytes over all processes."""
        if processes == 1:
            return 0.0
        rounds = log2(processes)
        doubling = rounds * (self.latency + size * self.per_byte)
        halving = 2 * rounds * self.latency + 2 * (processes - 1) / processes * size * self.per_byte
        return min(doubling, halving)


LINKS = (Link("10 Gb/s Ethernet", 30e-6, 1 / 1.1e9), Link("100 Gb/s InfiniBand", 2e-6, 1 / 11e9))


@frozen
class Net:
    """The measured times of a network, for a batch of ``rows`` in one process."""

    name: str
    rows: int
    parameters: int
    step: float  # of a training that knows of no other processes
    own: float

    @property
    def size(self) -> int:
        """The bytes of a message."""
        return 4 * (self.parameters + FURTHER)

    def seconds(self, link: Link, processes: int, share: float = 1.0, cores: int = 10**9) -> float:
        """The time for a step in which each process has ``share`` of the rows."""
        own = self.own - self.step * (1 - share) if processes > 1 else self.step
        return own * max(1.0, processes / cores) + link.seconds(self.size, processes)

    def efficiency(self, link: Link, processes: int) -> float:
        """Weak scaling: of R times the rows, how many are learned from in the time of a step of one process, over R."""
        return self.step / self.seconds(link, processes)

    def speedup(self, link: Link, processes: int) -> float:
        """Strong scaling: how much faster a step of the same batch is."""
        return self.step / self.seconds(link, processes, 1 / processes)


def network(sizes: tuple[int, ...]) -> Sequential:
    """A new network with these sizes of layers."""
    layers = [layer for units in sizes[1:] for layer in (Dense(units), ReLU())]
    return Sequential(layers[:-1], input_shape=sizes[0], rng=0)


def learner(trainer: Trainer, processes: Processes) -> Together:
    """What makes the updates of ``fit`` on several processes, with programs where there are any."""
    program = partial(trainer._programs.run, "gradients")
    return Together(trainer.loss, processes, trainer, trainer._training, program)


def update(learner: Together, part: Data) -> None:
    """An update, after which nothing is kept for the epoch's loss."""
    learner.learn(part, True)
    learner.clear()


def least(run: Callable[[], object], count: int, before: Callable[[], object] = lambda: None) -> float:
    """The tenth percentile of the seconds of several runs."""
    times = []
    for _ in range(count):
        before()
        start = perf_counter()
        run()
        times.append(perf_counter() - start)
    return float(np.quantile(times, 0.1))


def measure() -> tuple[dict[str, Any], bool]:
    """The times of this process, which is one of those that mpiexec started, and whether it is the first one."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    processes, rng = Processes(comm), np.random.default_rng(0)
    eight = np.zeros(8, np.float32)
    found: dict[str, Any] = {"latency": least(lambda: processes.sum(eight), 500, comm.Barrier), "nets": []}
    for sizes, rows in NETS.items():
        count = comm.size * rows
        x, y = rng.normal(size=(count, sizes[0])).astype(np.float32), rng.integers(0, sizes[-1], count)
        options = SoftmaxCrossEntropy(), Adam(1e-4)
        alone, together = Trainer(network(sizes), *options), Trainer(network(sizes), *options, processes=processes)
        apart = learner(together, Processes())
        shared = learner(together, processes)
        message = np.zeros(alone.parameters.values.size + FURTHER, np.float32)
        repeats = 300 if message.size < 2e5 else 40 if message.size < 1e6 else 4
        own = x[:rows], y[:rows]
        part = Data.of(together.model, together.loss, *own)
        for _ in range(2):
            alone.step(*own)
            update(shared, part)
        found["nets"].append(
            {
                "name": "-".join(map(str, sizes)),
                "rows": rows,
                "parameters": message.size - FURTHER,
                "step": least(partial(alone.step, *own), repeats),
                "own": least(partial(update, apart, part), repeats),
                "sum": least(partial(processes.sum, message), repeats, comm.Barrier),
                "together": least(partial(update, shared, part), repeats, comm.Barrier),
            }
        )
    return found, processes.rank == 0


def measured() -> dict[str, Any]:
    """The times on each number of processes, those of the first one."""
    found = {}
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "times.json"
            mpiexec = Path(sys.executable).with_name("mpiexec")
            command = [
                str(mpiexec),
                "-n",
                f"{count}",
                sys.executable,
                "-m",
                "benchmarks.scaling",
                "--inside",
                str(path),
            ]
            subprocess.run(command, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}, check=True, cwd=ROOT)
            found[str(count)] = json.loads(path.read_text())
    return {"cores": os.cpu_count(), "processes": found}


def nets_of(times: dict[str, Any]) -> list[Net]:
    """The networks, with their times in one process."""
    names = ("name", "rows", "parameters", "step", "own")
    return [Net(**{name: one[name] for name in names}) for one in times["processes"]["1"]["nets"]]


def own_link(times: dict[str, Any], net: Net, measured_sum: float) -> Link:
    """The shared memory of this machine, from a sum over two processes; short messages stay in its caches."""
    latency = min(times["processes"]["2"]["latency"], measured_sum / 2)
    return Link("shared memory", latency, (measured_sum - latency) / net.size)


def in_ms(seconds: float) -> str:
    """As milliseconds."""
    return f"{1e3 * seconds:.3f} ms"


def tables(times: dict[str, Any]) -> str:
    """The page's tables, as Markdown."""
    nets, two = nets_of(times), times["processes"]["2"]["nets"]
    lines = ["| network, rows of a process | parameters | step alone | own part of a step of 2 | sum | its share |"]
    lines.append("|---|---|---|---|---|---|")
    for net, one in zip(nets, two, strict=True):
        share = one["sum"] / (net.own + one["sum"])
        spent = f"{in_ms(net.step)} | {in_ms(net.own)} | {in_ms(one['sum'])} | {100 * share:.0f} %"
        lines.append(f"| {net.name}, {net.rows} | {net.parameters:,} | {spent} |")
    lines += ["", "| network | 2 processes: model | measured | 3 processes: model | measured |"]
    lines.append("|---|---|---|---|---|")
    for number, net in enumerate(nets):
        pairs, link = [], own_link(times, net, two[number]["sum"])
        for count in COUNTS[1:]:
            together = times["processes"][str(count)]["nets"][number]["together"]
            pairs.append(f"{in_ms(net.seconds(link, count, cores=times['cores']))} | {in_ms(together)}")
        lines.append(f"| {net.name} | {' | '.join(pairs)} |")
    lines += ["", f"| network, 64 processes | {' | '.join(link.name for link in LINKS)} |", "|---|---|---|"]
    for net in nets:
        predicted = [f"{100 * net.efficiency(one, 64):.0f} %, ×{net.speedup(one, 64):.1f}" for one in LINKS]
        lines.append(f"| {net.name} | {' | '.join(predicted)} |")
    return "\n".join(lines)


def draw(times: dict[str, Any]) -> None:
    """Efficiency and speed-up of each network up to 1,024 processes, for both networks between them."""
    from matplotlib.figure import Figure

    counts = [2**power for power in range(int(log2(MOST)) + 1)]
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True, sharey="row")
    for column, link in enumerate(LINKS):
        upper, lower = axes[0, column], axes[1, column]
        for net in nets_of(times):
            label = f"{net.name}, {net.rows} rows"
            upper.plot(counts, [100 * net.efficiency(link, count) for count in counts], marker=".", label=label)
            lower.plot(counts, [net.speedup(link, count) for count in counts], marker=".", label=label)
        lower.plot(counts, counts, color="0.7", linestyle=":", label="ideal")
        upper.set_title(link.name)
        upper.set_ylim(0, 105)
        lower.set_ylim(1 / 64, MOST)
        lower.axhline(1, color="0.7", linewidth=0.8)
        lower.set_xlabel("processes")
        for one in (upper, lower):
            one.set_xscale("log", base=2)
            one.grid(alpha=0.3)
        lower.set_yscale("log", base=2)
        ticks = {4.0**one: f"×{4**one}" if one >= 0 else f"×1/{4**-one}" for one in range(-3, 6)}
        lower.set_yticks([*ticks], [*ticks.values()])
        lower.set_xticks(counts, [f"{count}" for count in counts])
    axes[0, 0].set_ylabel("rows for each process as now:\nefficiency (%)")
    axes[1, 0].set_ylabel("the same batch, divided:\nspeed-up of a step")
    axes[1, 0].legend(loc="upper left", fontsize=8)
    figure.savefig(PICTURE, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stored", action="store_true", help="use the times in docs/processes.json")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside is not None:
        found, is_first = measure()
        if is_first:
            given.inside.write_text(json.dumps(found))
        return
    times = json.loads(STORED.read_text()) if given.stored else measured()
    if not given.stored:
        STORED.write_text(json.dumps(times, indent=1) + "\n")
    print(tables(times))
    draw(times)


if __name__ == "__main__":
    main()
