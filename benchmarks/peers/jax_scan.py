"""JAX with epochs compiled into one function: a loop over shuffled data in memory, as deepbp's ``fit`` runs."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers.jax_step import start, update
from benchmarks.workloads import Workload


def prepare_calls(workload: Workload) -> tuple[Callable[[int], Any], int]:
    if workload.inference:
        raise ValueError("a prediction has no steps")
    size = sum(weight.size for weight in workload.weights())
    epochs = max(1, (1024 if size < 10_000 else 64) // workload.count)
    x, y = (np.concatenate(part) for part in zip(*workload.batches(), strict=True))
    xs, ys, rng = jnp.asarray(x), jnp.asarray(y), np.random.default_rng(0)

    def body(state: Any, rows: Any) -> Any:
        return update(workload, state, xs[rows], ys[rows])

    loop = jax.jit(lambda state, order: jax.lax.scan(body, state, order), donate_argnums=0)
    state = start(workload)

    def run(calls: int) -> list[Any]:
        nonlocal state
        losses = []
        for _ in range(calls):
            order = np.concatenate([rng.permutation(len(x)) for _ in range(epochs)])
            state, values = loop(state, order.reshape(-1, workload.batch))
            losses.append(np.asarray(values))
        return losses

    return run, epochs * workload.count
