"""Model selection: k-fold splits, cross-validation, and the learning-rate range test."""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from html import escape
from itertools import islice
from numbers import Real
from typing import Any, Protocol

import attrs
import numpy as np
from attrs import evolve, frozen

from deepbp._plain_text import printable
from deepbp._rich import curves, table
from deepbp._tables import as_plain_array, as_texts
from deepbp._validation import as_generator, as_numbers, check_same_length
from deepbp.errors import (
    ArgumentTypeError,
    ConfigurationError,
    DataError,
    DataTypeError,
    NonFiniteError,
    ShapeError,
    shown,
)
from deepbp.layers import Layer
from deepbp.losses import Loss
from deepbp.losses.targets import class_labels
from deepbp.metrics.metric import MetricLike
from deepbp.optimizers import Optimizer
from deepbp.parameters import Parameter
from deepbp.training.data import Data, build_for
from deepbp.training.options import check_batch_size
from deepbp.training.scale import fit_scale
from deepbp.training.trainer import Trainer
from deepbp.typing import Array, ArrayLike, Seed


class TrainableNetwork(Protocol):
    """A network that can be trained and evaluated, such as a ``Sequential``."""

    def fit(self, *arguments: Any, **options: Any) -> Any: ...

    def evaluate(self, *arguments: Any, **options: Any) -> dict[str, float]: ...

    def parameters(self) -> list[Parameter]: ...


def k_fold(
    samples: int, folds: int = 5, *, stratify: ArrayLike | None = None, rng: Seed = None
) -> Iterator[tuple[Array, Array]]:
    """Split rows for k-fold cross-validation: yields training rows and test rows, each in ascending order, per fold.

    Each row is tested in exactly one fold. The sizes of the folds differ by one at most; with ``stratify``, so do the
    counts of each class in them. Rows are assigned to folds at random.

    >>> from deepbp.training import k_fold
    >>> for train, test in k_fold(6, folds=3, rng=0):
    ...     print(train, test)
    [0 1 2 5] [3 4]
    [1 3 4 5] [0 2]
    [0 2 3 4] [1 5]

    Args:
        samples: the number of samples, ``len(x)``.
        folds: at least 2; as many as samples is leave-one-out.
        stratify: the class of each sample, whole numbers or text, if each fold is to have its share of each class.
        rng: a seed or a generator; None differs every time.

    Source: Stone 1974; Kohavi 1995 for the stratified form.
    """
    for name, number, least in (("samples", samples, 2), ("folds", folds, 2)):
        if isinstance(number, bool) or not isinstance(number, int | np.integer):
            raise ArgumentTypeError(f"k_fold: {name}: expected a whole number, got {shown(number)}")
        if number < least:
            raise ConfigurationError(f"k_fold: {name}: expected at least {least}, got {number}")
    if folds > samples:
        raise ConfigurationError(f"k_fold: folds: expected at most one for each of the {samples} samples, got {folds}")
    order = as_generator(rng).permutation(samples)
    if stratify is not None:
        order = order[np.argsort(_classes(stratify, samples)[order], kind="stable")]
    return _dealt(order, folds)


def _dealt(order: Array, folds: int) -> Iterator[tuple[Array, Array]]:
    """Assign rows to folds in turn, so that any run of them, such as those of a class, is spread evenly."""
    for fold in range(folds):
        tested = np.zeros(len(order), dtype=bool)
        tested[order[fold::folds]] = True
        yield np.flatnonzero(~tested), np.flatnonzero(tested)


def _classes(labels: ArrayLike, samples: int) -> Array:
    if isinstance(labels, bool):
        raise ArgumentTypeError(f"k_fold: stratify: expected the class of each sample, got {labels}: write stratify=y")
    texts = as_texts(labels, "stratify")
    classes = np.asarray(labels) if texts is None else texts
    if classes.dtype.kind == "O":
        classes = as_plain_array(labels, "k_fold: stratify")  # whole numbers of a data frame
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


class Scores(dict[str, list[float]]):
    """The scores of a cross-validation: for each of ``"loss"``, ``"accuracy"``, …, a list with a number per fold.

    >>> from deepbp.training import Scores
    >>> print(Scores(loss=[0.1, 0.2, 0.3]))
    loss  0.2 ± 0.1  (0.1, 0.2, 0.3)
    """

    def mean(self, name: str) -> float:
        """The mean over the folds."""
        return float(np.mean(self._column(name)))

    def spread(self, name: str) -> float:
        """The standard deviation over the folds, √(Σ (s − s̄)² / (k − 1))."""
        return float(np.std(self._column(name), ddof=1))

    def _spread_or_nan(self, name: str) -> float:
        return self.spread(name) if len(self[name]) > 1 else float("nan")

    def _column(self, name: str) -> list[float]:
        if name not in self:
            raise ConfigurationError(f"scores: expected one of {list(self)}, got {shown(name)}")
        return self[name]

    def __repr__(self) -> str:
        parts = [f"{name}={self.mean(name):.4g} ± {self._spread_or_nan(name):.2g}" for name in self]
        folds = max(map(len, self.values()), default=0)
        return f"Scores({folds} folds, {', '.join(parts)})"

    def _repr_html_(self) -> str:
        """A table for a notebook: mean, standard deviation, and the score of each fold."""
        folds = max(map(len, self.values()), default=0)
        head = ["", "mean", "±", *(f"fold {fold}" for fold in range(1, folds + 1))]
        rows = [
            [name, f"{self.mean(name):.4g}", f"{self._spread_or_nan(name):.2g}", *(f"{one:.4g}" for one in column)]
            for name, column in self.items()
        ]
        return table(head, rows, right=range(1, len(head)))

    def __str__(self) -> str:
        width = max(map(len, self), default=0)
        return printable(
            "\n".join(
                f"{name:{width}}  {self.mean(name):.4g} ± {self.spread(name):.2g}  "
                f"({', '.join(f'{score:.4g}' for score in column)})"
                for name, column in self.items()
            )
        )


def cross_validate(
    make_network: Callable[[], TrainableNetwork],
    x: ArrayLike,
    y: ArrayLike,
    *,
    loss: Loss[Any],
    metrics: Sequence[MetricLike] = (),
    folds: int = 5,
    stratify: ArrayLike | bool | None = None,
    sample_weight: ArrayLike | None = None,
    rng: Seed = None,
    **fit: Any,
) -> Scores:
    """Cross-validate: train a new network for each fold on the other folds, and evaluate it on this one.

    The scores are estimates for a network that is trained on a fraction (folds − 1) / folds of the samples. If you
    choose a network by them, test it on other samples.

    >>> import numpy as np
    >>> from deepbp import Sequential
    >>> from deepbp.layers import Dense
    >>> from deepbp.losses import MeanSquaredError
    >>> from deepbp.optimizers import SGD
    >>> from deepbp.training import cross_validate
    >>> x = np.linspace(0, 1, 12).reshape(-1, 1)
    >>> options = {"loss": MeanSquaredError(), "optimizer": SGD(0.1), "epochs": 200}
    >>> scores = cross_validate(lambda: Sequential([Dense(1)], rng=0), x, 2 * x, folds=3, rng=0, **options)
    >>> len(scores["loss"]), scores.mean("loss") < 0.01
    (3, True)

    Args:
        make_network: a function that returns a new network, ``lambda: Sequential([...], rng=0)``.
        folds, rng: as in ``k_fold``.
        stratify: True if each fold is to have its share of each class in y; or classes, as in ``k_fold``.
        fit: further arguments of ``Sequential.fit``: ``optimizer``, ``epochs``, ``validation_split``, …

    Raises:
        ArgumentTypeError: if ``make_network`` does not return a network.
        ConfigurationError: if it returns layers that were used in another fold.
    """
    if hasattr(make_network, "fit"):
        raise ArgumentTypeError(
            f"make_network: expected a function that makes a network for each fold, got {shown(make_network)}: "
            "write lambda: Sequential([...], rng=0)"
        )
    x, names = as_numbers(x, "x"), as_texts(y)
    y = as_numbers(y, "y", missing=True) if names is None else names  # numbers may be missing
    weight = None if sample_weight is None else as_numbers(sample_weight, "sample_weight")
    check_same_length(x=x, y=y, sample_weight=weight)
    if isinstance(stratify, bool):
        stratify = (y if y.ndim < 2 else class_labels(y, y.shape[1:], "stratify")) if stratify else None
    scores, before = Scores(), set[Parameter]()
    for fold, (train, test) in enumerate(k_fold(len(x), folds, stratify=stratify, rng=rng)):
        network = make_network()
        if not hasattr(network, "fit"):
            raise ArgumentTypeError(
                f"make_network: expected a function that makes a Sequential, returned {shown(network)}"
            )
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


PLACE = "learning_rate_range_test"


@frozen(eq=False, repr=False)
class RangeTest:
    """The result of a learning-rate range test of T steps, which ``deepbp.plots.learning_rates`` draws.

    >>> import numpy as np
    >>> from deepbp.training import RangeTest
    >>> losses = np.array([1.0, 0.5, 4.0])
    >>> found = RangeTest(np.array([0.01, 0.1, 1.0]), losses, losses, suggestion=0.1, diverged=True)
    >>> float(found.rates[found.losses.argmin()])
    0.1

    Attributes:
        rates: (T,) η of each step, until the test ended.
        losses: (T,) the loss of each step's batch, before its update.
        smoothed: (T,) means of neighbouring losses, with triangular weights that reach a tenth of the steps to each
            side. They do not lag behind the rates, as a running mean would.
        suggestion: the rate at which the smoothed loss falls most steeply over ln η, before its minimum; None if it
            does not fall.
        diverged: whether the test ended early, because the loss was not finite, or more than four times the mean loss
            of the first tenth of the steps.
    """

    rates: Array
    losses: Array
    smoothed: Array
    suggestion: float | None
    diverged: bool

    def __repr__(self) -> str:
        ends = f" from {self.rates[0]:.2g} to {self.rates[-1]:.2g}" if len(self.rates) else ""
        tested = f"{len(self.rates)} rates{ends}"
        found = "no suggestion" if self.suggestion is None else f"suggestion={self.suggestion:.3g}"
        return f"RangeTest({tested}, {found}{', diverged' * self.diverged})"

    def _repr_html_(self) -> str:
        """The smoothed losses over the rates, on a logarithmic axis, for a notebook."""
        return f"<div>{curves({'loss over ln η': self.smoothed.tolist()})}<p>{escape(repr(self))}</p></div>"


def learning_rate_range_test(
    model: Layer[Any],
    x: ArrayLike,
    y: ArrayLike,
    loss: Loss[Any],
    optimizer: Optimizer,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    batch_size: int | None = 32,
    sample_weight: ArrayLike | None = None,
    rng: Seed = None,
) -> RangeTest:
    """Learning-rate range test: train a copy with η(t) = low · (high / low)^(t / (steps − 1)) and record the losses.

    The network itself is unchanged. The suggested rate is one to start with, or the peak of a ``OneCycle``. It is valid
    for this optimizer and batch size only; look at the plot as well.

    >>> import numpy as np
    >>> from deepbp import Sequential
    >>> from deepbp.layers import Dense
    >>> from deepbp.losses import MeanSquaredError
    >>> from deepbp.optimizers import SGD
    >>> from deepbp.training import learning_rate_range_test
    >>> x = np.linspace(-1, 1, 64).reshape(-1, 1)
    >>> net = Sequential([Dense(1)], input_shape=1, rng=0)
    >>> found = learning_rate_range_test(net, x, 2 * x, MeanSquaredError(), SGD(0.1))
    >>> found.diverged, 0.01 < found.suggestion < 1
    (True, True)

    Args:
        model: a Sequential, or another built layer.
        optimizer: its learning rate is replaced, its other arguments are used.
        low, high: the first and the last rate.
        steps: at least 10. Batches are drawn as in ``fit``, from as many epochs as necessary.
        rng: a seed or generator for the batches; by default a copy of the model's own generator, so that the same test
            gives the same numbers.

    Source: Smith 2017, "Cyclical learning rates", section 3.3.
    """
    _check_range(low, high, steps)
    check_batch_size(batch_size)
    kind: Any = type(optimizer)
    if not isinstance(optimizer, Optimizer) or not attrs.has(kind) or "learning_rate" not in attrs.fields_dict(kind):
        raise ArgumentTypeError(f"{PLACE}: optimizer: expected one with a learning_rate, got {shown(optimizer)}")
    rates = np.geomspace(low, high, steps)
    growing: Optimizer = evolve(optimizer, learning_rate=lambda step: rates[step])  # type: ignore[misc]
    build_for(model := deepcopy(model), x, y)
    trainer = Trainer(model, loss, growing, rng=rng)
    data = Data.of(model, loss, x, y, sample_weight)
    fit_scale(trainer._training, loss, data, y, first=True)
    batches = _endless(data, batch_size, trainer.generator)
    losses: list[float] = []
    for batch in islice(batches, steps):
        try:
            value = trainer._step(batch)
        except NonFiniteError:
            if not losses:
                raise  # before any update: it is not the learning rate
            break
        if _diverged(value, losses[: steps // 10], steps // 10):
            break
        losses.append(value)
    rates, values = rates[: len(losses)], np.array(losses)
    smoothed = _smooth(values, steps // 10)
    return RangeTest(rates, values, smoothed, steepest(rates, smoothed), len(losses) < steps)


def _endless(data: Data, batch_size: int | None, rng: np.random.Generator) -> Iterator[Data]:
    while True:
        yield from data.batches(batch_size, rng)


def _diverged(value: float, first: list[float], count: int) -> bool:
    """Whether a loss is above four times the mean of the first losses, or as far above it if that is negative."""
    if len(first) < count:
        return False
    level = float(np.mean(first))
    return value - level > 3 * abs(level)


def _smooth(values: Array, reach: int) -> Array:
    """The triangle is cut off at both ends."""
    triangle = 1 - np.abs(np.arange(-reach, reach + 1)) / (reach + 1)

    def sums(numbers: Array) -> Array:
        return np.convolve(numbers, triangle)[reach : reach + len(numbers)]

    return sums(values) / sums(np.ones_like(values))


def steepest(rates: Array, smoothed: Array) -> float | None:
    """The rate at which the loss falls fastest over ln η, before it is at its lowest; None where it is so at once."""
    lowest = int(np.argmin(smoothed))
    if lowest == 0:
        return None
    slopes = np.gradient(smoothed, np.log(rates))[:lowest]
    return float(rates[np.argmin(slopes)])


def _check_range(low: Any, high: Any, steps: Any) -> None:
    for name, value in (("low", low), ("high", high)):
        if isinstance(value, bool) or not isinstance(value, Real):
            raise ArgumentTypeError(f"{PLACE}: {name}: expected a number above 0, got {shown(value)}")
    if not 0 < low < high < float("inf"):
        raise ConfigurationError(f"{PLACE}: expected 0 < low < high, got low={low!r} and high={high!r}")
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer):
        raise ArgumentTypeError(f"{PLACE}: steps: expected a whole number of at least 10, got {shown(steps)}")
    if steps < 10:
        raise ConfigurationError(f"{PLACE}: steps: expected a whole number of at least 10, got {shown(steps)}")
