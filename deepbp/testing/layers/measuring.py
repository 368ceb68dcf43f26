"""L as a function of one array, and what the explanation of a wrong gradient is sought in."""

from collections.abc import Callable
from math import prod

import numpy as np

from deepbp.errors import DataError
from deepbp.testing.diagnosis import Measurement
from deepbp.testing.layers.case import LayerCase, Specimen
from deepbp.testing.numeric_gradient import STEP, numeric_gradient
from deepbp.typing import Array


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
