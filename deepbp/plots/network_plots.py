"""Plots of a network: its diagram, its weights, its decision boundary."""

from math import ceil, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import define, field

from deepbp._validation import as_numbers, as_samples, as_shape, check_same_length
from deepbp.errors import ArgumentTypeError, NotBuiltError, ShapeError
from deepbp.layers import Chain, Layer
from deepbp.metrics.metric import as_labels
from deepbp.parameters import Parameter
from deepbp.plots.canvas import axes_for, class_colors
from deepbp.sequential import Sequential
from deepbp.typing import Array, ArrayLike, Shape, ShapeLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_WIDTH, _ARROW, _HEAD, _MARGIN = 5.0, 0.34, 0.34, 0.16  # inches: of all, between boxes, above and beside what is framed
_TRAINED, _PLAIN = "#d6e8f3", "#f2f2f2"


def network_diagram(net: Layer[Any], *, ax: "Axes | None" = None) -> "Axes":
    """Each layer a box with its parameters, blue where it has any; on the arrows, the shapes of samples.

    Networks inside the network are framed. A layer that is used again has a dashed border and says where it was used
    first: its parameters are the same. In axes of yours the text shrinks with the boxes: give long networks tall ones.

    Raises:
        NotBuiltError: when the sizes are not known yet.
    """
    if not isinstance(net, Layer):
        raise ArgumentTypeError(f"network_diagram: expected a network or a layer, got {net!r}")
    if net.built is None:
        raise NotBuiltError("network_diagram: the sizes are not known yet: give input_shape=..., or call build or fit")
    height = _height(net) - (_HEAD + _MARGIN if isinstance(net, Chain) else 0) + 2 * _ARROW
    given, ax = ax, axes_for(ax, (_WIDTH + 0.2, height + 0.2))
    ax.set(xlim=(-_WIDTH / 2, _WIDTH / 2), ylim=(-height, 0), aspect="equal")
    ax.set_axis_off()
    scale = 1.0
    if given is not None:  # text shrinks with the boxes
        window = ax.get_window_extent()
        scale = min(1.0, window.width / _WIDTH / ax.figure.dpi, window.height / height / ax.figure.dpi)
    drawing = _Drawing(ax, scale)
    drawing.arrow(0, net.built.input_shape)
    bottom = drawing.chain(net, "", -_ARROW, 0) if isinstance(net, Chain) else drawing.box(net, "", -_ARROW, 0)
    drawing.arrow(bottom, net.built.output_shape)
    return ax


def _height(layer: Layer[Any]) -> float:
    if isinstance(layer, Chain):
        inside = sum(map(_height, layer.layers)) + _ARROW * (len(layer.layers) - 1)
        return _HEAD + inside + _MARGIN
    return 0.5 if layer.parameters() else 0.32


@define(eq=False)
class _Drawing:
    """Draws one item after another; each method gets the top of what it draws and returns its bottom."""

    ax: "Axes"
    scale: float
    first_places: dict[int, str] = field(factory=dict)

    def chain(self, chain: Chain, prefix: str, top: float, depth: int) -> float:
        for position, layer in enumerate(chain.layers):
            if position:
                top = self.arrow(top, chain.shapes[position])
            draw = self.frame if isinstance(layer, Chain) else self.box
            top = draw(layer, f"{prefix}{position}", top, depth)
        return top

    def frame(self, chain: Any, place: str, top: float, depth: int) -> float:
        again = self._again(chain, place)
        self._line(top, top - _HEAD)
        inside = self.chain(chain, f"{place}.", top - _HEAD, depth + 1)
        self._line(inside, inside - _MARGIN)
        left, width = self._across(depth)
        self._rectangle(left, inside - _MARGIN, width, top - inside + _MARGIN, "none", again)
        self._text(left + 0.1, top - _HEAD / 2, f"{place} {type(chain).__name__}", 8, "0.3", "left")
        if again:
            self._text(left + width - 0.1, top - _HEAD / 2, again, 8, "0.3", "right")
        return inside - _MARGIN

    def box(self, layer: Layer[Any], place: str, top: float, depth: int) -> float:
        again, parameters, height = self._again(layer, place), layer.named_parameters(), _height(layer)
        left, width = self._across(depth)
        self._rectangle(left, top - height, width, height, _TRAINED if parameters else _PLAIN, again)
        note = again
        if parameters and not again:
            listed = ", ".join(f"{name} {parameter.value.shape}" for name, parameter in parameters.items())
            count = f"{sum(parameter.value.size for parameter in parameters.values()):,} parameters"
            note = f"{listed}: {count}" if len(listed) < 50 else f"{len(parameters)} arrays: {count}"
        name = f"{place} {type(layer).__name__}".lstrip()
        if parameters:
            self._text(0, top - 0.17, name, 10, "black")
            self._text(0, top - 0.36, note, 8, "0.3")
        else:
            self._text(0, top - height / 2, f"{name}, {note}" if note else name, 10, "black")
        return top - height

    def arrow(self, top: float, shape: Shape) -> float:
        self.ax.annotate(
            "",
            (0, top - _ARROW),
            (0, top),
            arrowprops={
                "arrowstyle": "-|>",
                "color": "0.3",
                "shrinkA": 0,
                "shrinkB": 0,
                "mutation_scale": 9 * self.scale,
            },
        )
        self._text(0.1, top - _ARROW / 2, str(shape), 8, "0.3", "left")
        return top - _ARROW

    def _again(self, layer: Layer[Any], place: str) -> str:
        first = self.first_places.setdefault(id(layer), place)
        return "" if first == place else f"the layer of {first}, used again"

    def _across(self, depth: int) -> tuple[float, float]:
        width = _WIDTH - 0.1 - 2 * _MARGIN * depth
        return -width / 2, width

    def _line(self, top: float, bottom: float) -> None:
        self.ax.plot((0, 0), (top, bottom), color="0.3", linewidth=1)

    def _rectangle(self, left: float, bottom: float, width: float, height: float, fill: str, again: str) -> None:
        from matplotlib.patches import FancyBboxPatch

        style = "round,pad=0,rounding_size=0.06"
        self.ax.add_patch(
            FancyBboxPatch(
                (left, bottom),
                width,
                height,
                boxstyle=style,
                facecolor=fill,
                edgecolor="0.4",
                linewidth=0.8,
                linestyle="--" if again else "-",
            )
        )

    def _text(self, x: float, y: float, text: str, points: int, color: str, align: str = "center") -> None:
        self.ax.text(x, y, text, fontsize=points * self.scale, color=color, ha=align, va="center")


def weight_images(layer: Layer[Any] | ArrayLike, shape: ShapeLike, *, ax: "Axes | None" = None) -> "Axes":
    """One image for each unit, row by row; red raises the unit, blue lowers it, on one scale for all.

    Args:
        layer: one with a ``weight``, such as Dense, or an array (I, O).
        shape: (height, width) of an input image; I = height · width.

    Raises:
        ShapeError: when the weights of a unit do not make an image of this shape.
    """
    weight = _weight(layer)
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
    ax.set_title(f"weights of {units} units" if units > 1 else "weights of one unit")
    ax.figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03, label="weight")
    return ax


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
