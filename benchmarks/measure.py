"""Interleaved measurements: every library runs once in each round, so that noise affects all of them."""

import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from attrs import define

from benchmarks.workloads import WORKLOADS

CORES = min(2, os.cpu_count() or 1)
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def version(package: str) -> str:
    """Return the version of a package, or that it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


@define
class Contender:
    """A module of ``benchmarks.peers`` in a separate process."""

    name: str
    process: "subprocess.Popen[str]"

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
def contender(
    name: str, module: str, environment: Mapping[str, str], threads: int
) -> Iterator[tuple[Contender, str | None]]:
    """Return the running process, or the reason why it cannot run."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.worker", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads)), **environment},
    )
    try:
        it = Contender(name, process)
        yield it, it.answer().get("skip")
    finally:
        process.kill()
        process.wait()


PAUSE = 0.1  # seconds: threads of the library before wait for more work without giving up their cores, for a while


def run_workload(index: int, contenders: list[Contender], rounds: int, block: float) -> dict[str, Any]:
    """Measure one workload: ``{library: {"microseconds": [one for each round]} or {"skip": reason}}``."""
    results: dict[str, Any] = {}
    taking_part: list[tuple[Contender, int, int]] = []
    for it in contenders:
        ready = it.ask(workload=index)
        if "skip" in ready:
            results[it.name] = ready
            continue
        calls = 1
        while (seconds := it.ask(calls=calls)["seconds"]) < block / 2 and calls < 1_000_000:
            calls *= 2 if seconds > block / 20 else 8
        taking_part.append((it, max(1, round(calls * block / max(seconds, 1e-9))), ready["steps_in_one"]))
        results[it.name] = {"microseconds": []}
    for _ in range(rounds):
        for it, calls, steps in taking_part:
            time.sleep(PAUSE)
            seconds = it.ask(calls=calls)["seconds"]
            results[it.name]["microseconds"].append(seconds / (calls * steps) * 1e6)
    return results


YOUNG, OLD, REPEATS = 100, 2000, 3


def age(index: int, it: Contender, longest: float = 5) -> float | None:
    """The time of a step after 2,000 steps relative to one after 100; None if so many would take longer."""
    found: list[float] = []
    for _ in range(REPEATS):
        ready = it.ask(workload=index)
        if "skip" in ready:
            return None
        calls, every = max(1, YOUNG // ready["steps_in_one"]), ready["steps_in_one"]
        if it.ask(calls=1)["seconds"] / every * OLD > longest:
            return None
        young = min(it.ask(calls=calls)["seconds"] for _ in range(2))
        it.ask(calls=max(1, OLD // every - 3 * calls))
        found.append(min(it.ask(calls=calls)["seconds"] for _ in range(2)) / young)
    return statistics.median(found)


def spread(values: list[float]) -> tuple[float, float, float]:
    """Return (lower quartile, median, upper quartile)."""
    first, median, third = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return first, median, third


def ratios(results: dict[str, Any], theirs: str, ours: str = "deepbp") -> list[float]:
    """Return the ratio of the times of two libraries for each round."""
    pairs = zip(results[theirs]["microseconds"], results[ours]["microseconds"], strict=True)
    return [one / other for one, other in pairs]


def measure(
    table: Mapping[str, tuple[str, Mapping[str, str]]],
    only: list[int] | None,
    rounds: int,
    block: float,
    threads: int,
    ages: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Measure all workloads: ``[{"workload": name, "results": {library: result}, "ages": {library: ratio}}]``."""
    measured = []
    with ExitStack() as stack:
        started = [stack.enter_context(contender(name, *how, threads)) for name, how in table.items()]
        absent = {it.name: {"skip": why} for it, why in started if why}
        contenders = [it for it, why in started if not why]
        for index, workload in enumerate(WORKLOADS):
            if only and index not in only:
                continue
            results = run_workload(index, contenders, rounds, block)
            aged = {} if workload.inference else {it.name: age(index, it) for it in contenders if it.name in ages}
            measured.append({"workload": workload.name, "results": {**results, **absent}, "ages": aged})
            told = ", ".join(f"{n} {spread(ratios(results, n))[1]:.2f}" for n, r in results.items() if "skip" not in r)
            own = spread(results["deepbp"]["microseconds"])[1]
            print(f"{workload.name}, threads {threads}: deepbp {own:.1f} µs; times that: {told}; {aged}", flush=True)
    return measured
