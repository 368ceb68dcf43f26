"""Checks of a layer's gradients."""

import numpy as np

from deepbp.testing.check import CheckFailure
from deepbp.testing.comparisons import expect_same
from deepbp.testing.formula_checks import expect_agreement, stated_value, values_of_fields
from deepbp.testing.gradients import expect_gradient, numeric_gradient
from deepbp.testing.layer_case import (
    LayerCase,
    Specimen,
    input_measurement,
    loss_of_input,
    loss_of_parameter,
    magnitude,
    movable,
    parameter_measurement,
    sizes,
    standard_normal,
)
from deepbp.typing import Array


def input_gradient(case: LayerCase) -> None:
    """What backward returns is ∂L/∂x: central differences, float64, random error signal."""
    if case.takes_real_numbers() and not _is_surrogate(case):
        _expect_input_gradient(case, case.x())


def kink_gradients(case: LayerCase) -> None:
    """At inputs of −1, 0 and 1, where kinks tend to be: any value between the one-sided derivatives is right."""
    if _is_surrogate(case):
        return
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
    if _is_surrogate(case):
        return
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
                loss_of_parameter(specimen, name, x, delta),
                value,
                case.rng(11),
                lambda name=name: [parameter_measurement(case, name, stream) for stream in (0, 1)],  # type: ignore[misc]
                {**sizes(case, specimen), f"the number of entries of {name}": value.size},
                magnitude=magnitude(specimen, x, delta),
            )
        except CheckFailure as failure:
            failures.append(str(failure))
    if failures:
        raise CheckFailure("\n".join(failures))


def every_parameter_gets_a_gradient(case: LayerCase) -> None:
    """None is forgotten by backward, and none is hidden where a network does not find it."""
    if _is_surrogate(case):
        return
    specimen, x = case.build(), case.x()
    gradients = specimen.run(x, specimen.delta(x, case.rng(10))).gradients
    for name, parameter in specimen.layer.named_parameters().items():
        if not np.any(gradients[name]) and np.any(_numeric_of_parameter(specimen, name, x, case)):
            raise CheckFailure(
                f"parameter `{name}` never got a gradient: backward must call self.{name}.accumulate(...), "
                f"with an array of shape {parameter.value.shape}"
            )


def _is_surrogate(case: LayerCase) -> bool:
    """Whether something else than a derivative is passed on on purpose, here or by a layer inside.

    Differences cannot tell what it should be. The layer states it, and ``formula`` holds the code against that.
    """
    layer = case.prototype
    if layer.surrogate_gradient:
        stated = layer.stated_formula()
        if stated is None or not stated.passed_back:
            raise CheckFailure(
                "surrogate_gradient: backward passes on something else than the derivative, so the layer must say "
                "what: formula = Formula(..., backward=...)"
            )
    return any(one.surrogate_gradient for one in (layer, *layer.named_layers().values()))


def _expect_input_gradient(case: LayerCase, x: Array, where: str = "") -> None:
    specimen = case.build()
    delta = specimen.delta(x, case.rng(10))
    loss, moved = loss_of_input(specimen, x, delta), specimen.run(x.copy(), delta.copy()).moved
    places = None
    if case.inputs is not standard_normal:
        places, fixed = movable(loss, x)
        for place in fixed:
            if moved[place] != 0:
                raise CheckFailure(
                    f"∂L/∂x at {list(place)} is {moved[place]:.9g}: the layer refuses to see this number moved a "
                    "little, so there is no derivative, and the error signal must be 0"
                )
    expect_gradient(
        f"∂L/∂x{where or ', which backward returns,'}",
        moved,
        loss,
        x,
        case.rng(11),
        lambda: [] if where else [input_measurement(case, stream) for stream in (0, 1)],
        sizes(case, specimen),
        magnitude=magnitude(specimen, x, delta),
        places=places,
    )


def _numeric_of_parameter(specimen: Specimen, name: str, x: Array, case: LayerCase) -> Array:
    """Some entries of it, drawn at random, and zeros elsewhere."""
    delta = specimen.delta(x, case.rng(10))
    value = specimen.layer.named_parameters()[name].value.copy()
    places = [tuple(map(int, place)) for place in np.ndindex(value.shape)]
    places = [places[i] for i in case.rng(13).permutation(len(places))[:100]]
    gradient = numeric_gradient(loss_of_parameter(specimen, name, x, delta), value, places=places)
    return np.nan_to_num(gradient)


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


def formula(case: LayerCase) -> None:
    """The stated formula, evaluated, gives what forward and backward give, as far as it is stated."""
    specimen, x = case.build(), case.x()
    stated = specimen.layer.stated_formula()
    if stated is None or specimen.is_random(x):
        return
    delta = specimen.delta(x, case.rng(10))
    run = specimen.run(x.copy(), delta.copy())
    names = {
        **values_of_fields(specimen.layer),
        "x": x,
        "y": run.output,
        "delta": delta,
        "input_shape": x.shape,
        "output_shape": run.output.shape,
    }
    expect_agreement("y", stated.forward, stated_value("y", stated.forward, names), run.output, "forward")
    if stated.passed_back:
        value = stated_value("∂L/∂x", stated.passed_back, names)
        expect_agreement("∂L/∂x", stated.passed_back, value, run.moved, "backward")
    for name, expression in stated.gradients.items():
        if name not in run.gradients:
            held = ", ".join(run.gradients) or "none"
            raise CheckFailure(f"formula: states a gradient of {name!r}; the parameters are: {held}")
        value = stated_value(f"∂L/∂{name}", expression, names)
        expect_agreement(f"∂L/∂{name}", expression, value, run.gradients[name], "backward")
