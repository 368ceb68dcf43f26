"""The extension kit: proof, in words, that a layer of yours is right."""

from deepbp.testing.numeric_gradient import GradientError, GradientReport, compare_gradients, numeric_gradient

__all__ = ["GradientError", "GradientReport", "compare_gradients", "numeric_gradient"]
