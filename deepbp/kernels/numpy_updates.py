"""The NumPy form of the optimizers' updates, in blocks that fit the cache, and clipping."""

import numpy as np

from deepbp.kernels.blocks import BLOCK, average, average_square, blocks
from deepbp.typing import Array


def sgd(values: Array, grads: Array, rate: float) -> None:
    """w −= η g.

    >>> import numpy as np
    >>> from deepbp.kernels import sgd
    >>> w = np.array([1.0, 2.0])
    >>> sgd(w, np.array([0.5, -0.5]), 0.1)
    >>> w
    array([0.95, 2.05])
    """
    if not grads.size == values.size <= BLOCK:
        for w, g in blocks(values, grads, scratch=0):
            sgd(w, g, rate)
        return
    values -= grads * rate


def sgd_momentum(values: Array, grads: Array, velocity: Array, rate: float, momentum: float, nesterov: bool) -> None:
    """v ← μ v + g; w −= η v, or with Nesterov's momentum w −= η (g + μ v).

    >>> import numpy as np
    >>> from deepbp.kernels import sgd_momentum
    >>> w, v = np.array([1.0]), np.array([3.0])
    >>> sgd_momentum(w, np.array([2.0]), v, 0.1, 0.5, False)
    >>> w, v
    (array([0.65]), array([3.5]))
    """
    for w, g, v, scratch in blocks(values, grads, velocity):
        v *= momentum
        v += g
        if nesterov:
            np.multiply(v, momentum, out=scratch)
            scratch += g
            scratch *= rate
        else:
            np.multiply(v, rate, out=scratch)
        w -= scratch


def adam(
    values: Array,
    grads: Array,
    mean: Array,
    square: Array,
    rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
) -> None:
    """m ← β₁ m + (1 − β₁) g; v ← β₂ v + (1 − β₂) g²; w −= η m / (√v + ε).

    >>> import numpy as np
    >>> from deepbp.kernels import adam
    >>> w, m, v = np.array([1.0]), np.zeros(1), np.zeros(1)
    >>> adam(w, np.array([2.0]), m, v, 0.1, 0.9, 0.75, 0.0)  # the step is 0.1 · 0.2 / √1
    >>> w, m, v
    (array([0.98]), array([0.2]), array([1.]))
    """
    if not grads.size == mean.size == square.size == values.size <= BLOCK:
        for w, g, m, v in blocks(values, grads, mean, square, scratch=0):
            adam(w, g, m, v, rate, beta1, beta2, epsilon)
        return
    scratch = grads * (1 - beta1)
    mean *= beta1
    mean += scratch
    np.multiply(grads, grads, out=scratch)
    scratch *= 1 - beta2
    square *= beta2
    square += scratch
    np.sqrt(square, out=scratch)
    scratch += epsilon
    np.divide(mean, scratch, out=scratch)
    scratch *= rate
    values -= scratch


def amsgrad(
    values: Array,
    grads: Array,
    mean: Array,
    square: Array,
    largest: Array,
    rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
) -> None:
    """As ``adam``, but u ← max(u, v) and w −= η m / (√u + ε).

    >>> import numpy as np
    >>> from deepbp.kernels import amsgrad
    >>> w, m, v, u = np.array([1.0]), np.zeros(1), np.zeros(1), np.array([4.0])
    >>> amsgrad(w, np.array([2.0]), m, v, u, 0.1, 0.9, 0.75, 0.0)  # the step is 0.1 · 0.2 / √4
    >>> w, u
    (array([0.99]), array([4.]))
    """
    for w, g, m, v, u, scratch in blocks(values, grads, mean, square, largest):
        average(m, beta1, g, scratch)
        average_square(v, beta2, g, scratch)
        np.maximum(u, v, out=u)
        np.sqrt(u, out=scratch)
        scratch += epsilon
        np.divide(m, scratch, out=scratch)
        scratch *= rate
        w -= scratch


def lion(values: Array, grads: Array, mean: Array, rate: float, beta1: float, beta2: float) -> None:
    """w −= η sgn(β₁ m + (1 − β₁) g); m ← β₂ m + (1 − β₂) g.

    >>> import numpy as np
    >>> from deepbp.kernels import lion
    >>> w, m = np.array([1.0, 2.0]), np.zeros(2)
    >>> lion(w, np.array([5.0, -0.1]), m, 0.1, 0.9, 0.99)
    >>> w
    array([0.9, 2.1])
    """
    for w, g, m, ahead, scratch in blocks(values, grads, mean, scratch=2):
        np.multiply(m, beta1, out=ahead)
        np.multiply(g, 1 - beta1, out=scratch)
        ahead += scratch
        np.sign(ahead, out=scratch)  # written over its own argument, it took thirteen times as long
        scratch *= rate
        w -= scratch
        average(m, beta2, g, scratch)


def adagrad(values: Array, grads: Array, square: Array, rate: float, epsilon: float) -> None:
    """s ← s + g²; w −= η g / (√s + ε).

    >>> import numpy as np
    >>> from deepbp.kernels import adagrad
    >>> w, s = np.array([1.0]), np.array([5.0])
    >>> adagrad(w, np.array([2.0]), s, 0.1, 0.0)  # the step is 0.1 · 2 / √9
    >>> w.round(4), s
    (array([0.9333]), array([9.]))
    """
    for w, g, s, scratch in blocks(values, grads, square):
        np.multiply(g, g, out=scratch)
        s += scratch
        np.sqrt(s, out=scratch)
        scratch += epsilon
        np.divide(g, scratch, out=scratch)
        scratch *= rate
        w -= scratch


def adadelta(values: Array, grads: Array, square: Array, moved: Array, rate: float, rho: float, epsilon: float) -> None:
    """v ← ρ v + (1 − ρ) g²; d = √((u + ε) / (v + ε)) g; u ← ρ u + (1 − ρ) d²; w −= η d.

    >>> import numpy as np
    >>> from deepbp.kernels import adadelta
    >>> w, v, u = np.array([1.0]), np.zeros(1), np.zeros(1)
    >>> adadelta(w, np.array([2.0]), v, u, 1.0, 0.75, 1.0)  # v is 1, and d is √(1 / 2) · 2
    >>> w.round(3), v, u
    (array([-0.414]), array([1.]), array([0.5]))
    """
    for w, g, v, u, change, scratch in blocks(values, grads, square, moved, scratch=2):
        average_square(v, rho, g, scratch)
        np.add(u, epsilon, out=change)
        np.add(v, epsilon, out=scratch)
        change /= scratch
        np.sqrt(change, out=change)
        change *= g
        average_square(u, rho, change, scratch)
        change *= rate
        w -= change


def rmsprop(
    values: Array,
    grads: Array,
    square: Array,
    mean: Array | None,
    velocity: Array | None,
    rate: float,
    rho: float,
    momentum: float,
    epsilon: float,
) -> None:
    """v ← ρ v + (1 − ρ) g²; w −= η g / (√v + ε), or with a velocity b ← μ b + g / (√v + ε) and w −= η b.

    With a mean m ← ρ m + (1 − ρ) g, the variance v − m² replaces v.

    >>> import numpy as np
    >>> from deepbp.kernels import rmsprop
    >>> w, v = np.array([1.0]), np.zeros(1)
    >>> rmsprop(w, np.array([2.0]), v, None, None, 0.1, 0.75, 0.0, 0.0)  # the step is 0.1 · 2 / √1
    >>> w, v
    (array([0.8]), array([1.]))
    """
    others = (grads if mean is None else mean, grads if velocity is None else velocity)  # placeholders
    for w, g, v, m, b, scratch in blocks(values, grads, square, *others):
        average_square(v, rho, g, scratch)
        if mean is not None:
            average(m, rho, g, scratch)
            np.multiply(m, m, out=scratch)
            np.subtract(v, scratch, out=scratch)
            np.maximum(scratch, 0, out=scratch)  # rounding may leave a variance just below 0
            np.sqrt(scratch, out=scratch)
        else:
            np.sqrt(v, out=scratch)
        scratch += epsilon
        np.divide(g, scratch, out=scratch)
        if velocity is not None:
            b *= momentum
            b += scratch
            np.multiply(b, rate, out=scratch)
        else:
            scratch *= rate
        w -= scratch


def clip_values(grads: Array, limit: float) -> None:
    """g ← min(max(g, −limit), limit).

    >>> import numpy as np
    >>> from deepbp.kernels import clip_values
    >>> g = np.array([3.0, -0.5])
    >>> clip_values(g, 1.0)
    >>> g
    array([ 1. , -0.5])
    """
    np.clip(grads, -limit, limit, out=grads)


def clip_norm(grads: Array, norm: float, limit: float) -> None:
    """g ← g · limit / norm, where the norm, the length of the whole vector, is above the limit.

    >>> import numpy as np
    >>> from deepbp.kernels import clip_norm
    >>> g = np.array([3.0, 4.0])
    >>> clip_norm(g, 5.0, 1.0)
    >>> g
    array([0.6, 0.8])
    """
    if 0 <= limit < norm:
        grads *= limit / norm
