"""The instructions of losses and optimizers."""

from typing import Any

import numpy as np
from numba import njit

from deepbp.kernels import numba_loops as loops
from deepbp.program.intrinsics import CONTINUE, STOP, reals, wholes
from deepbp.program.layout import RATE, STEP, VALUE


def losses(floats: Any, number: Any) -> dict[str, Any]:
    """Both passes of losses."""

    def softmax_cross_entropy(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """The mean cross-entropy of labels, and δ: z, labels, δ, classes."""
        i = wholes(own)
        z, labels, d, classes = floats(i[1]), wholes(i[2]), floats(i[3]), i[4]
        share, value = number(1) / number(rows), 0.0
        for row in range(rows):
            if labels[row] < 0 or labels[row] >= classes:
                return STOP
            value += loops.cross_entropy_row(z, row * classes, classes, labels[row], d)
        for k in range(rows * classes):
            d[k] = d[k] * share
        reals(place)[VALUE] = value / rows
        return CONTINUE

    def squared_error(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """Scale times the sum of squared errors, or their mean for a scale of 0, and δ: ŷ, y, δ, width; scale."""
        i, scale = wholes(own), reals(numbers)[0]
        size = rows * i[4]
        factor = 2 * scale if scale != 0 else 2 / size
        total = loops.squared_error(floats(i[1]), floats(i[2]), floats(i[3]), size, factor)
        reals(place)[VALUE] = scale * total if scale != 0 else total / size
        return CONTINUE

    return {
        "softmax_cross_entropy": softmax_cross_entropy,
        "squared_error": squared_error,
    }


@njit(error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _squares(g: Any, size: Any, zero: Any) -> Any:
    """Σ g², in whatever order is fastest."""
    total = zero
    for k in range(size):
        total += g[k] * g[k]
    return total


def updates(floats: Any, number: Any) -> dict[str, Any]:
    """The updates of parameters."""
    zero = number(0)

    def check(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """Go on only if loss and Σ g² are finite, and the learning rate is not extreme: g, size; the largest rate."""
        i, context = wholes(own), reals(place)
        fine = (
            np.isfinite(context[VALUE])
            and np.isfinite(_squares(floats(i[1]), i[2], zero))
            and context[RATE] <= reals(numbers)[0]
        )
        return CONTINUE if fine else STOP

    def sgd(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """w, g, size."""
        i = wholes(own)
        loops.sgd(floats(i[1]), floats(i[2]), i[3], reals(place)[RATE])
        return CONTINUE

    def sgd_momentum(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """w, g, velocity, size, nesterov; momentum."""
        i = wholes(own)
        loops.sgd_momentum(
            floats(i[1]), floats(i[2]), floats(i[3]), i[4], reals(place)[RATE], reals(numbers)[0], i[5] != 0
        )
        return CONTINUE

    def adam(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """w, g, m, v, size; β₁, β₂, ε."""
        i, r, count = wholes(own), reals(numbers), float(wholes(place)[STEP])
        correction = np.sqrt(1 - r[1] ** count)
        rate = reals(place)[RATE] * correction / (1 - r[0] ** count)
        loops.adam(floats(i[1]), floats(i[2]), floats(i[3]), floats(i[4]), i[5], rate, r[0], r[1], r[2] * correction)
        return CONTINUE

    return {"check": check, "sgd": sgd, "sgd_momentum": sgd_momentum, "adam": adam}
