"""Vectors for compiled kernels: the instructions that work on as many numbers at once as a register holds.

Numba vectorises simple loops by itself, and not those in which a tile of results stays in registers while a product is
summed. Such tiles are written here as LLVM instructions, by functions decorated with Numba's ``intrinsic``. The numbers
of an array that do not fill a vector are left out by a mask.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import factorial, floor, log
from typing import Any

import llvmlite
import numpy as np
from llvmlite import ir
from llvmlite.ir.values import MDValue
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target

from deepbp.kernels.numba_lanes import intrinsic, untyped
from deepbp.kernels.numba_math import inner, merged

FEATURES = frozenset(untyped(cpu_target).target_context.codegen().magic_tuple()[2].split(","))
"""What the processor that code is compiled for can do, such as "+avx512f"."""

MANY = "+avx512f" in FEATURES
"""Whether there are 32 registers of 64 bytes; others are taken to have 16 of 32 bytes."""

BYTES = 64 if MANY else 32
LINE = 64  # bytes of a line of the cache
FUSED = "+fma" in FEATURES or not any(feature.startswith("+sse") for feature in FEATURES)

WHOLE, SHORT = ir.IntType(64), ir.IntType(32)
I64 = types.int64
OPAQUE = tuple(map(int, llvmlite.__version__.split(".")[:2])) >= (0, 44)  # pointers have no type in LLVM's names


class _Rolled(MDValue):  # type: ignore[misc]  # llvmlite has no types
    """Metadata of a loop that LLVM does not unroll: a distinct node, which begins with itself, as LLVM asks for."""

    def __init__(self, module: Any) -> None:
        property_ = module.add_metadata(["llvm.loop.unroll.disable"])
        untyped(super().__init__)(module, [property_], str(len(module.metadata)))

    def descr(self, buf: list[str]) -> None:
        buf += (f"distinct !{{ {self.get_reference()}, {self.operands[0].get_reference()} }}", "\n")


class Vectors:
    """Writes vector instructions at the place where an intrinsic is called.

    Pointers step in numbers. A mask, from ``mask``, leaves out the lanes behind the end of an array.
    """

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.context, self.builder, self.signature, self.arguments = context, builder, signature, arguments
        is_short = signature.args[0].dtype == types.float32
        self.is_short, self.lanes = is_short, BYTES // (4 if is_short else 8)
        self.number = ir.FloatType() if is_short else ir.DoubleType()
        self.vector = ir.VectorType(self.number, self.lanes)
        self.kind = f"v{self.lanes}f{32 if is_short else 64}"

    # Addresses and loops.

    def array(self, argument: int, index: Any = 0) -> Any:
        """A pointer to a number of the array that is this argument."""
        kind, value = self.signature.args[argument], self.arguments[argument]
        return self.at(self.context.make_array(kind)(self.context, self.builder, value).data, index)

    def whole(self, value: Any) -> Any:
        return ir.Constant(WHOLE, value) if isinstance(value, int) else value

    def at(self, pointer: Any, *steps: Any) -> Any:
        """The pointer, some numbers on."""
        for step in steps:
            pointer = self.builder.gep(pointer, [self.whole(step)])
        return pointer

    def times(self, a: Any, b: Any) -> Any:
        return self.builder.mul(self.whole(a), self.whole(b))

    def plus(self, a: Any, b: Any) -> Any:
        return self.builder.add(self.whole(a), self.whole(b))

    @contextmanager
    def loop(self, count: Any) -> Iterator[Any]:
        """A loop over 0 … count − 1, ``with v.loop(count) as turn``: ``turn.index``.

        LLVM does not unroll it: two turns of a tile at once need more vectors than there are registers, so that some
        would be kept in memory.
        """
        with cgutils.for_range(self.builder, count) as turn:
            yield turn
            body = self.builder.basic_block
        body.terminator.set_metadata("llvm.loop", _Rolled(self.builder.module))

    def over(self, count: Any, body: Callable[[Any, Any], None]) -> None:
        """``body(first, mask)`` for each vector of so many numbers; the mask is None where all lanes are numbers.

        Many processors that have no masks among their registers take as long for a masked store as for ten others.
        """
        if MANY:
            with self.loop(self.chunks(count)) as turn:
                first = self.times(turn.index, self.lanes)
                body(first, self.mask(self.builder.sub(count, first)))
            return
        full = self.builder.sdiv(count, self.whole(self.lanes))
        with self.loop(full) as turn:
            body(self.times(turn.index, self.lanes), None)
        first = self.times(full, self.lanes)
        with self.builder.if_then(self.builder.icmp_signed("<", first, count)):
            body(first, self.mask(self.builder.sub(count, first)))

    def chunks(self, length: Any) -> Any:
        """The number of vectors that hold this many numbers."""
        return self.builder.sdiv(self.plus(length, self.lanes - 1), self.whole(self.lanes))

    # Registers.

    def variable(self, value: Any) -> Any:
        """A variable; of vectors that no other code sees, LLVM makes registers."""
        place = untyped(cgutils.alloca_once)(self.builder, value.type)
        self.builder.store(value, place)
        return place

    def mask(self, columns: Any) -> Any:
        """For the lanes 0 … columns − 1."""
        kind, most = ir.VectorType(SHORT, self.lanes), self.whole(self.lanes)
        few = self.builder.select(self.builder.icmp_signed("<", columns, most), columns, most)
        left = self._spread(self.builder.trunc(few, SHORT), kind)
        return self.builder.icmp_signed("<", ir.Constant(kind, list(range(self.lanes))), left)

    def load(self, pointer: Any, mask: Any = None) -> Any:
        place = self.builder.bitcast(pointer, self.vector.as_pointer())
        if mask is None:
            return self.builder.load(place, align=self._align())
        zero, align = ir.Constant(self.vector, None), ir.Constant(SHORT, self._align())
        return self.call(f"llvm.masked.load.{self.kind}.{self._place()}", self.vector, place, align, mask, zero)

    def store(self, value: Any, pointer: Any, mask: Any = None) -> None:
        place = self.builder.bitcast(pointer, self.vector.as_pointer())
        if mask is None:
            self.builder.store(value, place, align=self._align())
        else:
            name, align = f"llvm.masked.store.{self.kind}.{self._place()}", ir.Constant(SHORT, self._align())
            self.call(name, ir.VoidType(), value, place, align, mask)

    def fetch(self, *pointers: Any) -> None:
        """Fetch what is needed soon into the nearest cache; not with AVX-512, where it took as long.

        Nothing is read: the numbers may lie behind the end of an array.
        """
        name, kind = f"llvm.prefetch.{'p0' if OPAQUE else 'p0i8'}", ir.IntType(8).as_pointer()
        for pointer in () if MANY else pointers:
            place = self.builder.bitcast(pointer, kind)
            self.call(name, ir.VoidType(), place, *(ir.Constant(SHORT, value) for value in (0, 3, 1)))

    def _align(self) -> int:
        return 4 if self.is_short else 8

    def _place(self) -> str:
        return "p0" if OPAQUE else f"p0{self.kind}"

    def spread(self, value: Any) -> Any:
        """One number in all lanes; a float64 becomes a number of the array's type."""
        if value.type == ir.DoubleType() and self.is_short:
            value = self.builder.fptrunc(value, self.number)
        return self._spread(value, self.vector)

    def spread_from(self, pointer: Any) -> Any:
        """The number at a pointer in all lanes."""
        return self._spread(self.builder.load(pointer), self.vector)

    def _spread(self, value: Any, kind: Any) -> Any:
        nothing = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(nothing, value, ir.Constant(SHORT, 0))
        order = ir.Constant(ir.VectorType(SHORT, kind.count), [0] * kind.count)
        return self.builder.shuffle_vector(first, nothing, order)

    def same(self, value: float) -> Any:
        """A constant in all lanes."""
        return ir.Constant(self.vector, [value] * self.lanes)

    def call(self, name: str, result: Any, *arguments: Any) -> Any:
        """A call of a function of LLVM."""
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        return self.builder.call(untyped(cgutils.get_or_insert_function)(self.builder.module, kind, name), arguments)

    # Arithmetic.

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """a · b + c, in one rounding where the processor can."""
        if not FUSED:
            return self.builder.fadd(self.builder.fmul(a, b), c)
        return self.call(f"llvm.fma.{self.kind}", self.vector, a, b, c)

    def add_product(self, a: Any, b: Any, total: Any) -> None:
        """total += a · b, for a variable."""
        self.builder.store(self.fma(a, b, self.builder.load(total)), total)

    def product(self, first: Any, *others: Any) -> Any:
        for other in others:
            first = self.builder.fmul(first, other)
        return first

    def sum(self, value: Any) -> Any:
        """Σ over the lanes."""
        return self._halved(value, self.builder.fadd)

    def largest(self, value: Any) -> Any:
        """The largest of the lanes."""
        return self._halved(value, lambda a, b: self.builder.select(self.builder.fcmp_ordered(">", a, b), a, b))

    def _halved(self, value: Any, join: Callable[[Any, Any], Any]) -> Any:
        """Join both halves of the lanes until one number is left; LLVM's own sum adds one lane after the other."""
        count = self.lanes
        while count > 1:
            count //= 2
            parts = [ir.Constant(ir.VectorType(SHORT, count), [*range(at, at + count)]) for at in (0, count)]
            value = join(*(self.builder.shuffle_vector(value, value, part) for part in parts))
        return self.builder.extract_element(value, SHORT(0))

    def transposed(self, square: list[Any]) -> list[Any]:
        """The columns of as many vectors as a vector has lanes: pairs of them exchange halves, quarters, and so on."""
        rows, distance = list(square), 1
        while distance < self.lanes:
            for i in (i for i in range(self.lanes) if not i & distance):
                pair = rows[i], rows[i + distance]
                lanes = [k if not k & distance else self.lanes + k - distance for k in range(self.lanes)]
                others = [lane + distance for lane in lanes]
                for at, order in ((i, lanes), (i + distance, others)):
                    chosen = ir.Constant(ir.VectorType(SHORT, self.lanes), order)
                    rows[at] = self.builder.shuffle_vector(*pair, chosen)
            distance *= 2
        return rows

    def minus_size(self, x: Any, factor: float = 1.0) -> Any:
        """−factor · |x|."""
        return self.builder.fmul(self.call(f"llvm.fabs.{self.kind}", self.vector, x), self.same(-factor))

    def _reduced(self, x: Any) -> tuple[Any, Any]:
        """2ⁿ and r with eˣ = 2ⁿ eʳ, as in ``numba_math.exp_negative``, for results that are no subnormal numbers."""
        b, is_short = self.builder, self.is_short
        mantissa, bits, bias, least = (23, 9, 127, -87.0) if is_short else (52, 32, 1023, -708.0)
        high = floor(log(2) * 2**bits) / 2**bits
        rest = 0.0017409305599453094 if is_short else 1.9082149292705877e-10  # ln 2 − high
        lowest, to_whole = self.same(least), self.same(1.5 * 2**mantissa)
        x = b.select(b.fcmp_ordered("<", x, lowest), lowest, x)
        shifted = b.fadd(b.fmul(x, self.same(1 / log(2))), to_whole)
        n = b.fsub(shifted, to_whole)
        r = self.fma(n, self.same(-rest), self.fma(n, self.same(-high), x))
        whole = ir.VectorType(ir.IntType(32 if is_short else 64), self.lanes)
        exponent = b.add(b.bitcast(shifted, whole), ir.Constant(whole, [bias] * self.lanes))
        return b.bitcast(b.shl(exponent, ir.Constant(whole, [mantissa] * self.lanes)), self.vector), r

    def _taylor(self, r: Any, first: int) -> Any:
        """Σ rᵏ / (k + first)!, from k = 0 on."""
        degree = 7 if self.is_short else 13
        total = self.same(1 / factorial(degree))
        for k in range(degree - 1, first - 1, -1):
            total = self.fma(total, r, self.same(1 / factorial(k)))
        return total

    def exp_negative(self, x: Any) -> Any:
        """eˣ for x ≤ 0; at least about 10⁻³⁸ in float32, and 10⁻³⁰⁷ in float64."""
        scale, r = self._reduced(x)
        return self.builder.fmul(scale, self._taylor(r, 0))

    def sigmoid(self, x: Any) -> Any:
        """1 / (1 + e⁻ˣ), from e^−|x|, which does not overflow."""
        b, one = self.builder, self.same(1.0)
        e = self.exp_negative(self.minus_size(x))
        return b.fdiv(b.select(b.fcmp_ordered("<", x, self.same(0.0)), e, one), b.fadd(one, e))

    def tanh(self, x: Any) -> Any:
        """tanh |x| = −e / (2 + e) with e = e^(−2|x|) − 1, whose digits near 0 are kept, and the sign of x."""
        b, one = self.builder, self.same(1.0)
        scale, r = self._reduced(self.minus_size(x, 2.0))
        e = self.fma(scale, b.fmul(r, self._taylor(r, 1)), b.fsub(scale, one))
        y = b.fdiv(b.fneg(e), b.fadd(self.same(2.0), e))
        return self.call(f"llvm.copysign.{self.kind}", self.vector, y, x)

    def sigmoid_slope(self, y: Any) -> Any:
        """y(1 − y)."""
        return self.builder.fmul(y, self.builder.fsub(self.same(1.0), y))

    def tanh_slope(self, y: Any) -> Any:
        """1 − y²."""
        return self.fma(self.builder.fneg(y), y, self.same(1.0))


@intrinsic
def lanes(context: Any, array: Any) -> Any:
    """The number of numbers in a vector of the array's type."""
    count = BYTES // (4 if array.dtype == types.float32 else 8)
    return I64(array), lambda context, builder, signature, arguments: ir.Constant(WHOLE, count)


@inner
def scratch(count: Any, like: Any) -> Any:
    """An array of this many numbers of the type of another, whose vectors do not cross lines of the cache."""
    room = np.empty(count + LINE // like.itemsize, like.dtype)
    start = -room.ctypes.data % LINE // like.itemsize
    return room[start : start + count]


@merged
def whole_vectors(count: Any, size: Any) -> Any:
    """The numbers of as many whole vectors as hold this many numbers."""
    return (count + size - 1) // size * size


@intrinsic
def _turn(context: Any, a: Any, at: Any, row: Any, rows: Any, columns: Any, out: Any, to: Any, wide: Any) -> Any:
    """A square of a, as many rows and columns as a vector has lanes, transposed; what a has not is 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v = Vectors(context, builder, signature, arguments)
        _, at, row, rows, columns, _, to, wide = arguments
        square = []
        for m in range(v.lanes):
            count = builder.select(builder.icmp_signed("<", v.whole(m), rows), columns, v.whole(0))
            square.append(v.load(v.array(0, v.plus(at, v.times(m, row))), v.mask(count)))
        for m, turned in enumerate(v.transposed(square)):
            v.store(turned, v.array(5, v.plus(to, v.times(m, wide))))
        return context.get_dummy_value()

    return types.void(a, I64, I64, I64, I64, out, I64, I64), generate


@merged
def transpose(a: Any, at: Any, row: Any, rows: Any, columns: Any, wide: Any, out: Any) -> None:
    """out (columns, wide) = aᵀ, where ``wide`` is at least the rows in whole vectors, as ``out`` has rows for them."""
    size = lanes(a)
    for i in range(0, rows, size):
        for j in range(0, columns, size):
            _turn(a, at + i * row + j, row, rows - i, columns - j, out, j * wide + i, wide)
