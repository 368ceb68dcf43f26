"""The formula of every loss, written out number by number in plain Python, and the data that each takes."""

from collections.abc import Callable
from math import cosh, exp, log, sqrt
from typing import Any, TypeAlias

import numpy as np

from deepbp.losses import (
    BinaryCrossEntropy,
    CategoricalHinge,
    CosineSimilarity,
    CrossEntropy,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    LogPoisson,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    Poisson,
    Quantile,
    SigmoidBinaryCrossEntropy,
    SigmoidFocal,
    SoftmaxCrossEntropy,
    SoftmaxFocal,
    SquaredHinge,
    SumSquaredError,
)
from deepbp.typing import Array

Terms: TypeAlias = Callable[[Any, Any], list[float]]
"""The shares of one row, given plain lists of its predictions and targets."""


def each(share: Callable[[float, float], float]) -> Terms:
    """One share for each number."""
    return lambda p, t: [share(a, b) for a, b in zip(p, t, strict=True)]


def sigma(z: float) -> float:
    return 1 / (1 + exp(-z))


def softmax(z: Any) -> list[float]:
    total = sum(exp(a) for a in z)
    return [exp(a) / total for a in z]


def yes_or_no(p: float, t: float) -> float:
    return -(t * log(p) + (1 - t) * log(1 - p))


def smooth(t: Any, share: float) -> list[float]:
    return [(1 - share) * b + share / len(t) for b in t]


def surprise(p: Any, t: Any) -> list[float]:
    return [-sum(b * log(a) for a, b in zip(p, t, strict=True))]


def surprise_scores(z: Any, t: Any) -> list[float]:
    return surprise(softmax(z), t)


def huber(delta: float) -> Terms:
    return each(lambda p, t: (p - t) ** 2 / 2 if abs(p - t) <= delta else delta * (abs(p - t) - delta / 2))


def pinball(q: float) -> Terms:
    return each(lambda p, t: q * (t - p) if t > p else (1 - q) * (p - t))


def angle(p: Any, t: Any) -> list[float]:
    lengths = sqrt(sum(a * a for a in p)) * sqrt(sum(b * b for b in t))
    return [1 - sum(a * b for a, b in zip(p, t, strict=True)) / lengths]


def crammer_singer(z: Any, t: Any) -> list[float]:
    right = t.index(1.0)
    return [max(0.0, 1 + max(a for k, a in enumerate(z) if k != right) - z[right])]


def focal(gamma: float, yes: float, no: float) -> Terms:
    def share(z: float, t: float) -> float:
        p = sigma(z) if t == 1 else 1 - sigma(z)
        return -(yes if t == 1 else no) * exp(gamma * log(1 - p)) * log(p)

    return each(share)


def softmax_focal(gamma: float, *alpha: float) -> Terms:
    return lambda z, t: [
        -sum(a * b * (1 - p) ** gamma * log(p) for p, b, a in zip(softmax(z), t, alpha or [1.0] * len(z), strict=True))
    ]


def numbers(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.normal(size=shape)


def chances(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.uniform(0.05, 0.95, shape)


def rows(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.dirichlet(np.full(shape[-1], 2.0), shape[:-1])


def one_hot(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])]


def answers(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.integers(0, 2, shape).astype(float)


def rates(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.uniform(0.2, 4, shape)


def counts(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.poisson(1.5, shape).astype(float)


squares = each(lambda p, t: (p - t) ** 2)
yes_or_no_scores = each(lambda z, t: yes_or_no(sigma(z), t))
weighted = each(lambda z, t: -(3 * t * log(sigma(z)) + (1 - t) * log(1 - sigma(z))))
poisson = each(lambda p, t: p - t * log(p))

CASES: list[tuple[Loss[Any], Terms, Any, Any]] = [
    (SumSquaredError(), squares, numbers, numbers),
    (SumSquaredError(scale=0.5), squares, numbers, numbers),
    (MeanSquaredError(), squares, numbers, numbers),
    (BinaryCrossEntropy(), each(yes_or_no), chances, chances),
    (BinaryCrossEntropy(), each(yes_or_no), chances, one_hot),
    (BinaryCrossEntropy(label_smoothing=0.2), each(lambda p, t: yes_or_no(p, 0.8 * t + 0.1)), chances, answers),
    (SigmoidBinaryCrossEntropy(), yes_or_no_scores, numbers, chances),
    (SigmoidBinaryCrossEntropy(pos_weight=3), weighted, numbers, chances),
    (
        SigmoidBinaryCrossEntropy(label_smoothing=0.2),
        each(lambda z, t: yes_or_no(sigma(z), 0.8 * t + 0.1)),
        numbers,
        answers,
    ),
    (CrossEntropy(), surprise, rows, one_hot),
    (CrossEntropy(), surprise, rows, rows),
    (CrossEntropy(label_smoothing=0.3), lambda p, t: surprise(p, smooth(t, 0.3)), rows, one_hot),
    (SoftmaxCrossEntropy(), surprise_scores, numbers, one_hot),
    (SoftmaxCrossEntropy(), surprise_scores, numbers, rows),
    (SoftmaxCrossEntropy(label_smoothing=0.3), lambda z, t: surprise_scores(z, smooth(t, 0.3)), numbers, one_hot),
    (SoftmaxCrossEntropy(label_smoothing=0.3), lambda z, t: surprise_scores(z, smooth(t, 0.3)), numbers, rows),
    (MeanAbsoluteError(), each(lambda p, t: abs(p - t)), numbers, numbers),
    (Huber(), huber(1), numbers, numbers),
    (Huber(delta=0.4), huber(0.4), numbers, numbers),
    (LogCosh(), each(lambda p, t: log(cosh(p - t))), numbers, numbers),
    (Poisson(), poisson, rates, counts),
    (LogPoisson(), each(lambda z, t: poisson([exp(z)], [t])[0]), numbers, counts),
    (KLDivergence(), lambda p, t: [sum(b * log(b / a) for a, b in zip(p, t, strict=True) if b)], rows, rows),
    (KLDivergence(), lambda p, t: [sum(b * log(b / a) for a, b in zip(p, t, strict=True) if b)], rows, one_hot),
    (Hinge(), each(lambda z, t: max(0.0, 1 - z if t else 1 + z)), numbers, answers),
    (SquaredHinge(), each(lambda z, t: max(0.0, 1 - z if t else 1 + z) ** 2), numbers, answers),
    (CategoricalHinge(), crammer_singer, numbers, one_hot),
    (SigmoidFocal(), focal(2, 0.25, 0.75), numbers, answers),
    (SigmoidFocal(gamma=0.5, alpha=None), focal(0.5, 1, 1), numbers, answers),
    (SoftmaxFocal(), softmax_focal(2), numbers, one_hot),
    (SoftmaxFocal(gamma=0.5, alpha=3), lambda z, t: [3 * softmax_focal(0.5)(z, t)[0]], numbers, rows),
    (Quantile(), pinball(0.5), numbers, numbers),
    (Quantile(0.9), pinball(0.9), numbers, numbers),
    (CosineSimilarity(), angle, numbers, numbers),
]

CLASSIFIERS = CrossEntropy | SoftmaxCrossEntropy | SoftmaxFocal | CategoricalHinge


def by_hand(loss: Loss[Any], terms: Terms, p: Array, t: Array, weight: Array | None) -> float:
    """Every share, weighted, added up; then scaled, or divided by the number of shares."""
    shares = []
    for sample in range(len(p)):
        factor = 1.0 if weight is None else weight[sample]
        lines = zip(p[sample].reshape(-1, p.shape[-1]), t[sample].reshape(-1, t.shape[-1]), strict=True)
        for one, other in lines:
            shares += [factor * share for share in terms(one.tolist(), other.tolist())]
    return loss.scale * sum(shares) if isinstance(loss, SumSquaredError) else sum(shares) / len(shares)
