"""Windows on images: arguments of convolutions and poolings, padding, and the way back through a convolution."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from math import gcd
from typing import Any, TypeAlias

import numpy as np
from attrs import Attribute, frozen

from deepbp import kernels
from deepbp.errors import ArgumentTypeError, ConfigurationError, ShapeError, shown
from deepbp.errors.validators import as_python_number, as_tuple, whole
from deepbp.kernels.numpy_convolution import Pads, Pair, places_along
from deepbp.layers.layer import Layer
from deepbp.program.layout import NotLoweredError
from deepbp.program.program import Slot
from deepbp.typing import AnySize, Array, Shape

Sizes: TypeAlias = int | Sequence[int]
"""One number for both axes of an image, or one for the rows and one for the columns."""

Padding: TypeAlias = str | int | Sequence[int | Sequence[int]]
"""A word, a number of zeros on each side, or for each axis such a number or the pair (before, behind)."""

Validator: TypeAlias = Callable[[Any, "Attribute[Any]", Any], None]
MANY = 20_000  # numbers of images that are padded faster in five steps than in two
_AXES = {1: "(T, C)", 2: "(H, W, C)"}


def check_sizes(instance: Any, attribute: "Attribute[Any]", value: Any) -> None:
    """A validator: a whole number of at least 1, or for images one for each axis; None where that is the default."""
    name = f"{type(instance).__name__}: {attribute.name}"
    if value is None and attribute.default is None:
        return
    if not isinstance(value, tuple) or instance.axes == 1:
        whole(name, value)
        return
    if len(value) != 2:
        raise ConfigurationError(f"{name}: expected one number, or a pair (rows, columns), got {shown(value)}")
    for one in value:
        whole(name, one)


def check_padding(*words: str) -> Validator:
    """A validator: "valid", "same" or one of these words, or numbers of zeros."""
    known = ("valid", "same", *words)

    def validate(instance: Any, attribute: "Attribute[Any]", value: Any) -> None:
        sides = value if instance.axes == 2 and isinstance(value, tuple) else (value,)
        numbers = [one for side in sides for one in (side if isinstance(side, tuple) else (side,))]
        fits = len(sides) in (1, instance.axes) and all(len(side) == 2 for side in sides if isinstance(side, tuple))
        if (isinstance(value, str) and value in known) or (fits and all(map(_is_count, numbers))):
            return
        several = (
            "a pair (before, behind)" if instance.axes == 1 else "for each axis a number or a pair (before, behind)"
        )
        error = ConfigurationError if isinstance(value, str | int | tuple) else ArgumentTypeError
        raise error(
            f"{type(instance).__name__}: {attribute.name}: expected {', '.join(map(repr, known))}, a whole number of "
            f"at least 0, or {several}, got {shown(value)}"
        )

    return validate


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def nested_tuple(value: Any) -> Any:
    """A converter: lists become tuples, also inside, of Python's numbers."""
    made = as_tuple(value)
    return tuple(map(nested_tuple, made)) if isinstance(made, tuple) else as_python_number(made)


@frozen
class Windows:
    """The windows of a layer along the rows and columns of its images; a sequence is an image with one row.

    >>> Windows.of(1, 3, 1, 2, "causal").pads((1, 9))
    ((0, 0), (4, 0))
    """

    size: Pair
    stride: Pair
    dilation: Pair
    padding: tuple[Any, Any]  # for each axis a word, or (before, behind)

    @classmethod
    @lru_cache(maxsize=256)
    def of(cls, axes: int, size: Any, stride: Any, dilation: Any, padding: Any) -> "Windows":
        """From the arguments of a layer, for images with 2 axes or sequences with 1."""
        sides = padding if isinstance(padding, tuple) and axes == 2 else (padding, padding)
        rows, columns = (side if isinstance(side, str | tuple) else (side, side) for side in sides)
        pairs = ((value if isinstance(value, tuple) else (value, value)) for value in (size, stride, dilation))
        size, stride, dilation = ((one if axes == 2 else 1, other) for one, other in pairs)
        return cls(size, stride, dilation, (rows if axes == 2 else (0, 0), columns))

    def pads(self, shape: Sequence[int]) -> Pads:
        """The zeros around images of this shape (H, W)."""
        return _pads(self.padding, tuple(shape), self.size, self.stride, self.dilation)

    def places(self, shape: Sequence[int]) -> tuple[int, int]:
        """The numbers of windows along both axes of images of this shape."""
        padded = [n + sum(pad) for n, pad in zip(shape, self.pads(shape), strict=True)]
        rows, columns = map(places_along, padded, self.size, self.stride, self.dilation)
        return rows, columns

    def fitting_pads(self, shape: Sequence[int]) -> Pads:
        """``pads``, which raises ShapeError where no window fits into images of this shape."""
        pads = self.pads(shape)
        for n, pad, size, dilation in zip(shape, pads, self.size, self.dilation, strict=True):
            if n + sum(pad) <= (size - 1) * dilation:
                raise ShapeError(f"no window of size {self.size} fits into images of shape {tuple(shape)}")
        return pads

    def check_places(self, shape: Sequence[int], signals: Array) -> None:
        """Raise ShapeError unless there is an error signal for each place of images of this shape, zeros included."""
        rows, columns = map(places_along, shape, self.size, self.stride, self.dilation)
        check_signals((rows, columns), signals)

    def moved_shape(self, shape: Sequence[int]) -> tuple[int, int]:
        """The shape (H, W) of the images on which these windows have as many places as ``shape`` says."""
        along = zip(self.padding, shape, self.size, self.stride, self.dilation, strict=True)
        rows, columns = (
            n * s if pads == "same" else (n - 1) * s + (k - 1) * d + 1 - (0 if pads == "valid" else sum(pads))
            for pads, n, k, s, d in along
        )
        return rows, columns


@lru_cache(maxsize=256)
def _pads(padding: tuple[Any, Any], shape: Shape, size: Pair, stride: Pair, dilation: Pair) -> Pads:
    rows, columns = map(_pads_along, padding, shape, size, stride, dilation)
    return rows, columns


def _pads_along(padding: Any, size: int, kernel: int, stride: int, dilation: int) -> Pair:
    """(before, behind) along one axis. "same" gives ⌈size / stride⌉ places; an odd zero goes behind, as in Keras."""
    reach = (kernel - 1) * dilation
    if padding == "same":
        total = max(0, (-(-size // stride) - 1) * stride + reach + 1 - size)
        return total // 2, total - total // 2
    if padding == "causal":
        return reach, 0
    return (0, 0) if padding == "valid" else padding


def image_shape(input_shape: Shape, axes: int) -> Shape:
    """The shape (H, W, C) of samples as images. Raises ShapeError for samples with other axes, or unknown channels."""
    if len(input_shape) != axes + 1:
        kind = "images" if axes == 2 else "sequences"
        fix = f": put Reshape({(*input_shape, 1)}) before it, for one channel" if len(input_shape) == axes else ""
        raise ShapeError(f"expects {kind} {_AXES[axes]}, got {input_shape}{fix}")
    if type(input_shape[-1]) is AnySize:
        raise ShapeError(f"needs to know the number of channels, got {input_shape}: give it in input_shape=...")
    return (1, *input_shape)[-3:]


def check_signals(shape: Sequence[int], signals: Array) -> None:
    """Raise ShapeError unless error signals (B, H, W, C) have this number of rows and columns."""
    if signals.shape[1:3] != tuple(shape):
        raise ShapeError(f"backward: expected error signals for {tuple(shape)} places, got {signals.shape[1:3]}")


UNKNOWN = 2**40  # stands for a size that may differ from batch to batch; every window fits


def sizes_along(shape: Sequence[int], compute: Callable[[Sequence[int]], Sequence[int]]) -> Shape:
    """The sizes that a layer computes from those of its images; a size that may differ gives another such one."""
    computed = compute([UNKNOWN if type(size) is AnySize else size for size in shape])
    pairs = zip(shape, computed, strict=True)
    return tuple(AnySize() if type(size) is AnySize else made for size, made in pairs)


def refuse_small(windows: Windows, places: Sequence[int], input_shape: Shape) -> None:
    """Raise ShapeError where no window fits into the images."""
    if any(type(count) is not AnySize and count < 1 for count in places):
        first = len(input_shape) == 3 and input_shape[0] < input_shape[2]
        fix = ": channels lie along the last axis, use x.transpose((0, 2, 3, 1))" if first else ""
        size = windows.size if len(input_shape) == 3 else windows.size[1:]
        raise ShapeError(f"no window of size {size} fits into samples of shape {input_shape}, got {input_shape}{fix}")


def padded(x: Array, pads: Pads) -> Array:
    """Images with zeros around them; a negative number cuts instead."""
    if not any(map(any, pads)):
        return x
    shape, (to_rows, rows), (to_columns, columns) = _laid_out(x.shape[1:3], pads)
    if x.size < MANY:
        y = np.zeros((len(x), *shape, x.shape[3]), x.dtype)
    else:  # of large images, only the border is set to 0
        y = np.empty((len(x), *shape, x.shape[3]), x.dtype)
        y[:, : to_rows.start] = y[:, to_rows.stop :] = 0
        y[:, to_rows, : to_columns.start] = y[:, to_rows, to_columns.stop :] = 0
    y[:, to_rows, to_columns] = x[:, rows, columns]
    return y


@lru_cache(maxsize=256)
def _laid_out(size: Shape, pads: Pads) -> tuple[Shape, tuple[slice, slice], tuple[slice, slice]]:
    """The size of images with zeros around them, and along both axes where the images lie in it."""
    whole = tuple(n + sum(pad) for n, pad in zip(size, pads, strict=True))
    rows, columns = map(_overlap, size, whole, (pad[0] for pad in pads))
    return whole, rows, columns


def _overlap(size: int, whole: int, before: int) -> tuple[slice, slice]:
    """Where an axis of this size lies in a whole that begins ``before`` earlier, and which part of it."""
    start, stop = max(0, before), max(0, before, min(whole, before + size))
    return slice(start, stop), slice(start - before, stop - before)


def refuse_program(layer: Layer[Any]) -> Slot:
    """Raise NotLoweredError: as functions of Python in a program, layers of images would copy each image twice."""
    raise NotLoweredError(f"{type(layer).__name__} has no instructions, and copies of images take longer than a step")


def turned(weight: Array, groups: int) -> Array:
    """The kernels (KH, KW, C / groups, O) with inputs and outputs exchanged, (KH, KW, O / groups, C)."""
    height, width, inputs, outputs = weight.shape
    grouped = weight.reshape(height, width, inputs, groups, outputs // groups)
    return grouped.transpose(0, 1, 4, 3, 2).reshape(height, width, outputs // groups, groups * inputs)


def convolve(delta: Array, weight: Array, shape: Sequence[int], windows: Windows, pads: Pads, groups: int) -> Array:
    """δ ∗ w: the error signal moved back through a convolution, from all places of the windows to the images (H, W).

    A number of x takes part in several windows, each time with another number of the kernel; going back, it gets
    δ[i] · w[u] from each place i·s + u·d where it was. That is a correlation of δ with the kernels turned round. For a
    stride s, only every s-th number of a kernel meets a number of x: there are s correlations along each axis, one for
    each s-th part of the numbers of x.
    """
    kernels_back = turned(weight, groups)
    phases = [
        list(_phases(*axis))
        for axis in zip(shape, windows.size, windows.stride, windows.dilation, pads, delta.shape[1:3], strict=True)
    ]
    moved = np.zeros((len(delta), *shape, kernels_back.shape[3]), delta.dtype) if _is_partial(phases, windows) else None
    for row in phases[0]:
        for column in phases[1]:
            part = padded(delta, (row.pads, column.pads))
            kernel = kernels_back[row.taps, column.taps][::-1, ::-1]
            made = kernels.correlate(part, kernel, None, (1, 1), (row.dilation, column.dilation), groups)
            if moved is None:
                return made
            moved[:, row.start :: windows.stride[0], column.start :: windows.stride[1]] = made
    assert moved is not None
    return moved


@frozen
class _Phase:
    """Every s-th number along an axis from ``start`` on: the numbers of a kernel that meet it, and what δ needs."""

    start: int
    taps: slice
    dilation: int
    pads: Pair


def _phases(size: int, kernel: int, stride: int, dilation: int, pads: Pair, places: int) -> Iterator[_Phase]:
    """The phases of an axis of x: number t meets tap u at place i where i·s + u·d = t + before."""
    apart = stride // gcd(stride, dilation)  # of two taps that meet the same number
    for start in range(min(stride, size)):
        reached = start + pads[0]
        taps = [u for u in range(min(apart, kernel)) if (reached - u * dilation) % stride == 0]
        if not taps:
            continue  # no window has this number: its gradient is 0
        count = -(-(size - start) // stride)
        last = (kernel - 1 - taps[0]) // apart  # of the taps, which are laid the other way round
        step = apart * dilation // stride
        first_place = (reached - taps[0] * dilation) // stride - last * step
        behind = first_place + last * step + count - places
        yield _Phase(start, slice(taps[0], None, apart), step, (-first_place, behind))


def _is_partial(phases: Sequence[Sequence[_Phase]], windows: Windows) -> bool:
    return windows.stride != (1, 1) or any(len(found) != 1 for found in phases)
