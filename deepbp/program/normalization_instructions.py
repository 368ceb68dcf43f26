"""The instructions of normalizations, and of other layers with numbers of each feature: scales, shifts, and slopes."""

from typing import Any

import numpy as np

from deepbp.kernels import numba_normalization as normalization
from deepbp.kernels.numba_lanes import exact
from deepbp.program.intrinsics import CONTINUE, STOP, reals, wholes
from deepbp.program.loss_instructions import pairwise


@exact
def _average(running: Any, keep: Any, take: Any, new: Any) -> Any:
    return keep * running + take * new


@exact
def _share_of_root(gain: Any, variance: Any, epsilon: Any) -> Any:
    """γ / √(σ² + ε), and NaN where the square overflowed."""
    root = np.sqrt(variance + epsilon)
    return gain / (root if np.isfinite(root) else type(root)(np.nan))


@exact
def _affine(x: Any, mean: Any, factor: Any, shift: Any) -> Any:
    return (x - mean) * factor + shift


@exact
def _standardized(x: Any, mean: Any, deviation: Any) -> Any:
    return (x - mean) / deviation


@exact
def _divided(x: Any, deviation: Any, other: Any) -> Any:
    return x / deviation


@exact
def _scaled(x: Any, gain: Any, other: Any) -> Any:
    return gain * x


@exact
def _shifted(x: Any, shift: Any, other: Any) -> Any:
    return x + shift


@exact
def _prelu(z: Any, slope: Any, other: Any) -> Any:
    t = type(z)
    return (t(0) if z <= 0 else z) + slope * (t(0) if z >= 0 else z)


_BY_FEATURES = {
    "divide_features": _divided,
    "prelu": _prelu,
    "scale_features": _scaled,
    "shift_features": _shifted,
    "standardize": _standardized,
}


def normalizations(floats: Any, number: Any) -> dict[str, Any]:
    """Normalization: γ, β, y, x̂, 1 / √(σ² + ε) and the sums of gradients are arrays of the layer's own."""

    def layer_norm(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """x, γ, β, y, x̂, inverse, rows of a sample, width; ε."""
        i, epsilon = wholes(own), reals(numbers)[0]
        x, gain, shift, y, normal, inverse = (
            floats(i[1]), floats(i[2]), floats(i[3]), floats(i[4]), floats(i[5]), floats(i[6])
        )  # fmt: skip
        normalization.layer_norm_rows(x, gain, shift, y, normal, inverse, rows * i[7], i[8], epsilon)
        return CONTINUE

    def rms_norm(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """x, γ, y, x̂, inverse, rows of a sample, width; ε."""
        i, epsilon = wholes(own), reals(numbers)[0]
        x, gain, y, normal, inverse = floats(i[1]), floats(i[2]), floats(i[3]), floats(i[4]), floats(i[5])
        normalization.rms_norm_rows(x, gain, y, normal, inverse, rows * i[6], i[7], epsilon)
        return CONTINUE

    def norm_rows_backward(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """x̂, inverse, γ, δ, moved, sums, rows of a sample, width, whether it is centred."""
        i = wholes(own)
        normal, inverse, gain, d, moved = floats(i[1]), floats(i[2]), floats(i[3]), floats(i[4]), floats(i[5])
        sums, count, width, centred = reals(i[6]), rows * i[7], i[8], i[9] != 0
        normalization.norm_rows_backward(normal, inverse, gain, d, moved, count, width, centred, sums)
        return CONTINUE

    def feature_sums(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """x̂, δ, sums, rows of a sample, width."""
        i = wholes(own)
        normal, d, sums, count, width = floats(i[1]), floats(i[2]), reals(i[3]), rows * i[4], i[5]
        for j in range(2 * width):
            sums[j] = 0.0
        for begin in range(0, count, normalization.RUN):
            end = min(begin + normalization.RUN, count)
            normalization.add_feature_sums(normal, d, begin, end, width, sums)
        return CONTINUE

    def write_gradient(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """Sums, the gradient, the first of the sums, size."""
        i = wholes(own)
        sums, gradient, first = reals(i[1]), floats(i[2]), i[3]
        for j in range(i[4]):
            gradient[j] = number(sums[first + j])
        return CONTINUE

    def group_norm(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """x, γ, β, y, x̂, inverse, mean, variance, columns, sums, places, groups, width; ε. No places: one sample."""
        i, epsilon = wholes(own), reals(numbers)[0]
        x, gain, shift, y, normal, inverse = (
            floats(i[1]), floats(i[2]), floats(i[3]), floats(i[4]), floats(i[5]), floats(i[6])
        )  # fmt: skip
        mean, variance, columns, sums = floats(i[7]), floats(i[8]), floats(i[9]), reals(i[10])
        whole, places, groups, width = i[11] < 0, abs(i[11]), i[12], i[13]
        samples, places = (1, rows * places) if whole else (rows, places)
        normalization.group_norm_columns(
            x, gain, shift, y, normal, inverse, mean, variance, samples, places, groups, width, epsilon, columns, sums
        )
        return CONTINUE

    def group_norm_backward(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """x̂, inverse, γ, δ, moved, columns, sums, places, groups, width."""
        i = wholes(own)
        normal, inverse, gain, d, moved = floats(i[1]), floats(i[2]), floats(i[3]), floats(i[4]), floats(i[5])
        columns, sums, whole, places, groups, width = floats(i[6]), reals(i[7]), i[8] < 0, abs(i[8]), i[9], i[10]
        samples, places = (1, rows * places) if whole else (rows, places)
        normalization.group_norm_columns_backward(
            normal, inverse, gain, d, moved, samples, places, groups, width, columns, sums
        )
        return CONTINUE

    def unbiased(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """σ² n / (n − 1), in place, and whether it and the mean are finite: mean, variance, rows of a sample, width."""
        i = wholes(own)
        mean, variance, count = floats(i[1]), floats(i[2]), rows * i[3]
        factor = number(count / max(count - 1, 1))
        for j in range(i[4]):
            variance[j] = variance[j] * factor
            if not (np.isfinite(mean[j]) and np.isfinite(variance[j])):
                return STOP
        return CONTINUE

    def average(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """running ← keep · running + (1 − keep) · new: running, new, width; keep."""
        i, keep = wholes(own), reals(numbers)[0]
        running, new = floats(i[1]), floats(i[2])
        for j in range(i[3]):
            running[j] = _average(running[j], number(keep), number(1 - keep), new[j])
        return CONTINUE

    def running_norm(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """γ (x − μ) / √(σ² + ε) + β with averages: x, γ, β, μ, σ², y, factors, rows of a sample, width; ε."""
        i, epsilon = wholes(own), number(reals(numbers)[0])
        x, gain, shift, mean, variance = floats(i[1]), floats(i[2]), floats(i[3]), floats(i[4]), floats(i[5])
        y, factors, width = floats(i[6]), floats(i[7]), i[9]
        for j in range(width):
            factors[j] = _share_of_root(gain[j], variance[j], epsilon)
        for start in range(0, rows * i[8] * width, width):
            for j in range(width):
                y[start + j] = _affine(x[start + j], mean[j], factors[j], shift[j])
        return CONTINUE

    def by_features(f: Any) -> Any:
        def instruction(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
            """y = f(x, a, b) with numbers a and b of each feature: x, a, b, y, rows of a sample, width."""
            i = wholes(own)
            x, a, b, y, width = floats(i[1]), floats(i[2]), floats(i[3]), floats(i[4]), i[6]
            for start in range(0, rows * i[5] * width, width):
                for j in range(width):
                    y[start + j] = f(x[start + j], a[j], b[j])
            return CONTINUE

        return instruction

    def prelu_backward(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """δ where z > 0, else s δ: z, s, s, δ, rows of a sample, width, the error signal."""
        i = wholes(own)
        z, slope, d, width, moved = floats(i[1]), floats(i[2]), floats(i[4]), i[6], floats(i[7])
        for start in range(0, rows * i[5] * width, width):
            for j in range(width):
                lowered = _scaled(d[start + j], slope[j], slope[j])
                moved[start + j] = d[start + j] if z[start + j] > 0 else lowered
        return CONTINUE

    def prelu_gradient(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """Σ δ min(z, 0), as NumPy adds rows: z, δ, the gradient, rows of a sample, width, shares, and for a single sum
        its plan, leaves and stack.
        """
        i = wholes(own)
        z, d, gradient, count, width, share = floats(i[1]), floats(i[2]), floats(i[3]), rows * i[4], i[5], floats(i[6])
        for k in range(count * width):
            share[k] = d[k] * (number(0) if z[k] >= 0 else z[k])
        if width == 1:
            gradient[0] = pairwise(share, wholes(i[7]), i[8], floats(i[9]))
            return CONTINUE
        for j in range(width):
            gradient[j] = number(0)
        for row in range(count):
            for j in range(width):
                gradient[j] += share[row * width + j]
        return CONTINUE

    return {
        "prelu_backward": prelu_backward,
        "prelu_gradient": prelu_gradient,
        **{name: by_features(f) for name, f in _BY_FEATURES.items()},
        "running_norm": running_norm,
        "layer_norm": layer_norm,
        "rms_norm": rms_norm,
        "norm_rows_backward": norm_rows_backward,
        "feature_sums": feature_sums,
        "write_gradient": write_gradient,
        "group_norm": group_norm,
        "group_norm_backward": group_norm_backward,
        "unbiased": unbiased,
        "average": average,
    }
