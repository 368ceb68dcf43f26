"""Interleaved measurements: every library runs once in each round, so that noise affects all of them."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from attrs import define

from benchmarks.workloads import WORKLOADS

THREADS = os.environ.get("BENCH_THREADS", str(min(2, os.cpu_count() or 1)))
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@define
class Contender:
    """A module of ``benchmarks.peers`` in a separate process."""

    name: str
    process: "subprocess.Popen[str]"
    steps_in_one: int = 1

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """Return the next line, or the reason for skipping if the process died."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"skip": f"its process ended with {self.process.wait()}"}


@contextmanager
def contender(name: str, module: str, environment: Mapping[str, str]) -> Iterator[tuple[Contender, str | None]]:
    """Return the running process, or the reason why it cannot run."""
    threads = dict.fromkeys(THREAD_VARIABLES, THREADS)
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.worker", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **threads, **environment},
    )
    try:
        it = Contender(name, process)
        hello = it.answer()
        it.steps_in_one = hello.get("steps_in_one", 1)
        yield it, hello.get("skip")
    finally:
        process.kill()
        process.wait()


def run_workload(index: int, contenders: list[Contender], rounds: int, block: float) -> dict[str, Any]:
    """Measure one workload: ``{library: {"microseconds": [one for each round]} or {"skip": reason}}``."""
    results: dict[str, Any] = {}
    taking_part: list[tuple[Contender, int]] = []
    for it in contenders:
        ready = it.ask(workload=index)
        if "skip" in ready:
            results[it.name] = ready
            continue
        steps = 1
        while (seconds := it.ask(steps=steps)["seconds"]) < block / 2 and steps < 1_000_000:
            steps *= 2 if seconds > block / 20 else 8
        taking_part.append((it, max(1, round(steps * block / max(seconds, 1e-9)))))
        results[it.name] = {"microseconds": []}
    for _ in range(rounds):
        for it, steps in taking_part:
            seconds = it.ask(steps=steps)["seconds"]
            results[it.name]["microseconds"].append(seconds / (steps * it.steps_in_one) * 1e6)
    return results


def spread(values: list[float]) -> tuple[float, float, float]:
    """Return (lower quartile, median, upper quartile)."""
    first, median, third = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return first, median, third


def ratios(results: dict[str, Any], theirs: str, ours: str = "deepbp") -> list[float]:
    """Return the ratio of the times of two libraries for each round."""
    pairs = zip(results[theirs]["microseconds"], results[ours]["microseconds"], strict=True)
    return [one / other for one, other in pairs]


def measure(
    table: Mapping[str, tuple[str, Mapping[str, str]]], only: list[int] | None, rounds: int, block: float
) -> list[dict[str, Any]]:
    """Measure all workloads: ``[{"workload": name, "results": {library: result}}]``."""
    measured = []
    with ExitStack() as stack:
        started = [stack.enter_context(contender(name, *how)) for name, how in table.items()]
        absent = {it.name: {"skip": why} for it, why in started if why}
        contenders = [it for it, why in started if not why]
        for index, workload in enumerate(WORKLOADS):
            if only and index not in only:
                continue
            results = run_workload(index, contenders, rounds, block)
            measured.append({"workload": workload.name, "results": {**results, **absent}})
            told = ", ".join(f"{n} {spread(ratios(results, n))[1]:.2f}" for n, r in results.items() if "skip" not in r)
            own = spread(results["deepbp"]["microseconds"])[1]
            print(f"{workload.name}: deepbp {own:.1f} µs; times that: {told}", flush=True)
    return measured
