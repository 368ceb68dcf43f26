"""JAX: one compiled function for each step, with donated parameters."""

from collections.abc import Callable
from itertools import cycle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.workloads import Workload

jax.config.update("jax_enable_x64", True)


def _forward(workload: Workload, parameters: Any, x: Any) -> Any:
    hidden = jax.nn.relu if workload.hidden == "relu" else jax.nn.sigmoid
    for layer, (weight, bias) in enumerate(parameters):
        x = x @ weight + (bias if workload.bias else 0)
        x = hidden(x) if layer < len(parameters) - 1 else x
    return jax.nn.sigmoid(x) if workload.loss == "sum_squared_error" else x


def _loss(workload: Workload, parameters: Any, x: Any, y: Any) -> Any:
    output = _forward(workload, parameters, x)
    if workload.loss == "sum_squared_error":
        return jnp.sum((output - y) ** 2)
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(output), y[:, None], axis=1))


def start(workload: Workload) -> Any:
    """Return the parameters, the two moments of Adam, and the step number."""
    parameters = [(jnp.asarray(w), jnp.zeros(w.shape[1], w.dtype)) for w in workload.weights()]
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    return parameters, zeros, jax.tree.map(jnp.zeros_like, parameters), jnp.zeros((), jnp.int32)


def update(workload: Workload, state: Any, x: Any, y: Any) -> Any:
    """Return (new state, loss)."""
    parameters, mean, square, count = state
    value, grads = jax.value_and_grad(lambda p: _loss(workload, p, x, y))(parameters)
    rate = workload.learning_rate
    if workload.optimizer == "sgd":
        return (jax.tree.map(lambda p, g: p - rate * g, parameters, grads), mean, square, count), value
    count = count + 1
    t = count.astype(workload.dtype)
    mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, grads)
    square = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, square, grads)
    move = lambda p, m, v: p - rate * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)  # noqa: E731
    return (jax.tree.map(move, parameters, mean, square), mean, square, count), value


def prepare(workload: Workload) -> Callable[[], Any]:
    batches = cycle([(jnp.asarray(x), jnp.asarray(y)) for x, y in workload.batches()])
    state = start(workload)
    if workload.inference:
        forward = jax.jit(lambda parameters, x: _forward(workload, parameters, x))
        return lambda: np.asarray(forward(state[0], next(batches)[0]))
    compiled = jax.jit(lambda state, x, y: update(workload, state, x, y), donate_argnums=0)

    def step() -> float:
        nonlocal state
        state, value = compiled(state, *next(batches))
        return float(value)

    return step
