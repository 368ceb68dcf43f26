"""Plots of a training: learning curves, learning-rate range test, signals, confusion matrix."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from deepbp._tables import numbered
from deepbp.errors import ArgumentTypeError, ConfigurationError, DataError, shown
from deepbp.losses import Loss
from deepbp.metrics.thresholds import HALF
from deepbp.plots.canvas import COLORS, axes_for, need_matplotlib, quiet
from deepbp.training import RangeTest, SignalMonitor, metrics
from deepbp.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def learning_curves(
    history: Mapping[str, Sequence[float]] | Mapping[str, Mapping[str, Sequence[float]]],
    name: str = "loss",
    *,
    ax: "Axes | None" = None,
    label: str | None = None,
) -> "Axes":
    """Plot learning curves: a column of the history and its ``val_`` column, if there is one, over the epochs.

    Several histories by name compare runs: each has a color, and its ``val_`` column is dashed. So does a ``label``,
    with which a run is added to axes that show others. Epochs count from 1; the line of ``val_`` values joins the
    epochs that were validated. Use ``ax.set_yscale("log")`` to see the late progress of a loss.

    >>> from deepbp import plots
    >>> ax = plots.learning_curves({"loss": [0.9, 0.5, 0.4], "val_loss": [0.8, 0.6, 0.6]})
    >>> [line.get_label() for line in ax.lines]
    ['training', 'validation']
    >>> ax = plots.learning_curves({"SGD": {"loss": [0.9, 0.8]}, "Adam": {"loss": [0.9, 0.5]}})
    >>> [line.get_label() for line in ax.lines]
    ['SGD', 'Adam']

    Raises:
        ConfigurationError: if a history has no such column.
        DataError: if a history is empty.
    """
    if not isinstance(history, Mapping):
        raise ArgumentTypeError(f"learning_curves: expected a History, as fit returns it, got {shown(history)}")
    runs: Mapping[Any, Any] = {label: history}
    if history and all(isinstance(run, Mapping) for run in history.values()):
        runs = {run if label is None else f"{label} {run}": column for run, column in history.items()}
    for run in runs.values():
        if not run:
            raise DataError("learning_curves: the history is empty: no epoch was completed")
        if name not in run:
            raise ConfigurationError(f"learning_curves: expected one of {list(run)}, got {shown(name)}")
    ax = quiet(axes_for(ax))
    from matplotlib.ticker import MaxNLocator

    for run_name, run in runs.items():
        _curves_of_run(ax, run, name, run_name)
    ax.set(xlabel="epoch", ylabel=name.replace("_", " "))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(ax.lines) > 1 or None not in runs:
        ax.legend(frameon=False)
    return ax


def _curves_of_run(ax: "Axes", run: Mapping[str, Sequence[float]], name: str, label: str | None) -> None:
    """One run: in two colors, or if it has a name, in the next color of those that compare runs."""
    color = COLORS[len({line.get_color() for line in ax.lines}) % len(COLORS)]
    styles = [(name, "training", COLORS[0], "-"), (f"val_{name}", "validation", COLORS[1], "-")]
    if label is not None:
        styles = [(name, label, color, "-"), (f"val_{name}", f"{label}, validation", color, "--")]
    for column, text, shade, style in styles:
        if column in run:
            points = list(enumerate(run[column], 1))
            if column.startswith("val_"):  # NaN in epochs that were not validated would cut the line
                points = [(epoch, value) for epoch, value in points if value == value] or points
            marker = "o" if len(points) == 1 else None  # a line through one point would not be seen
            ax.plot(*zip(*points, strict=True), color=shade, linestyle=style, label=text, marker=marker)


def learning_rates(result: RangeTest, *, ax: "Axes | None" = None) -> "Axes":
    """Plot the result of ``learning_rate_range_test``: losses, smoothed losses, and the suggested learning rate.

    >>> from deepbp import Sequential, plots
    >>> from deepbp.layers import Dense
    >>> from deepbp.losses import MeanSquaredError
    >>> from deepbp.optimizers import SGD
    >>> from deepbp.training import learning_rate_range_test
    >>> net, x = Sequential([Dense(1)], input_shape=1, rng=0), [[0.0], [1.0], [2.0]]
    >>> plots.learning_rates(learning_rate_range_test(net, x, x, MeanSquaredError(), SGD(0.1), steps=10)).get_xscale()
    'log'
    """
    if not isinstance(result, RangeTest):
        raise ArgumentTypeError(
            f"learning_rates: expected a RangeTest, as learning_rate_range_test returns it, got {shown(result)}"
        )
    ax = quiet(axes_for(ax))
    ax.plot(result.rates, result.losses, ".", color=COLORS[0], alpha=0.3, label="batches")
    ax.plot(result.rates, result.smoothed, color=COLORS[0], label="smoothed")
    if result.suggestion is not None:
        label = f"falls most steeply at {result.suggestion:.2g}"
        ax.axvline(result.suggestion, color=COLORS[1], linestyle="--", label=label)
    ax.set_xscale("log")
    ax.set(xlabel="learning rate", ylabel="loss")
    ax.legend(frameon=False)
    return ax


Quantity = Literal["activations", "error signals", "gradients"]
_LEGEND_ENTRIES = 8


def signal(monitor: SignalMonitor, quantity: Quantity, *, ax: "Axes | None" = None) -> "Axes":
    """Plot one quantity of a ``SignalMonitor`` over the steps: one curve for each layer, from dark (first) to light.

    Values of 0 and infinity are omitted, because the scale is logarithmic.

    >>> from deepbp import Sequential, plots
    >>> from deepbp.layers import Dense
    >>> from deepbp.losses import MeanSquaredError
    >>> from deepbp.optimizers import SGD
    >>> from deepbp.training import SignalMonitor
    >>> net, x = Sequential([Dense(2), Dense(1)], input_shape=1, rng=0), [[0.0], [1.0], [2.0]]
    >>> monitor = SignalMonitor(x, x)
    >>> history = net.fit(x, x, loss=MeanSquaredError(), optimizer=SGD(0.1), callbacks=[monitor])
    >>> len(plots.signal(monitor, "gradients").lines)
    2

    Raises:
        ConfigurationError: if the monitor has no records, or the quantity is unknown.
    """
    if not isinstance(monitor, SignalMonitor):
        raise ArgumentTypeError(f"signals: expected a SignalMonitor, got {shown(monitor)}")
    if not monitor.records:
        raise ConfigurationError("signals: the monitor has seen nothing yet: give callbacks=[monitor] to fit")
    if quantity not in get_args(Quantity):
        raise ConfigurationError(f"signals: expected one of {', '.join(get_args(Quantity))}, got {shown(quantity)}")
    ax = quiet(axes_for(ax))
    from matplotlib import colormaps

    steps = [record.step for record in monitor.records]
    sizes = np.array([getattr(record, quantity.replace(" ", "_")) for record in monitor.records])
    sizes[(sizes == 0) | np.isinf(sizes)] = np.nan  # a logarithmic scale has neither
    drawn = np.flatnonzero(~np.isnan(sizes).all(axis=0))
    # A deep network has too many layers for a legend: label the first, the last, and some evenly spaced between.
    named = {int(drawn[round(i)]) for i in np.linspace(0, len(drawn) - 1, min(len(drawn), _LEGEND_ENTRIES))}
    for layer in drawn:
        color = colormaps["viridis"](0.92 * layer / max(len(monitor.layers) - 1, 1))
        label = monitor.layers[layer] if layer in named else None
        ax.plot(steps, sizes[:, layer], color=color, label=label, marker="o" if len(steps) == 1 else None)
    ax.set_yscale("log")
    ax.set(xlabel="step", ylabel="root mean square", title=quantity)
    if len(drawn):
        ax.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5), reverse=True)
    return ax


def signals(monitor: SignalMonitor, *, ax: "Sequence[Axes] | None" = None) -> Any:
    """Plot activations, error signals and gradients of a ``SignalMonitor`` in three Axes, and return their array.

    >>> from deepbp import Sequential, plots
    >>> from deepbp.layers import Dense
    >>> from deepbp.losses import MeanSquaredError
    >>> from deepbp.optimizers import SGD
    >>> from deepbp.training import SignalMonitor
    >>> net, x = Sequential([Dense(2), Dense(1)], input_shape=1, rng=0), [[0.0], [1.0], [2.0]]
    >>> monitor = SignalMonitor(x, x)
    >>> history = net.fit(x, x, loss=MeanSquaredError(), optimizer=SGD(0.1), callbacks=[monitor])
    >>> [ax.get_title() for ax in plots.signals(monitor)]
    ['activations', 'error signals', 'gradients']
    """
    if ax is None:
        need_matplotlib()
        from matplotlib import pyplot

        ax = pyplot.subplots(1, 3, figsize=(14, 4), layout="constrained")[1]
    panels = np.asarray(ax, dtype=object).reshape(-1)
    if len(panels) != 3:
        raise ArgumentTypeError(f"ax: expected three Axes, as of pyplot.subplots(1, 3), got {shown(ax)}")
    for quantity, panel in zip(get_args(Quantity), panels, strict=True):
        signal(monitor, quantity, ax=panel)
    return panels


def confusion_matrix(
    prediction: ArrayLike,
    target: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    threshold: float = HALF,
    ax: "Axes | None" = None,
    loss: Loss[Any] | None = None,
    sample_weight: ArrayLike | None = None,
) -> "Axes":
    """Plot the confusion matrix: the number of samples of each class (row) predicted as each class (column).

    The shade of a cell is its fraction of the row.

    >>> from deepbp import plots
    >>> plots.confusion_matrix([0, 1, 1, 0], [0, 1, 0, 0]).get_title()
    '75.0% of 4 right'

    Args:
        prediction: the result of ``net.predict(x)``, (N, C) or (N, 1), or labels or names of classes (N,).
        target: labels or names of classes (N,), binary targets (N, 1), or one-hot rows (N, C).
        names: names of the classes, in the order of their labels.
        threshold: for one output, the probability above which class 1 is predicted.
        loss: the loss of the training: with logits or scores, ½ is a prediction of 0. Without it, predictions are
            compared as they are.
        sample_weight: (N,); the cells then hold sums of weights.
    """
    names, (prediction, target) = numbered(names, {"prediction": prediction, "target": target})
    counts = metrics.confusion_matrix(prediction, target, threshold=threshold, loss=loss, sample_weight=sample_weight)
    count = len(counts)
    if names is not None and len(names) != count:
        raise ConfigurationError(f"names: expected one for each of {count} classes, got {list(names)}")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    ax = axes_for(ax, (1.6 + 0.45 * count, 1.4 + 0.45 * count) if count > 6 else (4.6, 4.2))
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(counts):
        color = "white" if shares[row, column] > 0.5 else "black"
        ax.text(column, row, f"{counts[row, column]:.6g}", ha="center", va="center", color=color, fontsize="small")
    labels = [str(k) for k in range(count)] if names is None else list(names)
    rotation = 45 if max(map(len, labels)) * count > 36 else 0
    ax.set_xticks(range(count), labels, rotation=rotation, ha="right" if rotation else "center")
    ax.set_yticks(range(count), labels)
    ax.tick_params(length=0)
    ax.set(xlabel="predicted class", ylabel="true class")
    total = f"{counts.sum():,}" if counts.dtype.kind == "i" else f"a weight of {counts.sum():,.6g}"
    ax.set_title(f"{np.trace(counts) / counts.sum():.1%} of {total} right")
    return ax
