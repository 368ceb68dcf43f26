"""Vectors of numbers for compiled code: sums in a fixed order that is the same on every processor, at full speed.

A compiler adds floats one after the other, which a processor cannot do in parallel, or, where it may reorder them, in
an order that depends on the processor and on the code around. Here the order is written down: ``Lanes`` are 64 bytes of
neighbouring numbers, in one register or several, and an operation on them is one on each number. Functions that use
them must be compiled by ``exact``, so that no a·b + c is rounded once where others round twice.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import extending, njit, types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature

from deepbp.kernels.blocks import LANES_BYTES as BYTES


def untyped(function: Any) -> Any:
    """A part of Numba without its type hints, or without the lack of them."""
    return function


def intrinsic(function: Callable[..., Any]) -> Any:
    """Numba's decorator, whose type hints count the context among the arguments."""
    return untyped(extending.intrinsic)(function)


def exact(function: Callable[..., Any]) -> Any:
    """Compile a function that only compiled code calls, in which each operation is rounded as NumPy would round it.

    Without ``fastmath`` it would get that of the function for which it is compiled first.
    """
    options: Any = {"error_model": "numpy", "fastmath": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return njit(nogil=True, **options)(function)


class Lanes(types.Type):
    """64 bytes of neighbouring numbers."""

    def __init__(self, number: Any) -> None:
        self.number, self.count = number, 8 * BYTES // number.bitwidth
        untyped(super().__init__)(f"Lanes({number})")


def _vector(number: Any, count: int) -> Any:
    return ir.VectorType(ir.FloatType() if number == types.float32 else ir.DoubleType(), count)


@extending.register_model(Lanes)
class _LanesModel(extending.models.PrimitiveModel):
    def __init__(self, manager: Any, lanes: Any) -> None:
        untyped(super().__init__)(manager, lanes, _vector(lanes.number, lanes.count))


def _operation(symbol: Any, name: str) -> None:
    @untyped(infer_global)(symbol)
    class Typing(AbstractTemplate):
        def generic(self, arguments: Any, keywords: Any) -> Any:
            if len(arguments) == 2 and isinstance(arguments[0], Lanes) and arguments[0] == arguments[1]:
                return untyped(signature)(arguments[0], *arguments)
            return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return getattr(builder, name)(*arguments)

    untyped(extending.lower_builtin)(symbol, Lanes, Lanes)(generate)


for _symbol, _name in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _operation(_symbol, _name)


def _all_or_some(
    builder: Any, array: Any, place: Any, left: Any, number: Any, count: int, use: Callable[[Any, Any], Any]
) -> None:
    """Let ``use`` access array[place:place + count], or as many of them as are ``left``, given a pointer and a mask."""
    pointer = builder.bitcast(builder.gep(array.data, [place]), _vector(number, count).as_pointer())
    with builder.if_else(builder.icmp_signed(">=", left, ir.IntType(64)(count))) as (all_, some):
        with all_:
            use(pointer, None)
        with some:
            use(pointer, _compared(builder, "<", left, count))


def _spread(builder: Any, number: Any, kind: Any) -> Any:
    """A vector of this kind in which every number is the same."""
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    return builder.shuffle_vector(one, one, zeros)


def _compared(builder: Any, symbol: str, number: Any, count: int) -> Any:
    """A mask: how the places of the lanes compare with a whole number."""
    places = ir.VectorType(ir.IntType(64), count)
    return builder.icmp_signed(symbol, ir.Constant(places, list(range(count))), _spread(builder, number, places))


def _masked(builder: Any, what: str, kind: Any, arguments: list[Any]) -> Any:
    """Call LLVM's masked load or store."""
    element = "f32" if isinstance(kind.element, ir.FloatType) else "f64"
    result = kind if what == "load" else ir.VoidType()
    declared = ir.FunctionType(result, [argument.type for argument in arguments])
    name = f"llvm.masked.{what}.v{kind.count}{element}.p0"
    return builder.call(untyped(cgutils).get_or_insert_function(builder.module, declared, name), arguments)


def _loaded(builder: Any, array: Any, place: Any, left: Any, number: Any, count: int, fill: Any) -> Any:
    kind, size = _vector(number, count), number.bitwidth // 8
    target = untyped(cgutils).alloca_once(builder, kind)

    def use(pointer: Any, mask: Any) -> None:
        if mask is None:
            builder.store(builder.load(pointer, align=size), target)
        else:
            builder.store(_masked(builder, "load", kind, [pointer, ir.IntType(32)(size), mask, fill]), target)

    _all_or_some(builder, array, place, left, number, count, use)
    return builder.load(target)


def _stored(builder: Any, array: Any, place: Any, left: Any, number: Any, value: Any) -> None:
    size = number.bitwidth // 8

    def use(pointer: Any, mask: Any) -> None:
        if mask is None:
            builder.store(value, pointer, align=size)
        else:
            _masked(builder, "store", value.type, [value, pointer, ir.IntType(32)(size), mask])

    _all_or_some(builder, array, place, left, number, value.type.count, use)


@intrinsic
def load(context: Any, array: Any, place: Any, left: Any, fill: Any) -> Any:
    """The lanes from array[place] on; where fewer numbers than that are left, the rest is taken from ``fill``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        made = context.make_array(array)(context, builder, arguments[0])
        return _loaded(builder, made, arguments[1], arguments[2], array.dtype, fill.count, arguments[3])

    return fill(array, types.int64, types.int64, fill), generate


@intrinsic
def store(context: Any, array: Any, place: Any, left: Any, lanes: Any) -> Any:
    """Write lanes from array[place] on, as many as are left."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        made = context.make_array(array)(context, builder, arguments[0])
        _stored(builder, made, arguments[1], arguments[2], array.dtype, arguments[3])
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64, lanes), generate


@intrinsic
def load_few(context: Any, array: Any, place: Any, few: Any, fill: Any) -> Any:
    """The same for at most as many numbers as there are lanes, with one masked instruction instead of two ways."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        made = context.make_array(array)(context, builder, arguments[0])
        kind, size = arguments[3].type, array.dtype.bitwidth // 8
        mask = _compared(builder, "<", arguments[2], fill.count)
        pointer = builder.bitcast(builder.gep(made.data, [arguments[1]]), kind.as_pointer())
        return _masked(builder, "load", kind, [pointer, ir.IntType(32)(size), mask, arguments[3]])

    return fill(array, types.int64, types.int64, fill), generate


@intrinsic
def store_few(context: Any, array: Any, place: Any, few: Any, lanes: Any) -> Any:
    """Write that many of the lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        made = context.make_array(array)(context, builder, arguments[0])
        value, size, mask = arguments[3], array.dtype.bitwidth // 8, _compared(builder, "<", arguments[2], lanes.count)
        pointer = builder.bitcast(builder.gep(made.data, [arguments[1]]), value.type.as_pointer())
        _masked(builder, "store", value.type, [value, pointer, ir.IntType(32)(size), mask])
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64, lanes), generate


@intrinsic
def replaced(context: Any, lanes: Any, place: Any, number: Any) -> Any:
    """The lanes with another number in one place."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        whole, place, number = arguments
        is_there = _compared(builder, "==", place, lanes.count)
        return builder.select(is_there, _spread(builder, number, whole.type), whole)

    return lanes(lanes, types.int64, lanes.number), generate


@intrinsic
def add_to(context: Any, array: Any, place: Any, left: Any, lanes: Any) -> Any:
    """Add lanes, as many as are left, to an array of float64 from array[place] on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        made, (_, place, left, value) = context.make_array(array)(context, builder, arguments[0]), arguments
        kind = _vector(types.float64, lanes.count)
        wide = value if lanes.number == types.float64 else builder.fpext(value, kind)
        fill = ir.Constant(kind, ir.Undefined)
        before = _loaded(builder, made, place, left, types.float64, lanes.count, fill)
        _stored(builder, made, place, left, types.float64, builder.fadd(before, wide))
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64, lanes), generate


@intrinsic
def spread(context: Any, number: Any) -> Any:
    """Lanes that all are this number."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _spread(builder, arguments[0], context.get_value_type(signature.return_type))

    return Lanes(number)(number), generate


def _halved(builder: Any, whole: Any, joined: Callable[[Any, Any], Any]) -> Any:
    """The number that is left of all lanes when halves are joined again and again."""
    count = whole.type.count
    while count > 1:
        count //= 2
        halves = [ir.Constant(ir.VectorType(ir.IntType(32), count), [*range(at, at + count)]) for at in (0, count)]
        whole = joined(*(builder.shuffle_vector(whole, whole, half) for half in halves))
    return builder.extract_element(whole, ir.IntType(32)(0))


@intrinsic
def total(context: Any, lanes: Any) -> Any:
    """The sum of all lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _halved(builder, arguments[0], builder.fadd)

    return lanes.number(lanes), generate


def _larger(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


@intrinsic
def larger(context: Any, a: Any, b: Any) -> Any:
    """The larger number of each pair; b where one is NaN."""
    return a(a, a), lambda context, builder, signature, arguments: _larger(builder, *arguments)


@intrinsic
def largest(context: Any, lanes: Any) -> Any:
    """The largest of all lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _halved(builder, arguments[0], lambda a, b: _larger(builder, a, b))

    return lanes.number(lanes), generate


PIECE = 4096  # numbers that are added in their own type; the sums of pieces are added in float64


@exact
def sum_of_many(values: Any, start: Any, stop: Any) -> Any:
    """Σ of values[start:stop], in their type."""
    t, lanes = values.dtype.type, BYTES // values.itemsize
    zero, value = spread(t(0)), 0.0
    for begin in range(start, stop, PIECE):
        end, even, odd = min(begin + PIECE, stop), zero, zero
        for j in range(begin, end, 2 * lanes):
            even = even + load(values, j, end - j, zero)
            odd = odd + load(values, j + lanes, end - j - lanes, zero)
        value += total(even + odd)
    return t(value)


@exact
def largest_of_many(values: Any, start: Any, stop: Any) -> Any:
    """The largest of values[start:stop]."""
    lanes, found = BYTES // values.itemsize, spread(values[start])
    for j in range(start, stop, lanes):
        found = larger(load(values, j, stop - j, found), found)
    return largest(found)
