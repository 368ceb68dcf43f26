"""The optimizers after Adam follow their papers' formulas, written out here number by number, step by step."""

from math import copysign, sqrt

import numpy as np
import pytest
from trajectories import Case, Path, assert_follows, falling, name_of

from deepbp.optimizers import Adadelta, Adagrad, AMSGrad, Lion, NAdam, RAdam, RMSprop, Rprop

Numbers = list[float]


def rmsprop(
    w: float, gradients: Numbers, rates: Numbers, rho: float, epsilon: float, mu: float = 0.0, decay: float = 0.0
) -> Path:
    """Hinton's lecture 6.5, with ε outside the root and, as in PyTorch, a momentum that does not contain η."""
    v = b = 0.0
    for g, rate in zip(gradients, rates, strict=True):
        g = g + decay * w
        v = rho * v + (1 - rho) * g * g
        b = mu * b + g / (sqrt(v) + epsilon)
        w = w - rate * b
        yield w


def centered(w: float, gradients: Numbers, rates: Numbers, rho: float, epsilon: float, mu: float = 0.0) -> Path:
    """Graves 2013: the variance in place of the mean square."""
    n = m = b = 0.0
    for g, rate in zip(gradients, rates, strict=True):
        n = rho * n + (1 - rho) * g * g
        m = rho * m + (1 - rho) * g
        b = mu * b + g / (sqrt(n - m * m) + epsilon)
        w = w - rate * b
        yield w


def adagrad(
    w: float, gradients: Numbers, rates: Numbers, epsilon: float = 1e-10, initial: float = 0.0, decay: float = 0.0
) -> Path:
    """Duchi et al. 2011: the sum of all squares."""
    s = initial
    for g, rate in zip(gradients, rates, strict=True):
        g = g + decay * w
        s = s + g * g
        w = w - rate * g / (sqrt(s) + epsilon)
        yield w


def adadelta(w: float, gradients: Numbers, rates: Numbers, rho: float, epsilon: float, decay: float = 0.0) -> Path:
    """Zeiler 2012, algorithm 1: RMS[x] = √(E[x²] + ε)."""
    squares = changes = 0.0
    for g, rate in zip(gradients, rates, strict=True):
        g = g + decay * w
        squares = rho * squares + (1 - rho) * g**2
        change = -sqrt(changes + epsilon) / sqrt(squares + epsilon) * g
        changes = rho * changes + (1 - rho) * change**2
        w = w + rate * change
        yield w


def amsgrad(
    w: float, gradients: Numbers, rates: Numbers, beta2: float = 0.999, epsilon: float = 1e-8, decay: float = 0.0
) -> Path:
    """Reddi et al. 2018, algorithm 2, with Adam's corrections of m, and of the largest v, as in PyTorch."""
    m = v = largest = 0.0
    for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        w = w - rate * decay * w
        m = 0.9 * m + 0.1 * g
        v = beta2 * v + (1 - beta2) * g**2
        largest = max(largest, v)
        w = w - rate * (m / (1 - 0.9**t)) / (sqrt(largest / (1 - beta2**t)) + epsilon)
        yield w


def nadam(
    w: float, gradients: Numbers, rates: Numbers, beta1: float = 0.9, psi: float = 0.004, decay: float = 0.0
) -> Path:
    """Dozat 2016, algorithm 2, with β₁ in m, and v̂ as in Adam."""
    m = v = 0.0

    def mu(t: int) -> float:
        return float(beta1 * (1 - 0.5 * 0.96 ** (t * psi)))

    for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        w = w - rate * decay * w
        m = beta1 * m + (1 - beta1) * g
        v = 0.999 * v + 0.001 * g**2
        product = 1.0
        for i in range(1, t + 1):
            product *= mu(i)
        m_hat = mu(t + 1) * m / (1 - product * mu(t + 1)) + (1 - mu(t)) * g / (1 - product)
        w = w - rate * m_hat / (sqrt(v / (1 - 0.999**t)) + 1e-8)
        yield w


def radam(
    w: float, gradients: Numbers, rates: Numbers, beta2: float = 0.999, epsilon: float = 1e-8, decay: float = 0.0
) -> Path:
    """Liu et al. 2020, algorithm 2, with the threshold 5 of the authors' code, and ε as in Adam."""
    m = v = 0.0
    longest = 2 / (1 - beta2) - 1
    for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        w = w - rate * decay * w
        m = 0.9 * m + 0.1 * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - 0.9**t), v / (1 - beta2**t)
        rho = longest - 2 * t * beta2**t / (1 - beta2**t)
        if rho > 5:
            r = sqrt((rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho))
            w = w - rate * r * m_hat / (sqrt(v_hat) + epsilon)
        else:
            w = w - rate * m_hat
        yield w


def lion(w: float, gradients: Numbers, rates: Numbers, betas: tuple[float, float], decay: float = 0.0) -> Path:
    """Chen et al. 2023, algorithm 2."""
    m = 0.0
    for g, rate in zip(gradients, rates, strict=True):
        c = betas[0] * m + (1 - betas[0]) * g
        w = w - rate * ((c and copysign(1, c)) + decay * w)
        m = betas[1] * m + (1 - betas[1]) * g
        yield w


def rprop(
    w: float, gradients: Numbers, rates: Numbers, first: float, grow: float, shrink: float, largest: float
) -> Path:
    """Igel & Hüsken 2000, iRprop⁻: where the sign turned, the gradient counts as 0, in this step and the next."""
    size, before = first, 0.0
    for g, rate in zip(gradients, rates, strict=True):
        if before * g > 0:
            size = min(size * grow, largest)
        elif before * g < 0:
            size = max(size * shrink, 1e-6)
            g = 0.0
        if g:
            w = w - rate * copysign(size, g)
        before = g
        yield w


CASES: list[Case] = [
    (RMSprop(), rmsprop, {"rho": 0.9, "epsilon": 1e-8}, 0.0),
    (
        RMSprop(falling, rho=0.99, momentum=0.8, epsilon=0.1, weight_decay=0.3),
        rmsprop,
        {"rho": 0.99, "epsilon": 0.1, "mu": 0.8},
        0.3,
    ),
    (RMSprop(centered=True), centered, {"rho": 0.9, "epsilon": 1e-8}, 0.0),
    (RMSprop(0.1, centered=True, momentum=0.9, epsilon=1), centered, {"rho": 0.9, "epsilon": 1, "mu": 0.9}, 0.0),
    (Adagrad(), adagrad, {}, 0.0),
    (Adagrad(falling, initial=0.2, epsilon=0.1, weight_decay=0.3), adagrad, {"epsilon": 0.1, "initial": 0.2}, 0.3),
    (Adadelta(), adadelta, {"rho": 0.95, "epsilon": 1e-6}, 0.0),
    (Adadelta(falling, rho=0.5, epsilon=0.1, weight_decay=0.3), adadelta, {"rho": 0.5, "epsilon": 0.1}, 0.3),
    (AMSGrad(), amsgrad, {}, 0.0),
    (AMSGrad(falling, beta2=0.7, epsilon=0.1, weight_decay=0.3), amsgrad, {"beta2": 0.7, "epsilon": 0.1}, 0.3),
    (NAdam(), nadam, {}, 0.0),
    (NAdam(falling, beta1=0.7, psi=1, weight_decay=0.3), nadam, {"beta1": 0.7, "psi": 1}, 0.3),
    (RAdam(), radam, {}, 0.0),
    (RAdam(falling, beta2=0.9, epsilon=0.1, weight_decay=0.3), radam, {"beta2": 0.9, "epsilon": 0.1}, 0.3),
    (RAdam(0.1, beta2=0.6), radam, {"beta2": 0.6}, 0.0),
    (Lion(), lion, {"betas": (0.9, 0.99)}, 0.0),
    (Lion(falling, beta1=0.5, beta2=0.8, weight_decay=0.3), lion, {"betas": (0.5, 0.8)}, 0.3),
    (Rprop(), rprop, {"first": 0.01, "grow": 1.2, "shrink": 0.5, "largest": 50.0}, 0.0),
    (
        Rprop(falling, first_step=0.1, grow=1.5, shrink=0.3, largest_step=0.12),
        rprop,
        {"first": 0.1, "grow": 1.5, "shrink": 0.3, "largest": 0.12},
        0.0,
    ),
]


@pytest.mark.usefixtures("kernel_form")
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_trajectory(case: Case, rng: np.random.Generator) -> None:
    assert_follows(case, rng)
