"""JAX with a complete training loop compiled into one function."""

from collections.abc import Callable
from typing import Any

from benchmarks.peers.jax_step import prepare_loop
from benchmarks.workloads import Workload

STEPS = 1000  # in one call


def prepare(workload: Workload) -> Callable[[], Any]:
    if sum(weight.size for weight in workload.weights()) > 10_000 or workload.inference:
        raise ValueError("a loop of 1000 steps is only run for small nets")
    return prepare_loop(workload, STEPS)
