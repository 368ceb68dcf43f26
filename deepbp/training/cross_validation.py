"""Cross-validation: how well networks of one kind do on samples that they were not trained on, and how surely."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from deepbp.arrays import as_numbers, check_same_length
from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.losses import Loss
from deepbp.parameter import Parameter
from deepbp.training.k_fold import k_fold
from deepbp.training.metrics import MetricLike
from deepbp.typing import ArrayLike, Seed

if TYPE_CHECKING:
    from deepbp.sequential import Sequential


class Scores(dict[str, list[float]]):
    """A list of numbers for each of ``"loss"``, ``"accuracy"``, …: one for each fold. It prints itself."""

    def mean(self, name: str) -> float:
        """Over the folds."""
        return float(np.mean(self._column(name)))

    def spread(self, name: str) -> float:
        """The standard deviation from fold to fold, √(Σ (s − s̄)² / (k − 1))."""
        return float(np.std(self._column(name), ddof=1))

    def _column(self, name: str) -> list[float]:
        if name not in self:
            raise ConfigurationError(f"scores: expected one of {list(self)}, got {name!r}")
        return self[name]

    def __str__(self) -> str:
        width = max(map(len, self), default=0)
        return "\n".join(
            f"{name:{width}}  {self.mean(name):.4g} ± {self.spread(name):.2g}  "
            f"({', '.join(f'{score:.4g}' for score in column)})"
            for name, column in self.items()
        )


def cross_validate(
    make_network: Callable[[], "Sequential"],
    x: ArrayLike,
    y: ArrayLike,
    *,
    loss: Loss[Any],
    metrics: Sequence[MetricLike] = (),
    folds: int = 5,
    stratify: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    rng: Seed = None,
    **fit: Any,
) -> Scores:
    """Train a new network for each fold, on the others, and test it on this one; returns what ``evaluate`` says.

    Args:
        make_network: makes a new network, ``lambda: Sequential([...], rng=0)``.
        folds, stratify, rng: as in ``k_fold``.
        fit: all else that ``Sequential.fit`` takes: ``optimizer``, ``epochs``, ``validation_split``, …

    The scores are estimates for a network trained on a share of (folds − 1) / folds. What was chosen by them must be
    tested on other samples.
    """
    x, y = as_numbers(x, "x"), as_numbers(y, "y")
    weight = None if sample_weight is None else as_numbers(sample_weight, "sample_weight")
    check_same_length(x=x, y=y, sample_weight=weight)
    scores, before = Scores(), set[Parameter]()
    for fold, (train, test) in enumerate(k_fold(len(x), folds, stratify=stratify, rng=rng)):
        network = make_network()
        if not hasattr(network, "fit"):
            raise ArgumentTypeError(f"make_network: expected a function that makes a Sequential, returned {network!r}")
        if not before.isdisjoint(network.parameters()):
            raise ConfigurationError(
                "make_network: expected a new network each time, got one with layers of the last, which are trained: "
                "make the layers inside the function, too"
            )
        try:
            weights = [None if weight is None else weight[rows] for rows in (train, test)]
            network.fit(x[train], y[train], loss=loss, metrics=metrics, sample_weight=weights[0], **fit)
            row = network.evaluate(x[test], y[test], loss=loss, metrics=metrics, sample_weight=weights[1])
        except Exception as error:
            error.add_note(f"in fold {fold + 1} of {folds}")
            raise
        before = set(network.parameters())
        for name, value in row.items():
            scores.setdefault(name, []).append(value)
    return scores
