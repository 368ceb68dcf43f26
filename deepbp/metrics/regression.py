"""Regression metrics."""

from math import sqrt

import numpy as np
from attrs import frozen

from deepbp.losses.loss import check_same_shape
from deepbp.metrics.metric import MeanMetric, StreamingMetric, term_weights
from deepbp.typing import Array


def errors(prediction: Array, target: Array, place: str) -> Array:
    """ŷ − y in float64, for a prediction and target of one shape."""
    check_same_shape(prediction, target, place)
    return np.subtract(prediction, target, dtype=np.float64)


@frozen
class MeanAbsoluteError(MeanMetric):
    """Mean absolute error, Σ w |ŷ − y| / Σ w, in the units of the target; sums are over samples and outputs.

    The weight w of a sample is 1 without ``sample_weight``.

    >>> import numpy as np
    >>> from deepbp.metrics import MeanAbsoluteError
    >>> MeanAbsoluteError()(np.array([[1.0], [5.0]]), np.array([[1.0], [2.0]]))
    1.5
    """

    name = "mean_absolute_error"
    higher_is_better = False

    def terms(self, prediction: Array, target: Array) -> Array:
        difference = errors(prediction, target, type(self).__name__)
        return np.abs(difference, out=difference)


@frozen
class RootMeanSquaredError(MeanMetric):
    """Root mean squared error, √(Σ w (ŷ − y)² / Σ w), in the units of the target; over samples and outputs.

    The weight w of a sample is 1 without ``sample_weight``.

    >>> import numpy as np
    >>> from deepbp.metrics import RootMeanSquaredError
    >>> RootMeanSquaredError()(np.array([[1.0], [3.0]]), np.array([[0.0], [10.0]]))  # √((1² + 7²) / 2)
    5.0
    """

    name = "root_mean_squared_error"
    higher_is_better = False

    def terms(self, prediction: Array, target: Array) -> Array:
        difference = errors(prediction, target, type(self).__name__)
        return np.multiply(difference, difference, out=difference)

    def result(self, state: Array) -> float:
        return sqrt(super().result(state))


@frozen
class R2(StreamingMetric):
    """Coefficient of determination, R² = 1 − Σ w (ŷ − y)² / Σ w (y − ȳ)² for each output; the mean over several.

    ȳ is the (weighted) mean target of the output. 1 is perfect, 0 no better than the constant ȳ, and less is worse.
    Where all targets of an output are equal, or for a single sample, it is 1 for predictions that equal them, else 0.

    >>> import numpy as np
    >>> from deepbp.metrics import R2
    >>> R2()(np.array([[1.0], [2.0], [4.0]]), np.array([[1.0], [2.0], [3.0]]))  # 1 − 1 / 2
    0.5
    """

    name = "r2"
    higher_is_better = True

    def update(self, state: Array | None, prediction: Array, target: Array, sample_weight: Array | None) -> Array:
        """The state's rows, for each output: y₀, Σ w, the mean and spread of y − y₀, Σ w (ŷ − y)², and its range."""
        left = errors(prediction, target, type(self).__name__).reshape(len(target), -1)
        true = target.reshape(left.shape).astype(np.float64)
        given = term_weights(sample_weight, target)
        weight = np.ones(left.shape) if given is None else given.reshape(left.shape)
        first = true[0].copy() if state is None else state[0]
        true -= first  # far from 0 the squares would cost all digits
        total, used = weight.sum(axis=0), weight > 0
        mean = (weight * true).sum(axis=0) / np.where(total > 0, total, 1)
        spread = (weight * (true - mean) ** 2).sum(axis=0)
        missed = (weight * left**2).sum(axis=0)
        low, high = np.where(used, true, np.inf).min(axis=0), np.where(used, true, -np.inf).max(axis=0)
        batch = np.stack([first, total, mean, spread, missed, low, high])
        return batch if state is None else self.combined(state, batch)

    def combined(self, state: Array, other: Array) -> Array:
        """The spread of both together, from their means and spreads: Chan et al. 1979."""
        first, weight_before, mean_before, spread_before, missed_before, low_before, high_before = state
        start, total, mean, spread, missed, low, high = other
        mean, low, high = (values + (start - first) for values in (mean, low, high))
        both, distance = weight_before + total, mean - mean_before
        share = total / np.where(both > 0, both, 1)
        mean = mean_before + distance * share
        spread = spread_before + spread + distance**2 * weight_before * share
        low, high = np.minimum(low, low_before), np.maximum(high, high_before)
        return np.stack([first, both, mean, spread, missed_before + missed, low, high])

    def result(self, state: Array) -> float:
        _, total, _, spread, missed, low, high = state
        constant = low >= high  # whose spread may be a rounding error
        explained = 1 - missed / np.where(constant | (spread == 0), 1, spread)
        explained = np.where(constant & ~np.isnan(missed), missed == 0, explained)
        return float(np.where(total > 0, explained, np.nan).mean())
