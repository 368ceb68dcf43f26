"""The instructions of optimizers: checks of a step, and the updates of parameters."""

from typing import Any

import numpy as np
from numba import njit

from deepbp.kernels import numba_updates as kernels
from deepbp.kernels.numba_lanes import exact
from deepbp.program.intrinsics import CONTINUE, STOP, reals, wholes
from deepbp.program.layout import RATE, STEP, VALUE

_in_any_order = njit(error_model="numpy", fastmath={"reassoc", "contract", "nsz"})  # of sums, whichever is fastest


@_in_any_order
def all_finite(x: Any, size: Any, zero: Any) -> Any:
    """Whether Σ 0 · x is 0: it is NaN where a number is infinite or NaN."""
    total = zero
    for k in range(size):
        total += zero * x[k]
    return total == 0


@_in_any_order
def _squares(g: Any, size: Any, zero: Any) -> Any:
    """Σ g²."""
    total = zero
    for k in range(size):
        total += g[k] * g[k]
    return total


@exact
def _decayed(g: Any, w: Any, share: Any) -> Any:
    return g + share * w


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
        kernels.sgd_loop(floats(i[1]), floats(i[2]), i[3], reals(place)[RATE])
        return CONTINUE

    def sgd_momentum(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """w, g, velocity, size, nesterov; momentum."""
        i = wholes(own)
        kernels.sgd_momentum_loop(
            floats(i[1]), floats(i[2]), floats(i[3]), i[4], reals(place)[RATE], reals(numbers)[0], i[5] != 0
        )
        return CONTINUE

    def adam(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """w, g, m, v, size; β₁, β₂, ε."""
        i, r, count = wholes(own), reals(numbers), float(wholes(place)[STEP])
        correction = np.sqrt(1 - r[1] ** count)
        rate = reals(place)[RATE] * correction / (1 - r[0] ** count)
        kernels.adam_loop(
            floats(i[1]), floats(i[2]), floats(i[3]), floats(i[4]), i[5], rate, r[0], r[1], r[2] * correction
        )
        return CONTINUE

    def check_square(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """Go on only if the squares of an array are finite: the array, size; a factor."""
        i, factor = wholes(own), reals(numbers)[0]
        return CONTINUE if np.isfinite(_squares(floats(i[1]), i[2], zero) * factor * factor) else STOP

    def decay(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """w ← w − η λ w: w, size; λ."""
        i, share = wholes(own), reals(place)[RATE] * reals(numbers)[0]
        w, factor = floats(i[1]), number(1 - share)
        for k in range(i[2]):
            w[k] = w[k] * factor
        return CONTINUE

    def decayed_gradient(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """g + λ w, for the first numbers: w, g, result, size, the number of those; λ."""
        i, share = wholes(own), number(reals(numbers)[0])
        w, g, result, size, first = floats(i[1]), floats(i[2]), floats(i[3]), i[4], i[5]
        for k in range(first):
            result[k] = _decayed(g[k], w[k], share)
        for k in range(first, size):
            result[k] = g[k]
        return CONTINUE

    def amsgrad(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """w, g, m, v, u, size; β₁, β₂, ε."""
        i, r, count = wholes(own), reals(numbers), float(wholes(place)[STEP])
        correction = np.sqrt(1 - r[1] ** count)
        rate = reals(place)[RATE] * correction / (1 - r[0] ** count)
        w, g, m, v, u = floats(i[1]), floats(i[2]), floats(i[3]), floats(i[4]), floats(i[5])
        kernels.amsgrad_loop(w, g, m, v, u, i[6], rate, r[0], r[1], r[2] * correction)
        return CONTINUE

    def lion(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """w, g, m, size; β₁, β₂."""
        i, r = wholes(own), reals(numbers)
        kernels.lion_loop(floats(i[1]), floats(i[2]), floats(i[3]), i[4], reals(place)[RATE], r[0], r[1])
        return CONTINUE

    def adagrad(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """w, g, s, size; ε."""
        i, rate = wholes(own), reals(place)[RATE]
        kernels.adagrad_loop(floats(i[1]), floats(i[2]), floats(i[3]), i[4], rate, reals(numbers)[0])
        return CONTINUE

    def adadelta(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """w, g, v, u, size; ρ, ε."""
        i, r, rate = wholes(own), reals(numbers), reals(place)[RATE]
        kernels.adadelta_loop(floats(i[1]), floats(i[2]), floats(i[3]), floats(i[4]), i[5], rate, r[0], r[1])
        return CONTINUE

    def rmsprop(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """w, g, v, m, b, size, centred, with a velocity; ρ, μ, ε."""
        i, r, rate = wholes(own), reals(numbers), reals(place)[RATE]
        w, g, v, m, b = floats(i[1]), floats(i[2]), floats(i[3]), floats(i[4]), floats(i[5])
        kernels.rmsprop_loop(w, g, v, m, b, i[6], rate, r[0], r[1], r[2], i[7] != 0, i[8] != 0)
        return CONTINUE

    return {
        "check": check,
        "check_square": check_square,
        "decay": decay,
        "decayed_gradient": decayed_gradient,
        "sgd": sgd,
        "sgd_momentum": sgd_momentum,
        "adam": adam,
        "amsgrad": amsgrad,
        "lion": lion,
        "adagrad": adagrad,
        "adadelta": adadelta,
        "rmsprop": rmsprop,
    }
