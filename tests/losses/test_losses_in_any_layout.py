"""Losses of predictions and targets in any memory layout are the losses of the same numbers in C order."""

from typing import Any

import numpy as np
import pytest

from deepbp import losses
from deepbp.losses import Loss

SHARES = np.random.default_rng(0).dirichlet(np.ones(4), 6)
SIGNS = np.where(SHARES > 0.25, 1.0, 0.0)


@pytest.mark.parametrize(
    ("loss", "target"),
    [
        (losses.SoftmaxCrossEntropy(), np.array([0, 3, 1, 1, 2, 0])),
        (losses.SoftmaxCrossEntropy(), SHARES),
        (losses.SoftmaxCrossEntropy(label_smoothing=0.1), SHARES),
        (losses.CrossEntropy(), SHARES),
        (losses.SoftmaxFocal(), np.array([0, 3, 1, 1, 2, 0])),
        (losses.SigmoidBinaryCrossEntropy(), SIGNS),
        (losses.BinaryCrossEntropy(), SIGNS),
        (losses.SigmoidFocal(), SIGNS),
        (losses.MeanSquaredError(), SHARES),
        (losses.Huber(), SHARES),
        (losses.KLDivergence(), SHARES),
        (losses.CosineSimilarity(), SHARES),
    ],
    ids=lambda value: repr(value) if isinstance(value, Loss) else str(value.ndim),
)
@pytest.mark.parametrize("weighted", [False, True])
def test_layouts(loss: Loss[Any], target: Any, weighted: bool) -> None:
    prediction = np.random.default_rng(1).dirichlet(np.ones(4), 6)
    weight = np.arange(1.0, 7.0) if weighted else None
    value, saved = loss.forward(prediction, target, weight)
    delta = loss.backward(saved)
    for layout in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=-1)[..., ::2], lambda a: a[::-1].copy()[::-1]):
        for one, other in (
            (layout(prediction), target),
            (prediction, layout(target)),
            (layout(prediction), layout(target)),
        ):
            again, saved = loss.forward(one, other, weight)
            assert again == pytest.approx(value, rel=1e-13)
            np.testing.assert_allclose(loss.backward(saved), delta, rtol=1e-12, atol=1e-15)
