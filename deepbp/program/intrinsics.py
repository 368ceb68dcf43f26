"""Intrinsics of instructions: pointers from addresses, calls by address, and the floating-point control word."""

from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba import extending, njit, types
from numba.core import cgutils

from deepbp.kernels.numba_lanes import untyped
from deepbp.program.layout import FLUSH_BITS

WHOLE, SHORT = ir.IntType(64), ir.IntType(32)
ROW_MAJOR, NO, YES = 101, 111, 112  # of the C interface of a BLAS: row-major, not transposed, transposed


def intrinsic(function: Callable[..., Any]) -> Any:
    """Numba's decorator, without type hints that count the context among the arguments."""
    return extending.intrinsic(function)


def _pointer_to(number: Any) -> Any:
    @intrinsic
    def pointer(context: Any, address: Any) -> Any:
        """An address as a pointer to numbers of one type."""
        target: Any = types.CPointer(number)  # type: ignore[no-untyped-call]

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(target))

        return target(types.int64), generate

    return pointer


pointers = {number.name: _pointer_to(number) for number in (types.int64, types.float32, types.float64)}


carray: Any = numba.carray  # type: ignore[attr-defined]
CONTINUE, STOP = 0, 1  # what an instruction returns
UNBOUNDED = 1 << 40


def _view_of(kind: str) -> Any:
    pointer = pointers[kind]

    @njit(inline="always")
    def view(address: Any) -> Any:
        return carray(pointer(address), UNBOUNDED)

    return view


views = {kind: _view_of(kind) for kind in ("int64", "float32", "float64")}
wholes, reals = views["int64"], views["float64"]


@intrinsic
def gemm(
    context: Any, f: Any, a_is: Any, b_is: Any, m: Any, n: Any, k: Any, a: Any, lda: Any, b: Any, ldb: Any, c: Any,
    like: Any,
) -> Any:  # fmt: skip
    """C = op(A) op(B), with C (m, n) row by row; a, b and c are addresses, ``like`` a number of their type."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        f, a_is, b_is, m, n, k, a, lda, b, ldb, c, _ = arguments
        number = context.get_value_type(like)
        kinds = [SHORT, SHORT, SHORT, WHOLE, WHOLE, WHOLE, number, WHOLE, WHOLE, WHOLE, WHOLE, number, WHOLE, WHOLE]
        target = builder.inttoptr(f, ir.FunctionType(ir.VoidType(), kinds).as_pointer())
        a_is, b_is = builder.trunc(a_is, SHORT), builder.trunc(b_is, SHORT)
        one, zero = number(1.0), number(0.0)
        builder.call(target, [SHORT(ROW_MAJOR), a_is, b_is, m, n, k, one, a, lda, b, ldb, zero, c, n])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 11, like), generate


@intrinsic
def gemv(context: Any, f: Any, a_is: Any, m: Any, n: Any, a: Any, x: Any, y: Any, like: Any) -> Any:
    """y = op(A) x, with A (m, n) row by row."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        f, a_is, m, n, a, x, y, _ = arguments
        number = context.get_value_type(like)
        kinds = [SHORT, SHORT, WHOLE, WHOLE, number, WHOLE, WHOLE, WHOLE, WHOLE, number, WHOLE, WHOLE]
        target = builder.inttoptr(f, ir.FunctionType(ir.VoidType(), kinds).as_pointer())
        one, zero, next_to = number(1.0), number(0.0), WHOLE(1)
        a_is = builder.trunc(a_is, SHORT)
        builder.call(target, [SHORT(ROW_MAJOR), a_is, m, n, one, a, n, x, next_to, zero, y, next_to])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7, like), generate


@intrinsic
def dot(context: Any, f: Any, n: Any, a: Any, b: Any, like: Any) -> Any:
    """a · b, of vectors of n numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        f, n, a, b, _ = arguments
        kind = ir.FunctionType(context.get_value_type(like), [WHOLE] * 5)
        return builder.call(builder.inttoptr(f, kind.as_pointer()), [n, a, WHOLE(1), b, WHOLE(1)])

    return like(*[types.int64] * 4, like), generate


@intrinsic
def call(context: Any, f: Any, operands: Any, reals: Any, rows: Any, place: Any) -> Any:
    """Call the kernel of an instruction by its address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(WHOLE, [WHOLE] * 4).as_pointer()
        return builder.call(builder.inttoptr(arguments[0], kind), list(arguments[1:]))

    return types.int64(*[types.int64] * 5), generate


@intrinsic
def copy_bytes(context: Any, target: Any, source: Any, size: Any) -> Any:
    """Copy so many bytes from one address to another, which do not overlap."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte = ir.IntType(8).as_pointer()
        target, source = (builder.inttoptr(address, byte) for address in arguments[:2])
        untyped(cgutils).raw_memcpy(builder, target, source, arguments[2], 1)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), generate


@intrinsic
def next_uint32(context: Any, f: Any, state: Any) -> Any:
    """The next 32 random bits of a generator of NumPy's, whose function has the address f."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(SHORT, [WHOLE]).as_pointer()
        return builder.call(builder.inttoptr(arguments[0], kind), [arguments[1]])

    return types.uint32(types.int64, types.int64), generate


def _word(builder: Any, name: str, place: Any) -> None:
    byte = ir.IntType(8).as_pointer()
    function = builder.module.globals.get(name)
    if function is None:
        function = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), [byte]), name)
    builder.call(function, [builder.bitcast(place, byte)])


@intrinsic
def control_word(context: Any) -> Any:
    """The processor's floating-point control word; 0 on processors where none is set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if not FLUSH_BITS:
            return SHORT(0)
        place = builder.alloca(SHORT)
        _word(builder, "llvm.x86.sse.stmxcsr", place)
        return builder.load(place)

    return types.uint32(), generate


@intrinsic
def set_control_word(context: Any, word: Any) -> Any:
    """Set it, in this thread."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if FLUSH_BITS:
            place = builder.alloca(SHORT)
            builder.store(arguments[0], place)
            _word(builder, "llvm.x86.sse.ldmxcsr", place)
        return context.get_dummy_value()

    return types.void(types.uint32), generate
