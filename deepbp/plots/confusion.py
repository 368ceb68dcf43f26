"""Which classes are taken for which."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from deepbp.errors import ConfigurationError
from deepbp.plots.canvas import axes_for
from deepbp.training import metrics
from deepbp.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def confusion_matrix(
    prediction: ArrayLike,
    target: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    threshold: float = 0.5,
    ax: "Axes | None" = None,
) -> "Axes":
    """How many samples of each class (row) were predicted as each class (column); shaded by the share of the row.

    Args:
        prediction: what ``net.predict(x)`` returns, (N, C) or (N, 1), or labels (N,).
        target: labels (N,), answers 0 or 1 of shape (N, 1), or one-hot rows (N, C).
        names: of the classes, in the order of their labels.
        threshold: for one output, where class 1 begins: 0.5 for probabilities, 0 for logits.
    """
    counts = metrics.confusion_matrix(prediction, target, threshold=threshold)
    count = len(counts)
    if names is not None and len(names) != count:
        raise ConfigurationError(f"names: expected one for each of {count} classes, got {list(names)}")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    ax = axes_for(ax, (1.6 + 0.45 * count, 1.4 + 0.45 * count) if count > 6 else (4.6, 4.2))
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(counts):
        color = "white" if shares[row, column] > 0.5 else "black"
        ax.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=color, fontsize="small")
    labels = [str(k) for k in range(count)] if names is None else list(names)
    rotation = 45 if max(map(len, labels)) * count > 36 else 0
    ax.set_xticks(range(count), labels, rotation=rotation, ha="right" if rotation else "center")
    ax.set_yticks(range(count), labels)
    ax.tick_params(length=0)
    ax.set(xlabel="predicted class", ylabel="true class")
    ax.set_title(f"{np.trace(counts) / counts.sum():.1%} of {counts.sum():,} right")
    return ax
