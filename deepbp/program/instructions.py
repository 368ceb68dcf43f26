"""The compiled instructions of programs: small C functions, which read their operands from rows of the program.

An instruction is ``kernel(operands, reals, rows, place) -> status``: addresses of its whole and real operands, the rows
of this batch, and the address of the context, which all instructions of a step share. Status 0 goes on; any other ends
the step before its update.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import cfunc, types

from deepbp.kernels.numba_product import multiply
from deepbp.kernels.numba_vectors import lanes, transpose, whole_vectors
from deepbp.program import layer_instructions as layers
from deepbp.program import loss_instructions, normalization_instructions, update_instructions
from deepbp.program.intrinsics import (
    CONTINUE,
    NO,
    STOP,
    YES,
    call,
    control_word,
    copy_bytes,
    dot,
    gemm,
    gemv,
    reals,
    set_control_word,
    views,
    wholes,
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


def _copies(floats: Any, number: Any) -> dict[str, Any]:
    """Instructions that copy rows."""

    def gather(size: int) -> Any:
        def instruction(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
            """Copy the rows of the batch: which of the sources, such as X, to, width."""
            i, context = wholes(own), wholes(place)
            source, order, target, width = context[i[1]], wholes(context[ORDER]), i[2], i[3] * size
            for row in range(rows):
                copy_bytes(target + row * width, source + order[context[FIRST] + row] * width, width)
            return CONTINUE

        return instruction

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

    def check_finite(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """Go on only if all numbers are finite: x, width."""
        i = wholes(own)
        return CONTINUE if update_instructions.all_finite(floats(i[1]), rows * i[2], number(0)) else STOP

    return {
        "gather": gather(np.dtype(number).itemsize),
        "gather_labels": gather(np.dtype(np.int64).itemsize),
        "copy_values": copy_values,
        "copy_predictions": copy_predictions,
        "check_finite": check_finite,
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
        """The same for I = 1."""
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

    def moved_by_transpose(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """The same as x W, which is quicker in small sizes, with Wᵀ in scratch memory: δ, W, moved, I, O, scratch."""
        i = wholes(own)
        inputs, outputs, turned, wide = i[4], i[5], i[2], i[4]
        if inputs > 1 and outputs > 1:  # else the numbers of W and of Wᵀ have the same places
            w, scratch = floats(i[2]), floats(i[6])
            turned, wide = i[6], whole_vectors(inputs, lanes(w))
            transpose(w, 0, outputs, inputs, outputs, wide, scratch)
        gemm(wholes(place)[GEMM], NO, NO, rows, inputs, outputs, i[1], outputs, turned, wide, i[3], number(1))
        return CONTINUE

    def product_in_tiles(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """Any of these by the compiled kernel: a, b, result, scratch; the distances of the rows and columns of both.

        Then the rows, length and columns of the product, 0 for the rows of the batch.
        """
        i = wholes(own)
        a, b, y, scratch = floats(i[1]), floats(i[2]), floats(i[3]), floats(i[4])
        multiply(a, i[5], i[6], b, i[7], i[8], y, i[9] or rows, i[10] or rows, i[11], scratch)
        return CONTINUE

    def moved_by_rows(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """The same for one row: W δ."""
        i = wholes(own)
        gemv(wholes(place)[GEMV], NO, i[4], i[5], i[2], i[1], i[3], number(1))
        return CONTINUE

    def moved_by_columns(own: Any, numbers: Any, rows: Any, place: Any) -> Any:
        """The same for one input: δ w."""
        i = wholes(own)
        gemv(wholes(place)[GEMV], NO, rows, i[5], i[1], i[2], i[3], number(1))
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
        "product_in_tiles": product_in_tiles,
        "moved_by_transpose": moved_by_transpose,
        "moved_by_rows": moved_by_rows,
        "moved_by_columns": moved_by_columns,
        "moved_by_dot": moved_by_dot,
    }


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


_GROUPS = (
    _copies,
    _products,
    layers.formulas,
    layers.activations,
    normalization_instructions.normalizations,
    layers.others,
    loss_instructions.losses,
    update_instructions.updates,
    _control,
)


@cache
def _instructions(kind: str) -> dict[str, Any]:
    """All of them as functions of Python, for arrays of a dtype."""
    made = [group(views[kind], np.dtype(kind).type) for group in _GROUPS]
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
