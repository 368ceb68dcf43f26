"""Convolutions against their definition, the identities that tie the passes together, and published numbers."""

from typing import Any

import numpy as np
import pytest
from definitions import Options, built, convolution, draw_options, transposed

from deepbp import Sequential, kernels
from deepbp.errors import ArgumentTypeError, ConfigurationError, DeepBPError, ShapeError
from deepbp.layers import (
    AveragePool2D,
    Builder,
    Conv1D,
    Conv2D,
    ConvTranspose1D,
    ConvTranspose2D,
    Dense,
    DepthwiseConv2D,
    Layer,
    MaxPool2D,
    windows,
)
from deepbp.program.layout import NotLoweredError
from deepbp.typing import Array

SEEDS = range(40)


def larger(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """For transposed convolutions, of which the padding cuts something."""
    return shape[0] + 2, shape[1] + 2, shape[2]


def inner(a: Array, b: Array) -> float:
    return float(np.vdot(a, b))


@pytest.mark.parametrize("seed", SEEDS)
def test_any_convolution_is_its_definition(seed: int, kernel_form: str) -> None:
    rng = np.random.default_rng(seed)
    options, shape, samples = draw_options(rng)
    layer = built(Conv2D(**options), shape)
    x = rng.normal(size=(samples, *shape))
    z, _ = layer.forward(x)
    np.testing.assert_allclose(z, convolution(x, layer), rtol=1e-12, atol=1e-12)
    assert z.shape[1:] == layer.built.output_shape
    if options["padding"] == "same":
        strides = np.broadcast_to(options["stride"], 2)
        assert z.shape[1:3] == tuple(np.ceil(np.array(shape[:2]) / strides).astype(int))


@pytest.mark.parametrize("kind", [Conv2D, ConvTranspose2D])
@pytest.mark.parametrize("seed", SEEDS)
def test_backward_passes_are_the_adjoints(seed: int, kind: Any, kernel_form: str) -> None:
    """z is linear in x, and in W: ⟨A x, δ⟩ = ⟨x, Aᵀ δ⟩ fixes both gradients, given z."""
    rng = np.random.default_rng(seed)
    options, shape, samples = draw_options(rng)
    shape = larger(shape) if kind is ConvTranspose2D else shape
    layer = built(kind(**(options | {"use_bias": False})), shape)
    x = rng.normal(size=(samples, *shape))
    z, saved = layer.forward(x)
    delta = rng.normal(size=z.shape)
    moved = layer.backward(saved, delta)
    size = float(np.abs(x).sum())
    assert inner(z, delta) == pytest.approx(inner(x, moved), rel=1e-11, abs=1e-12 * size)
    assert inner(z, delta) == pytest.approx(inner(layer.weight.value, layer.weight.grad), rel=1e-11, abs=1e-12 * size)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_transposed_convolution_is_its_definition(seed: int, kernel_form: str) -> None:
    rng = np.random.default_rng(seed)
    options, shape, samples = draw_options(rng)
    shape = larger(shape)
    layer = built(ConvTranspose2D(**options), shape)
    x = rng.normal(size=(samples, *shape))
    z, _ = layer.forward(x)
    np.testing.assert_allclose(z, transposed(x, layer, z.shape), rtol=1e-12, atol=1e-12)
    strides, size, dilation = (np.broadcast_to(options[name], 2) for name in ("stride", "kernel_size", "dilation"))
    if options["padding"] == "same":
        assert z.shape[1:3] == tuple(np.array(shape[:2]) * strides)
    elif options["padding"] == "valid":
        assert z.shape[1:3] == tuple((np.array(shape[:2]) - 1) * strides + (size - 1) * dilation + 1)


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_a_transposed_convolution_is_the_way_back(padding: Any, rng: np.random.Generator) -> None:
    layer = built(Conv2D(4, 3, stride=2, padding=padding, use_bias=False), (8, 8, 3))
    z, saved = layer.forward(rng.normal(size=(2, 8, 8, 3)))
    back = built(ConvTranspose2D(3, 3, stride=2, padding=padding, use_bias=False), z.shape[1:])
    back.weight.value = layer.weight.value
    delta = rng.normal(size=z.shape)
    moved, made = layer.backward(saved, delta), back.predict(delta)
    rows, columns = made.shape[1:3]  # what no window reaches is missing in one and 0 in the other
    np.testing.assert_allclose(made, moved[:, :rows, :columns], rtol=1e-12, atol=1e-12)
    assert not moved[:, rows:].any()
    assert not moved[:, :, columns:].any()


def test_float32_keeps_its_digits(kernel_form: str, rng: np.random.Generator) -> None:
    options: Options = {"filters": 17, "kernel_size": 3, "padding": "same"}
    x, delta = rng.normal(size=(3, 9, 7, 5)), rng.normal(size=(3, 9, 7, 17))
    results: list[list[Array]] = []
    for dtype in ("float64", "float32"):
        layer = built(Conv2D(**options), (9, 7, 5), dtype)
        z, saved = layer.forward(x.astype(dtype))
        moved = layer.backward(saved, delta.astype(dtype))
        results.append([z, moved, layer.weight.grad, layer.bias.grad])
        assert {array.dtype.name for array in results[-1]} == {dtype}
    for exact, single in zip(*results, strict=True):
        np.testing.assert_allclose(single, exact, rtol=0, atol=64 * 1.2e-7 * np.abs(exact).max())


def test_a_convolution_sees_what_a_dense_layer_on_each_window_sees(kernel_form: str, rng: np.random.Generator) -> None:
    layer, dense = built(Conv2D(4, 2), (3, 3, 2)), built(Dense(4), (8,))
    dense.weight.value = layer.weight.value.reshape(8, 4)
    dense.bias.value = layer.bias.value
    x = rng.normal(size=(5, 3, 3, 2))
    expected = [[dense.predict(x[:, i : i + 2, j : j + 2].reshape(5, 8)) for j in range(2)] for i in range(2)]
    np.testing.assert_allclose(layer.predict(x), np.moveaxis(np.array(expected), 2, 0), rtol=1e-12)


@pytest.mark.parametrize("layer", [Conv2D(3, 3), DepthwiseConv2D((2, 3), multiplier=2)], ids=repr)
def test_a_shifted_image_gives_shifted_outputs(layer: Any, kernel_form: str, rng: np.random.Generator) -> None:
    layer, x = built(layer, (9, 8, 2)), rng.normal(size=(3, 9, 8, 2))
    z = layer.predict(x)
    shifted = layer.predict(np.roll(x, (2, 1), axis=(1, 2)))
    np.testing.assert_allclose(shifted[:, 2:, 1:], z[:, :-2, :-1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dilation", [1, 2])
def test_a_causal_convolution_does_not_see_later_steps(
    dilation: int, kernel_form: str, rng: np.random.Generator
) -> None:
    layer, x = built(Conv1D(3, 3, padding="causal", dilation=dilation), (7, 2)), rng.normal(size=(2, 7, 2))
    z = layer.predict(x)
    assert z.shape == (2, 7, 3)
    for step in range(7):
        other = x.copy()
        other[:, step] += 1
        changed = np.flatnonzero((layer.predict(other) != z).any(axis=(0, 2)))
        assert changed.tolist() == [t for t in (step, step + dilation, step + 2 * dilation) if t < 7]


@pytest.mark.parametrize("seed", range(8))
def test_sequences_are_images_of_one_row(seed: int, kernel_form: str) -> None:
    rng = np.random.default_rng(seed)
    options: Options = {
        "stride": 1 + seed % 3,
        "dilation": 1 + seed // 4,
        "padding": ["valid", "same", (2, 1)][seed % 3],
    }
    for sequence, image in ((Conv1D, Conv2D), (ConvTranspose1D, ConvTranspose2D)):
        one = built(sequence(4, 3, **options), (9, 2))
        padding = ((0, 0), options["padding"]) if isinstance(options["padding"], tuple) else options["padding"]
        wide: Options = {name: (1, value) for name, value in options.items()} | {"padding": padding}
        other = built(image(4, (1, 3), **wide), (1, 9, 2))
        other.weight.value, other.bias.value = one.weight.value[None], one.bias.value
        x = rng.normal(size=(3, 9, 2))
        (z, saved), (expected, saved_image) = one.forward(x), other.forward(x[:, None])
        np.testing.assert_array_equal(z, expected[:, 0])
        delta = rng.normal(size=z.shape)
        np.testing.assert_array_equal(one.backward(saved, delta), other.backward(saved_image, delta[:, None])[:, 0])
        np.testing.assert_array_equal(one.weight.grad, other.weight.grad[0])


def test_depthwise_is_a_convolution_in_as_many_groups(kernel_form: str, rng: np.random.Generator) -> None:
    for channels, multiplier in ((5, 1), (3, 2), (1, 3), (20, 1)):
        options: Options = {"stride": 2, "padding": "same"}
        one = built(DepthwiseConv2D(3, multiplier=multiplier, **options), (5, 6, channels))
        other = built(Conv2D(channels * multiplier, 3, groups=channels, **options), (5, 6, channels))
        other.weight.value, other.bias.value = one.weight.value, one.bias.value
        x = rng.normal(size=(3, 5, 6, channels))
        np.testing.assert_array_equal(one.predict(x), other.predict(x))
        for c in range(channels):
            alone = built(Conv2D(multiplier, 3, **options), (5, 6, 1))
            part = slice(c * multiplier, (c + 1) * multiplier)
            alone.weight.value, alone.bias.value = one.weight.value[..., part], one.bias.value[part]
            np.testing.assert_allclose(one.predict(x)[..., part], alone.predict(x[..., c : c + 1]), rtol=1e-12)


@pytest.mark.parametrize(
    "pads", [((1, 2), (0, 3)), ((-1, 2), (1, -2)), ((0, 0), (-3, -1)), ((-2, -3), (4, 0)), ((7, 0), (-9, 12))]
)
@pytest.mark.parametrize("many", [0, 10**9])
def test_zeros_around_and_cuts(pads: Any, many: int, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    monkeypatch.setattr(windows, "MANY", many)
    x = rng.normal(size=(2, 6, 7, 3))
    around = np.pad(x, ((0, 0), (20, 20), (20, 20), (0, 0)))
    (up, down), (left, right) = pads
    expected = around[:, 20 - up : 26 + down, 20 - left : 27 + right]
    np.testing.assert_array_equal(windows.padded(x, pads), expected)


def test_an_odd_zero_goes_behind() -> None:
    layer = built(Conv1D(1, 2, padding="same", use_bias=False), (3, 1))
    layer.weight.value = np.array([[[10.0]], [[1.0]]])
    np.testing.assert_array_equal(layer.predict(np.array([[[1.0], [2.0], [3.0]]]))[0, :, 0], [12, 23, 30])


def test_published_numbers(kernel_form: str) -> None:
    """Source: Stanford's course CS231n, assignment 2, ConvolutionalNetworks.ipynb, conv_forward_naive."""
    x = np.linspace(-0.1, 0.5, num=96).reshape(2, 3, 4, 4).transpose(0, 2, 3, 1)
    layer = built(Conv2D(3, 4, stride=2, padding=1), (4, 4, 3))
    layer.weight.value = np.linspace(-0.2, 0.3, num=144).reshape(3, 3, 4, 4).transpose(2, 3, 1, 0)
    layer.bias.value = np.linspace(-0.1, 0.2, num=3)
    first = (
        [[-0.08759809, -0.10987781], [-0.18387192, -0.2109216]],
        [[0.21027089, 0.21661097], [0.22847626, 0.23004637]],
    )
    second = (
        [[-0.98053589, -1.03143541], [-1.19128892, -1.24695841]],
        [[0.69108355, 0.66880383], [0.59480972, 0.56776003]],
    )
    expected = [
        [*first, [[0.50813986, 0.54309974], [0.64082444, 0.67101435]]],
        [*second, [[2.36270298, 2.36904306], [2.38090835, 2.38247847]]],
    ]
    np.testing.assert_allclose(layer.predict(x).transpose(0, 3, 1, 2), expected, atol=6e-9)


def test_only_the_image_is_kept(kernel_form: str, rng: np.random.Generator) -> None:
    """Not the windows, which have 25 times as many numbers."""
    x = rng.normal(size=(2, 12, 12, 3))
    for layer in (Conv2D(4, 5), Conv2D(4, 5, padding="same")):
        _, (images, _) = built(layer, (12, 12, 3)).forward(x)
        border = 2 if layer.padding == "same" else 0
        assert images.nbytes == 2 * (12 + 2 * border) ** 2 * 3 * 8


@pytest.mark.parametrize("layer", [Conv2D(4, 3, padding="same"), ConvTranspose2D(4, 3, stride=2)], ids=repr)
def test_no_samples(layer: Any, kernel_form: str) -> None:
    layer = built(layer, (5, 5, 2))
    z, saved = layer.forward(np.zeros((0, 5, 5, 2)))
    assert z.shape == (0, *layer.built.output_shape)
    assert layer.backward(saved, z).shape == (0, 5, 5, 2)
    assert not layer.weight.grad.any()


def test_a_long_sum_of_gradients_keeps_its_digits(kernel_form: str) -> None:
    """With one sum after the other in float32, 10⁶ equal numbers lose 1 %."""
    layer = built(Conv2D(1, 1), (64, 64, 1), "float32")
    x = np.full((256, 64, 64, 1), 0.1, np.float32)
    _, saved = layer.forward(x)
    layer.backward_parameters(saved, np.full_like(x, 0.3))
    exact = float(np.float32(0.1)) * float(np.float32(0.3)) * x.size
    assert layer.weight.grad.item() == pytest.approx(exact, rel=1e-3)  # of a BLAS with four sums at a time, 2e-4
    assert layer.bias.grad.item() == pytest.approx(float(np.float32(0.3)) * x.size, rel=1e-4)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (
            Conv2D(2, 3),
            (8, 8),
            "expects images (H, W, C), got (8, 8): put Reshape((8, 8, 1)) before it, for one channel",
        ),
        (Conv2D(2, 3), (64,), "expects images (H, W, C), got (64,)"),
        (Conv1D(2, 3), (8,), "expects sequences (T, C), got (8,): put Reshape((8, 1)) before it, for one channel"),
        (Conv1D(2, 3), (8, 8, 3), "expects sequences (T, C), got (8, 8, 3)"),
        (Conv2D(2, 5), (4, 9, 1), "no window of size (5, 5) fits into samples of shape (4, 9, 1), got (4, 9, 1)"),
        (Conv2D(2, 5), (3, 32, 32), "(3, 32, 32): channels lie along the last axis, use x.transpose((0, 2, 3, 1))"),
        (ConvTranspose2D(2, 2, padding=3), (4, 4, 1), "no window of size (2, 2) fits into samples of shape (4, 4, 1)"),
    ],
    ids=range(7),
)
def test_samples_that_do_not_fit(layer: Layer[Any], shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError) as caught:
        Sequential([layer], input_shape=shape)
    assert message in str(caught.value)


def test_groups_divide_channels_and_filters() -> None:
    with pytest.raises(ConfigurationError, match="groups: expected a divisor of 4 channels and 6 filters, got 3"):
        Builder().build(Conv2D(6, 3, groups=3), (8, 8, 4))
    with pytest.raises(ConfigurationError, match="groups: expected a divisor of 6 channels and 4 filters, got 3"):
        Builder().build(ConvTranspose2D(4, 3, groups=3), (8, 8, 6))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"filters": 0}, ConfigurationError, "Conv2D: filters: expected a whole number of at least 1, got 0"),
        ({"kernel_size": 0}, ConfigurationError, "Conv2D: kernel_size: expected a whole number of at least 1, got 0"),
        (
            {"kernel_size": 2.5},
            ArgumentTypeError,
            "Conv2D: kernel_size: expected a whole number of at least 1, got 2.5",
        ),
        (
            {"kernel_size": (3, 3, 3)},
            ConfigurationError,
            "expected one number, or a pair (rows, columns), got (3, 3, 3)",
        ),
        ({"stride": (1, 0)}, ConfigurationError, "Conv2D: stride: expected a whole number of at least 1, got 0"),
        ({"stride": None}, ArgumentTypeError, "Conv2D: stride: expected a whole number of at least 1, got None"),
        ({"dilation": "2"}, ArgumentTypeError, "Conv2D: dilation: expected a whole number of at least 1, got '2'"),
        ({"groups": 0}, ConfigurationError, "Conv2D: groups: expected a whole number of at least 1, got 0"),
        (
            {"padding": -1},
            ConfigurationError,
            "Conv2D: padding: expected 'valid', 'same', a whole number of at least 0",
        ),
        ({"padding": "full"}, ConfigurationError, "or for each axis a number or a pair (before, behind), got 'full'"),
        ({"padding": "causal"}, ConfigurationError, "got 'causal'"),
        ({"padding": (1, 2, 3)}, ConfigurationError, "got (1, 2, 3)"),
        ({"padding": ((1, 2, 3), 0)}, ConfigurationError, "got ((1, 2, 3), 0)"),
        ({"padding": 1.5}, ArgumentTypeError, "got 1.5"),
        ({"padding": (True, 0)}, ConfigurationError, "got (True, 0)"),
    ],
)
def test_arguments(arguments: Options, error: type[DeepBPError], message: str) -> None:
    given: Options = {"filters": 4, "kernel_size": 3} | arguments
    with pytest.raises(error) as caught:
        Conv2D(**given)
    assert message in str(caught.value)


@pytest.mark.parametrize("padding", [(1, 2, 3), ((1, 2), 0), "full"])
def test_padding_of_sequences(padding: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"expected 'valid', 'same', 'causal', a whole .*, or a pair \(before, behind"
    ):
        Conv1D(4, 3, padding=padding)


@pytest.mark.parametrize(
    "layer",
    [Conv2D(2, 3), Conv1D(2, 3), DepthwiseConv2D(3), ConvTranspose2D(2, 3), MaxPool2D(2), AveragePool2D(2)],
    ids=repr,
)
def test_no_program_copies_images(layer: Layer[Any]) -> None:
    """A program would call the layer's passes in Python, and copy each image and each signal once more."""
    program: Any = None
    with pytest.raises(NotLoweredError, match=r"has no instructions, and copies of images take longer than a step"):
        layer.lower(program, program)


def test_lists_become_tuples() -> None:
    layer = Conv2D(4, [3, 2], stride=[1, 2], padding=[[1, 2], 0])
    assert repr(layer) == "Conv2D(4, (3, 2), stride=(1, 2), padding=((1, 2), 0))"


def test_delta_of_other_samples_is_refused(rng: np.random.Generator) -> None:
    for layer in (built(Conv2D(4, 3), (5, 5, 2)), built(ConvTranspose2D(4, 3), (5, 5, 2))):
        z, saved = layer.forward(rng.normal(size=(3, 5, 5, 2)))
        with pytest.raises(ShapeError, match="backward: expected a delta for 3 samples"):
            layer.backward(saved, z[:1])


def test_a_frozen_layer_computes_no_gradient(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    kernels.current()
    layer = built(Conv2D(4, 3), (5, 5, 2))
    layer.freeze()
    z, saved = layer.forward(rng.normal(size=(3, 5, 5, 2)))
    monkeypatch.setattr(kernels, "correlate_weights", None)
    assert layer.backward(saved, z).shape == (3, 5, 5, 2)
