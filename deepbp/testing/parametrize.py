"""Pytest integration: every check becomes a test case."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from deepbp.errors import ArgumentTypeError, shown
from deepbp.initializers import Initializer
from deepbp.layers import Layer
from deepbp.losses import Loss
from deepbp.optimizers import Optimizer
from deepbp.testing.check import Check
from deepbp.testing.initializer_checks import initializer_checks
from deepbp.testing.layer_checks import layer_checks
from deepbp.testing.loss_checks import loss_checks
from deepbp.testing.optimizer_checks import optimizer_checks

__tracebackhide__ = True  # pytest shows no frames of this module


def parametrize_with_checks(subjects: Iterable[Any]) -> Callable[[Any], Any]:
    """Pytest decorator that parametrizes a test over all conformance checks of the given objects.

    >>> from deepbp.layers import Dense
    >>> from deepbp.losses import Huber
    >>> from deepbp.testing import layer_checks, parametrize_with_checks
    >>> @parametrize_with_checks([(Dense(2), 3), Huber(), *layer_checks(Dense(1), 4, rng=1)])
    ... def test_my_classes(check):
    ...     check.run()

    Args:
        subjects: (layer, input_shape) and (loss, output_shape) pairs, losses, optimizers, initializers, and
            individual checks.

    Raises:
        ArgumentTypeError: for any other object.
    """
    if not isinstance(subjects, Iterable):
        raise ArgumentTypeError(f"parametrize_with_checks: expected a list, got {shown(subjects)}")
    import pytest  # imported here because nothing else in deepbp.testing needs pytest

    checks = [check for subject in subjects for check in _checks(subject)]
    return pytest.mark.parametrize("check", checks, ids=str)


def _checks(subject: Any) -> Iterator[Check]:
    if isinstance(subject, tuple) and len(subject) == 2 and isinstance(subject[0], Layer):
        return layer_checks(*subject)
    if isinstance(subject, tuple) and len(subject) == 2 and isinstance(subject[0], Loss):
        return loss_checks(*subject)
    if isinstance(subject, Loss):
        return loss_checks(subject)
    if isinstance(subject, Optimizer):
        return optimizer_checks(subject)
    if isinstance(subject, Initializer):
        return initializer_checks(subject)
    if isinstance(subject, Check):
        return iter((subject,))
    raise ArgumentTypeError(
        f"parametrize_with_checks: expected (layer, input_shape), (loss, output_shape), a loss, an optimizer, an "
        f"initializer or a check, got {shown(subject)}"
    )
