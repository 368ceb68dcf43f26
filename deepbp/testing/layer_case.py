"""Test fixtures for layers: a built copy, its passes, and analytic with numeric gradients."""

from collections.abc import Callable
from copy import deepcopy
from functools import cached_property
from math import prod
from typing import Any, TypeAlias

import attrs
import numpy as np
from attrs import define, field, frozen

from deepbp.errors import DataError, shown
from deepbp.layers import Builder, Layer
from deepbp.layers.boundary import unwrapped
from deepbp.testing.check import CheckFailure
from deepbp.testing.comparisons import arrays_in
from deepbp.testing.diagnosis import GradientSample
from deepbp.testing.equivalent_class import with_attrs_class
from deepbp.testing.gradients import STEP, numeric_gradient
from deepbp.typing import Array, Shape

__tracebackhide__ = True  # pytest shows no frames of this module

Inputs: TypeAlias = Callable[[np.random.Generator, Shape], Array]
"""Draws inputs of a shape that includes the batch axis."""


def standard_normal(rng: np.random.Generator, shape: Shape) -> Array:
    """Draw the default inputs of a layer."""
    return rng.standard_normal(shape)


@frozen
class PassResult:
    """Results of one forward and backward pass: the output, ∂L/∂x, and ∂L/∂parameter by name."""

    output: Array
    grad_input: Array
    gradients: dict[str, Array]


@frozen
class Passes:
    """The passes of a layer as its class defines them: without input validation, so that every mistake shows here."""

    layer: Layer[Any]

    def forward(self, x: Array) -> Any:
        return unwrapped(type(self.layer).forward)(self.layer, x)

    def backward(self, saved: Any, delta: Array) -> Any:
        return unwrapped(type(self.layer).backward)(self.layer, saved, delta)

    def backward_parameters(self, saved: Any, delta: Array) -> None:
        unwrapped(type(self.layer).backward_parameters)(self.layer, saved, delta)

    def predict(self, x: Array) -> Any:
        return self.layer._run_predict(x)

    def penalty(self, saved: Any) -> Any:
        return unwrapped(type(self.layer).penalty)(self.layer, saved)


@define(eq=False)
class BuiltLayer:
    """Test fixture: a built copy of the layer that can be reset to its state after ``build``.

    The state consists of the buffers and the random generators, the only things that passes may change.
    """

    layer: Layer[Any]
    generator: np.random.Generator
    _buffers: list[Array] = field(init=False)
    _states: list[Any] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._buffers = [buffer.value.copy() for buffer in self.layer.named_buffers().values()]
        self._states = [deepcopy(generator.bit_generator.state) for generator in self._generators()]

    @property
    def passes(self) -> Passes:
        return Passes(self.layer)

    @property
    def output_shape(self) -> Shape:
        assert self.layer.built is not None
        return self.layer.built.output_shape

    def reset(self) -> None:
        """Restore the buffers and the random generators, and clear the gradients."""
        for buffer, value in zip(self.layer.named_buffers().values(), self._buffers, strict=True):
            buffer.value = value
        for generator, state in zip(self._generators(), self._states, strict=True):
            generator.bit_generator.state = state
        for parameter in self.layer.parameters():
            parameter.clear_grad()

    def forward(self, x: Array) -> Array:
        """Reset, and return the output: the same for the same x, for random layers too.

        This and the methods below pass and return copies, so that a layer that modifies an array fails one check only.
        """
        self.reset()
        output: Array = self.passes.forward(x.copy())[0]
        return output

    def output_and_penalty(self, x: Array) -> tuple[Array, float]:
        """Reset, and return the output and the penalty that the layer adds to the loss."""
        self.reset()
        output, saved = self.passes.forward(x.copy())
        output, penalty = output.copy(), self.passes.penalty(saved)
        if not isinstance(penalty, float):
            raise CheckFailure(f"penalty: expected a float, what is added to the loss, returned {shown(penalty)}")
        return output, penalty

    def predict(self, x: Array) -> Array:
        """Run the inference pass."""
        output: Array = self.passes.predict(x.copy())
        return output

    def run(self, x: Array, delta: Array) -> PassResult:
        """Reset, and run forward and backward."""
        self.reset()
        output, saved = self.passes.forward(x.copy())
        output = output.copy()
        grad_input = self.passes.backward(saved, delta.copy())
        return PassResult(output, grad_input, self.gradients())

    def gradients(self) -> dict[str, Array]:
        """Return copies of the accumulated parameter gradients."""
        return {name: parameter.grad.copy() for name, parameter in self.layer.named_parameters().items()}

    def delta(self, x: Array, rng: np.random.Generator) -> Array:
        """Draw a random upstream gradient. Ones would hide mistakes: the gradient of Σ softmax(x) is zero."""
        return rng.standard_normal((len(x), *self.output_shape)).astype(self.dtype)

    @property
    def dtype(self) -> np.dtype[Any]:
        assert self.layer.built is not None
        return self.layer.built.dtype

    def is_random(self, x: Array) -> bool:
        """Whether two training passes over the same input differ."""
        self.reset()
        first, second = self.passes.forward(x.copy())[0].copy(), self.passes.forward(x.copy())[0]
        return not np.array_equal(first, second, equal_nan=True)

    def is_plain(self, x: Array) -> bool:
        """Whether the training pass treats samples independently: no buffers (batch statistics), no randomness."""
        return not self.layer.named_buffers() and not self.is_random(x)

    def _generators(self) -> list[np.random.Generator]:
        found = [self.generator]
        for layer in (self.layer, *self.layer.named_layers().values()):
            values = (getattr(layer, a.name, None) for a in attrs.fields(type(layer)))
            found += [value for value in values if isinstance(value, np.random.Generator)]
        return list({id(generator): generator for generator in found}.values())


@frozen
class LayerCase:
    """Test case: a layer's configuration and input shape; every check builds its own copy from it."""

    given: Layer[Any]
    input_shape: Shape
    seed: int
    inputs: Inputs = standard_normal

    @cached_property
    def prototype(self) -> Layer[Any]:
        """The given layer; if its class lacks ``@define(eq=False)``, its equal of an equivalent attrs class."""
        return with_attrs_class(self.given, self.input_shape)

    @property
    def rows(self) -> int:
        """Batch size that differs from the other sizes, so that a diagnosis can tell them apart."""
        sizes = {*self.input_shape, prod(self.input_shape)}
        return next(size for size in (5, 7, 11, 13) if size not in sizes or size == 13)

    def rng(self, stream: int = 0) -> np.random.Generator:
        return np.random.default_rng([self.seed, stream])

    def unbuilt(self) -> Layer[Any]:
        """Return an unbuilt copy of the layer."""
        layer = deepcopy(self.prototype)
        for inner in (layer, *layer.named_layers().values()):
            inner.built = None  # a network with input_shape is built by its constructor
        return layer

    def build(self, dtype: str = "float64", *, seed: int = 0, move: bool = True) -> BuiltLayer:
        """Return a built copy. Noise is added to constant parameters, because symmetry can hide mistakes."""
        layer = self.unbuilt()
        generator = np.random.default_rng([self.seed, 1000 + seed])
        Builder(generator, dtype).build(layer, self.input_shape)
        if move:
            rng = self.rng(2000)
            for parameter in layer.parameters():
                value = parameter.value
                if value.size and (value == value.flat[0]).all():
                    parameter.value = value + 0.1 * rng.standard_normal(value.shape)
        return BuiltLayer(layer, generator)

    def x(self, rows: int | None = None, stream: int = 0, dtype: str = "float64") -> Array:
        """Draw ``rows`` samples; each stream gives other numbers."""
        count = self.rows if rows is None else rows
        values = np.asarray(self.inputs(self.rng(stream), (count, *self.input_shape)))
        return values.astype(dtype) if values.dtype.kind == "f" else values

    def takes_real_numbers(self) -> bool:
        """Whether the inputs are floats: integer inputs, such as indices, have no gradient."""
        return self.x(1).dtype.kind == "f"


def sizes(case: LayerCase, built: BuiltLayer) -> dict[str, int]:
    """Return sizes by name that may appear as a wrong factor."""
    sizes = {
        "the batch size": case.rows,
        "the number of a sample's inputs": prod(case.input_shape),
        "the number of a sample's outputs": prod(built.output_shape),
    }
    if len(case.input_shape) > 1:
        sizes["the length of the last axis"] = case.input_shape[-1]
    return sizes


NO_PENALTY_GRADIENT = "lacks the gradient of the penalty, which the layer adds to the loss: backward must add it, too"


def loss_of_input(
    built: BuiltLayer, x: Array, delta: Array, *, penalty_weight: float = 1.0
) -> Callable[[Array], float]:
    """Return the function L(x) = Σ δ · (y(x) − y) + λ (P(x) − P), with P the layer's penalty, λ its ``penalty_weight``.

    Its derivative is that of Σ δ · y(x) + λ P(x); subtracting the constants y and P reduces rounding errors.
    """
    base, base_penalty = built.output_and_penalty(x)

    def loss(perturbed: Array) -> float:
        output, penalty = built.output_and_penalty(perturbed)
        return float(np.vdot(delta, output - base)) + penalty_weight * (penalty - base_penalty)

    return loss


def terms_of_input(built: BuiltLayer, x: Array, delta: Array) -> Callable[[Array], Array]:
    """Return the terms of the same L(x) as a vector: δ · (y(x) − y), and the penalty."""
    base, base_penalty = built.output_and_penalty(x)

    def terms(perturbed: Array) -> Array:
        output, penalty = built.output_and_penalty(perturbed)
        return np.append((delta * (output - base)).reshape(-1), penalty - base_penalty)

    return terms


def magnitude(built: BuiltLayer, x: Array, delta: Array) -> float:
    """Return Σ |δ · y| + |P|, to which the rounding error of L is proportional; |L| is too small, as terms cancel."""
    output, penalty = built.output_and_penalty(x)
    return float(np.abs(delta * output).sum()) + abs(penalty)


def perturbable(f: Callable[[Array], float], x: Array) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Return the indices of x that can be perturbed, and those at which the layer then raises DataError.

    A layer that requires integers, e.g. indices among other inputs, raises DataError: there is no derivative by them.
    """
    free, fixed = [], []
    for index in np.ndindex(x.shape):
        place, perturbed = tuple(map(int, index)), x.copy()
        perturbed[place] += STEP * max(1.0, abs(perturbed[place]))
        try:
            f(perturbed)
            free.append(place)
        except DataError:
            fixed.append(place)
    return free, fixed


def loss_of_parameter(
    built: BuiltLayer, name: str, x: Array, delta: Array, *, penalty_weight: float = 1.0
) -> Callable[[Array], float]:
    """Return the same L as a function of a parameter's value."""
    parameter = built.layer.named_parameters()[name]
    loss_of = loss_of_input(built, x, delta, penalty_weight=penalty_weight)
    original = parameter.value.copy()

    def loss(value: Array) -> float:
        parameter.value = value
        result = loss_of(x)
        parameter.value = original
        return result

    return loss


def sample_input_gradient(case: LayerCase, stream: int) -> GradientSample:
    """Compute ∂L/∂x analytically, numerically, and with common mistakes, for the random numbers of this stream."""
    built, x = case.build(), case.x(stream=stream)
    delta, other = (built.delta(x, case.rng(step + stream)) for step in (10, 50))
    run, with_other = built.run(x.copy(), delta.copy()), built.run(x.copy(), other.copy())
    candidates = {"does not depend on delta: was the upstream error signal forgotten?": lambda: with_other.grad_input}
    if case.prototype.has_penalty():
        candidates[NO_PENALTY_GRADIENT] = lambda: numeric_gradient(loss_of_input(built, x, delta, penalty_weight=0), x)
    if delta.shape == x.shape:
        candidates |= {
            "is delta itself: was the layer's own derivative forgotten?": lambda: delta,
            "keeps only the diagonal of the Jacobian: each output depends on other inputs, too": lambda: _diagonal(
                built, x, delta
            ),
        }
    known = {"x": x, "the output": run.output, "delta": delta} | _parameters(built)
    numeric, terms = numeric_gradient(loss_of_input(built, x, delta), x), _terms(built, x, run.output)
    return GradientSample(run.grad_input, numeric, known, candidates, _repairs(built, x, delta), terms)


def sample_parameter_gradient(case: LayerCase, name: str, stream: int) -> GradientSample:
    """Compute ∂L/∂parameter likewise."""
    built, x = case.build(), case.x(stream=stream)
    delta, other = (built.delta(x, case.rng(step + stream)) for step in (10, 50))
    run, with_other = built.run(x.copy(), delta.copy()), built.run(x.copy(), other.copy())
    value = built.layer.named_parameters()[name].value.copy()

    def of_sample(row: int) -> Callable[[], Array]:
        def gradient() -> Array:
            alone = np.zeros_like(delta)
            alone[row] = delta[row]
            return numeric_gradient(loss_of_parameter(built, name, x, alone), value)

        return gradient

    candidates = {
        "does not depend on delta: was the upstream error signal forgotten?": lambda: with_other.gradients[name],
        "is that of the first sample alone: sum over the batch": of_sample(0),
        "is that of the last sample alone: sum over the batch": of_sample(-1),
    }
    if case.prototype.has_penalty():
        candidates[NO_PENALTY_GRADIENT] = lambda: numeric_gradient(
            loss_of_parameter(built, name, x, delta, penalty_weight=0), value
        )
    numeric = numeric_gradient(loss_of_parameter(built, name, x, delta), value)
    return GradientSample(run.gradients[name], numeric, _parameters(built), candidates)


def _terms(built: BuiltLayer, x: Array, output: Array) -> dict[str, Array]:
    """Return the arrays of the input's shape from which a derivative may be made: y, x, y / x, and what is saved."""
    terms = {"y": output, "x": x}
    if output.shape == x.shape and np.all(x):
        terms["(y / x)"] = output / x
    built.reset()
    for i, array in enumerate(arrays_in(built.passes.forward(x.copy())[1])):
        if array.dtype == x.dtype and not any(np.array_equal(array, known) for known in terms.values()):
            terms[f"saved[{i}]"] = array.copy()
    return {name: array for name, array in terms.items() if array.shape == x.shape}


def _repairs(built: BuiltLayer, x: Array, delta: Array) -> dict[str, Callable[[], Array]]:
    """Return the backward pass without a common mistake, by the mistake: a transpose, or the input for the output."""

    def transposed(name: str) -> Callable[[], Array]:
        def gradient() -> Array:
            built.reset()
            _, saved = built.passes.forward(x.copy())
            parameter = built.layer.named_parameters()[name]
            value = parameter.value.copy()
            parameter.value = value.T
            try:
                moved: Array = built.passes.backward(saved, delta.copy())
                return moved
            finally:
                parameter.value = value

        return gradient

    def exchanged(place: int, replacement: Array) -> Callable[[], Array]:
        def gradient() -> Array:
            built.reset()
            _, saved = built.passes.forward(x.copy())
            moved: Array = built.passes.backward(_with_array(saved, place, replacement), delta.copy())
            return moved

        return gradient

    repairs = {
        f"uses `{name}` where its transpose belongs, or the other way round": transposed(name)
        for name, value in _parameters(built).items()
        if value.ndim == 2 and value.shape[0] == value.shape[1]
    }
    built.reset()
    output, saved = built.passes.forward(x.copy())
    for place, array in enumerate(arrays_in(saved)):
        if output.shape == x.shape and np.array_equal(array, x):
            text = (
                "is the derivative in terms of the output y, computed from the input x: save y, or use x's own formula"
            )
            repairs[text] = exchanged(place, output.copy())
        elif np.array_equal(array, output) and output.shape == x.shape:
            text = (
                "is the derivative in terms of the input x, computed from the output y: save x, or use y's own formula"
            )
            repairs[text] = exchanged(place, x.copy())
    return repairs


def _with_array(saved: Any, place: int, array: Array) -> Any:
    """Return the saved array, or the saved tuple or list of arrays, with one array replaced."""
    if isinstance(saved, np.ndarray):
        return array
    return type(saved)(array if i == place else item for i, item in enumerate(saved))


def _parameters(built: BuiltLayer) -> dict[str, Array]:
    return {name: parameter.value.copy() for name, parameter in built.layer.named_parameters().items()}


def _diagonal(built: BuiltLayer, x: Array, delta: Array) -> Array:
    """Return δᵢ ∂yᵢ/∂xᵢ: the diagonal of the Jacobian only."""
    step = 1e-6
    result = np.empty_like(x)
    for place in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[place] += step
        below[place] -= step
        result[place] = delta[place] * (built.forward(above)[place] - built.forward(below)[place]) / (2 * step)
    return result
