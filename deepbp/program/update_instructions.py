"""The instructions of losses and optimizers."""

from typing import Any

import numpy as np
from numba import njit

from deepbp.kernels import numba_loops as loops
from deepbp.kernels import numba_updates as kernels
from deepbp.kernels.numba_lanes import exact
from deepbp.kernels.numba_math import inner
from deepbp.program.intrinsics import CONTINUE, STOP, call, control_word, reals, set_control_word, wholes
from deepbp.program.layout import CONTROL, RATE, STEP, VALUE


@exact
def _leaf(values: Any, first: Any, size: Any) -> Any:
    """Σ values[first:first + size], of at most 128 numbers, in NumPy's order: eight sums side by side."""
    if size < 8:
        few = values.dtype.type(-0.0)
        for k in range(first, first + size):
            few += values[k]
        return few
    a, b, c, d = values[first], values[first + 1], values[first + 2], values[first + 3]
    e, f, g, h = values[first + 4], values[first + 5], values[first + 6], values[first + 7]
    end = first + size - size % 8
    for k in range(first + 8, end, 8):
        a += values[k]
        b += values[k + 1]
        c += values[k + 2]
        d += values[k + 3]
        e += values[k + 4]
        f += values[k + 5]
        g += values[k + 6]
        h += values[k + 7]
    total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for k in range(end, first + size):
        total += values[k]
    return total


@exact
def _pairwise(values: Any, plan: Any, leaves: Any, stack: Any) -> Any:
    """Σ values, added in NumPy's order by the ``plan_of_sum``."""
    first, top = 0, 0
    for leaf in range(leaves):
        stack[top] = _leaf(values, first, plan[2 * leaf])
        first += plan[2 * leaf]
        for _ in range(plan[2 * leaf + 1]):
            top -= 1
            stack[top] += stack[top + 1]
        top += 1
    return stack[0]


@exact
def _absolute_error(prediction: Any, target: Any, a: Any, b: Any) -> Any:
    t, difference = type(prediction), prediction - target
    slope = t(1) if difference > 0 else t(-1) if difference < 0 else difference * t(0)
    return abs(difference), slope, True


@exact
def _huber(prediction: Any, target: Any, limit: Any, b: Any) -> Any:
    difference = prediction - target
    clipped = -limit if difference < -limit else limit if difference > limit else difference
    return clipped * (difference - clipped / type(prediction)(2)), clipped, True


@exact
def _smoothed(target: Any, keep: Any, add: Any) -> Any:
    return keep * target + add if add != 0 else target


@exact
def _other(target: Any) -> Any:
    return type(target)(1) - target


@inner
def _sigmoid_cross_entropy(prediction: Any, target: Any, keep: Any, add: Any) -> Any:
    positive = _smoothed(target, keep, add)
    one = type(prediction)(1)
    term, slope = loops.sigmoid_cross_entropy_term(prediction, positive, _other(positive), one)
    return term, slope, 0 <= target <= 1


_TERMS = {"absolute_error": _absolute_error, "huber": _huber, "sigmoid_cross_entropy": _sigmoid_cross_entropy}


def losses(floats: Any, number: Any) -> dict[str, Any]:
    """Both passes of losses."""

    @inner
    def of_labels(z: Any, labels: Any, d: Any, classes: Any, count: Any, scratch: Any, terms: Any, place: Any) -> Any:
        share, value = number(1) / number(count), 0.0
        if not loops.cross_entropies(z, labels, scratch, terms, d, classes, count, share):
            return STOP
        for row in range(count):
            value += terms[row]
        reals(place)[VALUE] = value / count
        return CONTINUE

    def softmax_cross_entropy(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """The mean cross-entropy of labels, and δ: z, labels, δ, classes, labels of a sample, two scratches."""
        i = wholes(own)
        scratches = floats(i[6]), floats(i[7])
        return of_labels(floats(i[1]), wholes(i[2]), floats(i[3]), i[4], rows * i[5], *scratches, place)

    def weighted_cross_entropy(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """The same with weights of rows, of classes, or both: two scratches, weights, weights of classes, a scratch."""
        i = wholes(own)
        labels, d, classes, count = wholes(i[2]), floats(i[3]), i[4], rows * i[5]
        terms, of_rows, of_classes, weight = floats(i[7]), floats(i[8]), floats(i[9]), floats(i[10])
        if not loops.cross_entropies(floats(i[1]), labels, floats(i[6]), terms, d, classes, count, number(1)):
            return STOP
        for row in range(count):
            w = of_classes[labels[row]] if i[9] != 0 else number(1)
            weight[row] = w * of_rows[row] if i[8] != 0 else w
        share, value = number(1) / number(count), 0.0
        for row in range(count):
            value += terms[row] * weight[row]
            factor = share * weight[row]
            for j in range(row * classes, (row + 1) * classes):
                d[j] = d[j] * factor
        reals(place)[VALUE] = value / count
        return CONTINUE

    def one_hot_cross_entropy(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """The same for one-hot rows: z, rows, δ, classes, rows of a sample, two scratches, labels, a function of
        Python for others.
        """
        i = wholes(own)
        targets, classes, labels = floats(i[2]), i[4], wholes(i[8])
        for row in range(rows * i[5]):
            label, others = -1, 0
            for j in range(classes):
                share = targets[row * classes + j]
                if share == 1 and label < 0:
                    label = j
                elif share != 0:
                    others += 1
            if label < 0 or others > 0:
                flushing: Any = control_word()
                set_control_word(np.uint32(wholes(place)[CONTROL]))
                status = call(i[9], own, numbers, rows, place)
                set_control_word(flushing)
                return status
            labels[row] = label
        scratches = floats(i[6]), floats(i[7])
        return of_labels(floats(i[1]), labels, floats(i[3]), classes, rows * i[5], *scratches, place)

    def mean_of_terms(terms_of: Any) -> Any:
        def instruction(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
            """The mean of terms, and δ: ŷ, y, δ, terms, width, the plan of the sum, its leaves, a stack; settings."""
            i, r = wholes(own), reals(numbers)
            prediction, target, d, terms, size = floats(i[1]), floats(i[2]), floats(i[3]), floats(i[4]), rows * i[5]
            a, b = number(r[0]), number(r[1])
            for k in range(size):
                terms[k], slope, is_valid = terms_of(prediction[k], target[k], a, b)
                if not is_valid:
                    return STOP
                d[k] = slope / number(size)
            reals(place)[VALUE] = float(_pairwise(terms, wholes(i[6]), i[7], floats(i[8]))) / size
            return CONTINUE

        return instruction

    def squared_error(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """Scale times the sum of squared errors, or their mean for a scale of 0, and δ: ŷ, y, δ, width; scale."""
        i, scale = wholes(own), reals(numbers)[0]
        size = rows * i[4]
        factor = 2 * scale if scale != 0 else 2 / size
        total = loops.squared_error(floats(i[1]), floats(i[2]), floats(i[3]), size, factor)
        reals(place)[VALUE] = scale * total if scale != 0 else total / size
        return CONTINUE

    return {
        **{name: mean_of_terms(terms_of) for name, terms_of in _TERMS.items()},
        "one_hot_cross_entropy": one_hot_cross_entropy,
        "softmax_cross_entropy": softmax_cross_entropy,
        "weighted_cross_entropy": weighted_cross_entropy,
        "squared_error": squared_error,
    }


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
