"""Folds: each sample is tested once, by a network that was not trained on it."""

from collections.abc import Iterator

import numpy as np

from deepbp.arrays import as_generator
from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, DataTypeError, ShapeError
from deepbp.typing import Array, ArrayLike, Seed


def k_fold(
    samples: int, folds: int = 5, *, stratify: ArrayLike | None = None, rng: Seed = None
) -> Iterator[tuple[Array, Array]]:
    """The rows to train on and the rows to test on, in ascending order, for one fold after the other.

    Each row is tested in exactly one fold. The sizes of the folds differ by one at most; with ``stratify``, so do the
    counts of each class in them. Which rows belong together is drawn at random.

    Args:
        samples: how many there are, ``len(x)``.
        folds: at least 2; one for each sample is leave-one-out.
        stratify: the class of each sample, whole numbers or texts, to give each fold its share of each class.
        rng: a seed or a generator; None differs every time.

    Source: Stone 1974; Kohavi 1995 for the stratified form.
    """
    for name, number, least in (("samples", samples, 2), ("folds", folds, 2)):
        if isinstance(number, bool) or not isinstance(number, int | np.integer):
            raise ArgumentTypeError(f"k_fold: {name}: expected a whole number, got {number!r}")
        if number < least:
            raise ConfigurationError(f"k_fold: {name}: expected at least {least}, got {number}")
    if folds > samples:
        raise ConfigurationError(f"k_fold: folds: expected at most one for each of the {samples} samples, got {folds}")
    order = as_generator(rng).permutation(samples)
    if stratify is not None:
        order = order[np.argsort(_classes(stratify, samples)[order], kind="stable")]
    return _dealt(order, folds)


def _dealt(order: Array, folds: int) -> Iterator[tuple[Array, Array]]:
    """The rows are dealt like cards, so that any run of them, such as those of a class, is spread evenly."""
    for fold in range(folds):
        tested = np.zeros(len(order), dtype=bool)
        tested[order[fold::folds]] = True
        yield np.flatnonzero(~tested), np.flatnonzero(tested)


def _classes(labels: ArrayLike, samples: int) -> Array:
    classes = np.asarray(labels)
    if classes.dtype.kind not in "iubUS":
        raise DataTypeError(
            f"k_fold: stratify: expected the class of each sample, whole numbers or texts, got {classes.dtype}: "
            "leave it out where targets are no classes"
        )
    if classes.ndim != 1:
        fix = ": use stratify.argmax(axis=1) for one-hot rows" if classes.ndim == 2 else ""
        raise ShapeError(f"k_fold: stratify: expected one class a sample, got shape {classes.shape}{fix}")
    if len(classes) != samples:
        raise DataError(f"k_fold: stratify: expected the classes of {samples} samples, got {len(classes)}")
    return classes
