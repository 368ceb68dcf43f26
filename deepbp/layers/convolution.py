"""Convolutional layers: Conv2D, Conv1D, DepthwiseConv2D, and the transposed ConvTranspose2D and ConvTranspose1D."""

from typing import ClassVar, TypeAlias

from attrs import define, evolve, field

from deepbp import kernels
from deepbp.errors import ConfigurationError
from deepbp.errors.validators import boolean, instance_of, positive_int
from deepbp.formulas.language import Formula
from deepbp.initializers import GlorotUniform, Initializer, Zeros
from deepbp.kernels.memory import keep_memory
from deepbp.kernels.numpy_convolution import Pads
from deepbp.layers.boundary import check_samples
from deepbp.layers.layer import Builder, Layer
from deepbp.layers.windows import (
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
from deepbp.parameters import UNBUILT, Parameter
from deepbp.program.program import Program, Slot
from deepbp.typing import Array, Shape

Saved: TypeAlias = tuple[Array, Pads]
"""The images with zeros around them, and how many rows and columns of zeros."""


_NUMBERS = "stride, padding, dilation, groups"
_FORMULA = Formula(
    f"correlate(x, weight, {_NUMBERS}) + bias",
    backward=f"convolve(delta, weight, input_shape, {_NUMBERS})",
    gradients={"weight": f"correlate_samples(x, delta, weight, {_NUMBERS})", "bias": "feature_sum(delta)"},
    output="z",
    symbols={"weight": "W", "bias": "b"},
)
_TRANSPOSED = Formula(
    f"convolve(x, weight, output_shape, {_NUMBERS}) + bias",
    backward=f"correlate(delta, weight, {_NUMBERS})",
    gradients={"weight": f"correlate_samples(delta, x, weight, {_NUMBERS})", "bias": "feature_sum(delta)"},
    output="z",
    symbols={"weight": "W", "bias": "b"},
)


@define(eq=False)
class _Kernels(Layer[Saved]):
    """Base class of layers with one kernel for each output, which is laid on all windows of an image or a sequence.

    A sequence (B, T, C) is an image (B, 1, T, C) of one row.
    """

    axes: ClassVar[int] = 2
    any_length = True

    filters: int = field(validator=positive_int)
    kernel_size: Sizes = field(converter=nested_tuple, validator=check_sizes)
    stride: Sizes = field(default=1, kw_only=True, converter=nested_tuple, validator=check_sizes)
    padding: Padding = field(default="valid", kw_only=True, converter=nested_tuple, validator=check_padding())
    dilation: Sizes = field(default=1, kw_only=True, converter=nested_tuple, validator=check_sizes)
    groups: int = field(default=1, kw_only=True, validator=positive_int)
    use_bias: bool = field(default=True, kw_only=True, validator=boolean)
    weight_init: Initializer = field(factory=GlorotUniform, kw_only=True, validator=instance_of(Initializer))
    bias_init: Initializer = field(factory=Zeros, kw_only=True, validator=instance_of(Initializer))
    weight: Parameter = field(init=False, default=UNBUILT)
    bias: Parameter | None = field(init=False, default=None)

    def stated_formula(self) -> Formula | None:
        if self.use_bias or self.formula is None:
            return self.formula
        gradients = {"weight": self.formula.gradients["weight"]}
        return evolve(self.formula, forward=self.formula.forward.removesuffix(" + bias"), gradients=gradients)

    def _windows(self) -> Windows:
        return Windows.of(self.axes, self.kernel_size, self.stride, self.dilation, self.padding)

    def _create(self, builder: Builder, inputs: int, outputs: int) -> None:
        """Create the kernels (KH, KW, inputs, outputs), or (K, inputs, outputs) for sequences, and the bias."""
        size = self._windows().size[-self.axes :]
        self.weight = builder.parameter((*size, inputs, outputs), self.weight_init)
        if self.use_bias:
            self.bias = builder.parameter((self.filters,), self.bias_init)

    def _check_groups(self, channels: int) -> None:
        if channels % self.groups or self.filters % self.groups:
            expected = f"expected a divisor of {channels} channels and {self.filters} filters"
            raise ConfigurationError(f"{self}: groups: {expected}, got {self.groups}")

    def _kernels(self) -> Array:
        """The kernels for images, (KH, KW, C / groups, O)."""
        return self.weight.value if self.axes == 2 else self.weight.value[None]

    def _as_images(self, x: Array) -> Array:
        return x if self.axes == 2 else x[:, None]

    def _as_samples(self, images: Array) -> Array:
        return images if self.axes == 2 else images[:, 0]

    def _accumulate(self, gradient: Array, delta: Array) -> None:
        self.weight.accumulate(gradient.reshape(self.weight.value.shape))
        if self.bias is not None:
            signals = delta.reshape(-1, delta.shape[-1])
            self.bias.accumulate_sum(signals)  # ∂L/∂b = Σ δ


@define(eq=False)
class _Convolution(_Kernels):
    """Base class of convolutions, z = x ⋆ W + b."""

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        height, width, channels = image_shape(input_shape, self.axes)
        self._check_groups(channels)
        windows = self._windows()
        places = sizes_along((height, width), windows.places)
        refuse_small(windows, places, input_shape)
        self._create(builder, channels // self.groups, self.filters)
        return (*places[-self.axes :], self.filters)

    def forward(self, x: Array) -> tuple[Array, Saved]:
        images, windows = self._as_images(x), self._windows()
        pads = windows.fitting_pads(images.shape[1:3])
        images = padded(images, pads)
        bias = None if self.bias is None else self.bias.value
        z = kernels.correlate(images, self._kernels(), bias, windows.stride, windows.dilation, self.groups)
        keep_memory(z.nbytes)
        return self._as_samples(z), (images, pads)

    def backward(self, saved: Saved, delta: Array) -> Array:
        self._run_backward_parameters(saved, delta)
        images, pads = saved
        shape = [n - sum(pad) for n, pad in zip(images.shape[1:3], pads, strict=True)]
        moved = convolve(self._as_images(delta), self._kernels(), shape, self._windows(), pads, self.groups)
        return self._as_samples(moved)  # moved by one layer: ∂L/∂x = δ ∗ W

    def lower(self, program: Program, x: Slot) -> Slot:
        return refuse_program(self)

    def backward_parameters(self, saved: Saved, delta: Array) -> None:
        images, _ = saved
        check_samples(images, delta)
        windows, signals = self._windows(), self._as_images(delta)
        windows.check_places(images.shape[1:3], signals)
        sizes = windows.size, windows.stride, windows.dilation, self.groups
        if not (self.weight.frozen and (self.bias is None or self.bias.frozen)):
            self._accumulate(kernels.correlate_weights(images, signals, *sizes), delta)  # ∂L/∂W = x ⋆ δ


@define(eq=False)
class Conv2D(_Convolution):
    """Convolutional layer for images: z = x ⋆ W + b, a ``Dense`` on every window, with the same weights everywhere.

    z[b, i, j, o] = Σ x[b, i·s + u·d, j·s + v·d, c] W[u, v, c, o] + b[o], summed over the places u, v of a kernel and
    over the channels c: a cross-correlation, which the field calls convolution.

    Shapes: x (B, H, W, C), W (KH, KW, C / groups, O), b (O,), z (B, H′, W′, O), with H′ = ⌊(H + zeros − (KH − 1) d − 1)
    / s⌋ + 1.

    Gradients: ∂L/∂W = x ⋆ δ, ∂L/∂b = Σ δ over samples and places; backpropagated gradient (the error signal, moved by
    one layer): δ ∗ W, in which the kernels are laid the other way round. Only the image with its zeros is saved.

    Args:
        filters: O, the number of outputs at each place: of kernels. PyTorch says ``out_channels``.
        kernel_size: KH and KW, as one number or a pair.
        stride: s, the distance between windows; one number or a pair.
        padding: ``"valid"`` for none; ``"same"`` for zeros that give H′ = ⌈H / s⌉, of which an odd one is behind; a
            number of zeros on all sides; or for each axis a number or a pair (before, behind).
        dilation: d, the distance between the numbers of a window.
        groups: the channels and the filters are divided into so many groups, in order, each connected with itself only.
        use_bias: whether there is a bias b.
        weight_init, bias_init: the initializers of W and b.

    Raises:
        ShapeError: by ``build``, for samples other than (H, W, C), and where no window fits.
        ConfigurationError: by ``build``, for groups that do not divide C and O.

    >>> import numpy as np
    >>> from deepbp.initializers import Ones
    >>> from deepbp.layers import Builder, Conv2D
    >>> layer = Conv2D(1, 2, weight_init=Ones())
    >>> Builder(dtype="float64").build(layer, (3, 3, 1))
    (2, 2, 1)
    >>> image = np.arange(9.0).reshape(1, 3, 3, 1)
    >>> z, saved = layer.forward(image)
    >>> z[0, :, :, 0]  # 0 + 1 + 3 + 4, ...
    array([[ 8., 12.],
           [20., 24.]])
    >>> layer.backward(saved, np.ones((1, 2, 2, 1)))[0, :, :, 0]  # in how many windows each number is
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])

    Source: LeCun et al. 1989; Dumoulin & Visin 2016, "A guide to convolution arithmetic for deep learning".
    """

    formula = _FORMULA


@define(eq=False)
class Conv1D(_Convolution):
    """Convolutional layer for sequences: z = x ⋆ W + b, a ``Dense`` on every window of steps.

    z[b, t, o] = Σ x[b, t·s + u·d, c] W[u, c, o] + b[o]; see ``Conv2D``.

    Shapes: x (B, T, C), W (K, C / groups, O), b (O,), z (B, T′, O).

    Args:
        filters, stride, dilation, groups, use_bias, weight_init, bias_init: as of ``Conv2D``.
        kernel_size: K.
        padding: as of ``Conv2D``, a pair is (before, behind); or ``"causal"``: zeros before the first step only, so
            that no output depends on later steps.

    Raises:
        ShapeError: by ``build``, for samples other than (T, C), and where no window fits.
        ConfigurationError: by ``build``, for groups that do not divide C and O.

    >>> import numpy as np
    >>> from deepbp.initializers import Ones
    >>> from deepbp.layers import Builder, Conv1D
    >>> layer = Conv1D(1, 2, padding="causal", weight_init=Ones())
    >>> _ = Builder(dtype="float64").build(layer, (4, 1))
    >>> layer.predict(np.array([[[1.0], [2.0], [3.0], [4.0]]]))[0, :, 0]  # each step and the one before it
    array([1., 3., 5., 7.])

    Source: Waibel et al. 1989, "Phoneme recognition using time-delay neural networks"; van den Oord et al. 2016.
    """

    axes = 1
    formula = _FORMULA

    padding: Padding = field(default="valid", kw_only=True, converter=nested_tuple, validator=check_padding("causal"))


@define(eq=False)
class DepthwiseConv2D(_Convolution):
    """Depthwise convolution: each channel of an image has kernels of its own, and no others are connected with it.

    Equals a ``Conv2D`` with as many groups as channels. Followed by a ``Dense``, which connects the channels, it is a
    separable convolution.

    Shapes: x (B, H, W, C), W (KH, KW, 1, C·M), b (C·M,), z (B, H′, W′, C·M); outputs c·M to (c + 1)·M − 1 are those of
    channel c.

    Args:
        kernel_size, stride, padding, dilation, use_bias, weight_init, bias_init: as of ``Conv2D``.
        multiplier: M, the number of kernels for each channel.

    Raises:
        ShapeError: by ``build``, for samples other than (H, W, C), and where no window fits.

    >>> import numpy as np
    >>> from deepbp.initializers import Ones
    >>> from deepbp.layers import Builder, DepthwiseConv2D
    >>> layer = DepthwiseConv2D(2, weight_init=Ones())
    >>> _ = Builder(dtype="float64").build(layer, (2, 2, 3))
    >>> layer.predict(np.ones((1, 2, 2, 3)) * [1, 10, 100])
    array([[[[  4.,  40., 400.]]]])

    Source: Sifre 2014; Howard et al. 2017, "MobileNets".
    """

    formula = _FORMULA

    filters: int = field(init=False, default=0)
    multiplier: int = field(default=1, kw_only=True, validator=positive_int)
    groups: int = field(init=False, default=1)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.groups = image_shape(input_shape, self.axes)[2]
        self.filters = self.multiplier * self.groups
        return super().build(input_shape, builder)


@define(eq=False)
class _Transposed(_Kernels):
    """Base class of transposed convolutions, z = x ∗ W + b: the backward pass of a convolution as a layer."""

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        height, width, channels = image_shape(input_shape, self.axes)
        self._check_groups(channels)
        windows = self._windows()
        shape = sizes_along((height, width), windows.moved_shape)
        refuse_small(windows, shape, input_shape)
        self._create(builder, self.filters // self.groups, channels)
        return (*shape[-self.axes :], self.filters)

    def forward(self, x: Array) -> tuple[Array, Saved]:
        images, windows = self._as_images(x), self._windows()
        shape = windows.moved_shape(images.shape[1:3])
        refuse_small(windows, shape, x.shape[1:])
        pads = windows.pads(shape)
        z = convolve(images, self._kernels(), shape, windows, pads, self.groups)
        if self.bias is not None:
            z += self.bias.value
        keep_memory(z.nbytes)
        return self._as_samples(z), (images, pads)

    def backward(self, saved: Saved, delta: Array) -> Array:
        self._run_backward_parameters(saved, delta)
        _, pads = saved
        windows = self._windows()
        signals = padded(self._as_images(delta), pads)
        moved = kernels.correlate(signals, self._kernels(), None, windows.stride, windows.dilation, self.groups)
        return self._as_samples(moved)  # moved by one layer: ∂L/∂x = δ ⋆ W

    def lower(self, program: Program, x: Slot) -> Slot:
        return refuse_program(self)

    def backward_parameters(self, saved: Saved, delta: Array) -> None:
        images, pads = saved
        check_samples(images, delta)
        windows = self._windows()
        check_signals(windows.moved_shape(images.shape[1:3]), self._as_images(delta))
        sizes = windows.size, windows.stride, windows.dilation, self.groups
        if not (self.weight.frozen and (self.bias is None or self.bias.frozen)):
            signals = padded(self._as_images(delta), pads)
            self._accumulate(kernels.correlate_weights(signals, images, *sizes), delta)  # ∂L/∂W = δ ⋆ x


@define(eq=False)
class ConvTranspose2D(_Transposed):
    """Transposed convolution: z = x ∗ W + b, the way back through a ``Conv2D`` as a layer, for larger images.

    Each number of x adds a kernel, times itself, to a window of z: z[b, i·s + u·d, j·s + v·d, o] += x[b, i, j, c]
    W[u, v, o, c].

    Shapes: x (B, H, W, C), W (KH, KW, O / groups, C), b (O,), z (B, H′, W′, O), with H′ = (H − 1) s + (KH − 1) d + 1,
    less what the padding cuts.

    Gradients: ∂L/∂W = δ ⋆ x, ∂L/∂b = Σ δ; backpropagated gradient: δ ⋆ W.

    Args:
        filters, kernel_size, stride, dilation, groups, use_bias, weight_init, bias_init: as of ``Conv2D``.
        padding: what the border of z loses, as a convolution's padding adds it: ``"valid"`` nothing; ``"same"`` so much
            that H′ = H·s; a number of rows and columns on each side, as in PyTorch, or for each axis a number or pair.

    Raises:
        ShapeError: by ``build``, for samples other than (H, W, C), and where nothing of z is left.
        ConfigurationError: by ``build``, for groups that do not divide C and O.

    >>> import numpy as np
    >>> from deepbp.initializers import Ones
    >>> from deepbp.layers import Builder, ConvTranspose2D
    >>> layer = ConvTranspose2D(1, 2, stride=2, weight_init=Ones())
    >>> _ = Builder(dtype="float64").build(layer, (1, 2, 1))
    >>> layer.predict(np.array([[[[1.0], [5.0]]]]))[0, :, :, 0]
    array([[1., 1., 5., 5.],
           [1., 1., 5., 5.]])

    Source: Zeiler et al. 2010; Dumoulin & Visin 2016.
    """

    formula = _TRANSPOSED


@define(eq=False)
class ConvTranspose1D(_Transposed):
    """Transposed convolution for sequences: z = x ∗ W + b, the way back through a ``Conv1D`` as a layer.

    Shapes: x (B, T, C), W (K, O / groups, C), b (O,), z (B, T′, O), with T′ = (T − 1) s + (K − 1) d + 1, less what the
    padding cuts.

    Args:
        filters, kernel_size, stride, padding, dilation, groups, use_bias, weight_init, bias_init: as of
            ``ConvTranspose2D``; a pair for ``padding`` is (before, behind).

    Raises:
        ShapeError: by ``build``, for samples other than (T, C), and where nothing of z is left.
        ConfigurationError: by ``build``, for groups that do not divide C and O.

    >>> import numpy as np
    >>> from deepbp.initializers import Ones
    >>> from deepbp.layers import Builder, ConvTranspose1D
    >>> layer = ConvTranspose1D(1, 3, weight_init=Ones())
    >>> _ = Builder(dtype="float64").build(layer, (2, 1))
    >>> layer.predict(np.array([[[1.0], [10.0]]]))[0, :, 0]
    array([ 1., 11., 11., 10.])

    Source: Dumoulin & Visin 2016.
    """

    axes = 1
    formula = _TRANSPOSED
