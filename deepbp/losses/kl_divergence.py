"""How far predicted probabilities are from the true ones: what they cost beyond what cannot be saved."""

from typing import Any

import numpy as np
from attrs import frozen

from deepbp.layers.formula import LossFormula
from deepbp.losses.labels import check_rows
from deepbp.losses.loss import Loss, check_range, check_same_shape, limits
from deepbp.losses.reduction import mean, mean_backward
from deepbp.typing import Array, ArrayLike, Shape


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
