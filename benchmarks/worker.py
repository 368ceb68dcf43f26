"""One contender in a process of its own: its threads and settings disturb nobody else's.

Reads lines of JSON from stdin and answers each with one on stdout: ``{"workload": index}`` prepares, ``{"steps": n}``
runs that many steps and tells the seconds.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.workloads import WORKLOADS


def main() -> None:
    answers = sys.stdout
    sys.stdout = sys.stderr  # output of libraries must not mix with the responses
    step: Callable[[], Any] | None = None

    def answer(**fields: Any) -> None:
        print(json.dumps(fields), file=answers, flush=True)

    try:
        module = importlib.import_module(f"benchmarks.peers.{sys.argv[1]}")
    except ImportError as error:
        answer(skip=f"not installed ({error.name})")
        return
    answer(steps_in_one=getattr(module, "STEPS", 1))
    for line in sys.stdin:
        request = json.loads(line)
        if "workload" in request:
            try:
                step = module.prepare(WORKLOADS[request["workload"]])
                step()
                answer(ready=True)
            except Exception as error:  # the results state what a library cannot do
                answer(skip=f"{type(error).__name__}: {str(error)[:200]}")
        else:
            assert step is not None
            start = time.perf_counter()
            for _ in range(request["steps"]):
                step()
            answer(seconds=time.perf_counter() - start)


if __name__ == "__main__":
    main()
