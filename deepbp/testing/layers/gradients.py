"""The gradients themselves: of the input, of each parameter, at kinks, and added up."""

from collections.abc import Callable
from math import prod

import numpy as np

from deepbp.testing.arrays import expect_same
from deepbp.testing.check import CheckFailure
from deepbp.testing.diagnosis import Measurement
from deepbp.testing.gradient_check import expect_gradient
from deepbp.testing.layers.case import LayerCase, Specimen
from deepbp.testing.numeric_gradient import numeric_gradient
from deepbp.typing import Array


def input_gradient(case: LayerCase) -> None:
    """What backward returns is ∂L/∂x: central differences, float64, random error signal."""
    if case.takes_real_numbers():
        _expect_input_gradient(case, case.x())


def kink_gradients(case: LayerCase) -> None:
    """At inputs of −1, 0 and 1, where kinks tend to be: any value between the one-sided derivatives is right."""
    x = case.rng(30).integers(-1, 2, (case.rows, *case.input_shape)).astype(np.float64)
    specimen = case.build()
    with np.errstate(all="ignore"):
        usable = np.isfinite(specimen.forward(x)).all() and np.isfinite(specimen.forward(x + 1e-5)).all()
        usable = usable and np.isfinite(specimen.forward(x - 1e-5)).all()
    if not usable:
        return
    try:
        _expect_input_gradient(case, case.x())
    except CheckFailure:
        return  # wrong everywhere: input_gradient says so
    _expect_input_gradient(case, x, " at −1, 0 and 1, where a kink allows any value between the slopes on both sides,")


def parameter_gradients(case: LayerCase) -> None:
    """What backward accumulates in each parameter is ∂L/∂parameter."""
    specimen, x = case.build(), case.x()
    delta = specimen.delta(x, case.rng(10))
    failures = []
    for name, gradient in specimen.run(x, delta).gradients.items():
        if not np.any(gradient):
            continue  # every_parameter_gets_a_gradient says whether that is right
        value = specimen.layer.named_parameters()[name].value.copy()
        try:
            expect_gradient(
                f"∂L/∂{name}",
                gradient,
                _loss_of_parameter(specimen, name, x, delta),
                value,
                case.rng(11),
                lambda name=name: [_parameter_measurement(case, name, stream) for stream in (0, 1)],  # type: ignore[misc]
                {**_sizes(case, specimen), f"the number of entries of {name}": value.size},
            )
        except CheckFailure as failure:
            failures.append(str(failure))
    if failures:
        raise CheckFailure("\n".join(failures))


def every_parameter_gets_a_gradient(case: LayerCase) -> None:
    """None is forgotten by backward, and none is hidden where a network does not find it."""
    specimen, x = case.build(), case.x()
    gradients = specimen.run(x, specimen.delta(x, case.rng(10))).gradients
    for name, parameter in specimen.layer.named_parameters().items():
        if not np.any(gradients[name]) and np.any(_numeric_of_parameter(specimen, name, x, case)):
            raise CheckFailure(
                f"parameter `{name}` never got a gradient: backward must call self.{name}.accumulate(...), "
                f"with an array of shape {parameter.value.shape}"
            )


def gradients_accumulate(case: LayerCase) -> None:
    """A second backward adds to the gradients of the first instead of overwriting them."""
    specimen, x = case.build(), case.x()
    delta = specimen.delta(x, case.rng(10))
    once = specimen.run(x, delta).gradients
    specimen.start_again()
    for _ in range(2):
        _, saved = specimen.layer.forward(x.copy())
        specimen.layer.backward(saved, delta.copy())
        _rewind(specimen)
    for name, twice in specimen.gradients().items():
        hint = ""
        if np.any(once[name]) and np.allclose(twice, once[name], rtol=1e-12):
            hint = ": the second overwrote the first, or was left out: call accumulate(...) each time"
        expect_same(twice, 2 * once[name], f"∂L/∂{name}: two passes do not give twice the gradient of one{hint}")


def used_twice_in_one_net(case: LayerCase) -> None:
    """A layer that stands in a net twice gets the sum of both uses' gradients."""
    specimen, first, second = case.build(), case.x(), case.x(stream=1)
    delta_first, delta_second = (specimen.delta(first, case.rng(stream)) for stream in (10, 12))

    def backward(*uses: int) -> dict[str, Array]:
        specimen.start_again()
        saved = [specimen.layer.forward(x.copy())[1] for x in (first, second)]
        for use in uses:
            specimen.layer.backward(saved[use], (delta_first, delta_second)[use].copy())
        return specimen.gradients()

    alone, other, both = backward(0), backward(1), backward(1, 0)
    for name, gradient in both.items():
        expect_same(
            gradient,
            alone[name] + other[name],
            f"∂L/∂{name}: used twice in one net, the two uses' gradients do not add",
        )


def backward_parameters_equals_backward(case: LayerCase) -> None:
    """``backward_parameters`` accumulates exactly what ``backward`` does."""
    specimen, x = case.build(), case.x()
    delta = specimen.delta(x, case.rng(10))
    whole = specimen.run(x, delta).gradients
    specimen.start_again()
    _, saved = specimen.layer.forward(x)
    specimen.layer.backward_parameters(saved, delta)
    for name, gradient in specimen.gradients().items():
        what = "backward_parameters and backward do not agree"
        if not np.any(gradient) and np.any(whole[name]):
            what = "backward_parameters accumulates nothing, and backward does"
        expect_same(gradient, whole[name], f"∂L/∂{name}: {what}")


def _rewind(specimen: Specimen) -> None:
    """A fresh start that keeps the gradients."""
    gradients = specimen.gradients()
    specimen.start_again()
    for name, parameter in specimen.layer.named_parameters().items():
        parameter.accumulate(gradients[name])


def _expect_input_gradient(case: LayerCase, x: Array, where: str = "") -> None:
    specimen = case.build()
    delta = specimen.delta(x, case.rng(10))
    expect_gradient(
        f"∂L/∂x{where or ', which backward returns,'}",
        specimen.run(x.copy(), delta.copy()).moved,
        _loss_of_input(specimen, x, delta),
        x,
        case.rng(11),
        lambda: [] if where else [_input_measurement(case, stream) for stream in (0, 1)],
        _sizes(case, specimen),
    )


def _sizes(case: LayerCase, specimen: Specimen) -> dict[str, int]:
    sizes = {
        "the batch size": case.rows,
        "the number of a sample's inputs": prod(case.input_shape),
        "the number of a sample's outputs": prod(specimen.output_shape),
    }
    if len(case.input_shape) > 1:
        sizes["the length of the last axis"] = case.input_shape[-1]
    return sizes


def _loss_of_input(specimen: Specimen, x: Array, delta: Array) -> Callable[[Array], float]:
    """L(x) = Σ δ · (y(x) − y): the same derivative as Σ δ · y(x), with nothing lost where y stays as it is."""
    base = specimen.forward(x.copy()).copy()
    return lambda moved: float(np.vdot(delta, specimen.forward(moved.copy()) - base))


def _loss_of_parameter(specimen: Specimen, name: str, x: Array, delta: Array) -> Callable[[Array], float]:
    parameter, base = specimen.layer.named_parameters()[name], specimen.forward(x.copy()).copy()
    original = parameter.value.copy()

    def loss(value: Array) -> float:
        parameter.value = value
        output = specimen.forward(x.copy())
        result = float(np.vdot(delta, output - base))
        parameter.value = original
        return result

    return loss


def _numeric_of_parameter(specimen: Specimen, name: str, x: Array, case: LayerCase) -> Array:
    """Some entries of it, drawn at random, and zeros elsewhere."""
    delta = specimen.delta(x, case.rng(10))
    value = specimen.layer.named_parameters()[name].value.copy()
    places = [tuple(map(int, place)) for place in np.ndindex(value.shape)]
    places = [places[i] for i in case.rng(13).permutation(len(places))[:100]]
    gradient = numeric_gradient(_loss_of_parameter(specimen, name, x, delta), value, places=places)
    return np.nan_to_num(gradient)


def _input_measurement(case: LayerCase, stream: int) -> Measurement:
    specimen, x = case.build(), case.x(stream=stream)
    delta, other = (specimen.delta(x, case.rng(step + stream)) for step in (10, 50))
    run, with_other = specimen.run(x.copy(), delta.copy()), specimen.run(x.copy(), other.copy())
    candidates = {"does not depend on delta: was the upstream error signal forgotten?": lambda: with_other.moved}
    if delta.shape == x.shape:
        candidates |= {
            "is delta itself: was the layer's own derivative forgotten?": lambda: delta,
            "keeps only the diagonal of the Jacobian: each output depends on other inputs, too": lambda: _diagonal(
                specimen, x, delta
            ),
        }
    known = {"x": x, "the output": run.output, "delta": delta} | _parameters(specimen)
    return Measurement(run.moved, numeric_gradient(_loss_of_input(specimen, x, delta), x), known, candidates)


def _parameter_measurement(case: LayerCase, name: str, stream: int) -> Measurement:
    specimen, x = case.build(), case.x(stream=stream)
    delta, other = (specimen.delta(x, case.rng(step + stream)) for step in (10, 50))
    run, with_other = specimen.run(x.copy(), delta.copy()), specimen.run(x.copy(), other.copy())
    value = specimen.layer.named_parameters()[name].value.copy()

    def of_sample(row: int) -> Callable[[], Array]:
        def gradient() -> Array:
            alone = np.zeros_like(delta)
            alone[row] = delta[row]
            return numeric_gradient(_loss_of_parameter(specimen, name, x, alone), value)

        return gradient

    candidates = {
        "does not depend on delta: was the upstream error signal forgotten?": lambda: with_other.gradients[name],
        "is that of the first sample alone: sum over the batch": of_sample(0),
        "is that of the last sample alone: sum over the batch": of_sample(-1),
    }
    numeric = numeric_gradient(_loss_of_parameter(specimen, name, x, delta), value)
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
