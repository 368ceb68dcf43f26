"""Folds: every row is tested once, sizes and classes are spread evenly, as scikit-learn spreads them."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, DataTypeError, ShapeError
from deepbp.training import k_fold

SIZES = [(10, 5), (23, 5), (7, 7), (101, 10), (2, 2)]


@pytest.mark.parametrize(("samples", "folds"), SIZES)
def test_every_row_is_tested_once(samples: int, folds: int) -> None:
    pairs = list(k_fold(samples, folds, rng=0))
    assert len(pairs) == folds
    assert sorted(row for _, test in pairs for row in test) == list(range(samples))
    for train, test in pairs:
        assert sorted([*train, *test]) == list(range(samples))
        assert list(train) == sorted(train)
        assert list(test) == sorted(test)


@pytest.mark.parametrize(("samples", "folds"), SIZES)
def test_sizes_are_those_of_scikit_learn(samples: int, folds: int) -> None:
    learn = pytest.importorskip("sklearn.model_selection")
    theirs = [len(test) for _, test in learn.KFold(folds, shuffle=True, random_state=0).split(np.zeros(samples))]
    assert [len(test) for _, test in k_fold(samples, folds, rng=0)] == theirs


LABELS = {
    "numbers": np.repeat([0, 1, 2], [50, 30, 21]),
    "texts": np.repeat(["cat", "dog"], [7, 16]),
    "yes and no": np.repeat([True, False], [13, 10]),
    "fewer than folds": np.repeat([5, 9], [21, 2]),
}


@pytest.mark.filterwarnings("ignore:The least populated class")
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_classes_are_spread_as_by_scikit_learn(labels: Any, rng: np.random.Generator) -> None:
    learn = pytest.importorskip("sklearn.model_selection")
    labels = rng.permutation(labels)
    ours = [test for _, test in k_fold(len(labels), 4, stratify=labels, rng=1)]
    assert sorted(np.concatenate(ours)) == list(range(len(labels)))
    splitter = learn.StratifiedKFold(4, shuffle=True, random_state=1)
    theirs = [test for _, test in splitter.split(labels, labels)]
    for folds in (ours, theirs):
        sizes = [len(test) for test in folds]
        assert max(sizes) - min(sizes) <= 1
        for label in np.unique(labels):
            counts = [int(np.sum(labels[test] == label)) for test in folds]
            assert max(counts) - min(counts) <= 1


def test_rows_are_drawn_at_random_and_by_the_seed() -> None:
    one, same, other = ([list(test) for _, test in k_fold(40, 4, rng=seed)] for seed in (0, 0, 1))
    assert one == same != other
    assert one[0] != list(range(0, 40, 4))
    generator = np.random.default_rng(0)
    assert [list(test) for _, test in k_fold(40, 4, rng=generator)] == one


def test_within_a_class_rows_are_drawn_at_random() -> None:
    together: Counter[int] = Counter()
    for seed in range(300):
        for _, test in k_fold(12, 3, stratify=[0] * 6 + [1] * 6, rng=seed):
            if 0 in test:
                together.update(row for row in test if row in (1, 2, 3, 4, 5))
    assert len(together) == 5  # each of the five others of its class is its partner in a fifth of the draws
    assert min(together.values()) > 30


def test_the_callers_labels_stay_as_they_are() -> None:
    labels = np.array([1, 0] * 5)
    before = labels.copy()
    list(k_fold(10, 5, stratify=labels, rng=0))
    assert_array_equal(labels, before)


@pytest.mark.parametrize(
    ("samples", "folds", "error", "message"),
    [
        *[(10, bad, ConfigurationError, f"folds: expected at least 2, got {bad}") for bad in (0, 1, -3)],
        *[
            (10, bad, ArgumentTypeError, f"folds: expected a whole number, got {bad!r}")
            for bad in (2.5, None, "64", True)
        ],
        (10, 11, ConfigurationError, "folds: expected at most one for each of the 10 samples, got 11"),
        (1, 2, ConfigurationError, "samples: expected at least 2, got 1"),
        ([1, 2, 3], 2, ArgumentTypeError, r"samples: expected a whole number, got \[1, 2, 3\]"),
    ],
)
def test_numbers(samples: Any, folds: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^k_fold: {message}"):
        k_fold(samples, folds)  # before the first fold is asked for


@pytest.mark.parametrize(
    ("stratify", "error", "message"),
    [
        (
            [0.5, 1.5, 2.5],
            DataTypeError,
            "expected the class of each sample, whole numbers or texts, got float64",
        ),
        ([0, 1], DataError, "expected the classes of 3 samples, got 2"),
        (np.eye(3, dtype=int), ShapeError, r"got shape \(3, 3\): use stratify.argmax\(axis=1\) for one-hot rows"),
        (True, ArgumentTypeError, "expected the class of each sample, got True: write stratify=y"),
    ],
)
def test_classes(stratify: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^k_fold: stratify: .*{message}"):
        k_fold(3, 2, stratify=stratify)
