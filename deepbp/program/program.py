"""A training step as a list of instructions: layers, loss and optimizer each add their own.

Nothing here imports Numba before a program is assembled.
"""

import ctypes
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import attrs
import numpy as np
from attrs import define, field

from deepbp.kernels.blocks import LONG_BATCH
from deepbp.kernels.numpy_product import PANEL, TERMS
from deepbp.parameters import Buffer, Parameter, changes
from deepbp.program import products
from deepbp.program.layout import (
    DOT,
    FIRST,
    FLUSH,
    FLUSH_BITS,
    GEMM,
    GEMV,
    INSTRUCTIONS,
    KERNEL,
    LENGTH,
    LOSSES,
    RATES,
    REALS,
    STEP,
    STEPS,
    VALUE,
    WHOLES,
    NotLoweredError,
    address_of,
    blas_addresses,
)
from deepbp.program.store import kernel_address
from deepbp.typing import Array, Shape

Row: TypeAlias = tuple[Any, ...]
"""The name of an instruction, or a function of Python, and its operands: arrays, and whole or real numbers."""


@define(eq=False)
class Slot:
    """The output of a layer in a program: memory for the values of a batch, and for their error signal.

    Attributes:
        value: (rows, …), written by every step.
        delta: of the same shape, None where nothing below is trained.
    """

    value: Array
    delta: Array | None

    @property
    def width(self) -> int:
        """The number of values of each sample."""
        return int(np.prod(self.value.shape[1:], dtype=int))


@define(eq=False)
class Program:
    """The instructions of a step, or of a prediction, with a fixed number of rows.

    A layer's ``lower`` adds instructions of the forward pass with ``then``, and those of the backward pass with
    ``on_the_way_back``, which run in reverse order of the layers.
    """

    dtype: np.dtype[Any]
    rows: int
    training: bool = True
    """Whether layers are lowered with their backward pass; else for inference."""
    plans: bool = False
    """Whether it only finds out which layers run in Python: nothing is compiled, and nothing can run."""
    error: BaseException | None = field(default=None, init=False)
    """What a function of Python has raised in the last run."""
    penalties: list[float] = field(factory=list, init=False)
    """The penalties of layers that the losses of the last run include, one for each step."""
    context: Array = field(init=False)
    written: set[Parameter] = field(factory=set, init=False)
    """The parameters whose gradients instructions write, without their own bookkeeping."""
    accumulated: set[Parameter] = field(factory=set, init=False)
    """The parameters whose gradients layers accumulate in functions of Python."""
    names: list[str] = field(factory=list, init=False)
    """The names of the layers, and of the loss, that run as functions of Python."""
    in_python: list[Any] = field(factory=list, init=False)
    """The layers that run as functions of Python."""
    listing: list[str] = field(factory=list, init=False)
    """The names of all instructions, in their order."""
    bytes: int = field(default=0, init=False)
    """The memory for batches."""
    calls_python: bool = field(default=False, init=False)
    """Whether anything runs in Python."""
    at_end: list[Row] = field(factory=list, init=False)
    """The instructions that change buffers."""
    drawn: dict[np.random.Generator, int] = field(factory=dict, init=False)
    """The numbers that instructions draw in a step."""
    threads: AbstractContextManager[object] | None = None
    """The context in which it runs, such as one in which the BLAS has one thread."""
    _forward: list[Row] = field(factory=list, init=False)
    _backward: list[tuple[Row, ...]] = field(factory=list, init=False)
    _penalties_of_layers: list[Callable[[], float]] = field(factory=list, init=False)
    _lowered: list[tuple[Any, list[Any]]] = field(factory=list, init=False)  # layers with instructions, as they were
    _seen: object = field(init=False)  # the last change of any layer or parameter that was looked at
    _held: list[Any] = field(factory=list, init=False)  # what instructions have addresses of
    _scratches: dict[int, Array] = field(factory=dict, init=False)
    _machine: Any = field(default=None, init=False)
    _arguments: tuple[ctypes.c_int64, ...] = field(default=(), init=False)

    def __attrs_post_init__(self) -> None:
        self.context = np.zeros(LENGTH, np.int64)
        if not self.plans:
            found = blas_addresses(self.dtype)
            if found is None:
                raise NotLoweredError("the BLAS of this NumPy has no interface that deepbp knows")
            self.context[[GEMM, GEMV, DOT]] = found
        self.context[FLUSH] = FLUSH_BITS if self.training else 0  # predictions keep subnormal numbers
        self._seen = changes.latest

    @property
    def numbers(self) -> Array:
        """The context as real numbers."""
        return self.context.view(np.float64)

    def array(self, shape: Shape, dtype: Any = None) -> Array:
        """New memory for a batch."""
        made = np.zeros((self.rows, *shape), self.dtype if dtype is None else dtype)
        self.bytes += made.nbytes
        return made

    def gather(self, place: int, target: Array) -> None:
        """Copy the rows of a batch, from the array that this place of the context says."""
        self.then("gather" if target.dtype == self.dtype else "gather_labels", place, target, target[0].size)

    def slot(self, shape: Shape, needs_delta: bool) -> Slot:
        """Memory for the output of a layer, and for its error signal."""
        return Slot(self.array(shape), self.array(shape) if needs_delta else None)

    def begin(self, *row: Any) -> None:
        """Add an instruction before all others."""
        self._forward.insert(0, row)

    def then(self, *row: Any) -> None:
        """Add an instruction to the forward pass."""
        self._forward.append(row)

    def on_the_way_back(self, *rows: Row) -> None:
        """Add the instructions of a layer's backward pass."""
        self._backward.append(rows)

    def trains(self, parameter: Parameter | None, by: set[Parameter]) -> bool:
        """Note that a gradient is computed, by instructions or in Python; False for a frozen parameter."""
        if parameter is None or parameter.frozen or not self.training:
            return False
        if parameter in self.written or parameter in self.accumulated:
            raise NotLoweredError("a parameter is used more than once")
        by.add(parameter)
        return True

    def lower(self, layer: Any, x: Slot) -> Slot:
        """Let a layer add its instructions. Its class may have a field of the name ``lower``: then the default does."""
        return self._lower(layer, "lower", x)

    def lower_predict(self, layer: Any, x: Slot) -> Slot:
        """Let a layer add the instructions of its inference pass."""
        return self._lower(layer, "lower_predict", x)

    def _lower(self, layer: Any, name: str, x: Slot) -> Slot:
        method, penalties = getattr(type(layer), name), len(self._penalties_of_layers)
        self._lowered.append((layer, _fields(layer)))
        lowered: Any = method(layer, self, x) if callable(method) else self.layer(layer, x)
        inside = self._penalties_of_layers[penalties:]
        if len(inside) > 1:  # a composite adds those of its layers first
            self._penalties_of_layers[penalties:] = [lambda: _total(inside)]
        return lowered  # type: ignore[no-any-return]

    def layer(self, layer: Any, x: Slot) -> Slot:
        """Two functions of Python that call the layer's own forward and backward pass: the default."""
        trained = [self.trains(parameter, self.accumulated) for parameter in layer.parameters()]
        needs_delta = self.training and (any(trained) or x.delta is not None)
        shape = None if layer.built is None else layer.built.output_shapes.get(x.value.shape[1:])
        if shape is None:
            raise NotLoweredError(f"{type(layer).__name__} was not built for samples of shape {x.value.shape[1:]}")
        y = self.slot(shape, needs_delta)
        while self._lowered and self._lowered[-1][0] is layer:  # its own passes see whatever changes
            self._lowered.pop()
        self.names.append(type(layer).__name__)
        self.in_python.append(layer)
        given = _given_to(layer, *layer.named_layers().values())
        saved: list[Any] = [None]

        def forward() -> None:
            output, saved[0] = layer._run_forward(given(x.value))
            _copy(output, y.value)

        def backward() -> None:
            if x.delta is None:
                layer._run_backward_parameters(saved[0], given(y.delta))
            else:
                _copy(layer._run_backward(saved[0], given(y.delta)), x.delta)

        if not self.training:
            self.then(lambda: _copy(layer._run_predict(given(x.value)), y.value))
            return y
        self.then(forward)
        if layer.has_penalty():
            self.penalize(lambda: layer.penalty(saved[0]))
        if y.delta is not None:
            self.on_the_way_back((backward,))
        return y

    def when_complete(self, *row: Any) -> None:
        """Add an instruction that runs after the step was found finite, before the update, to change what is kept."""
        self.at_end.append(row)

    def draws(self, generator: np.random.Generator, count: int) -> None:
        """Note that an instruction draws so many numbers of float32 from a generator."""
        self.drawn[generator] = self.drawn.get(generator, 0) + count

    def penalize(self, penalty: Callable[[], float]) -> None:
        """Note a penalty, which this function returns after the forward pass of a layer."""
        self._penalties_of_layers.append(penalty)

    def add_penalties(self) -> None:
        """Add the penalties of layers, if there are any, to the loss."""

        def add() -> None:
            self.penalties.append(_total(self._penalties_of_layers))
            self.numbers[VALUE] += self.penalties[-1]

        if self._penalties_of_layers:
            self.then(add)

    def dense(self, x: Slot, weight: Parameter, bias: Parameter | None) -> Slot:
        """z = x W + b."""
        inputs, outputs = weight.value.shape
        needs_weight, needs_bias = (self.trains(parameter, self.written) for parameter in (weight, bias))
        z = self.slot((outputs,), self.training and (needs_weight or needs_bias or x.delta is not None))
        sizes = (self.rows, inputs, outputs, self.dtype)
        self.then(*self._product("product", sizes, x.value, weight.value, z.value))
        if bias is not None:
            self.then("add_bias", z.value, bias.value, outputs)
        back: list[Row] = []
        if z.delta is None:
            return z
        if needs_weight:
            back.append(self._product("gradient", sizes, x.value, z.delta, weight._grad_array()))
        if needs_bias and bias is not None:
            if self.rows > LONG_BATCH:
                raise NotLoweredError("the gradient of a bias is summed in pieces for so many rows")
            back.append(("column_sum", z.delta, bias._grad_array(), outputs))
        if x.delta is not None:
            back.append(self._product("moved", sizes, z.delta, weight.value, x.delta))
        self.on_the_way_back(*back)
        return z

    def _product(self, kind: str, sizes: products.Sizes, a: Array, b: Array, out: Array) -> Row:
        """The instruction of a product that gives the very bits that NumPy's product gives."""
        if self.plans:
            return (kind,)
        if (numbers := products.in_tiles(kind, sizes)) is not None:
            return ("product_in_tiles", a, b, out, self.scratch(TERMS * PANEL // self.dtype.itemsize), *numbers)
        name = products.quickest(kind, sizes)
        if name is None:
            return (lambda: products.in_numpy(kind, a, b, out),)
        row = (name, a, b, out, *sizes[1:3])
        return (*row, self.scratch(products.scratch_size(*sizes[1:3]))) if name in products.WITH_SCRATCH else row

    def scratch(self, size: int) -> Array:
        """Memory for an instruction alone, which all of one size share, so that it stays in the cache."""
        return self._scratches.setdefault(size, np.empty(size, self.dtype))

    def loss(self, loss: Any, prediction: Slot, target: Array, weight: Array | None = None) -> None:
        """A function of Python that calls the loss's own forward and backward pass: the default."""
        self.names.append(type(loss).__name__)
        self.then(self._passes_of(loss, prediction, target, weight))

    def function_of(self, loss: Any, prediction: Slot, target: Array, weight: Array | None = None) -> int:
        """The address of that function, for an instruction that calls it for some batches only."""
        self.calls_python = True
        return self._function(self._passes_of(loss, prediction, target, weight))

    def _passes_of(self, loss: Any, prediction: Slot, target: Array, weight: Array | None) -> Callable[[], object]:
        def run() -> None:
            own = None if weight is None else weight.copy()  # a loss may keep what it gets
            value, saved = loss.forward(prediction.value.copy(), target.copy(), own)
            self.numbers[VALUE] = value
            if self.training and prediction.delta is not None:
                _copy(loss.backward(saved), prediction.delta)

        return run

    def squared_error(
        self, loss: Any, prediction: Slot, target: Array, weight: Array | None, scale: float
    ) -> None:  # fmt: skip
        """scale · Σ (ŷ − y)², or the mean of the squares for a scale of 0."""
        z, weights = prediction.value, self.weights(weight, prediction.value)
        if weights is None or target.shape != z.shape or target.dtype != self.dtype:
            self.loss(loss, prediction, target, weight)
        elif weight is None:
            self.then("squared_error", z, target, prediction.delta, prediction.width, scale)
        else:
            self.then("weighted_squared_error", z, target, prediction.delta, prediction.width, *weights, scale)

    def weights(self, weight: Array | None, values: Array) -> tuple[Any, int] | None:
        """Operands that weight the values of a loss: weights, 0 for none, and how many neighbouring values share one.

        None where they do not fit, so that the loss raises, or computes in another dtype.
        """
        if weight is None:
            return 0, 1
        fits = weight.dtype == self.dtype and weight.ndim > 0 and weight.shape == values.shape[: weight.ndim]
        return (weight, values.size // weight.size) if fits else None

    def activation(self, forward: Row, backward: Row, z: Slot, of_input: bool = False) -> Slot:
        """y = f(z). Rows are names and settings; backward is in terms of y, or of z with ``of_input``."""
        y = Slot(self.array(z.value.shape[1:]), z.delta)  # not z's own memory: loops would not be vectorized
        (name, *settings), (name_of_backward, *settings_of_backward) = forward, backward
        self.then(name, z.value, y.value, z.width, *settings)
        if y.delta is not None:
            saved = z.value if of_input else y.value
            self.on_the_way_back((name_of_backward, saved, y.delta, z.width, *settings_of_backward))
        return y

    def by_features(self, name: str, x: Array, y: Array, *of_features: Array) -> Row:
        """The instruction for y = f(x) with one or two numbers of each feature, or of all."""
        width = of_features[0].size
        return (name, x, of_features[0], of_features[-1], y, x[0].size // width, width)

    def with_slope(self, z: Slot, backward: str = "scaled") -> tuple[Slot, Array]:
        """Memory for an output y of z's shape, which the layer writes, and for a factor of its error signal."""
        y, slope = Slot(self.array(z.value.shape[1:]), z.delta), self.array(z.value.shape[1:])
        if y.delta is not None:
            self.on_the_way_back((backward, slope, y.delta, z.width))
        return y, slope

    def assemble(self, update: Sequence[Row] = ()) -> None:
        """Make the code of all instructions, with ``update`` at the end."""
        rows = [*self._forward, *(row for group in reversed(self._backward) for row in group), *update]
        code, reals = np.zeros((len(rows), WHOLES), np.int64), np.zeros((len(rows), REALS))
        for place, row in enumerate(rows):
            name, *operands = row if isinstance(row[0], str) else ("python", self._function(row[0]))
            whole = [operand for operand in operands if not isinstance(operand, float)]
            own = [operand for operand in operands if isinstance(operand, float)]
            self.listing.append(name)
            code[place, 0] = kernel_address(name, self.dtype)
            code[place, 1 : 1 + len(whole)] = [address_of(operand) for operand in whole]
            reals[place, : len(own)] = own
            self._held += whole
        self._held += [code, reals]
        self.calls_python |= any(callable(row[0]) for row in rows)
        self.context[INSTRUCTIONS] = len(rows)
        self._machine = KERNEL(kernel_address("machine", self.dtype))
        places = (address_of(code), address_of(reals), self.rows, address_of(self.context))
        self._arguments = tuple(map(ctypes.c_int64, places))  # converted once: each would take 0.1 µs in each call

    def _function(self, function: Callable[[], object]) -> int:
        def guarded(operands: int, reals: int, rows: int, place: int) -> int:
            try:
                function()
            except BaseException as error:
                self.error = error
                return 1
            return 0

        made = KERNEL(guarded)
        self._held.append(made)
        return ctypes.cast(made, ctypes.c_void_p).value or 0

    def prepare(self, rates: Array, losses: Array) -> None:
        """Set the number of the next steps, their rates, and where their losses are written."""
        self.context[[STEPS, RATES, LOSSES]] = len(rates), address_of(rates), address_of(losses)

    def run(self, first: int, count: int) -> int:
        """Run the steps, from sample ``first`` of the epoch on, after ``count`` updates.

        Returns how many were complete.
        """
        context = self.context
        context[FIRST], context[STEP] = first, count
        self.error = None
        self.penalties.clear()
        if self.threads is None:
            made: int = self._machine(*self._arguments)
        else:
            with self.threads:
                made = self._machine(*self._arguments)
        return made

    def is_current(self) -> bool:
        """Whether instructions still have the addresses of all arrays, and the settings of all layers.

        That costs one comparison, unless something has changed in any network.
        """
        if (latest := changes.latest) is not self._seen:
            for layer, before in self._lowered:
                now = _fields(layer)
                if len(now) != len(before) or any(one is not other for one, other in zip(now, before, strict=True)):
                    return False
            self._seen = latest
        return True


def _fields(layer: Any) -> list[Any]:
    """What instructions of a layer may depend on: its settings, and the arrays of its parameters and buffers."""
    found: list[Any] = []
    for attribute in attrs.fields(type(layer)):
        value = getattr(layer, attribute.name, None)
        if isinstance(value, Parameter | Buffer):
            found += (value, value.value, value.frozen)
        elif not attribute.name.startswith("_"):
            found.append(value)
    return found


def _given_to(*layers: Any) -> Callable[[Any], Any]:
    """How arrays are given to layers: as copies, which may be kept, unless all of the layers are deepbp's own."""
    own = all(type(layer).__module__.partition(".")[0] == "deepbp" for layer in layers)
    return (lambda array: array) if own else np.copy


def _total(penalties: list[Callable[[], float]]) -> float:
    total = 0.0
    for penalty in penalties:  # the built-in sum would not round as layers do
        total += penalty()
    return total


def _copy(output: Array, place: Array) -> None:
    if output.shape != place.shape or output.dtype != place.dtype:
        raise NotLoweredError(f"an array of shape {output.shape} and dtype {output.dtype} does not fit the program")
    place[...] = output
