"""How the shares of samples become one number: their mean, each sample's shares times its weight."""

from deepbp.losses.loss import weight_column
from deepbp.typing import Array


def mean(terms: Array, sample_weight: Array | None) -> float:
    """Σ w t / n over all terms (B, …), of which there are n: never divided by the sum of the weights."""
    total = terms.sum() if sample_weight is None else (terms * weight_column(sample_weight, terms)).sum()
    return float(total) / terms.size


def mean_backward(slopes: Array, sample_weight: Array | None, terms: int | None = None) -> Array:
    """∂mean/∂prediction, from the slopes ∂t/∂prediction (B, …) of so many terms: by default one for each number."""
    delta = slopes / (slopes.size if terms is None else terms)
    return delta if sample_weight is None else delta * weight_column(sample_weight, slopes)
