"""Convolution and pooling by their definitions, number by number, and random configurations of the layers."""

from itertools import product
from typing import Any

import numpy as np

from deepbp.layers import Builder, Conv2D, ConvTranspose2D, Layer
from deepbp.typing import Array

Options = dict[str, Any]


def pair(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def pads(padding: Any, sizes: tuple[int, ...], size: Any, stride: Any, dilation: Any = 1) -> list[tuple[int, int]]:
    """The zeros before and behind along both axes."""
    if padding == "valid":
        return [(0, 0), (0, 0)]
    if padding != "same":
        sides = padding if isinstance(padding, tuple) else (padding, padding)
        return [pair(side) for side in sides]
    found = []
    for n, k, s, d in zip(sizes, pair(size), pair(stride), pair(dilation), strict=True):
        places = int(np.ceil(n / s))
        total = max((places - 1) * s + (k - 1) * d + 1 - n, 0)
        found.append((total // 2, total - total // 2))
    return found


def convolution(x: Array, layer: Conv2D) -> Array:
    """z[b, i, j, o], added up for one number after the other."""
    w, (sh, sw), (dh, dw) = layer.weight.value, pair(layer.stride), pair(layer.dilation)
    (up, down), (left, right) = pads(layer.padding, x.shape[1:3], layer.kernel_size, layer.stride, layer.dilation)
    around = np.pad(x, ((0, 0), (up, down), (left, right), (0, 0)))
    kh, kw, inputs, outputs = w.shape
    rows = (around.shape[1] - (kh - 1) * dh - 1) // sh + 1
    columns = (around.shape[2] - (kw - 1) * dw - 1) // sw + 1
    z = np.zeros((len(x), rows, columns, outputs))
    for i, j, o, u, v, c in product(*map(range, (rows, columns, outputs, kh, kw, inputs))):
        group = o * layer.groups // outputs
        z[:, i, j, o] += around[:, i * sh + u * dh, j * sw + v * dw, group * inputs + c] * w[u, v, c, o]
    return z if layer.bias is None else z + layer.bias.value


def transposed(x: Array, layer: ConvTranspose2D, shape: tuple[int, ...]) -> Array:
    """z of this shape (B, H, W, O), to which each number of x adds its kernel."""
    w, (sh, sw), (dh, dw) = layer.weight.value, pair(layer.stride), pair(layer.dilation)
    (up, down), (left, right) = pads(layer.padding, shape[1:3], layer.kernel_size, layer.stride, layer.dilation)
    kh, kw, outputs, inputs = w.shape
    around = np.zeros((shape[0], up + shape[1] + down, left + shape[2] + right, shape[3]))
    for i, j, c, u, v, o in product(*map(range, (*x.shape[1:], kh, kw, outputs))):
        group = c * layer.groups // inputs
        around[:, i * sh + u * dh, j * sw + v * dw, group * outputs + o] += x[:, i, j, c] * w[u, v, o, c]
    z = around[:, up : up + shape[1], left : left + shape[2]]
    return z if layer.bias is None else z + layer.bias.value


def pooled(x: Array, size: Any, stride: Any, padding: Any, take: Any) -> Array:
    """What ``take`` makes of the numbers of each window that lie inside the image."""
    (kh, kw), (sh, sw) = pair(size), pair(stride)
    (up, down), (left, right) = pads(padding, x.shape[1:3], size, stride)
    rows, columns = (x.shape[1] + up + down - kh) // sh + 1, (x.shape[2] + left + right - kw) // sw + 1
    y = np.zeros((len(x), rows, columns, x.shape[3]))
    for i, j in product(range(rows), range(columns)):
        top, start = i * sh - up, j * sw - left
        window = x[:, max(top, 0) : top + kh, max(start, 0) : start + kw]
        y[:, i, j] = take(window.reshape(len(x), -1, x.shape[3]))
    return y


def built(layer: Layer[Any], shape: tuple[int, ...], dtype: str = "float64") -> Any:
    """The layer with random parameters."""
    Builder(1, dtype).build(layer, shape)
    rng = np.random.default_rng(2)
    for parameter in layer.parameters():
        parameter.value = rng.normal(size=parameter.value.shape).astype(dtype)
    return layer


def draw_options(rng: np.random.Generator) -> tuple[Options, tuple[int, int, int], int]:
    """Random arguments of a convolution, the shape of its images, and their number."""

    def one(*choices: Any) -> Any:
        return choices[int(rng.integers(len(choices)))]

    groups = one(1, 1, 2, 3)
    options: Options = {
        "filters": groups * one(1, 2, 3, 5),
        "kernel_size": one(1, 2, 3, (2, 3), (3, 1)),
        "stride": one(1, 1, 2, 3, (2, 1), (1, 3)),
        "padding": one("valid", "same", 1, (1, (0, 2)), ((2, 1), (0, 0))),
        "dilation": one(1, 1, 2, (1, 3), 3),
        "groups": groups,
        "use_bias": one(True, False),
    }
    reach = [(k - 1) * d + 1 for k, d in zip(pair(options["kernel_size"]), pair(options["dilation"]), strict=True)]
    height, width = (n + one(0, 1, 2, 4) for n in reach)
    return options, (height, width, groups * one(1, 2, 3)), one(1, 3, 13)
