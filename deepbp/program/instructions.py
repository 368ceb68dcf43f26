"""The compiled instructions of programs: small C functions, which read their operands from rows of the program.

An instruction is ``kernel(operands, reals, rows, place) -> status``: addresses of its whole and real operands, the rows
of this batch, and the address of the context, which all instructions of a step share. Status 0 goes on; any other ends
the step before its update.
"""

from functools import cache
from typing import Any

import numba
import numpy as np
from numba import cfunc, njit, types

from deepbp.kernels import numba_loops as loops
from deepbp.program.intrinsics import (
    NO,
    YES,
    call,
    control_word,
    dot,
    gemm,
    gemv,
    pointers,
    set_control_word,
)
from deepbp.program.layout import (
    CONTROL,
    DOT,
    FIRST,
    FLUSH,
    GEMM,
    GEMV,
    INSTRUCTIONS,
    LIBRARY,
    LOSSES,
    NUMBA,
    ORDER,
    PYTHON,
    RATE,
    RATES,
    REALS,
    STEP,
    STEPS,
    VALUE,
    WHOLES,
    NotLoweredError,
)

carray: Any = numba.carray  # type: ignore[attr-defined]
CONTINUE, STOP = 0, 1
UNBOUNDED = 1 << 40


def _view_of(kind: str) -> Any:
    pointer = pointers[kind]

    @njit(inline="always")
    def view(address: Any) -> Any:
        return carray(pointer(address), UNBOUNDED)

    return view


_views = {kind: _view_of(kind) for kind in ("int64", "float32", "float64")}
wholes, reals = _views["int64"], _views["float64"]


def _copies(floats: Any, number: Any) -> dict[str, Any]:
    """Instructions that copy rows."""

    def gather(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """Copy the rows of the batch: which of the sources (X or Y), to, width."""
        i, context = wholes(own), wholes(place)
        source, order, target, width = floats(context[i[1]]), wholes(context[ORDER]), floats(i[2]), i[3]
        for row in range(rows):
            there = order[context[FIRST] + row] * width
            for j in range(width):
                target[row * width + j] = source[there + j]
        return CONTINUE

    def gather_labels(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """The same for labels, whole numbers: from Y, to, width."""
        i, context = wholes(own), wholes(place)
        source, order, target, width = wholes(context[i[1]]), wholes(context[ORDER]), wholes(i[2]), i[3]
        for row in range(rows):
            there = order[context[FIRST] + row] * width
            for j in range(width):
                target[row * width + j] = source[there + j]
        return CONTINUE

    def copy_values(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """Copy: from, to, width."""
        i = wholes(own)
        source, target = floats(i[1]), floats(i[2])
        for k in range(rows * i[3]):
            target[k] = source[k]
        return CONTINUE

    def copy_predictions(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """Copy the predictions of the batch to their place among those of the epoch: from, to (an address), width."""
        i = wholes(own)
        source, target, start = floats(i[1]), floats(wholes(i[2])[0]), wholes(place)[FIRST] * i[3]
        for k in range(rows * i[3]):
            target[start + k] = source[k]
        return CONTINUE

    return {
        "gather": gather,
        "gather_labels": gather_labels,
        "copy_values": copy_values,
        "copy_predictions": copy_predictions,
    }


def _products(floats: Any, number: Any) -> dict[str, Any]:
    """Matrix products, each by the BLAS routines that NumPy may choose for it: a, b, result, inputs I, outputs O."""

    def product_by_gemm(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """z (rows, O) = x W: x, W, z, I, O."""
        i = wholes(own)
        gemm(wholes(place)[GEMM], NO, NO, rows, i[5], i[4], i[1], i[4], i[2], i[5], i[3], number(1))
        return CONTINUE

    def product_by_rows(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """The same for O = 1: a matrix times a vector."""
        i = wholes(own)
        gemv(wholes(place)[GEMV], NO, rows, i[4], i[1], i[2], i[3], number(1))
        return CONTINUE

    def product_by_columns(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """The same for one row: a vector times a matrix."""
        i = wholes(own)
        gemv(wholes(place)[GEMV], YES, i[4], i[5], i[2], i[1], i[3], number(1))
        return CONTINUE

    def product_by_dot(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """x W, of one row and one output."""
        i = wholes(own)
        floats(i[3])[0] = dot(wholes(place)[DOT], i[4], i[1], i[2], number(1))
        return CONTINUE

    def gradient_by_gemm(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """∂L/∂W (I, O) = xᵀ δ: x, δ, ∂L/∂W, I, O."""
        i = wholes(own)
        gemm(wholes(place)[GEMM], YES, NO, i[4], i[5], rows, i[1], i[4], i[2], i[5], i[3], number(1))
        return CONTINUE

    def gradient_by_rows(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """The same for O = 1."""
        i = wholes(own)
        gemv(wholes(place)[GEMV], YES, rows, i[4], i[1], i[2], i[3], number(1))
        return CONTINUE

    def gradient_by_columns(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """The same for I = 1, and with ones for x the gradient of a bias, Σ δ."""
        i = wholes(own)
        gemv(wholes(place)[GEMV], YES, rows, i[5], i[2], i[1], i[3], number(1))
        return CONTINUE

    def gradient_by_dot(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """xᵀ δ, of one input and one output."""
        i = wholes(own)
        floats(i[3])[0] = dot(wholes(place)[DOT], rows, i[1], i[2], number(1))
        return CONTINUE

    def moved_by_gemm(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """The error signal moved by one layer (rows, I) = δ Wᵀ: δ, W, moved, I, O."""
        i = wholes(own)
        gemm(wholes(place)[GEMM], NO, YES, rows, i[4], i[5], i[1], i[5], i[2], i[5], i[3], number(1))
        return CONTINUE

    def moved_by_rows(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """The same for one row: W δ."""
        i = wholes(own)
        gemv(wholes(place)[GEMV], NO, i[4], i[5], i[2], i[1], i[3], number(1))
        return CONTINUE

    def moved_by_dot(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """δ Wᵀ, of one row and one input."""
        i = wholes(own)
        floats(i[3])[0] = dot(wholes(place)[DOT], i[5], i[1], i[2], number(1))
        return CONTINUE

    return {
        "product_by_gemm": product_by_gemm,
        "product_by_rows": product_by_rows,
        "product_by_columns": product_by_columns,
        "product_by_dot": product_by_dot,
        "gradient_by_gemm": gradient_by_gemm,
        "gradient_by_rows": gradient_by_rows,
        "gradient_by_columns": gradient_by_columns,
        "gradient_by_dot": gradient_by_dot,
        "moved_by_gemm": moved_by_gemm,
        "moved_by_rows": moved_by_rows,
        "moved_by_dot": moved_by_dot,
    }


def _layers_and_losses(floats: Any, number: Any) -> dict[str, Any]:
    """The passes of layers and losses."""

    def add_bias(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """z += b, in place: z, b, width."""
        i = wholes(own)
        loops.add_bias(floats(i[1]), floats(i[2]), rows, i[3])
        return CONTINUE

    def relu(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """y = max(z, 0), in place: y, width."""
        i = wholes(own)
        y = floats(i[1])
        loops.relu(y, y, rows * i[2])
        return CONTINUE

    def relu_backward(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """δ · [y > 0], in place: y, δ, width."""
        i = wholes(own)
        d = floats(i[2])
        loops.relu_backward(floats(i[1]), d, d, rows * i[3])
        return CONTINUE

    def sigmoid(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """y = σ(z), in place: y, width."""
        i = wholes(own)
        y = floats(i[1])
        loops.sigmoid(y, y, rows * i[2])
        return CONTINUE

    def sigmoid_backward(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """δ y (1 − y), in place: y, δ, width."""
        i = wholes(own)
        d = floats(i[2])
        loops.sigmoid_backward(floats(i[1]), d, d, rows * i[3])
        return CONTINUE

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
        "add_bias": add_bias,
        "relu": relu,
        "relu_backward": relu_backward,
        "sigmoid": sigmoid,
        "sigmoid_backward": sigmoid_backward,
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


def _updates(floats: Any, number: Any) -> dict[str, Any]:
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


def _control(floats: Any, number: Any) -> dict[str, Any]:
    """Calls of Python, and the loop over all instructions."""

    def python(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """A function of Python: its address. It runs with the floating-point control word of the caller."""
        flushing: Any = control_word()
        set_control_word(np.uint32(wholes(place)[CONTROL]))
        status = call(wholes(own)[1], own, numbers, rows, place)
        set_control_word(flushing)
        return status

    of_code, of_reals = 8 * WHOLES, 8 * REALS

    def machine(code: Any, numbers_of_code: Any, rows: Any, place: Any) -> Any:
        """Runs all instructions of some steps, one step after another, with ``rows`` samples each.

        code (instructions, WHOLES) and numbers_of_code (instructions, REALS) are the program; a row of code begins with
        the address of a kernel. The context has what runs and for how long: the first sample, the number of updates
        before, for each step a rate and a place for the loss, and what the control word is to be. Returns how many
        steps were complete: an instruction ends the run where the ordinary step must take over.
        """
        before: Any = control_word()
        set_control_word(before | np.uint32(wholes(place)[FLUSH]))
        context, numbers = wholes(place), reals(place)
        rates, losses = reals(context[RATES]), reals(context[LOSSES])
        first, count, steps, length = context[FIRST], context[STEP], context[STEPS], context[INSTRUCTIONS]
        context[CONTROL] = before
        made = 0
        while made < steps:
            context[FIRST], context[STEP], numbers[RATE] = first + made * rows, count + made + 1, rates[made]
            status = CONTINUE
            for k in range(length):
                own = code + k * of_code
                status = call(wholes(own)[0], own, numbers_of_code + k * of_reals, rows, place)
                if status != CONTINUE:
                    break
            if status != CONTINUE:
                break
            losses[made] = numbers[VALUE]
            made += 1
        set_control_word(before)
        return made

    return {"python": python, "machine": machine}


_GROUPS = (_copies, _products, _layers_and_losses, _updates, _control)


@cache
def _instructions(kind: str) -> dict[str, Any]:
    """All of them as functions of Python, for arrays of a dtype."""
    made = [group(_views[kind], np.dtype(kind).type) for group in _GROUPS]
    return {name: function for functions in made for name, function in functions.items()}


def compile_instruction(name: str, dtype: "np.dtype[Any]") -> tuple[str, bytes]:
    """The name and the object code of an instruction for arrays of this dtype."""
    function = _instructions(dtype.name)[name]
    signature = types.int64(*[types.int64] * function.__code__.co_argcount)
    made: Any = cfunc(signature, error_model="numpy", fastmath={"contract"})(function)
    called = {one.name for one in made._library._final_module.functions if one.is_declaration}
    if unknown := [one for one in called - {*LIBRARY, *PYTHON, *NUMBA} if not one.startswith("llvm.")]:
        raise NotLoweredError(f"the instruction {name} calls {unknown}")  # else it would jump to nowhere
    return made._wrapper_name, made._library._get_compiled_object()
