"""The instructions of losses, and of penalties: the value and the error signal of a batch."""

from typing import Any

import numpy as np

from deepbp.kernels import numba_loops as loops
from deepbp.kernels import numba_losses as kernels
from deepbp.kernels.numba_lanes import exact
from deepbp.kernels.numba_math import inner, log_positive
from deepbp.kernels.numpy_losses import largest_log_rate, limits_of_probabilities, smallest_rate
from deepbp.program.intrinsics import CONTINUE, STOP, call, control_word, dot, reals, set_control_word, wholes
from deepbp.program.layout import CONTROL, DOT, VALUE


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
def pairwise(values: Any, plan: Any, leaves: Any, stack: Any) -> Any:
    """Σ values, added in NumPy's order by the ``plan_of_sum``."""
    first, top = 0, 0
    for leaf in range(leaves):
        stack[top] = _leaf(values, first, plan[2 * leaf])
        first += plan[2 * leaf]
        for _ in range(plan[2 * leaf + 1]):
            top -= 1
            stack[top] += stack[top + 1]
        top += 1
    return values.dtype.type(0) + stack[0]  # NumPy's sums begin with 0, so that none is −0


@exact
def _weigh(values: Any, weights: Any, share: Any, size: Any) -> None:
    """Multiply by weights, in place; each ``share`` neighbouring values have one."""
    if share == 1:
        for k in range(size):
            values[k] = values[k] * weights[k]
        return
    for part in range(size // share):
        w = weights[part]
        for k in range(part * share, (part + 1) * share):
            values[k] = values[k] * w


# The terms of losses and their slopes, with the settings a, b and c, of which the last may be one for each number.


@exact
def _absolute_error(prediction: Any, target: Any, a: Any, b: Any, c: Any) -> Any:
    t, difference = type(prediction), prediction - target
    slope = t(1) if difference > 0 else t(-1) if difference < 0 else difference * t(0)
    return abs(difference), slope


@exact
def _huber(prediction: Any, target: Any, limit: Any, b: Any, c: Any) -> Any:
    difference = prediction - target
    clipped = -limit if difference < -limit else limit if difference > limit else difference
    return clipped * (difference - clipped / type(prediction)(2)), clipped


@exact
def _quantile(prediction: Any, target: Any, a: Any, b: Any, q: Any) -> Any:
    t, above = type(prediction), prediction - target
    return (t(0) if above <= 0 else above) - q * above, t(above > 0) - q * t(above != 0)


@exact
def _hinge(prediction: Any, target: Any, a: Any, b: Any, c: Any) -> Any:
    t = type(prediction)
    side = t(2) * target - t(1)
    gap = t(1) - side * prediction
    return t(0) if gap <= 0 else gap, -side * t(gap > 0)


@exact
def _squared_hinge(prediction: Any, target: Any, a: Any, b: Any, c: Any) -> Any:
    t = type(prediction)
    side = t(2) * target - t(1)
    gap = t(1) - side * prediction
    gap = t(0) if gap <= 0 else gap
    return gap * gap, t(-2) * side * gap


@exact
def _smoothed(target: Any, keep: Any, add: Any) -> Any:
    return keep * target + add if add != 0 else target


@exact
def _other(target: Any) -> Any:
    return type(target)(1) - target


@exact
def _sum(a: Any, b: Any) -> Any:
    return a + b


@exact
def _product(a: Any, b: Any) -> Any:
    return a * b


@inner
def _sigmoid_cross_entropy(prediction: Any, target: Any, keep: Any, add: Any, c: Any) -> Any:
    positive = _smoothed(target, keep, add)
    return loops.sigmoid_cross_entropy_term(prediction, positive, _other(positive), type(prediction)(1))


@inner
def _weighted_sigmoid_cross_entropy(prediction: Any, target: Any, keep: Any, add: Any, weight: Any) -> Any:
    y = _smoothed(target, keep, add)
    positive, negative = _product(y, weight), _other(y)
    return loops.sigmoid_cross_entropy_term(prediction, positive, negative, _sum(positive, negative))


# Which batches the ordinary step refuses.


@exact
def _any(prediction: Any, target: Any) -> Any:
    return True


@exact
def _is_share(prediction: Any, target: Any) -> Any:
    return (target >= 0) & (target <= 1)


@exact
def _are_shares(prediction: Any, target: Any) -> Any:
    return (target >= 0) & (target <= 1) & (prediction >= 0) & (prediction <= 1)


@exact
def _is_binary(prediction: Any, target: Any) -> Any:
    return (target == 0) | (target == 1)


@exact
def _is_count(prediction: Any, target: Any) -> Any:
    return target >= 0


@exact
def _are_counts(prediction: Any, target: Any) -> Any:
    return (target >= 0) & (prediction >= 0)


def _terms_of(number: Any) -> dict[str, tuple[Any, Any]]:
    """The functions of terms and their slopes, and which targets they take."""
    dtype = np.dtype(number)
    (low, high), least, largest = limits_of_probabilities(dtype), smallest_rate(dtype), largest_log_rate(dtype)
    low, high, least, largest = number(low), number(high), number(least), number(largest)

    @exact
    def binary_cross_entropy(prediction: Any, target: Any, keep: Any, add: Any, c: Any) -> Any:
        return kernels.binary_cross_entropy_term(prediction, _smoothed(target, keep, add), low, high, c)

    @exact
    def poisson(prediction: Any, target: Any, a: Any, b: Any, c: Any) -> Any:
        return kernels.poisson_term(prediction, target, least, b, c)

    @exact
    def log_poisson(prediction: Any, target: Any, a: Any, b: Any, c: Any) -> Any:
        return kernels.log_poisson_term(prediction, target, largest, b, c)

    return {
        "absolute_error": (_absolute_error, _any),
        "binary_cross_entropy": (binary_cross_entropy, _are_shares),
        "hinge": (_hinge, _is_binary),
        "huber": (_huber, _any),
        "log_cosh": (kernels.log_cosh_term, _any),
        "log_poisson": (log_poisson, _is_count),
        "poisson": (poisson, _are_counts),
        "quantile": (_quantile, _any),
        "sigmoid_cross_entropy": (_sigmoid_cross_entropy, _is_share),
        "sigmoid_focal": (kernels.sigmoid_focal_term, _is_binary),
        "squared_hinge": (_squared_hinge, _is_binary),
        "weighted_sigmoid_cross_entropy": (_weighted_sigmoid_cross_entropy, _is_share),
    }


_OF_OUTPUTS = {"quantile", "weighted_sigmoid_cross_entropy"}  # whose last setting is one for each output


def losses(floats: Any, number: Any) -> dict[str, Any]:
    """Both passes of losses."""

    @inner
    def labels_of_rows(targets: Any, labels: Any, classes: Any, count: Any) -> Any:
        """The labels of one-hot rows; False if others are among them."""
        for row in range(count):
            label, others = -1, 0
            for j in range(classes):
                share = targets[row * classes + j]
                if share == 1 and label < 0:
                    label = j
                elif share != 0:
                    others += 1
            if label < 0 or others > 0:
                return False
            labels[row] = label
        return True

    @inner
    def largest(z: Any, start: Any, classes: Any) -> Any:
        found = 0
        for j in range(classes):
            if z[start + j] > z[start + found]:
                found = j
        return found

    def cross_entropy(of_rows: bool, is_plain: bool, is_smoothed: bool, cross_entropies: Any) -> Any:
        def instruction(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
            """The mean cross-entropy of labels, or one-hot rows, and δ: z, targets, δ, classes, labels of a sample, two
            scratches, weights of rows, weights of classes, a weight of each row, labels, a function of Python for rows
            that are not one-hot, smoothed rows, whether a label is ignored, that label; 1 − s, s / C.
            """
            i, r = wholes(own), reals(numbers)
            z, d, classes, count, labels = floats(i[1]), floats(i[3]), i[4], rows * i[5], wholes(i[2])
            scratch, terms, found = floats(i[6]), floats(i[7]), wholes(i[11])
            if of_rows:
                labels = found
                if not labels_of_rows(floats(i[2]), labels, classes, count):
                    flushing: Any = control_word()
                    set_control_word(np.uint32(wholes(place)[CONTROL]))
                    status = call(i[12], own, numbers, rows, place)
                    set_control_word(flushing)
                    return status
            part, value = number(1) / number(count), 0.0
            if is_plain:
                if not loops.are_labels(labels, classes, count):
                    return STOP
                cross_entropies(z, labels, scratch, terms, d, classes, count, part)
                for row in range(count):
                    value += terms[row]
                reals(place)[VALUE] = value / count
                return CONTINUE
            of_samples, of_classes, weight = floats(i[8]), floats(i[9]), floats(i[10])
            for row in range(count):
                label, w = labels[row], of_samples[row] if i[8] != 0 else number(1)
                if i[14] != 0 and label == i[15]:  # that of the largest score has a finite term
                    label, w = largest(z, row * classes, classes), w * number(0)
                if label < 0 or label >= classes:
                    return STOP
                if i[9] != 0 and not is_smoothed:
                    w = of_classes[label] * w
                found[row], weight[row] = label, w
            if is_smoothed:
                targets, keep, add = floats(i[13]), number(r[0]), number(r[1])
                for row in range(count):
                    for j in range(classes):
                        share = keep * number(j == found[row]) + add
                        targets[row * classes + j] = share * of_classes[j] if i[9] != 0 else share
                kernels.soft_cross_entropies(z, targets, d, terms, count, classes)
            else:
                cross_entropies(z, found, scratch, terms, d, classes, count, number(1))
            for row in range(count):
                value += terms[row] * weight[row]
                factor = part * weight[row]
                for j in range(row * classes, (row + 1) * classes):
                    d[j] = d[j] * factor
            reals(place)[VALUE] = value / count
            return CONTINUE

        return instruction

    def log_loss(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """The mean of −w ln p of labels, and δ: p, labels, δ, classes, labels of a sample, terms, the plan of the sum,
        its leaves, a stack, weights of rows, weights of classes; the least p, 1 / N.
        """
        i, r = wholes(own), reals(numbers)
        p, labels, d, classes, count, terms = floats(i[1]), wholes(i[2]), floats(i[3]), i[4], rows * i[5], floats(i[6])
        of_rows, of_classes, least, share, valid = floats(i[10]), floats(i[11]), number(r[0]), number(r[1]), True
        for k in range(count * classes):
            valid = valid & (p[k] >= 0) & (p[k] <= 1)
            d[k] = number(0)
        for row in range(count):
            label = labels[row]
            if label < 0 or label >= classes:
                return STOP
            right = p[row * classes + label]
            right = least if right < least else right
            weight = of_classes[label] if i[11] != 0 else number(1)
            weight = _product(weight, of_rows[row]) if i[10] != 0 else weight
            terms[row] = _product(-log_positive(right), weight)
            d[row * classes + label] = -_product(share, weight) / right
        if not valid:
            return STOP
        reals(place)[VALUE] = float(pairwise(terms, wholes(i[7]), i[8], floats(i[9]))) / count
        return CONTINUE

    def mean_of_terms(terms_of: Any, is_valid: Any, of_outputs: bool) -> Any:
        def instruction(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
            """The mean of terms, and δ: ŷ, y, δ, terms, width, the plan of the sum, its leaves, a stack, weights, how
            many terms share one, a setting of each number; settings.
            """
            i, r = wholes(own), reals(numbers)
            prediction, target, d, terms, size = floats(i[1]), floats(i[2]), floats(i[3]), floats(i[4]), rows * i[5]
            a, b, c, each, valid = number(r[0]), number(r[1]), number(r[2]), floats(i[11]), True
            for k in range(size):
                last = each[k] if of_outputs else c
                terms[k], slope = terms_of(prediction[k], target[k], a, b, last)
                valid = valid & is_valid(prediction[k], target[k])
                d[k] = slope / number(size)
            if not valid:
                return STOP
            if i[9] != 0:
                _weigh(terms, floats(i[9]), i[10], size)
                _weigh(d, floats(i[9]), i[10], size)
            reals(place)[VALUE] = float(pairwise(terms, wholes(i[6]), i[7], floats(i[8]))) / size
            return CONTINUE

        return instruction

    def penalty(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """λ₁ Σ |w| + λ₂ Σ w²: w, the value, size, the plan of the sum, leaves, a stack, a scratch; λ₁, λ₂, or −1."""
        i, r = wholes(own), reals(numbers)
        w, size, sizes, value = floats(i[1]), i[3], floats(i[7]), 0.0
        if r[0] >= 0:
            for k in range(size):
                sizes[k] = abs(w[k])
            value = _product(r[0], float(pairwise(sizes, wholes(i[4]), i[5], floats(i[6]))))
        if r[1] >= 0:
            squares = _product(r[1], float(dot(wholes(place)[DOT], size, i[1], i[1], number(1))))
            value = _sum(value, squares) if r[0] >= 0 else squares
        reals(i[2])[0] = value
        return CONTINUE

    def penalty_gradient(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """Add λ₁ sign w + 2 λ₂ w to a gradient: w, the gradient, size; λ₁, 2 λ₂, negative for none."""
        i, r = wholes(own), reals(numbers)
        w, gradient, one, two = floats(i[1]), floats(i[2]), number(r[0]), number(r[1])
        for k in range(i[3]):
            sign = number(1) if w[k] > 0 else number(-1) if w[k] < 0 else w[k] * number(0)
            of_size, of_square = _product(one, sign), _product(two, w[k])
            both = of_size if r[1] < 0 else of_square if r[0] < 0 else _sum(of_size, of_square)
            gradient[k] = _sum(gradient[k], both)
        return CONTINUE

    def repeat(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """Each number several times: numbers, result, width, how often."""
        i = wholes(own)
        source, target = floats(i[1]), floats(i[2])
        for k in range(rows * i[3]):
            for j in range(k * i[4], (k + 1) * i[4]):
                target[j] = source[k]
        return CONTINUE

    def squared_error(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """Scale times the sum of squared errors, or their mean for a scale of 0, and δ: ŷ, y, δ, width; scale."""
        i, scale = wholes(own), reals(numbers)[0]
        size = rows * i[4]
        factor = 2 * scale if scale != 0 else 2 / size
        total = loops.squared_error(floats(i[1]), floats(i[2]), floats(i[3]), size, factor)
        reals(place)[VALUE] = scale * total if scale != 0 else total / size
        return CONTINUE

    def weighted_squared_error(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """The same with weights: ŷ, y, δ, width, weights, how many numbers share one; scale."""
        i, scale = wholes(own), reals(numbers)[0]
        size = rows * i[4]
        factor = 2 * scale if scale != 0 else 2 / size
        arrays = floats(i[1]), floats(i[2]), floats(i[5]), floats(i[3])
        total = kernels.weighted_squared_error_loop(*arrays, size, i[6], factor)
        reals(place)[VALUE] = scale * total if scale != 0 else total / size
        return CONTINUE

    ways = {"_of_few": loops.cross_entropies_of_few, "_of_many": loops.cross_entropies_of_many}  # classes
    return {
        **{name: mean_of_terms(*terms, name in _OF_OUTPUTS) for name, terms in _terms_of(number).items()},
        "log_loss": log_loss,
        "penalty": penalty,
        "penalty_gradient": penalty_gradient,
        "repeat": repeat,
        **{
            f"{name}_cross_entropy{of}{rows}": cross_entropy(bool(rows), name == "softmax", name == "smoothed", way)
            for name in ("softmax", "weighted", "smoothed")
            for of, way in ways.items()
            for rows in ("", "_of_rows")
        },
        "squared_error": squared_error,
        "weighted_squared_error": weighted_squared_error,
    }
