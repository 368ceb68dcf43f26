"""Numbers moved and stretched so that their mean is 0 and their variance 1, and the derivative of that."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from deepbp.arrays import ones
from deepbp.typing import Array

Mean: TypeAlias = Callable[[Array], Array]
"""The mean over the axes in question, of a shape that fits the array again."""


def batch_mean(rows: Array) -> Array:
    """Of each column, over all rows; zeros where there are none."""
    mean: Array = ones(len(rows), rows.dtype).dot(rows)  # at a fifth of the cost of rows.mean(axis=0)
    mean /= max(len(rows), 1)
    return mean


def row_mean(x: Array) -> Array:
    """Along the last axis."""
    mean: Array = x.dot(ones(x.shape[-1], x.dtype))[..., None]
    mean /= x.shape[-1]
    return mean


def standardized(x: Array, mean: Mean, epsilon: float) -> tuple[Array, Array, Array, Array]:
    """(x̂, 1 / √(σ² + ε), μ, σ²), where x̂ = (x − μ) / √(σ² + ε), μ = mean x and σ² = mean (x − μ)², the biased one."""
    centre = mean(x)
    normal = x - centre
    variance = mean(normal * normal)
    inverse = 1 / np.sqrt(variance + float(epsilon))
    normal *= inverse
    return normal, inverse, centre, variance


def standardized_backward(normal: Array, inverse: Array, delta: Array, mean: Mean) -> Array:
    """∂L/∂x for δ = ∂L/∂x̂: (δ − mean δ − x̂ · mean(δ x̂)) / √(σ² + ε).

    Each x acts on x̂ by itself, through μ, and through σ²: one term for each.
    """
    moved = delta - mean(delta)
    moved -= normal * mean(delta * normal)
    moved *= inverse
    return moved
