"""Which class a network sees where, for data of two dimensions."""

from typing import TYPE_CHECKING

import numpy as np

from deepbp.arrays import as_samples, check_same_length
from deepbp.errors import ArgumentTypeError, ShapeError
from deepbp.plots.canvas import axes_for, class_colors
from deepbp.sequential import Sequential
from deepbp.training.metrics.labels import as_labels
from deepbp.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS = 240  # along each axis


def decision_boundary(
    net: Sequential, x: ArrayLike, y: ArrayLike, *, threshold: float = 0.5, ax: "Axes | None" = None
) -> "Axes":
    """The plane in the colours of the classes that the network predicts, the borders, and the samples.

    Args:
        x: samples (N, 2).
        y: labels (N,), answers 0 or 1 of shape (N, 1), or one-hot rows (N, C).
        threshold: for a network with one output, where class 1 begins: 0.5 for probabilities, 0 for logits.

    Raises:
        ShapeError: for a network that does not take samples of shape (2,) and return scores (C,).
    """
    if not isinstance(net, Sequential):
        raise ArgumentTypeError(f"decision_boundary: expected a Sequential, got {net!r}")
    built = net.built
    if built is None or built.input_shape != (2,) or len(built.output_shape) != 1:
        sizes = "one that is not built" if built is None else f"{built.input_shape} to {built.output_shape}"
        raise ShapeError(f"decision_boundary: expected a network from samples (2,) to scores (C,), got {sizes}")
    points = as_samples(x, "x", (2,), np.dtype(np.float64))
    labels = as_labels(y, "y", 0.5)
    check_same_length(x=points, y=labels)

    ax = axes_for(ax, (5.6, 4.6))
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.08 * np.where(high > low, high - low, 1.0)
    across, up = np.linspace(low - margin, high + margin, _POINTS).T
    grid = np.stack(np.meshgrid(across, up), axis=-1)
    scores = net.predict(grid.reshape(-1, 2))
    if scores.shape[1] == 1:
        scores = np.concatenate([threshold - scores, scores - threshold], axis=1)
    scores = scores.reshape(_POINTS, _POINTS, -1)
    predicted, count = scores.argmax(axis=-1), max(scores.shape[-1], int(labels.max()) + 1)

    from matplotlib.colors import to_rgb

    colors = class_colors(count)
    pale = 1 - 0.3 * (1 - np.array([to_rgb(color) for color in colors]))
    extent = (across[0], across[-1], up[0], up[-1])
    ax.imshow(pale[predicted], extent=extent, origin="lower", aspect="auto", interpolation="nearest")
    for k in np.unique(predicted)[1:]:
        lead = scores[..., k] - np.delete(scores, k, axis=-1).max(axis=-1)  # the border is where it is 0
        ax.contour(across, up, lead, levels=[0], colors="0.25", linewidths=0.8)
    size = float(np.clip(6000 / len(points), 14, 60))
    for k in np.unique(labels):
        here = points[labels == k]
        ax.scatter(here[:, 0], here[:, 1], s=size, color=colors[k], edgecolors="white", linewidths=0.5, label=str(k))
    ax.set(xlabel="$x_1$", ylabel="$x_2$")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(title="class", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return ax
