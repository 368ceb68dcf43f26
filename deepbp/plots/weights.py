"""The weights of each unit as an image of what it looks for."""

from math import ceil, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from deepbp.arrays import as_numbers, as_shape
from deepbp.errors import ArgumentTypeError, NotBuiltError, ShapeError
from deepbp.layers import Layer
from deepbp.parameter import Parameter
from deepbp.plots.canvas import axes_for
from deepbp.typing import Array, ArrayLike, ShapeLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
