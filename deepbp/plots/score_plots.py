"""Plots of predictions beside the truth: ROC and precision-recall curves, calibration, and the worst samples."""

from collections.abc import Iterator, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from deepbp._tables import numbered
from deepbp._validation import as_numbers, check_same_length
from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, ShapeError, shown
from deepbp.errors.validators import whole
from deepbp.losses import Loss
from deepbp.metrics.thresholds import as_true_labels
from deepbp.plots.canvas import axes_for, class_colors, need_matplotlib, quiet
from deepbp.sequential import Sequential
from deepbp.training.answers import classes_of_targets, predicted_labels
from deepbp.training.data import Data
from deepbp.typing import Array, ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def roc_curve(
    prediction: ArrayLike, target: ArrayLike, *, names: Sequence[str] | None = None, ax: "Axes | None" = None
) -> "Axes":
    """Plot the ROC curve: the share of class 1 that is found over the share of class 0 that is mistaken for it.

    Each point is a threshold. The area under the curve is the probability that a sample of class 1 scores higher than
    one of class 0; chance is ½. With several classes, there is a curve for each, against all others.

    Args:
        prediction: scores of any kind, as ``net.predict(x)`` returns them: (N, 1) or (N,), or (N, C) for classes.
        target: answers 0 or 1, (N,) or (N, 1), labels or names of classes (N,), or one-hot rows (N, C).
        names: of the classes, in the order of the outputs, such as ``net.classes``; of text, the alphabet's by default.

    Raises:
        DataError: if the targets lack one of two classes.

    >>> from deepbp import plots
    >>> plots.roc_curve([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]).lines[1].get_label()
    'area 0.75'
    """
    ax = quiet(axes_for(ax, (4.8, 4.6)))
    ax.plot([0, 1], [0, 1], color="0.6", linestyle=":", label="chance")
    for name, color, true, false in _counts("roc_curve", prediction, target, names):
        found, mistaken = true / true[-1], false / false[-1]
        area = float(((found[1:] + found[:-1]) / 2 * np.diff(mistaken)).sum())
        ax.plot(mistaken, found, color=color, label=f"{name}area {area:.3g}")
    ax.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    ax.legend(frameon=False, loc="lower right")
    return ax


def precision_recall_curve(
    prediction: ArrayLike, target: ArrayLike, *, names: Sequence[str] | None = None, ax: "Axes | None" = None
) -> "Axes":
    """Plot precision over recall: how many of the samples above a threshold are right, and how many are found.

    The average precision in the legend is Σ (Rₙ − Rₙ₋₁) Pₙ over the thresholds. Where class 1 is rare, this curve shows
    mistakes that the ROC curve hides. Arguments and errors are those of ``roc_curve``.

    >>> from deepbp import plots
    >>> plots.precision_recall_curve([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]).lines[0].get_label()
    'average precision 0.833'
    """
    ax = quiet(axes_for(ax, (4.8, 4.6)))
    for name, color, true, false in _counts("precision_recall_curve", prediction, target, names):
        recall, precision = true[1:] / true[-1], true[1:] / (true[1:] + false[1:])
        average = float((np.diff(recall, prepend=0) * precision).sum())
        label = f"{name}average precision {average:.3g}"
        ax.step([0, *recall], [precision[0], *precision], where="pre", color=color, label=label)
    ax.set(xlabel="recall", ylabel="precision", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    ax.legend(frameon=False, loc="lower left")
    return ax


def _counts(
    place: str, prediction: ArrayLike, target: ArrayLike, names: Sequence[str] | None
) -> Iterator[tuple[str, Any, Array, Array]]:
    """For each question of yes or no its name, its color, and how many of each kind lie above falling thresholds."""
    names, (target,) = numbered(names, {"target": target})
    scores, labels = as_numbers(prediction, "prediction"), as_true_labels(target, "target")
    scores = scores.reshape(-1, 1) if scores.ndim == 1 else scores
    if scores.ndim != 2:
        raise ShapeError(f"{place}: expected scores (N,), (N, 1) or (N, C), got {scores.shape}")
    check_same_length(prediction=scores, target=labels)
    count = scores.shape[1]
    if names is not None and len(names) != max(count, 2):
        raise ConfigurationError(f"names: expected one for each of {max(count, 2)} classes, got {list(names)}")
    questions = [(f"{k if names is None else names[k]}: ", scores[:, k], labels == k) for k in range(count)]
    if count == 1:
        questions = [("" if names is None else f"{names[1]}: ", scores[:, 0], labels == 1)]
    for (name, score, yes), color in zip(questions, class_colors(count), strict=True):
        if yes.all() or not yes.any():
            raise DataError(f"{place}: {name}expected targets of both kinds, got only {'yes' if yes.all() else 'no'}")
        order = np.argsort(-score, kind="stable")
        ends = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)  # equal scores share a threshold
        true, false = np.cumsum(yes[order])[ends], np.cumsum(~yes[order])[ends]
        yield name, color, np.append(0, true), np.append(0, false)


def calibration(
    prediction: ArrayLike,
    target: ArrayLike,
    *,
    loss: Loss[Any] | None = None,
    bins: int = 10,
    ax: "Axes | None" = None,
) -> "Axes":
    """Plot the calibration (reliability diagram): over predicted probabilities, how often they are right.

    For one output it is the probability of class 1; for several, that of the class with the largest. On the diagonal,
    answers of 80 % are right in 80 % of the cases. The area of a point is its share of the samples. The expected
    calibration error in the title is the mean distance from the diagonal.

    Args:
        prediction: probabilities, as ``net.predict_proba(x)`` returns them, (N, 1), (N,) or (N, C).
        target: answers 0 or 1, (N,) or (N, 1), labels (N,), one-hot rows (N, C), or names in alphabetical order.
        loss: of the training, for predictions that are logits.
        bins: number of equal intervals of probability.

    Raises:
        DataError: for numbers that are no probabilities.

    Source: Guo, Pleiss, Sun & Weinberger 2017.

    >>> from deepbp import plots
    >>> plots.calibration([0.1, 0.1, 0.9, 0.9], [0, 0, 1, 0]).get_title()
    'expected calibration error 0.25'
    """
    chances: Any = as_numbers(prediction, "prediction").astype(np.float64)
    chances = chances.reshape(-1, 1) if chances.ndim == 1 else chances
    if loss is not None and (chances := loss.probabilities(chances)) is None:
        raise ConfigurationError(f"calibration: predictions trained with {loss} stand for no probabilities")
    if chances.ndim != 2 or not (chances.min() >= 0 and chances.max() <= 1):
        raise DataError(
            "calibration: expected probabilities (N, 1) or (N, C), got others: use net.predict_proba(x), or give the "
            "loss of the training, for example loss=net.loss"
        )
    labels = as_true_labels(numbered(None, {"target": target})[1][0], "target")
    check_same_length(prediction=chances, target=labels)
    one = chances.shape[1] == 1
    chance, right = (chances[:, 0], labels == 1) if one else (chances.max(axis=1), labels == chances.argmax(axis=1))
    places = np.minimum((chance * whole("bins", bins)).astype(int), bins - 1)
    sizes = np.bincount(places, minlength=bins)
    filled = sizes > 0
    said = np.bincount(places, chance, minlength=bins)[filled] / sizes[filled]
    true = np.bincount(places, right, minlength=bins)[filled] / sizes[filled]
    error = float((np.abs(said - true) * sizes[filled]).sum() / len(chance))

    ax = quiet(axes_for(ax, (4.8, 4.6)))
    ax.plot([0, 1], [0, 1], color="0.6", linestyle=":")
    (color,) = class_colors(1)
    ax.plot(said, true, color=color, alpha=0.5)
    ax.scatter(said, true, s=20 + 400 * sizes[filled] / len(chance), color=color)
    names = ("class 1", "share of class 1") if one else ("the predicted class", "share that is right")
    ax.set(xlabel=f"probability of {names[0]}", ylabel=names[1], xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    ax.set_title(f"expected calibration error {error:.2g}")
    return ax


def worst_samples(
    net: Sequential, x: ArrayLike, y: ArrayLike, *, count: int = 12, loss: Loss[Any] | None = None, shape: Any = None
) -> Any:
    """Plot the samples with the largest loss, worst first: their row, and what was expected and predicted.

    Images are drawn as such, other samples as bars of their features. Look at them before you tune a network: many are
    mistakes in the data. Returns the array of Axes.

    Args:
        x, y: inputs and targets, as for ``evaluate``.
        count: how many.
        loss: by default that of the training.
        shape: (height, width) or (height, width, channels) of an image, for flat samples.

    Raises:
        ConfigurationError: if no loss is given, and the network was not trained.

    >>> import numpy as np
    >>> from deepbp import Sequential, plots
    >>> from deepbp.layers import Dense
    >>> from deepbp.losses import SoftmaxCrossEntropy
    >>> net = Sequential([Dense(2)], input_shape=4, rng=0)
    >>> axes = plots.worst_samples(net, np.eye(4), [0, 1, 0, 1], count=2, loss=SoftmaxCrossEntropy(), shape=(2, 2))
    >>> [ax.get_title().splitlines()[0] for ax in axes]
    ['row 2: loss 0.798', 'row 1: loss 0.718']
    """
    if not isinstance(net, Sequential):
        raise ArgumentTypeError(f"worst_samples: expected a Sequential, got {shown(net)}")
    loss = net.loss if loss is None else loss
    if loss is None:
        raise ConfigurationError(
            "worst_samples: the network was not trained: give loss=..., such as MeanSquaredError()"
        )
    need_matplotlib()
    data = Data.of(net, loss, x, y).take(slice(None))
    samples, target = data.x, data.y
    prediction = net.predict(samples)
    rows = range(len(samples))
    losses = np.array([loss.forward(prediction[i : i + 1], target[i : i + 1])[0] for i in rows])
    worst = np.argsort(-losses, kind="stable")[: whole("count", count)]
    if shape is not None and int(np.prod(shape)) != samples[0].size:
        raise ShapeError(f"shape: expected that of {samples[0].size} numbers, got {shape}")

    from matplotlib import pyplot

    columns, lines = min(len(worst), 4), ceil(len(worst) / 4)
    size = (2.1 * columns, 2.3 * lines)
    axes = pyplot.subplots(lines, columns, figsize=size, layout="constrained", squeeze=False)[1]
    for ax in axes.flat[len(worst) :]:
        ax.remove()
    answers = _answers(net, loss, prediction[worst], target[worst])
    for ax, row, answer in zip(axes.flat, worst, answers, strict=False):
        _draw_sample(ax, samples[row] if shape is None else samples[row].reshape(shape), net.columns)
        ax.set_title(f"row {row}: loss {losses[row]:.3g}\n{answer}", fontsize="small")
    return axes.reshape(-1)[: len(worst)]


def _answers(net: Sequential, loss: Loss[Any], prediction: Array, target: Array) -> list[str]:
    """What was expected, and what was predicted, of each sample."""
    shape = prediction.shape[1:]
    count = classes_of_targets(loss, shape)
    if count is not None and len(shape) == 1:
        names = net.classes or tuple(map(str, range(count)))
        found = predicted_labels(prediction, loss, shape)
        true = (
            target.argmax(axis=1)
            if target.shape == prediction.shape and shape != (1,)
            else target.reshape(-1).astype(int)
        )
        both = zip(true, found, strict=True)
        return [names[one] if one == other else f"{names[one]}, not {names[other]}" for one, other in both]
    pairs = zip(target.reshape(len(target), -1), prediction.reshape(len(target), -1), strict=True)
    return [f"{_short(one)}, not {_short(other)}" for one, other in pairs]


def _short(numbers: Array) -> str:
    shown = ", ".join(f"{number:.3g}" for number in numbers[:3])
    return f"{shown}, …" if len(numbers) > 3 else shown


def _draw_sample(ax: "Axes", sample: Array, columns: Sequence[str] | None) -> None:
    if sample.ndim == 3 and sample.shape[2] == 3:
        low, high = sample.min(), sample.max()
        ax.imshow((sample - low) / ((high - low) or 1))
    elif sample.ndim == 2 or (sample.ndim == 3 and sample.shape[2] == 1):
        ax.imshow(sample if sample.ndim == 2 else sample[..., 0], cmap="Greys")
    else:
        ax.bar(range(sample.size), sample.reshape(-1), color=class_colors(1)[0])
        if columns is not None and len(columns) <= 8:  # there is no room for more
            ax.set_xticks(range(len(columns)), columns, rotation=90, fontsize="x-small")
            ax.set_yticks([])
            return
    ax.set_xticks([])
    ax.set_yticks([])
