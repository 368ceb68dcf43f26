"""The compiled normalizations. Their loops over flat arrays serve the instructions of programs, too."""

from typing import Any

import numpy as np

from deepbp.errors import ShapeError
from deepbp.kernels import numpy_normalization
from deepbp.kernels.blocks import LANES_BYTES as BYTES
from deepbp.kernels.blocks import NO_FEATURES, OTHER_FEATURES, OTHER_INVERSE, OTHER_SHAPE
from deepbp.kernels.numba_lanes import PIECE, add_to, exact, load, spread, store, total
from deepbp.kernels.numba_math import compiled, inner

RUN = 64  # rows, whose columns are added in their own type; the sums of runs are added in float64


@inner
def check_alike(output: Any, delta: Any) -> None:
    if output.shape != delta.shape:
        raise ShapeError(OTHER_SHAPE, output.shape, delta.shape)


@exact
def inverse_root(variance: Any, epsilon: Any) -> Any:
    """1 / √(σ² + ε), and NaN where the square overflowed: x / ∞ = 0 would be finite, and hide the overflow."""
    t = type(variance)
    root = np.sqrt(variance + t(epsilon))
    return t(np.nan) if np.isinf(root) else t(1) / root


@exact
def layer_norm_rows(
    x: Any, gain: Any, shift: Any, y: Any, normal: Any, inverse: Any, rows: Any, width: Any, epsilon: Any
) -> None:
    t, lanes = x.dtype.type, BYTES // x.itemsize
    zero = spread(t(0))
    for row in range(rows):
        k = row * width
        first, value = spread(x[k]), 0.0
        for piece in range(0, width, PIECE):
            part = zero
            for j in range(piece, min(piece + PIECE, width), lanes):
                part = part + (load(x, k + j, width - j, first) - first)
            value += total(part)
        mean, value = spread(t(value) / t(width)), 0.0
        for piece in range(0, width, PIECE):
            part = zero
            for j in range(piece, min(piece + PIECE, width), lanes):
                centred = (load(x, k + j, width - j, first) - first) - mean
                store(normal, k + j, width - j, centred)
                centred = load(normal, k + j, width - j, zero)
                part = part + centred * centred
            value += total(part)
        inverse[row] = inverse_root(t(value) / t(width), epsilon)
        factor = spread(inverse[row])
        for j in range(0, width, lanes):
            scaled = load(normal, k + j, width - j, zero) * factor
            store(normal, k + j, width - j, scaled)
            store(y, k + j, width - j, scaled * load(gain, j, width - j, zero) + load(shift, j, width - j, zero))


@exact
def rms_norm_rows(
    x: Any, gain: Any, y: Any, normal: Any, inverse: Any, rows: Any, width: Any, epsilon: Any
) -> None:  # fmt: skip
    t, lanes = x.dtype.type, BYTES // x.itemsize
    zero = spread(t(0))
    for row in range(rows):
        k, value = row * width, 0.0
        for piece in range(0, width, PIECE):
            part = zero
            for j in range(piece, min(piece + PIECE, width), lanes):
                here = load(x, k + j, width - j, zero)
                part = part + here * here
            value += total(part)
        inverse[row] = inverse_root(t(value) / t(width), epsilon)
        factor = spread(inverse[row])
        for j in range(0, width, lanes):
            scaled = load(x, k + j, width - j, zero) * factor
            store(normal, k + j, width - j, scaled)
            store(y, k + j, width - j, scaled * load(gain, j, width - j, zero))


@exact
def norm_rows_backward(
    normal: Any, inverse: Any, gain: Any, d: Any, moved: Any, rows: Any, width: Any, centred: Any, sums: Any
) -> None:
    """∂L/∂x of a layer normalization, or, without ``centred``, of an RMS normalization, and Σ δ x̂ and Σ δ."""
    t, lanes = d.dtype.type, BYTES // d.itemsize
    zero = spread(t(0))
    sums[: 2 * width] = 0
    for begin in range(0, rows, RUN):
        end = min(begin + RUN, rows)
        add_feature_sums(normal, d, begin, end, width, sums)  # first, since ``moved`` may be δ
        for row in range(begin, end):
            k, value, product = row * width, 0.0, 0.0
            for piece in range(0, width, PIECE):
                part = part_of_product = zero
                for j in range(piece, min(piece + PIECE, width), lanes):
                    gained = load(d, k + j, width - j, zero) * load(gain, j, width - j, zero)
                    part = part + gained
                    part_of_product = part_of_product + gained * load(normal, k + j, width - j, zero)
                value += total(part)
                product += total(part_of_product)
            mean = spread(t(value) / t(width)) if centred else zero
            slope, factor = spread(t(product) / t(width)), spread(inverse[row])
            for j in range(0, width, lanes):
                gained = load(d, k + j, width - j, zero) * load(gain, j, width - j, zero)
                apart = (gained - mean) - load(normal, k + j, width - j, zero) * slope
                store(moved, k + j, width - j, apart * factor)


@exact
def add_feature_sums(normal: Any, d: Any, begin: Any, end: Any, width: Any, sums: Any) -> None:
    """Add Σ δ x̂ and Σ δ of the rows from begin to end to both halves of ``sums``."""
    lanes = BYTES // d.itemsize
    zero = spread(d.dtype.type(0))
    for j in range(0, width, lanes):
        left = width - j
        product = product_too = plain = plain_too = zero
        for row in range(begin, end - 1, 2):
            k = row * width + j
            here, there = load(d, k, left, zero), load(d, k + width, left, zero)
            plain, plain_too = plain + here, plain_too + there
            product = product + here * load(normal, k, left, zero)
            product_too = product_too + there * load(normal, k + width, left, zero)
        if (end - begin) % 2:
            k = (end - 1) * width + j
            here = load(d, k, left, zero)
            plain, product = plain + here, product + here * load(normal, k, left, zero)
        add_to(sums, j, left, product + product_too)
        add_to(sums, width + j, left, plain + plain_too)


@exact
def group_norm_columns(
    x: Any, gain: Any, shift: Any, y: Any, normal: Any, inverse: Any, mean: Any, variance: Any, samples: Any,
    places: Any, groups: Any, width: Any, epsilon: Any, columns: Any, sums: Any,
) -> None:  # fmt: skip
    """Normalize groups of neighbouring columns of each sample, over its places; a batch norm has one sample.

    columns (3 width) and sums (width), in float64, are for what is computed on the way.
    """
    t, lanes = x.dtype.type, BYTES // x.itemsize
    zero, size = spread(t(0)), width // groups
    for sample in range(samples):
        row_of_sample = sample * places
        for j in range(width):
            columns[j] = x[row_of_sample * width + j - j % size]  # differences from it keep the digits of the mean
            sums[j] = 0
        for begin in range(row_of_sample, row_of_sample + places, RUN):
            end = min(begin + RUN, row_of_sample + places)
            for j in range(0, width, lanes):
                left = width - j
                first, even, odd = load(columns, j, left, zero), zero, zero
                for row in range(begin, end - 1, 2):
                    even = even + (load(x, row * width + j, left, zero) - first)
                    odd = odd + (load(x, row * width + width + j, left, zero) - first)
                if (end - begin) % 2:
                    even = even + (load(x, (end - 1) * width + j, left, zero) - first)
                add_to(sums, j, left, even + odd)
        for group in range(groups):
            value, here = 0.0, sample * groups + group
            for j in range(group * size, group * size + size):
                value += sums[j]
                sums[j] = 0
            centre = t(value / (places * size))
            for j in range(group * size, group * size + size):
                columns[width + j] = centre
            mean[here] = columns[group * size] + centre
        for begin in range(row_of_sample, row_of_sample + places, RUN):
            end = min(begin + RUN, row_of_sample + places)
            for j in range(0, width, lanes):
                left = width - j
                first, middle, even, odd = (
                    load(columns, j, left, zero),
                    load(columns, width + j, left, zero),
                    zero,
                    zero,
                )
                for row in range(begin, end - 1, 2):
                    one = (load(x, row * width + j, left, zero) - first) - middle
                    other = (load(x, row * width + width + j, left, zero) - first) - middle
                    even, odd = even + one * one, odd + other * other
                if (end - begin) % 2:
                    one = (load(x, (end - 1) * width + j, left, zero) - first) - middle
                    even = even + one * one
                add_to(sums, j, left, even + odd)
        for group in range(groups):
            value, here = 0.0, sample * groups + group
            for j in range(group * size, group * size + size):
                value += sums[j]
            variance[here] = t(value / (places * size))
            inverse[here] = inverse_root(variance[here], epsilon)
            for j in range(group * size, group * size + size):
                columns[2 * width + j] = inverse[here]
        for j in range(0, width, lanes):
            left = width - j
            first, middle = load(columns, j, left, zero), load(columns, width + j, left, zero)
            factor = load(columns, 2 * width + j, left, zero)
            g, b = load(gain, j, left, zero), load(shift, j, left, zero)
            for row in range(row_of_sample, row_of_sample + places):
                k = row * width + j
                scaled = ((load(x, k, left, zero) - first) - middle) * factor
                store(normal, k, left, scaled)
                store(y, k, left, scaled * g + b)


@exact
def group_norm_columns_backward(
    normal: Any, inverse: Any, gain: Any, d: Any, moved: Any, samples: Any, places: Any, groups: Any, width: Any,
    columns: Any, sums: Any,
) -> None:  # fmt: skip
    """∂L/∂x; Σ δ x̂ and Σ δ at the begin of sums (4 width)."""
    t, lanes = d.dtype.type, BYTES // d.itemsize
    zero, size, own = spread(t(0)), width // groups, sums[2 * width :]
    sums[: 4 * width] = 0
    for sample in range(samples):
        row_of_sample = sample * places
        for begin in range(row_of_sample, row_of_sample + places, RUN):
            add_feature_sums(normal, d, begin, min(begin + RUN, row_of_sample + places), width, own)
        for group in range(groups):
            product, plain, factor = 0.0, 0.0, inverse[sample * groups + group]
            for j in range(group * size, group * size + size):
                product += gain[j] * own[j]
                plain += gain[j] * own[width + j]
                sums[j] += own[j]
                sums[width + j] += own[width + j]
                own[j] = own[width + j] = 0
            for j in range(group * size, group * size + size):
                columns[j], columns[width + j] = t(plain / (places * size)), t(product / (places * size))
                columns[2 * width + j] = factor
        for j in range(0, width, lanes):
            left = width - j
            mean, slope = load(columns, j, left, zero), load(columns, width + j, left, zero)
            g, factors = load(gain, j, left, zero), load(columns, 2 * width + j, left, zero)
            for row in range(row_of_sample, row_of_sample + places):
                k = row * width + j
                apart = (load(d, k, left, zero) * g - mean) - load(normal, k, left, zero) * slope
                store(moved, k, left, apart * factors)


@inner
def check_features(x: Any, values: Any) -> None:
    if x.shape[-1] == 0:
        raise ShapeError(NO_FEATURES, x.shape)
    if values.shape != x.shape[-1:]:
        raise ShapeError(OTHER_FEATURES, x.shape, values.shape)


@inner
def check_groups(x: Any, values: Any) -> None:
    if x.shape[1] == 0 or x.shape[2] == 0 or x.shape[3] == 0:
        raise ShapeError(NO_FEATURES, x.shape)
    if values.shape != x.shape[-2:]:
        raise ShapeError(OTHER_FEATURES, x.shape, values.shape)


@inner
def check_inverse(inverse: Any, shape: Any) -> None:
    if inverse.shape != shape:
        raise ShapeError(OTHER_INVERSE, shape, inverse.shape)


@compiled(numpy_normalization.layer_norm, gain=1, shift=1)
def layer_norm(x: Any, gain: Any, shift: Any, epsilon: float) -> Any:
    check_features(x, gain)
    check_features(x, shift)
    rows, width = x.size // x.shape[-1], x.shape[-1]
    y, normal, inverse = np.empty(x.shape, x.dtype), np.empty(x.shape, x.dtype), np.empty(x[..., :1].shape, x.dtype)
    gain, shift = gain.ravel(), shift.ravel()  # the lanes take what lies at an address, one number beside the other
    layer_norm_rows(x.ravel(), gain, shift, y.ravel(), normal.ravel(), inverse.ravel(), rows, width, epsilon)
    return y, normal, inverse


@compiled(numpy_normalization.rms_norm, gain=1)
def rms_norm(x: Any, gain: Any, epsilon: float) -> Any:
    check_features(x, gain)
    rows, width = x.size // x.shape[-1], x.shape[-1]
    y, normal, inverse = np.empty(x.shape, x.dtype), np.empty(x.shape, x.dtype), np.empty(x[..., :1].shape, x.dtype)
    rms_norm_rows(x.ravel(), gain.ravel(), y.ravel(), normal.ravel(), inverse.ravel(), rows, width, epsilon)
    return y, normal, inverse


@inner
def _rows_backward(normal: Any, inverse: Any, gain: Any, delta: Any, centred: Any) -> Any:
    check_features(normal, gain)
    check_alike(normal, delta)
    check_inverse(inverse, normal[..., :1].shape)
    rows, width = normal.size // normal.shape[-1], normal.shape[-1]
    moved, sums = np.empty(normal.shape, normal.dtype), np.empty(2 * width)
    norm_rows_backward(
        normal.ravel(), inverse.ravel(), gain.ravel(), delta.ravel(), moved.ravel(), rows, width, centred, sums
    )
    return moved, sums[:width].astype(normal.dtype), sums[width:].astype(normal.dtype)


@compiled(numpy_normalization.layer_norm_backward, gain=1)
def layer_norm_backward(normal: Any, inverse: Any, gain: Any, delta: Any) -> Any:
    return _rows_backward(normal, inverse, gain, delta, True)


@compiled(numpy_normalization.rms_norm_backward, gain=1)
def rms_norm_backward(normal: Any, inverse: Any, gain: Any, delta: Any) -> Any:
    moved, of_gain, _ = _rows_backward(normal, inverse, gain, delta, False)
    return moved, of_gain


@compiled(numpy_normalization.batch_norm, x=2, gain=1, shift=1)
def batch_norm(x: Any, gain: Any, shift: Any, epsilon: float) -> Any:
    check_features(x, gain)
    check_features(x, shift)
    rows, width = x.shape
    y, normal, inverse = np.empty(x.shape, x.dtype), np.empty(x.shape, x.dtype), np.empty(width, x.dtype)
    mean, variance = np.zeros(width, x.dtype), np.zeros(width, x.dtype)
    columns, sums, one = np.empty(3 * width, x.dtype), np.empty(width), min(rows, 1)
    group_norm_columns(
        x.ravel(), gain.ravel(), shift.ravel(), y.ravel(), normal.ravel(), inverse, mean, variance, one, rows, width,
        width, epsilon, columns, sums,
    )  # fmt: skip
    if rows == 0:
        inverse[:] = inverse_root(x.dtype.type(0), epsilon)
    return y, normal, inverse, mean, variance


@inner
def _columns_backward(normal: Any, inverse: Any, gain: Any, delta: Any, samples: Any, places: Any, groups: Any) -> Any:
    width = gain.size
    moved, columns, sums = np.empty(normal.shape, normal.dtype), np.empty(3 * width, normal.dtype), np.empty(4 * width)
    group_norm_columns_backward(
        normal.ravel(), inverse.ravel(), gain.ravel(), delta.ravel(), moved.ravel(), samples, places, groups, width,
        columns, sums,
    )  # fmt: skip
    return moved, sums[:width].astype(normal.dtype), sums[width : 2 * width].astype(normal.dtype)


@compiled(numpy_normalization.batch_norm_backward, normal=2, inverse=1, gain=1, delta=2)
def batch_norm_backward(normal: Any, inverse: Any, gain: Any, delta: Any) -> Any:
    check_features(normal, gain)
    check_alike(normal, delta)
    check_inverse(inverse, gain.shape)
    return _columns_backward(normal, inverse, gain, delta, 1, len(normal), gain.size)


@compiled(numpy_normalization.group_norm, x=4, gain=2, shift=2)
def group_norm(x: Any, gain: Any, shift: Any, epsilon: float) -> Any:
    check_groups(x, gain)
    check_groups(x, shift)
    samples, places, groups, size = x.shape
    y, normal = np.empty(x.shape, x.dtype), np.empty(x.shape, x.dtype)
    inverse = np.empty((samples, 1, groups, 1), x.dtype)
    mean, variance, width = np.empty(samples * groups, x.dtype), np.empty(samples * groups, x.dtype), groups * size
    columns, sums = np.empty(3 * width, x.dtype), np.empty(width)
    group_norm_columns(
        x.ravel(), gain.ravel(), shift.ravel(), y.ravel(), normal.ravel(), inverse.ravel(), mean, variance, samples,
        places, groups, width, epsilon, columns, sums,
    )  # fmt: skip
    return y, normal, inverse


@compiled(numpy_normalization.group_norm_backward, normal=4, inverse=4, gain=2, delta=4)
def group_norm_backward(normal: Any, inverse: Any, gain: Any, delta: Any) -> Any:
    check_groups(normal, gain)
    check_alike(normal, delta)
    check_inverse(inverse, (len(normal), 1, len(gain), 1))
    samples, places, groups, _ = normal.shape
    return _columns_backward(normal, inverse, gain, delta, samples, places, groups)


@compiled(numpy_normalization.feature_sums)
def feature_sums(normal: Any, delta: Any) -> Any:
    if normal.shape[-1] == 0:
        raise ShapeError(NO_FEATURES, normal.shape)
    check_alike(normal, delta)
    rows, width = normal.size // normal.shape[-1], normal.shape[-1]
    sums = np.zeros(2 * width)
    for begin in range(0, rows, RUN):
        add_feature_sums(normal.ravel(), delta.ravel(), begin, min(begin + RUN, rows), width, sums)
    return sums[:width].astype(normal.dtype), sums[width:].astype(normal.dtype)
