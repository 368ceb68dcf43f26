"""Negative log-likelihoods of counts, and the divergence of two distributions."""

from typing import Any

import numpy as np
from attrs import frozen

from deepbp import kernels
from deepbp.errors import DataError
from deepbp.formulas.language import LossFormula
from deepbp.losses.loss import MeanLoss, check_range, limits
from deepbp.losses.targets import check_rows
from deepbp.program.program import Program, Slot
from deepbp.typing import Array, ArrayLike, Shape


class _PoissonLoss(MeanLoss):
    """Base class of both forms: targets are counts, or at least not negative."""

    def prepare_target(self, target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str = "y") -> Array:
        array = super().prepare_target(target, output_shape, dtype, name)
        _check_counts(array, name, "counts are not negative")
        return array

    def check(self, prediction: Array, target: Array) -> None:
        super().check(prediction, target)
        _check_counts(target, "target", "counts are not negative")


def _check_counts(array: Array, name: str, fix: str) -> None:
    """Raise DataError for a negative number or NaN."""
    if not (low := array.min()) >= 0:
        raise DataError(f"{name}: expected numbers of at least 0, got {low}: {fix}")


@frozen
class Poisson(_PoissonLoss):
    """Poisson loss on rates, L = Σ (λ − y ln λ) / n, where n counts samples times outputs; ∂L/∂λ = (1 − y / λ) / n.

    The prediction λ is a rate, the expected count; the network ends with a layer that is never negative. A λ below the
    root of the smallest number of the dtype (1e-19 in float32) is replaced by it, so the loss stays finite.
    ``LogPoisson`` on logarithms is more stable. Both omit ln y!, which does not depend on the prediction. Raises
    ``ShapeError`` for different shapes, ``DataError`` for negative numbers.

    >>> import numpy as np
    >>> from deepbp.losses import Poisson
    >>> value, saved = Poisson().forward(np.array([[1.0]]), np.array([[3.0]]))
    >>> value, Poisson().backward(saved)  # 1 − 3 ln 1, and 1 − 3 / 1
    (1.0, array([[-2.]]))
    """

    expects = "rates"
    formula = LossFormula(
        "total(prediction - target * log(prediction)) / n",
        "(1 - target / prediction) / n",
        symbols={"prediction": "λ"},
    )

    def check(self, prediction: Array, target: Array) -> None:
        super().check(prediction, target)
        _check_counts(prediction, "prediction", "end the network with Softplus(), or use LogPoisson()")

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        limits(prediction)  # refuses whole numbers
        return kernels.poisson(prediction, target)

    def lower(self, program: Program, prediction: Slot, target: Array, weight: Array | None = None) -> None:
        self._lower_terms(program, prediction, target, weight, "poisson")


@frozen
class LogPoisson(_PoissonLoss):
    """Poisson loss on log-rates, L = Σ (eᶻ − y z) / n, where n counts samples times outputs; ∂L/∂z = (eᶻ − y) / n.

    The prediction z = ln λ is the logarithm of a rate, of any sign and size: ``numpy.exp`` of a prediction is the
    expected count. Where eᶻ exceeds the root of the largest number of the dtype (z > 44 in float32), its tangent
    continues it, so loss and gradient stay finite. Raises ``ShapeError`` for different shapes, ``DataError`` for
    negative targets.

    >>> import numpy as np
    >>> from deepbp.losses import LogPoisson
    >>> value, saved = LogPoisson().forward(np.array([[0.0]]), np.array([[3.0]]))
    >>> value, LogPoisson().backward(saved)  # e⁰ − 3 · 0, and e⁰ − 3
    (1.0, array([[-2.]]))
    """

    expects = "log-rates"
    formula = LossFormula(
        "total(exp(prediction) - target * prediction) / n",
        "(exp(prediction) - target) / n",
        symbols={"prediction": "z"},
    )

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        limits(prediction)  # refuses whole numbers
        return kernels.log_poisson(prediction, target)

    def lower(self, program: Program, prediction: Slot, target: Array, weight: Array | None = None) -> None:
        self._lower_terms(program, prediction, target, weight, "log_poisson")


@frozen
class KLDivergence(MeanLoss):
    """Kullback–Leibler divergence, L = Σ y ln(y / p) / N; ∂L/∂p = −y / (p N).

    The prediction p (B, …, C) holds probabilities from a Softmax layer; y the true ones, of the same shape, with
    0 ln 0 = 0; N is the number of rows, the samples where the shape is (B, C). A p of exactly 0 is replaced by the
    smallest number of the dtype, so the loss stays finite. ``SoftmaxCrossEntropy`` also takes such rows, on logits and
    with the same gradient; its value is larger by the targets' entropy. Raises ``ShapeError`` for different shapes,
    ``DataError`` for numbers outside [0, 1] or target rows that do not sum to 1.

    >>> import numpy as np
    >>> from deepbp.losses import KLDivergence
    >>> value, saved = KLDivergence().forward(np.array([[0.5, 0.5]]), np.array([[0.0, 1.0]]))
    >>> round(value, 4), KLDivergence().backward(saved)  # ln 2, and −1 / 0.5
    (0.6931, array([[-0., -2.]]))

    Source: Kullback & Leibler 1951, "On information and sufficiency".
    """

    expects = "probabilities"
    _by_rows = True
    formula = LossFormula(
        "total(log(target**target) - target * log(prediction)) / rows",  # y ln y as ln yʸ, which is 0 for 0
        "-target / (prediction * rows)",
        symbols={"prediction": "p", "rows": "N"},
    )

    def prepare_target(self, target: ArrayLike, output_shape: Shape, dtype: np.dtype[Any], name: str = "y") -> Array:
        array = super().prepare_target(target, output_shape, dtype, name)
        check_rows(array, name)
        return array

    def check(self, prediction: Array, target: Array) -> None:
        super().check(prediction, target)
        check_rows(target, "target")
        check_range(prediction, "prediction", "end the network with Softmax(), or use SoftmaxCrossEntropy()")

    def terms(self, prediction: Array, target: Array) -> tuple[Array, Array]:
        tiny = limits(prediction).tiny
        p = np.maximum(prediction, tiny)
        terms = target * (np.log(np.maximum(target, tiny)) - np.log(p))
        return terms.sum(axis=-1), -target / p
