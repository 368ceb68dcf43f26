"""Negative log-likelihoods of counts, and divergences of distributions."""

from typing import Any

import numpy as np
from attrs import frozen

from deepbp.errors import DataError
from deepbp.formulas.language import LossFormula
from deepbp.losses.loss import Loss, check_range, check_same_shape, limits, mean, mean_backward
from deepbp.losses.targets import check_rows
from deepbp.typing import Array, ArrayLike, Shape

PoissonSaved = tuple[Array, Array | None]


class _PoissonLoss(Loss[PoissonSaved]):
    """What both forms share: targets that are counts, or at least not negative."""

    def prepare_target(self, target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str = "y") -> Array:
        array = super().prepare_target(target, output_shape, dtype, name)
        _check_counts(array, name, "counts are not negative")
        return array

    def backward(self, saved: PoissonSaved) -> Array:
        return mean_backward(*saved)


@frozen
class Poisson(_PoissonLoss):
    """L = Σ (λ − y ln λ) / n, where n counts samples times outputs; ∂L/∂λ = (1 − y / λ) / n.

    λ is the prediction, a rate: the expected count, from a network that ends with what is never negative. A λ below
    the root of the smallest number of the dtype, 1e-19 in float32, counts as that, so that the loss stays finite.
    ``LogPoisson`` on logarithms is more stable. Both leave out ln y!, which no prediction changes.

    Raises:
        ShapeError: when the target has not exactly the prediction's shape.
        DataError: when a prediction or a target is negative.
    """

    expects = "rates"
    formula = LossFormula(
        "total(prediction - target * log(prediction)) / n",
        "(1 - target / prediction) / n",
        symbols={"prediction": "λ"},
    )

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> tuple[float, PoissonSaved]:
        check_same_shape(prediction, target)
        _check_counts(target, "target", "counts are not negative")
        _check_counts(prediction, "prediction", "end the network with Softplus(), or use LogPoisson()")
        rate = np.maximum(prediction, np.sqrt(limits(prediction).tiny))
        return mean(rate - target * np.log(rate), sample_weight), (1 - target / rate, sample_weight)


@frozen
class LogPoisson(_PoissonLoss):
    """L = Σ (eᶻ − y z) / n, where n counts samples times outputs; ∂L/∂z = (eᶻ − y) / n.

    z is the prediction, the logarithm of a rate, of any sign and size: ``predict`` gives ln λ, so take ``numpy.exp``
    of it. Where eᶻ is larger than the root of the largest number of the dtype, beyond a z of 44 in float32, it goes on
    as its tangent, so that loss and error signal stay finite.

    Raises:
        ShapeError: when the target has not exactly the prediction's shape.
        DataError: when a target is negative.
    """

    expects = "log-rates"
    formula = LossFormula(
        "total(exp(prediction) - target * prediction) / n",
        "(exp(prediction) - target) / n",
        symbols={"prediction": "z"},
    )

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> tuple[float, PoissonSaved]:
        check_same_shape(prediction, target)
        _check_counts(target, "target", "counts are not negative")
        z, limit = prediction, float(np.log(limits(prediction).max)) / 2
        rate = np.exp(np.minimum(z, limit))
        terms = rate * (1 + np.maximum(z - limit, 0)) - target * z
        return mean(terms, sample_weight), (rate - target, sample_weight)


def _check_counts(array: Array, name: str, fix: str) -> None:
    """No number is negative, and none is NaN."""
    if not (low := array.min()) >= 0:
        raise DataError(f"{name}: expected numbers of at least 0, got {low}: {fix}")


@frozen
class KLDivergence(Loss[tuple[Array, Array, Array | None]]):
    """L = Σ y ln(y / p) / N; ∂L/∂p = −y / (p N).

    p (B, …, C) is the prediction, probabilities as a Softmax layer gives them; y the true ones, of the same shape, with
    0 ln 0 = 0; N the number of rows, that is of samples where the shape is (B, C). A p of exactly 0 counts as the
    smallest number of the dtype, so that the loss stays finite. ``SoftmaxCrossEntropy`` takes such rows, too: on the
    scores themselves, and with the same gradient; its value is larger by the targets' entropy.

    Raises:
        ShapeError: when the target has not exactly the prediction's shape.
        DataError: when numbers lie outside [0, 1], or the target's rows do not sum to 1.

    Source: Kullback & Leibler 1951, "On information and sufficiency".
    """

    expects = "probabilities"
    formula = LossFormula(
        "total(log(target**target) - target * log(prediction)) / rows",  # y ln y as ln yʸ, which is 0 for 0
        "-target / (prediction * rows)",
        symbols={"prediction": "p", "rows": "N"},
    )

    def prepare_target(self, target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str = "y") -> Array:
        array = super().prepare_target(target, output_shape, dtype, name)
        check_rows(array, name)
        return array

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> tuple[float, tuple[Array, Array, Array | None]]:
        check_same_shape(prediction, target)
        check_rows(target, "target")
        check_range(prediction, "prediction", "end the network with Softmax(), or use SoftmaxCrossEntropy()")
        tiny = limits(prediction).tiny
        p = np.maximum(prediction, tiny)
        terms = target * (np.log(np.maximum(target, tiny)) - np.log(p))
        return mean(terms.sum(axis=-1), sample_weight), (p, target, sample_weight)

    def backward(self, saved: tuple[Array, Array, Array | None]) -> Array:
        p, target, weight = saved
        return mean_backward(-target / p, weight, p.size // p.shape[-1])
