"""The compiled updates of optimizers. Their loops over flat arrays serve the instructions of programs, too.

Those compiled by ``exact`` give the numbers of the NumPy form, but for numbers of a state below the smallest normal
one, which become 0: with them, multiplication takes many times as long.
"""

from typing import Any

import numpy as np

from deepbp.errors import ShapeError
from deepbp.kernels import numpy_updates
from deepbp.kernels.blocks import OTHER_STATE
from deepbp.kernels.numba_lanes import exact
from deepbp.kernels.numba_math import compiled, inner


@inner
def sgd_loop(w: Any, g: Any, size: Any, rate: Any) -> None:
    step = w.dtype.type(rate)
    for i in range(size):
        w[i] -= step * g[i]


@inner
def sgd_momentum_loop(w: Any, g: Any, velocity: Any, size: Any, rate: Any, momentum: Any, nesterov: Any) -> None:
    step, keep = w.dtype.type(rate), w.dtype.type(momentum)
    zero, least = w.dtype.type(0), w.dtype.type(np.finfo(w.dtype).tiny)
    for i in range(size):
        v = keep * velocity[i] + g[i]
        v = zero if abs(v) < least else v
        velocity[i] = v
        w[i] -= step * (g[i] + keep * v if nesterov else v)


@inner
def adam_loop(
    w: Any, g: Any, mean: Any, square: Any, size: Any, rate: Any, beta1: Any, beta2: Any, epsilon: Any
) -> None:  # fmt: skip
    t = w.dtype.type
    step, small, zero, least = t(rate), t(epsilon), t(0), t(np.finfo(w.dtype).tiny)
    keep1, take1, keep2, take2 = t(beta1), t(1 - beta1), t(beta2), t(1 - beta2)
    for i in range(size):
        x = g[i]
        m = keep1 * mean[i] + take1 * x
        v = keep2 * square[i] + take2 * (x * x)
        m = zero if abs(m) < least else m  # below the smallest normal number, multiplication takes many times as long
        v = zero if v < least else v
        mean[i] = m
        square[i] = v
        w[i] -= step * m / (np.sqrt(v) + small)


@exact
def _flushed(x: Any) -> Any:
    return type(x)(0) if abs(x) < np.finfo(type(x)).tiny else x


@exact
def _averaged(mean: Any, keep: Any, new: Any, take: Any) -> Any:
    return _flushed(mean * keep + new * take)


@exact
def amsgrad_loop(
    w: Any, g: Any, mean: Any, square: Any, largest: Any, size: Any, rate: Any, beta1: Any, beta2: Any, epsilon: Any
) -> None:  # fmt: skip
    t = w.dtype.type
    for i in range(size):
        mean[i] = _averaged(mean[i], t(beta1), g[i], t(1 - beta1))
        v = _averaged(square[i], t(beta2), g[i] * g[i], t(1 - beta2))
        square[i] = v
        u = largest[i] if largest[i] > v else v
        largest[i] = u
        w[i] -= mean[i] / (np.sqrt(u) + t(epsilon)) * t(rate)


@exact
def lion_loop(w: Any, g: Any, mean: Any, size: Any, rate: Any, beta1: Any, beta2: Any) -> None:
    t = w.dtype.type
    for i in range(size):
        ahead = mean[i] * t(beta1) + g[i] * t(1 - beta1)
        sign = t(1) if ahead > 0 else t(-1) if ahead < 0 else ahead
        w[i] -= sign * t(rate)
        mean[i] = _averaged(mean[i], t(beta2), g[i], t(1 - beta2))


@exact
def adagrad_loop(w: Any, g: Any, square: Any, size: Any, rate: Any, epsilon: Any) -> None:
    t = w.dtype.type
    for i in range(size):
        square[i] = _flushed(square[i] + g[i] * g[i])
        w[i] -= g[i] / (np.sqrt(square[i]) + t(epsilon)) * t(rate)


@exact
def adadelta_loop(w: Any, g: Any, square: Any, moved: Any, size: Any, rate: Any, rho: Any, epsilon: Any) -> None:
    t = w.dtype.type
    for i in range(size):
        square[i] = _averaged(square[i], t(rho), g[i] * g[i], t(1 - rho))
        change = np.sqrt((moved[i] + t(epsilon)) / (square[i] + t(epsilon))) * g[i]
        moved[i] = _averaged(moved[i], t(rho), change * change, t(1 - rho))
        w[i] -= change * t(rate)


@exact
def rmsprop_loop(
    w: Any, g: Any, square: Any, mean: Any, velocity: Any, size: Any, rate: Any, rho: Any, momentum: Any, epsilon: Any,
    is_centred: Any, has_velocity: Any,
) -> None:  # fmt: skip
    t = w.dtype.type
    for i in range(size):
        square[i] = _averaged(square[i], t(rho), g[i] * g[i], t(1 - rho))
        variance = square[i]
        if is_centred:
            mean[i] = _averaged(mean[i], t(rho), g[i], t(1 - rho))
            variance = variance - mean[i] * mean[i]
            variance = t(0) if variance <= 0 else variance
        step = g[i] / (np.sqrt(variance) + t(epsilon))
        if has_velocity:
            step = _flushed(velocity[i] * t(momentum) + step)
            velocity[i] = step
        w[i] -= step * t(rate)


@inner
def check_length(values: Any, other: Any) -> None:
    if other.size != values.size:
        raise ShapeError(OTHER_STATE, values.size, other.size)


@compiled(numpy_updates.sgd, values=1, grads=1)
def sgd(values: Any, grads: Any, rate: float) -> None:
    check_length(values, grads)
    sgd_loop(values, grads, values.size, rate)


@compiled(numpy_updates.sgd_momentum, values=1, grads=1, velocity=1)
def sgd_momentum(values: Any, grads: Any, velocity: Any, rate: float, momentum: float, nesterov: bool) -> None:
    check_length(values, grads)
    check_length(values, velocity)
    sgd_momentum_loop(values, grads, velocity, values.size, rate, momentum, nesterov)


@compiled(numpy_updates.adam, values=1, grads=1, mean=1, square=1)
def adam(
    values: Any, grads: Any, mean: Any, square: Any, rate: float, beta1: float, beta2: float, epsilon: float
) -> None:
    check_length(values, grads)
    check_length(values, mean)
    check_length(values, square)
    adam_loop(values, grads, mean, square, values.size, rate, beta1, beta2, epsilon)


@compiled(numpy_updates.amsgrad, values=1, grads=1, mean=1, square=1, largest=1)
def amsgrad(
    values: Any, grads: Any, mean: Any, square: Any, largest: Any, rate: float, beta1: float, beta2: float,
    epsilon: float,
) -> None:  # fmt: skip
    check_length(values, grads)
    check_length(values, mean)
    check_length(values, square)
    check_length(values, largest)
    amsgrad_loop(values, grads, mean, square, largest, values.size, rate, beta1, beta2, epsilon)


@compiled(numpy_updates.lion, values=1, grads=1, mean=1)
def lion(values: Any, grads: Any, mean: Any, rate: float, beta1: float, beta2: float) -> None:
    check_length(values, grads)
    check_length(values, mean)
    lion_loop(values, grads, mean, values.size, rate, beta1, beta2)


@compiled(numpy_updates.adagrad, values=1, grads=1, square=1)
def adagrad(values: Any, grads: Any, square: Any, rate: float, epsilon: float) -> None:
    check_length(values, grads)
    check_length(values, square)
    adagrad_loop(values, grads, square, values.size, rate, epsilon)


@compiled(numpy_updates.adadelta, values=1, grads=1, square=1, moved=1)
def adadelta(values: Any, grads: Any, square: Any, moved: Any, rate: float, rho: float, epsilon: float) -> None:
    check_length(values, grads)
    check_length(values, square)
    check_length(values, moved)
    adadelta_loop(values, grads, square, moved, values.size, rate, rho, epsilon)


@compiled(numpy_updates.rmsprop, values=1, grads=1, square=1, mean=1, velocity=1)
def rmsprop(
    values: Any, grads: Any, square: Any, mean: Any, velocity: Any, rate: float, rho: float, momentum: float,
    epsilon: float,
) -> None:  # fmt: skip
    check_length(values, grads)
    check_length(values, square)
    means, velocities = grads, grads
    if mean is not None:
        check_length(values, mean)
        means = mean
    if velocity is not None:
        check_length(values, velocity)
        velocities = velocity
    rmsprop_loop(
        values, grads, square, means, velocities, values.size, rate, rho, momentum, epsilon, mean is not None,
        velocity is not None,
    )  # fmt: skip
