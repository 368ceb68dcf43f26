"""One contender in a process of its own: its threads and settings disturb nobody else's.

Reads lines of JSON from stdin and answers each with one on stdout: ``{"workload": index}`` prepares and tells how many
steps are in one call, ``{"calls": n}`` makes so many calls and tells the seconds.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.workloads import WORKLOADS, Workload


def prepared(module: Any, workload: Workload) -> tuple[Callable[[int], Any], int]:
    """A function that makes n calls, and the number of steps in each.

    A peer's ``prepare`` returns a function that is one step, or its ``prepare_calls`` both.
    """
    if hasattr(module, "prepare_calls"):
        calls: tuple[Callable[[int], Any], int] = module.prepare_calls(workload)
        return calls
    step = module.prepare(workload)

    def run(calls: int) -> None:
        for _ in range(calls):
            step()

    return run, 1


def main() -> None:
    if hasattr(os, "sched_setaffinity"):  # XLA takes all cores that it finds, whatever the variables say
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(os.environ["OMP_NUM_THREADS"])])
    answers = sys.stdout
    sys.stdout = sys.stderr  # output of libraries must not mix with the responses
    run: Callable[[int], Any] | None = None

    def answer(**fields: Any) -> None:
        print(json.dumps(fields), file=answers, flush=True)

    try:
        module = importlib.import_module(f"benchmarks.peers.{sys.argv[1]}")
    except ImportError as error:
        answer(skip=f"not installed ({error.name})")
        return
    answer(ready=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "workload" in request:
            try:
                run, steps = prepared(module, WORKLOADS[request["workload"]])
                run(1)
                answer(steps_in_one=steps)
            except Exception as error:  # the results state what a library cannot do
                answer(skip=f"{type(error).__name__}: {str(error)[:200]}")
        else:
            assert run is not None
            start = time.perf_counter()
            run(request["calls"])
            answer(seconds=time.perf_counter() - start)


if __name__ == "__main__":
    main()
