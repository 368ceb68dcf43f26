"""The layer under test: built, run and measured."""

from collections.abc import Callable
from copy import deepcopy
from math import prod
from typing import Any, TypeAlias

import attrs
import numpy as np
from attrs import define, field, frozen

from deepbp.errors import DataError
from deepbp.layers import Builder, Layer
from deepbp.testing.check import CheckFailure
from deepbp.testing.diagnosis import Measurement
from deepbp.testing.gradients import STEP, numeric_gradient
from deepbp.typing import Array, Shape

Inputs: TypeAlias = Callable[[np.random.Generator, Shape], Array]
"""Draws inputs of a shape that includes the batch axis."""


def standard_normal(rng: np.random.Generator, shape: Shape) -> Array:
    """What a layer is given unless it asks for something else."""
    return rng.standard_normal(shape)


@frozen
class Pass:
    """What one forward and one backward pass gave."""

    output: Array
    moved: Array
    gradients: dict[str, Array]


@define(eq=False)
class Specimen:
    """A built copy of the layer, which can be taken back to the moment after it was built.

    What passes may change, and what is taken back, are its buffers and the states of its random generators.
    """

    layer: Layer[Any]
    generator: np.random.Generator
    _buffers: list[Array] = field(init=False)
    _states: list[Any] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._buffers = [buffer.value.copy() for buffer in self.layer.named_buffers().values()]
        self._states = [deepcopy(generator.bit_generator.state) for generator in self._generators()]

    @property
    def output_shape(self) -> Shape:
        assert self.layer.built is not None
        return self.layer.built.output_shape

    def start_again(self) -> None:
        """Take the buffers and the random generators back to where they were, and clear the gradients."""
        for buffer, value in zip(self.layer.named_buffers().values(), self._buffers, strict=True):
            buffer.value = value
        for generator, state in zip(self._generators(), self._states, strict=True):
            generator.bit_generator.state = state
        for parameter in self.layer.parameters():
            parameter.clear_grad()

    def forward(self, x: Array) -> Array:
        """The output from a fresh start: the same for the same x, for random layers too.

        This and the methods below hand out copies, so that a layer that writes into them fails one check, not all.
        """
        self.start_again()
        return self.layer.forward(x.copy())[0]

    def outcome(self, x: Array) -> tuple[Array, float]:
        """The output from a fresh start, and what the layer adds to the loss by itself."""
        self.start_again()
        output, saved = self.layer.forward(x.copy())
        output, penalty = output.copy(), self.layer.penalty(saved)
        if not isinstance(penalty, float):
            raise CheckFailure(f"penalty: expected a float, what is added to the loss, returned {penalty!r}")
        return output, penalty

    def predict(self, x: Array) -> Array:
        """The inference pass as a network runs it: ``infer``, which is ``predict`` but for a network's own door."""
        return self.layer.infer(x.copy())

    def run(self, x: Array, delta: Array) -> Pass:
        """Forward and backward from a fresh start."""
        self.start_again()
        output, saved = self.layer.forward(x.copy())
        output = output.copy()
        moved = self.layer.backward(saved, delta.copy())
        return Pass(output, moved, self.gradients())

    def gradients(self) -> dict[str, Array]:
        """What was accumulated, copied."""
        return {name: parameter.grad.copy() for name, parameter in self.layer.named_parameters().items()}

    def delta(self, x: Array, rng: np.random.Generator) -> Array:
        """A random error signal: ones would hide mistakes, for the gradient of a sum of softmax outputs is zero."""
        return rng.standard_normal((len(x), *self.output_shape)).astype(self.dtype)

    @property
    def dtype(self) -> np.dtype[Any]:
        assert self.layer.built is not None
        return self.layer.built.dtype

    def is_random(self, x: Array) -> bool:
        """Whether two training passes over the same input differ."""
        self.start_again()
        first, second = self.layer.forward(x.copy())[0].copy(), self.layer.forward(x.copy())[0]
        return not np.array_equal(first, second, equal_nan=True)

    def is_plain(self, x: Array) -> bool:
        """Whether the training pass is a function of the parameters and of each sample alone, as far as can be seen:
        a layer with buffers may look at the whole batch, a random one differs each time.
        """
        return not self.layer.named_buffers() and not self.is_random(x)

    def _generators(self) -> list[np.random.Generator]:
        found = [self.generator]
        for layer in (self.layer, *self.layer.named_layers().values()):
            values = (getattr(layer, a.name, None) for a in attrs.fields(type(layer)))
            found += [value for value in values if isinstance(value, np.random.Generator)]
        return list({id(generator): generator for generator in found}.values())


@frozen
class LayerCase:
    """A layer's configuration and sample shape, from which every check makes what it needs, always the same."""

    prototype: Layer[Any]
    input_shape: Shape
    seed: int
    inputs: Inputs = standard_normal

    @property
    def rows(self) -> int:
        """A batch size that is not one of the other sizes, so that messages can tell which size is meant."""
        sizes = {*self.input_shape, prod(self.input_shape)}
        return next(size for size in (5, 7, 11, 13) if size not in sizes or size == 13)

    def rng(self, stream: int = 0) -> np.random.Generator:
        return np.random.default_rng([self.seed, stream])

    def unbuilt(self) -> Layer[Any]:
        """A copy, to be built."""
        layer = deepcopy(self.prototype)
        for inner in (layer, *layer.named_layers().values()):
            inner.built = None  # a network may have been built when it was made
        return layer

    def build(self, dtype: str = "float64", *, seed: int = 0, move: bool = True) -> Specimen:
        """A fresh copy, built; parameters that all start alike are moved, so that no symmetry hides a mistake."""
        layer = self.unbuilt()
        generator = np.random.default_rng([self.seed, 1000 + seed])
        Builder(generator, dtype).build(layer, self.input_shape)
        if move:
            rng = self.rng(2000)
            for parameter in layer.parameters():
                value = parameter.value
                if value.size and (value == value.flat[0]).all():
                    parameter.value = value + 0.1 * rng.standard_normal(value.shape)
        return Specimen(layer, generator)

    def x(self, rows: int | None = None, stream: int = 0, dtype: str = "float64") -> Array:
        """Inputs: ``rows`` samples, others for each stream."""
        count = self.rows if rows is None else rows
        values = np.asarray(self.inputs(self.rng(stream), (count, *self.input_shape)))
        return values.astype(dtype) if values.dtype.kind == "f" else values

    def takes_real_numbers(self) -> bool:
        """False for layers that take indices: there is no gradient with respect to those."""
        return self.x(1).dtype.kind == "f"


def sizes(case: LayerCase, specimen: Specimen) -> dict[str, int]:
    """What the numbers that may show up as factors count."""
    sizes = {
        "the batch size": case.rows,
        "the number of a sample's inputs": prod(case.input_shape),
        "the number of a sample's outputs": prod(specimen.output_shape),
    }
    if len(case.input_shape) > 1:
        sizes["the length of the last axis"] = case.input_shape[-1]
    return sizes


UNPAID = "lacks the gradient of the penalty, which the layer adds to the loss: backward must add it, too"


def loss_of_input(specimen: Specimen, x: Array, delta: Array, *, price: float = 1.0) -> Callable[[Array], float]:
    """L(x) = Σ δ · (y(x) − y) + P(x) − P, with the penalty P that the layer itself adds to the loss, at this price.

    It has the same derivative as Σ δ · y(x) + P(x), with nothing lost where they stay as they are.
    """
    base, paid = specimen.outcome(x)

    def loss(moved: Array) -> float:
        output, penalty = specimen.outcome(moved)
        return float(np.vdot(delta, output - base)) + price * (penalty - paid)

    return loss


def magnitude(specimen: Specimen, x: Array, delta: Array) -> float:
    """Σ |δ · y| + |P|: what rounding in L is proportional to. |L| would be too small, as its terms cancel."""
    output, penalty = specimen.outcome(x)
    return float(np.abs(delta * output).sum()) + abs(penalty)


def movable(f: Callable[[Array], float], x: Array) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """The places at which x can be moved a little, and those at which the layer then refuses it with a DataError.

    That is how a layer of whole numbers shows that there is no derivative by those, also in a net that has others.
    """
    free, fixed = [], []
    for index in np.ndindex(x.shape):
        place, moved = tuple(map(int, index)), x.copy()
        moved[place] += STEP * max(1.0, abs(moved[place]))
        try:
            f(moved)
            free.append(place)
        except DataError:
            fixed.append(place)
    return free, fixed


def loss_of_parameter(
    specimen: Specimen, name: str, x: Array, delta: Array, *, price: float = 1.0
) -> Callable[[Array], float]:
    """The same as a function of a parameter's value."""
    parameter, loss_of = specimen.layer.named_parameters()[name], loss_of_input(specimen, x, delta, price=price)
    original = parameter.value.copy()

    def loss(value: Array) -> float:
        parameter.value = value
        result = loss_of(x)
        parameter.value = original
        return result

    return loss


def input_measurement(case: LayerCase, stream: int) -> Measurement:
    """∂L/∂x for inputs and an error signal of this stream, and what usual mistakes would make of it."""
    specimen, x = case.build(), case.x(stream=stream)
    delta, other = (specimen.delta(x, case.rng(step + stream)) for step in (10, 50))
    run, with_other = specimen.run(x.copy(), delta.copy()), specimen.run(x.copy(), other.copy())
    candidates = {"does not depend on delta: was the upstream error signal forgotten?": lambda: with_other.moved}
    if case.prototype.has_penalty():
        candidates[UNPAID] = lambda: numeric_gradient(loss_of_input(specimen, x, delta, price=0), x)
    if delta.shape == x.shape:
        candidates |= {
            "is delta itself: was the layer's own derivative forgotten?": lambda: delta,
            "keeps only the diagonal of the Jacobian: each output depends on other inputs, too": lambda: _diagonal(
                specimen, x, delta
            ),
        }
    known = {"x": x, "the output": run.output, "delta": delta} | _parameters(specimen)
    return Measurement(run.moved, numeric_gradient(loss_of_input(specimen, x, delta), x), known, candidates)


def parameter_measurement(case: LayerCase, name: str, stream: int) -> Measurement:
    """∂L/∂parameter, likewise."""
    specimen, x = case.build(), case.x(stream=stream)
    delta, other = (specimen.delta(x, case.rng(step + stream)) for step in (10, 50))
    run, with_other = specimen.run(x.copy(), delta.copy()), specimen.run(x.copy(), other.copy())
    value = specimen.layer.named_parameters()[name].value.copy()

    def of_sample(row: int) -> Callable[[], Array]:
        def gradient() -> Array:
            alone = np.zeros_like(delta)
            alone[row] = delta[row]
            return numeric_gradient(loss_of_parameter(specimen, name, x, alone), value)

        return gradient

    candidates = {
        "does not depend on delta: was the upstream error signal forgotten?": lambda: with_other.gradients[name],
        "is that of the first sample alone: sum over the batch": of_sample(0),
        "is that of the last sample alone: sum over the batch": of_sample(-1),
    }
    if case.prototype.has_penalty():
        candidates[UNPAID] = lambda: numeric_gradient(loss_of_parameter(specimen, name, x, delta, price=0), value)
    numeric = numeric_gradient(loss_of_parameter(specimen, name, x, delta), value)
    return Measurement(run.gradients[name], numeric, _parameters(specimen), candidates)


def _parameters(specimen: Specimen) -> dict[str, Array]:
    return {name: parameter.value.copy() for name, parameter in specimen.layer.named_parameters().items()}


def _diagonal(specimen: Specimen, x: Array, delta: Array) -> Array:
    """δᵢ ∂yᵢ/∂xᵢ, without what an output owes to the other inputs."""
    step = 1e-6
    result = np.empty_like(x)
    for place in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[place] += step
        below[place] -= step
        result[place] = delta[place] * (specimen.forward(above)[place] - specimen.forward(below)[place]) / (2 * step)
    return result
