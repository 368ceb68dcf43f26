"""Checks of what ``fit`` and ``Trainer`` are told."""

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from deepbp._suggestions import named
from deepbp.callbacks.callback import Callback
from deepbp.errors import ArgumentTypeError, ConfigurationError, DeepBPError
from deepbp.layers import Layer
from deepbp.losses import Loss
from deepbp.training.data import Data, Source, as_source


def as_callbacks(callbacks: Sequence[Callback]) -> tuple[Callback, ...]:
    """Instances; those that store the training run last, so that they store what the others did."""
    several = callbacks if isinstance(callbacks, list | tuple) else [callbacks]
    wrong = [one for one in several if not isinstance(one, Callback)]
    if wrong or several is not callbacks:
        fix = named(wrong[0], "Callback") if wrong else f": write [{callbacks!r}]"
        raise ArgumentTypeError(f"callbacks: expected a list of Callback instances, got {callbacks!r}{fix}")
    return tuple(sorted(callbacks, key=lambda callback: callback.runs_last))


def non_finite_rule(instance: Any, attribute: Any, value: Any) -> None:
    """A validator of ``non_finite``."""
    if not isinstance(value, str) or value not in ("raise", "skip"):
        raise ConfigurationError(f"Trainer: non_finite: expected 'raise' or 'skip', got {value!r}")


def check_fit(epochs: Any, shuffle: Any, validation_split: Any, prefetch: Any, steps_per_epoch: Any) -> None:
    """The numbers that ``fit`` is called with."""
    steps = 1 if steps_per_epoch is None else steps_per_epoch
    for name, value, least in (("epochs", epochs, 0), ("prefetch", prefetch, 0), ("steps_per_epoch", steps, 1)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise ArgumentTypeError(f"{name}: expected a whole number, got {value!r}")
        if value < least:
            raise ConfigurationError(f"{name}: expected at least {least}, got {value}")
    if not isinstance(shuffle, bool | np.bool):
        raise ArgumentTypeError(f"shuffle: expected True or False, got {shuffle!r}")
    if not isinstance(validation_split, Real) or not 0 <= float(validation_split) < 1:
        raise ConfigurationError(f"validation_split: expected at least 0 and below 1, got {validation_split!r}")


def as_validation(model: Layer[Any], loss: Loss[Any], given: Any) -> Source | None:
    """(x, y), (x, y, sample_weight), or what brings batches itself."""
    if given is None:
        return None
    if isinstance(given, list | tuple):
        if len(given) not in (2, 3):
            raise ArgumentTypeError(f"validation_data: expected (x, y) or (x, y, sample_weight), got {given!r}")
    elif hasattr(given, "__array__") or isinstance(given, str | dict | Data):
        raise ArgumentTypeError(f"validation_data: expected (x, y) or (x, y, sample_weight), got {given!r}")
    try:
        return as_source(model, loss, *(given if isinstance(given, list | tuple) else (given,)))
    except DeepBPError as error:
        raise error.placed("validation_data") from None


def split_off(
    source: Source, validation: Source | None, fraction: float, rng: np.random.Generator
) -> tuple[Source, Source | None]:
    """The data without a share of the samples, and that share for validation."""
    if not fraction:
        return source, validation
    if validation is not None:
        raise ConfigurationError("give validation_data or validation_split, not both")
    if not isinstance(source, Data):
        raise ConfigurationError("validation_split: is for arrays; give a data set or stream its validation_data")
    return source.split(fraction, rng)
