"""Plots of a trained network: weights as images, and the decision boundary."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from math import ceil, sqrt
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepbp._tables import in_order, labels_of, numbered
from deepbp._validation import as_numbers, as_samples, as_shape, check_same_length
from deepbp.errors import ArgumentTypeError, ConfigurationError, NotBuiltError, ShapeError, shown
from deepbp.layers import Layer
from deepbp.losses import Loss
from deepbp.metrics.thresholds import HALF, Default, as_true_labels, comparable, warn_of_logits
from deepbp.parameters import Parameter
from deepbp.plots.canvas import axes_for, class_colors
from deepbp.sequential import Sequential
from deepbp.training import Callback, Trainer
from deepbp.typing import Array, ArrayLike, ShapeLike

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes


def weight_images(
    layer: Layer[Any] | ArrayLike, shape: ShapeLike | None = None, *, ax: "Axes | None" = None, label: str = "weight"
) -> "Axes":
    """Plot the incoming weights of each unit as an image, on one color scale: red raises the unit, blue lowers it.

    Of a convolution, each kernel (KH, KW) of each channel is an image; so is each channel of a feature map (H, W, C),
    the output of a convolution for one sample.

    Args:
        layer: one with a ``weight``, such as Dense, or an array (I, O), (KH, KW, C, O) or (H, W, C).
        shape: (height, width) of an input image, for weights (I, O); I = height · width.
        label: what the numbers are, such as ``"activation"`` in a feature map.

    Raises:
        ShapeError: if the weights of a unit do not fill an image of this shape.

    >>> import numpy as np
    >>> from deepbp.plots import weight_images
    >>> weight_images(np.ones((12, 5)), (3, 4)).get_title()
    'weights of 5 units'
    """
    weight = _weight(layer)
    if shape is None:
        if weight.ndim not in (3, 4):
            raise ShapeError(f"weight_images: expected kernels (KH, KW, C, O), got {weight.shape}: give a shape")
        shape = weight.shape[:2]
        weight = weight.reshape(shape[0] * shape[1], -1)
    size = as_shape(shape, "shape")
    if len(size) != 2 or weight.ndim != 2 or weight.shape[0] != size[0] * size[1]:
        raise ShapeError(
            f"weight_images: expected weights (height · width, units) for images of shape {size}, got {weight.shape}"
        )
    (height, width), units = size, weight.shape[1]
    columns = ceil(sqrt(units * height / width))  # about as wide as high
    rows = ceil(units / columns)
    tiles = np.full((rows * columns, height + 1, width + 1), np.nan)  # a line between the images
    tiles[:units, :-1, :-1] = weight.T.reshape(units, height, width)
    picture = tiles.reshape(rows, columns, height + 1, width + 1).swapaxes(1, 2)
    picture = picture.reshape(rows * (height + 1), columns * (width + 1))[:-1, :-1]

    ax = axes_for(ax, (6.4, 1.0 + 5.2 * picture.shape[0] / picture.shape[1]))
    largest = float(np.abs(weight).max()) or 1.0
    image = ax.imshow(picture, cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest")
    ax.set_axis_off()
    ax.set_title(f"{label}s of {units} units" if units > 1 else f"{label}s of one unit")
    ax.figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03, label=label)
    return ax


def attention_map(weights: ArrayLike, steps: Sequence[str] | None = None, *, ax: "Axes | None" = None) -> "Axes":
    """Plot an attention map: how much each step, a row, looks at each other one, a column; darker is more.

    Args:
        weights: A (T, S) of one sample and head, such as ``layer.attention_weights(x)[0, 0]``.
        steps: names of the steps, such as characters, for both axes of a square map.

    Raises:
        ShapeError: for weights that are no matrix, and for another number of names.

    >>> import numpy as np
    >>> from deepbp.plots import attention_map
    >>> attention_map(np.eye(3), ["a", "b", "c"]).get_xlabel()
    'looks at'
    """
    found = as_numbers(weights, "weights")
    if found.ndim != 2:
        raise ShapeError(f"weights: expected a map (T, S) of one sample and head, got {found.shape}: use weights[0, 0]")
    if steps is not None and found.shape != (len(steps), len(steps)):
        raise ShapeError(f"steps: expected a name for each row and column of {found.shape}, got {len(steps)}")
    axes = axes_for(ax)
    axes.imshow(found, cmap="Greys", vmin=0, vmax=1)
    axes.set(xlabel="looks at", ylabel="step")
    if steps is not None:
        axes.set_xticks(range(len(steps)), labels=list(steps))
        axes.set_yticks(range(len(steps)), labels=list(steps))
    return axes


def _weight(layer: Layer[Any] | ArrayLike) -> Array:
    if isinstance(layer, Layer):
        if layer.built is None:
            raise NotBuiltError(f"weight_images: {layer} is not built yet and has no weights")
        layer = getattr(layer, "weight", layer)
        if not isinstance(layer, Parameter):
            raise ArgumentTypeError(f"weight_images: expected a layer with a weight, such as Dense, got {layer}")
    return as_numbers(layer.value if isinstance(layer, Parameter) else layer, "weights")


_POINTS = 240  # along each axis


def decision_boundary(
    net: Sequential,
    x: ArrayLike,
    y: ArrayLike,
    *,
    threshold: float = HALF,
    ax: "Axes | None" = None,
    loss: Loss[Any] | None = None,
) -> "Axes":
    """Plot the predicted classes of a network with two inputs: class regions, decision boundaries, and samples.

    Args:
        x: samples (N, 2).
        y: labels or names of classes (N,), answers 0 or 1 of shape (N, 1), or one-hot rows (N, C).
        threshold: for a network with one output, the probability above which class 1 is predicted.
        loss: with logits or scores, ½ is an output of 0. By default the loss of the training, if a network was
            trained. Without one, outputs are compared as they are, with a warning if some lie outside [0, 1] and no
            threshold was given.

    Raises:
        ShapeError: if the network does not map samples of shape (2,) to scores of shape (C,).

    >>> import numpy as np
    >>> from deepbp import Sequential
    >>> from deepbp.layers import Dense, Sigmoid
    >>> from deepbp.plots import decision_boundary
    >>> net = Sequential([Dense(1), Sigmoid()], input_shape=2, rng=0)
    >>> ax = decision_boundary(net, np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([0, 1]))
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['0', '1']
    """
    if not isinstance(net, Sequential):
        raise ArgumentTypeError(f"decision_boundary: expected a Sequential, got {shown(net)}")
    built = net.built
    if built is None or built.input_shape != (2,) or len(built.output_shape) != 1:
        sizes = "one that is not built" if built is None else f"{built.input_shape} to {built.output_shape}"
        raise ShapeError(f"decision_boundary: expected a network from samples (2,) to scores (C,), got {sizes}")
    loss = net.loss if loss is None and isinstance(threshold, Default) else loss
    points = as_samples(in_order(x, net.columns, "x"), "x", (2,), np.dtype(np.float64))
    names, (target,) = numbered(net.classes, {"y": y})
    labels = as_true_labels(target, "y")
    check_same_length(x=points, y=labels)

    ax = axes_for(ax, (5.6, 4.6))
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.08 * np.where(high > low, high - low, 1.0)
    across, up = np.linspace(low - margin, high + margin, _POINTS).T
    grid = np.stack(np.meshgrid(across, up), axis=-1)
    scores = net.predict(grid.reshape(-1, 2))
    if scores.shape[1] == 1:
        warn_of_logits(scores, threshold, loss, "decision_boundary")
        scores, threshold = comparable(scores, threshold, loss, "decision_boundary")
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
        here, label = points[labels == k], str(k) if names is None or k >= len(names) else names[k]
        ax.scatter(here[:, 0], here[:, 1], s=size, color=colors[k], edgecolors="white", linewidths=0.5, label=label)
    axes = net.columns or labels_of(x) or ("$x_1$", "$x_2$")
    ax.set(xlabel=axes[0], ylabel=axes[1])
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(title="class", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return ax


class BoundaryAnimation(Callback):
    """Callback that draws the decision boundary after epochs, as the frames of an animation.

    A notebook shows ``animation()`` with controls; ``save`` writes a file such as ``boundary.gif``.

    >>> import numpy as np
    >>> from deepbp import Sequential, plots
    >>> from deepbp.layers import Dense
    >>> from deepbp.losses import SigmoidBinaryCrossEntropy
    >>> from deepbp.optimizers import SGD
    >>> x, y = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([0, 1])
    >>> frames = plots.BoundaryAnimation(x, y, every=2)
    >>> net = Sequential([Dense(1)], input_shape=2, rng=0)
    >>> options = {"loss": SigmoidBinaryCrossEntropy(), "optimizer": SGD(1.0), "epochs": 5, "callbacks": [frames]}
    >>> history = net.fit(x, y, **options)
    >>> [epoch for epoch, _ in frames.frames]
    [0, 2, 4, 5]

    Args:
        x, y: the samples (N, 2) that are drawn, and their labels; see ``decision_boundary``.
        every: number of epochs between frames. The states before and after the training are always frames.

    Attributes:
        frames: pairs of an epoch and a copy of the network.
    """

    def __init__(self, x: ArrayLike, y: ArrayLike, every: int = 1) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ConfigurationError(
                f"BoundaryAnimation: every: expected a whole number of at least 1, got {shown(every)}"
            )
        self.x, self.y, self.every = x, y, every
        self.frames: list[tuple[int, Sequential]] = []

    def on_fit_start(self, trainer: Trainer) -> None:
        if not isinstance(trainer.model, Sequential):
            raise ArgumentTypeError(f"BoundaryAnimation: expected a Sequential, got {shown(trainer.model)}")
        self._take(trainer.model, trainer.epoch)

    def on_epoch_end(self, trainer: Trainer, row: Mapping[str, float]) -> None:
        if (trainer.epoch + 1) % self.every == 0:
            self._take(trainer.model, trainer.epoch + 1)

    def on_fit_end(self, trainer: Trainer) -> None:
        self._take(trainer.model, trainer.epoch)

    def _take(self, model: Any, epoch: int) -> None:
        if not self.frames or self.frames[-1][0] != epoch:
            self.frames.append((epoch, deepcopy(model)))

    def animation(self, interval: int = 150) -> "FuncAnimation":
        """The frames as an animation of matplotlib, with ``interval`` milliseconds for each.

        Raises ConfigurationError before the first frame.
        """
        if not self.frames:
            raise ConfigurationError("BoundaryAnimation: has seen nothing yet: give callbacks=[frames] to fit")
        ax = axes_for(None, (5.6, 4.6))
        from matplotlib import pyplot
        from matplotlib.animation import FuncAnimation

        def draw(frame: int) -> list[Any]:
            epoch, net = self.frames[frame]
            ax.clear()
            decision_boundary(net, self.x, self.y, ax=ax).set_title(f"epoch {epoch}")
            return []

        figure: Any = ax.figure
        made = FuncAnimation(figure, draw, frames=len(self.frames), interval=interval)

        def page() -> str:
            html: str = made.to_jshtml()
            pyplot.close(figure)  # which a notebook would otherwise show once more
            return html

        setattr(made, "_repr_html_", page)  # noqa: B010  (matplotlib's own is empty, unless its settings say otherwise)
        return made

    def save(self, path: str | PathLike[str], interval: int = 150) -> Path:
        """Write the animation to a file, such as ``.gif`` or ``.html``, and return its path."""
        path = Path(path)
        animation: Any = self.animation(interval)
        if path.suffix == ".html":
            path.write_text(animation.to_jshtml(), encoding="utf-8")
        else:
            animation.save(path, writer="pillow" if path.suffix == ".gif" else None)
        _close(animation)
        return path

    def _repr_html_(self) -> str:
        """The animation with its controls, for a notebook."""
        animation: Any = self.animation()
        page: str = animation._repr_html_()
        return page


def _close(animation: "FuncAnimation") -> None:
    """Close the figure, which a notebook would otherwise show once more."""
    from matplotlib import pyplot

    pyplot.close(animation._fig)  # type: ignore[attr-defined]
