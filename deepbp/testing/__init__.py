"""Conformance tests and gradient checking for custom layers, losses, optimizers and initializers."""

from deepbp._config import publish
from deepbp.testing.check import Check, CheckFailure
from deepbp.testing.gradients import (
    GradientError,
    GradientReport,
    check_gradient,
    compare_gradients,
    numeric_gradient,
)
from deepbp.testing.initializer_checks import check_initializer, initializer_checks
from deepbp.testing.layer_checks import check_layer, layer_checks
from deepbp.testing.loss_checks import check_loss, loss_checks
from deepbp.testing.optimizer_checks import check_optimizer, optimizer_checks
from deepbp.testing.parametrize import parametrize_with_checks

__all__ = [
    "Check",
    "CheckFailure",
    "GradientError",
    "GradientReport",
    "check_gradient",
    "check_initializer",
    "check_layer",
    "check_loss",
    "check_optimizer",
    "compare_gradients",
    "initializer_checks",
    "layer_checks",
    "loss_checks",
    "numeric_gradient",
    "optimizer_checks",
    "parametrize_with_checks",
]

publish(__name__)
