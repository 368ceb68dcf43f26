"""Convolutions and poolings against PyTorch in float64, where it is installed: outputs and all gradients."""

from typing import Any

import numpy as np
import pytest
from definitions import Options, built, draw_options, pads

from deepbp.layers import AveragePool2D, Conv1D, Conv2D, ConvTranspose2D, MaxPool2D
from deepbp.typing import Array

torch: Any = pytest.importorskip("torch")


def given(array: Array) -> Any:
    """Channels first, as PyTorch has them."""
    return torch.from_numpy(np.moveaxis(array, -1, 1).copy()).requires_grad_()


def back(tensor: Any) -> Array:
    return np.moveaxis(tensor.detach().numpy(), 1, -1)


def kernels(weight: Array) -> Any:
    """(O, C, KH, KW), or (O, C, K)."""
    return torch.from_numpy(
        np.transpose(weight, (*range(weight.ndim - 1, weight.ndim - 3, -1), *range(weight.ndim - 2))).copy()
    )


def compare(layer: Any, x: Array, run: Any, weight: Any = None) -> None:
    """``run`` computes with PyTorch's array, kernels and bias."""
    rng = np.random.default_rng(0)
    y, saved = layer.forward(x)
    delta = rng.normal(size=y.shape)
    moved = layer.backward(saved, delta)
    bias = None if getattr(layer, "bias", None) is None else torch.from_numpy(layer.bias.value.copy()).requires_grad_()
    if weight is not None:
        weight.requires_grad_()
    theirs = given(x)
    output = run(theirs, weight, bias)
    output.backward(torch.from_numpy(np.moveaxis(delta, -1, 1).copy()))
    close: Options = {"rtol": 1e-12, "atol": 1e-12 * float(np.abs(delta).sum())}
    np.testing.assert_allclose(y, back(output), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(moved, back(theirs.grad), **close)
    if weight is not None:
        np.testing.assert_allclose(kernels(layer.weight.grad).numpy(), weight.grad.numpy(), **close)
    if bias is not None:
        np.testing.assert_allclose(layer.bias.grad, bias.grad.numpy(), **close)


@pytest.mark.parametrize("seed", range(20))
def test_convolutions(seed: int, kernel_form: str) -> None:
    rng = np.random.default_rng(100 + seed)
    options, shape, samples = draw_options(rng)
    layer = built(Conv2D(**options), shape)
    sizes = pads(options["padding"], shape[:2], options["kernel_size"], options["stride"], options["dilation"])

    def run(x: Any, weight: Any, bias: Any) -> Any:
        (up, down), (left, right) = sizes
        around = torch.nn.functional.pad(x, (left, right, up, down))
        numbers = options["stride"], 0, options["dilation"], options["groups"]
        return torch.nn.functional.conv2d(around, weight, bias, *numbers)

    compare(layer, rng.normal(size=(samples, *shape)), run, kernels(layer.weight.value))


@pytest.mark.parametrize("seed", range(10))
def test_transposed_convolutions(seed: int, kernel_form: str) -> None:
    rng = np.random.default_rng(200 + seed)
    options, shape, samples = draw_options(rng)
    options["padding"] = seed % 2
    layer = built(ConvTranspose2D(**options), (shape[0] + 2, shape[1] + 2, shape[2]))

    def run(x: Any, weight: Any, bias: Any) -> Any:
        numbers = options["stride"], options["padding"], 0, options["groups"], options["dilation"]
        return torch.nn.functional.conv_transpose2d(x, weight, bias, *numbers)

    compare(layer, rng.normal(size=(samples, *layer.built.input_shape)), run, kernels(layer.weight.value))


def test_sequences(kernel_form: str, rng: np.random.Generator) -> None:
    layer = built(Conv1D(5, 3, stride=2, dilation=2, padding=3), (11, 4))
    run = lambda x, weight, bias: torch.nn.functional.conv1d(x, weight, bias, 2, 3, 2)  # noqa: E731
    compare(layer, rng.normal(size=(3, 11, 4)), run, kernels(layer.weight.value))


@pytest.mark.parametrize(("size", "stride", "padding"), [(2, None, 0), (3, 2, 1), ((3, 2), (1, 2), (1, 0)), (3, 1, 0)])
def test_poolings(size: Any, stride: Any, padding: Any, kernel_form: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, 7, 8, 5))
    functions = torch.nn.functional
    largest = built(MaxPool2D(size, stride=stride, padding=padding), (7, 8, 5))
    compare(largest, x, lambda x, *_: functions.max_pool2d(x, size, stride, padding))
    average = built(AveragePool2D(size, stride=stride, padding=padding), (7, 8, 5))
    compare(average, x, lambda x, *_: functions.avg_pool2d(x, size, stride, padding, count_include_pad=False))
