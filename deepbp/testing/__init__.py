"""The extension kit: proof, in words, that a layer of yours is right."""

from deepbp.testing.check import Check, CheckFailure
from deepbp.testing.layers import check_layer, layer_checks
from deepbp.testing.numeric_gradient import GradientError, GradientReport, compare_gradients, numeric_gradient

__all__ = [
    "Check",
    "CheckFailure",
    "GradientError",
    "GradientReport",
    "check_layer",
    "compare_gradients",
    "layer_checks",
    "numeric_gradient",
]
