"""Layers that change the size of images: max and average pooling, also over whole images, zeros around, upsampling."""

from math import prod
from typing import Any, ClassVar, TypeAlias

import numpy as np
from attrs import define, field

from deepbp import kernels
from deepbp._validation import ones
from deepbp.errors import ConfigurationError, ShapeError, shown
from deepbp.formulas.language import Formula
from deepbp.kernels.numpy_convolution import Pads
from deepbp.layers.activations.rectifiers import ReLU
from deepbp.layers.boundary import check_delta
from deepbp.layers.layer import Builder, Layer
from deepbp.layers.masking import Context
from deepbp.layers.windows import (
    UNKNOWN,
    Padding,
    Sizes,
    Windows,
    check_padding,
    check_signals,
    check_sizes,
    convolve,
    image_shape,
    nested_tuple,
    padded,
    refuse_program,
    refuse_small,
    sizes_along,
)
from deepbp.program.program import Program, Slot
from deepbp.typing import AnySize, Array, Shape

Won: TypeAlias = tuple[Array, Shape]
"""Which number of its window is the largest, and the shape of the images."""


@define(eq=False)
class _Pool(Layer[Any]):
    """Base class of poolings: one number for each window of each channel."""

    axes: ClassVar[int] = 2
    any_length = True

    size: Sizes = field(default=2, converter=nested_tuple, validator=check_sizes)
    stride: Sizes | None = field(default=None, kw_only=True, converter=nested_tuple, validator=check_sizes)
    padding: Padding = field(default="valid", kw_only=True, converter=nested_tuple, validator=check_padding())

    def _windows(self) -> Windows:
        return Windows.of(self.axes, self.size, self.size if self.stride is None else self.stride, 1, self.padding)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        height, width, channels = image_shape(input_shape, self.axes)
        windows = self._windows()
        known = [UNKNOWN if type(size) is AnySize else size for size in (height, width)]
        for pads, size in zip(windows.pads(known), windows.size, strict=True):
            if max(pads) >= size:  # a window could lie in the padding alone
                raise ConfigurationError(
                    f"{self}: padding: expected less than the size {size} on each side, got {pads}"
                )
        places = sizes_along((height, width), windows.places)
        refuse_small(windows, places, input_shape)
        return (*places[-self.axes :], channels)

    def _as_images(self, x: Array) -> Array:
        return x if self.axes == 2 else x[:, None]

    def _as_samples(self, images: Array) -> Array:
        return images if self.axes == 2 else images[:, 0]


@define(eq=False)
class _MaxPool(_Pool):
    formula = Formula("window_max(x, size, stride, padding)", backward="to_winners(delta, x, size, stride, padding)")

    def forward(self, x: Array) -> tuple[Array, Won]:
        return self._largest(x, False)

    def forward_rectified(self, x: Array) -> tuple[Array, Won]:
        """The same behind a ReLU, whose pass this one includes: where no number is above 0, none has won."""
        return self._largest(x, True)

    def _largest(self, x: Array, rectified: bool) -> tuple[Array, Won]:
        images, windows = self._as_images(x), self._windows()
        pads = windows.fitting_pads(images.shape[1:3])
        y, winner = kernels.max_pool(images, windows.size, windows.stride, pads, rectified)
        return self._as_samples(y), (winner, images.shape)

    def lower(self, program: Program, x: Slot) -> Slot:
        return refuse_program(self)

    def backward(self, saved: Won, delta: Array) -> Array:
        (winner, shape), windows = saved, self._windows()
        pads, signals = windows.pads(shape[1:3]), self._as_images(delta)
        check_signals(winner.shape[1:3], signals)
        moved = kernels.max_pool_backward(winner, signals, shape, windows.size, windows.stride, pads)
        return self._as_samples(moved)


@define(eq=False)
class MaxPool2D(_MaxPool):
    """Max pooling of images: the largest number of each window of each channel.

    Shapes: x (B, H, W, C), y (B, H′, W′, C), with H′ = ⌊(H + zeros − KH) / s⌋ + 1.

    Backpropagated gradient: each δ goes to the number that was the largest of its window, the first of equal ones. Its
    place is saved, in one byte; places of the padding are never the largest.

    Args:
        size: KH and KW, as one number or a pair.
        stride: the distance between windows; by default the size, so that each number is in one window.
        padding: as of ``Conv2D``, but on each side less than the size.

    Raises:
        ShapeError: by ``build``, for samples other than (H, W, C), and where no window fits.
        ConfigurationError: by ``build``, for padding in which whole windows would lie.

    >>> import numpy as np
    >>> from deepbp.layers import MaxPool2D
    >>> pool = MaxPool2D(2)
    >>> y, saved = pool.forward(np.array([[1.0, 2.0, 0.0, 0.0], [4.0, 3.0, 0.0, 5.0]]).reshape(1, 2, 4, 1))
    >>> y.ravel(), pool.backward(saved, np.array([[[[10.0], [20.0]]]]))[0, :, :, 0]
    (array([4., 5.]), array([[ 0.,  0.,  0.,  0.],
           [10.,  0.,  0., 20.]]))

    Source: Yamaguchi et al. 1990; Ranzato et al. 2007.
    """

    _includes = (ReLU,)


@define(eq=False)
class MaxPool1D(_MaxPool):
    """Max pooling of sequences: the largest number of each window of steps, for each channel.

    Shapes: x (B, T, C), y (B, T′, C), with T′ = ⌊(T + zeros − K) / s⌋ + 1. See ``MaxPool2D``.

    Args:
        size: K.
        stride: the distance between windows; by default the size.
        padding: as of ``Conv1D``, but on each side less than the size, and not "causal".

    >>> import numpy as np
    >>> from deepbp.layers import MaxPool1D
    >>> MaxPool1D(2).predict(np.array([[[1.0], [5.0], [3.0], [2.0]]])).tolist()
    [[[5.0], [3.0]]]

    Source: Yamaguchi et al. 1990.
    """

    axes = 1
    _includes = (ReLU,)


@define(eq=False)
class _AveragePool(_Pool):
    """The mean of windows, as a convolution with kernels of ones, divided by how many numbers of a window count."""

    formula = Formula("window_mean(x, size, stride, padding)", backward="to_windows(delta, x, size, stride, padding)")

    def forward(self, x: Array) -> tuple[Array, Shape]:
        images, windows = self._as_images(x), self._windows()
        pads = windows.fitting_pads(images.shape[1:3])
        kernel = self._kernel(images)
        y = kernels.correlate(padded(images, pads), kernel, None, windows.stride, (1, 1), images.shape[3])
        y /= window_counts(windows, images.shape, x.dtype)
        return self._as_samples(y), x.shape

    def lower(self, program: Program, x: Slot) -> Slot:
        return refuse_program(self)

    def backward(self, shape: Shape, delta: Array) -> Array:
        check_delta(self, delta, shape)
        shape = shape if self.axes == 2 else (shape[0], 1, *shape[1:])
        windows = self._windows()
        check_signals(windows.places(shape[1:3]), self._as_images(delta))
        pads = windows.pads(shape[1:3])
        share = self._as_images(delta) / window_counts(windows, shape, delta.dtype)
        moved = convolve(share, self._kernel(share), shape[1:3], windows, pads, shape[3])
        return self._as_samples(moved)

    def _kernel(self, images: Array) -> Array:
        return np.ones((*self._windows().size, 1, images.shape[3]), images.dtype)


def window_counts(windows: Windows, shape: Shape, dtype: "np.dtype[Any]") -> Array:
    """How many numbers of each window lie inside the image, (H′, W′, 1)."""
    along = []
    pads = windows.pads(shape[1:3])
    places = windows.places(shape[1:3])
    for n, k, s, (before, _), count in zip(shape[1:3], windows.size, windows.stride, pads, places, strict=True):
        start = np.arange(count) * s - before
        along.append(np.minimum(start + k, n) - np.maximum(start, 0))
    counts: Array = (along[0][:, None] * along[1])[..., None]
    return counts.astype(dtype)


@define(eq=False)
class AveragePool2D(_AveragePool):
    """Average pooling of images: the mean of each window of each channel.

    Shapes: x (B, H, W, C), y (B, H′, W′, C), as of ``MaxPool2D``.

    Backpropagated gradient: each number of a window gets an equal share of its δ. What lies outside of the image does
    not count, as in Keras; PyTorch counts it unless ``count_include_pad=False``.

    Args:
        size, stride, padding: as of ``MaxPool2D``.

    Raises:
        ShapeError, ConfigurationError: as ``MaxPool2D`` does.

    >>> import numpy as np
    >>> from deepbp.layers import AveragePool2D
    >>> AveragePool2D(2).predict(np.array([[1.0, 2.0], [4.0, 5.0]]).reshape(1, 2, 2, 1)).ravel()
    array([3.])

    Source: LeCun et al. 1989, "subsampling".
    """


@define(eq=False)
class AveragePool1D(_AveragePool):
    """Average pooling of sequences: the mean of each window of steps, for each channel.

    Shapes: x (B, T, C), y (B, T′, C). See ``AveragePool2D``.

    Args:
        size, stride, padding: as of ``MaxPool1D``.

    >>> import numpy as np
    >>> from deepbp.layers import AveragePool1D
    >>> AveragePool1D(2).predict(np.array([[[1.0], [5.0], [3.0], [2.0]]])).tolist()
    [[[3.0], [2.5]]]

    Source: LeCun et al. 1989.
    """

    axes = 1


def _places(x: Array) -> Array:
    """Samples as (B, places, C)."""
    return x.reshape(len(x), prod(x.shape[1:-1]), x.shape[-1])


def _pooled_whole(input_shape: Shape) -> Shape:
    if len(input_shape) < 2:
        raise ShapeError(f"expects samples with places and channels, such as (H, W, C), got {input_shape}")
    return input_shape[-1:]


@define(eq=False)
class GlobalAveragePool(Layer[tuple[Shape, Array | None]]):
    """Global average pooling: the mean of each channel over all places of an image, or all steps of a sequence.

    Shapes: x (B, …, C), y (B, C). Backpropagated gradient: δ divided by the number of places, at each of them. Inside
    of ``Masked``, the mean is taken over the real steps.

    Raises:
        ShapeError: by ``build``, for samples without places.

    >>> import numpy as np
    >>> from deepbp.layers import GlobalAveragePool
    >>> GlobalAveragePool().predict(np.arange(8.0).reshape(1, 2, 2, 2))
    array([[3., 4.]])

    Source: Lin, Chen & Yan 2013, "Network in network".
    """

    formula = Formula("place_mean(x)", backward="over_places(delta, x)")
    any_length = True

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        return _pooled_whole(input_shape)

    def forward(self, x: Array) -> tuple[Array, tuple[Shape, Array | None]]:
        places = _places(x)
        y: Array = np.matmul(ones(places.shape[1], x.dtype), places)
        y /= places.shape[1]
        return y, (x.shape, None)

    def forward_with(self, x: Array, context: Context) -> tuple[Array, tuple[Shape, Array | None]]:
        if context.mask is None:
            return self._run_forward(x)  # type: ignore[no-any-return]
        share = context.mask / np.maximum(np.count_nonzero(context.mask, axis=1), 1)[:, None]  # 1 / n at real steps
        share = share.astype(x.dtype)
        return np.matmul(share[:, None], x)[:, 0], (x.shape, share)

    def predict_with(self, x: Array, context: Context) -> Array:
        return self.forward_with(x, context)[0]

    def backward(self, saved: tuple[Shape, Array | None], delta: Array) -> Array:
        shape, each = saved
        check_delta(self, delta, shape)
        if each is not None:
            return np.asarray(each[:, :, None] * delta[:, None])
        share = (delta / prod(shape[1:-1]))[:, None]
        return np.broadcast_to(share, (len(delta), prod(shape[1:-1]), shape[-1])).reshape(shape)


@define(eq=False)
class GlobalMaxPool(Layer[Won]):
    """Global max pooling: the largest number of each channel over all places of an image, or all steps of a sequence.

    Shapes: x (B, …, C), y (B, C). Backpropagated gradient: δ where the largest number is, the first of equal ones; 0
    elsewhere. Inside of ``Masked``, padding never is the largest.

    Raises:
        ShapeError: by ``build``, for samples without places.

    >>> import numpy as np
    >>> from deepbp.layers import GlobalMaxPool
    >>> GlobalMaxPool().predict(np.arange(8.0).reshape(1, 2, 2, 2))
    array([[6., 7.]])

    Source: Collobert et al. 2011, "Natural language processing (almost) from scratch".
    """

    formula = Formula("place_max(x)", backward="to_winner(delta, x)")
    any_length = True

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        return _pooled_whole(input_shape)

    def forward_with(self, x: Array, context: Context) -> tuple[Array, Won]:
        if context.mask is not None:
            x = np.where(context.mask[:, :, None], x, np.finfo(x.dtype).min)
        return self._run_forward(x)  # type: ignore[no-any-return]

    def predict_with(self, x: Array, context: Context) -> Array:
        return self.forward_with(x, context)[0]

    def forward(self, x: Array) -> tuple[Array, Won]:
        places = _places(x)
        winner = places.argmax(axis=1)[:, None]
        return np.take_along_axis(places, winner, axis=1)[:, 0], (winner, x.shape)

    def backward(self, saved: Won, delta: Array) -> Array:
        winner, shape = saved
        check_delta(self, delta, shape)
        moved = np.zeros((shape[0], prod(shape[1:-1]), shape[-1]), delta.dtype)
        np.put_along_axis(moved, winner, delta[:, None], axis=1)
        return moved.reshape(shape)


@define(eq=False)
class ZeroPad2D(Layer[Shape]):
    """Zero padding: rows and columns of zeros around images.

    Shapes: x (B, H, W, C), y (B, H′, W′, C) with H′ = above + H + below. Backpropagated gradient: δ without its border.

    Args:
        padding: the number of rows and columns on each side, or for each axis a number or the pair (before, behind).

    Raises:
        ShapeError: by ``build``, for samples other than (H, W, C).

    >>> import numpy as np
    >>> from deepbp.layers import ZeroPad2D
    >>> ZeroPad2D(((0, 1), 2)).predict(np.ones((1, 1, 1, 1)))[0, :, :, 0]
    array([[0., 0., 1., 0., 0.],
           [0., 0., 0., 0., 0.]])

    Source: LeCun et al. 1989.
    """

    axes: ClassVar[int] = 2
    any_length = True
    formula = Formula("pad(x, padding)", backward="crop(delta, padding)")

    padding: Padding = field(default=1, converter=nested_tuple, validator=check_padding())

    def _pads(self) -> Pads:
        if isinstance(self.padding, str):
            raise ConfigurationError(f"{self}: padding: expected numbers, got {shown(self.padding)}")
        return Windows.of(2, 1, 1, 1, self.padding).pads((1, 1))

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        *shape, channels = image_shape(input_shape, 2)
        pads = self._pads()
        return (*sizes_along(shape, lambda known: [n + sum(pad) for n, pad in zip(known, pads, strict=True)]), channels)

    def forward(self, x: Array) -> tuple[Array, Shape]:
        return padded(x, self._pads()), x.shape

    def backward(self, shape: Shape, delta: Array) -> Array:
        check_delta(self, delta, shape)
        (above, below), (left, right) = self._pads()
        check_signals((above + shape[1] + below, left + shape[2] + right), delta)
        return padded(delta, ((-above, -below), (-left, -right)))


@define(eq=False)
class UpSample2D(Layer[Shape]):
    """Upsampling of images by repetition, also called nearest-neighbour: each number becomes a block of equal ones.

    Shapes: x (B, H, W, C), y (B, H·SH, W·SW, C). Backpropagated gradient: the sum of δ over each block.

    Args:
        size: SH and SW, as one number or a pair.

    Raises:
        ShapeError: by ``build``, for samples other than (H, W, C).

    >>> import numpy as np
    >>> from deepbp.layers import UpSample2D
    >>> UpSample2D((1, 2)).predict(np.array([[1.0, 2.0]]).reshape(1, 1, 2, 1)).ravel()
    array([1., 1., 2., 2.])

    Source: Odena, Dumoulin & Olah 2016, "Deconvolution and checkerboard artifacts".
    """

    axes: ClassVar[int] = 2
    any_length = True
    formula = Formula("upsample(x, size)", backward="block_sum(delta, size)")

    size: Sizes = field(default=2, converter=nested_tuple, validator=check_sizes)

    def _sizes(self) -> tuple[int, int]:
        return Windows.of(2, self.size, 1, 1, 0).size

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        *shape, channels = image_shape(input_shape, 2)
        times = self._sizes()
        return (*sizes_along(shape, lambda known: [n * k for n, k in zip(known, times, strict=True)]), channels)

    def forward(self, x: Array) -> tuple[Array, Shape]:
        rows, columns = self._sizes()
        return x.repeat(rows, axis=1).repeat(columns, axis=2), x.shape

    def backward(self, shape: Shape, delta: Array) -> Array:
        check_delta(self, delta, shape)
        (rows, columns), (images, height, width, channels) = self._sizes(), delta.shape
        check_signals((shape[1] * rows, shape[2] * columns), delta)
        blocks = delta.reshape(images, height // rows, rows, width // columns, columns, channels)
        return np.asarray(blocks.sum(axis=(2, 4)))
