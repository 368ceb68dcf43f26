"""Checks of a layer's gradients: against differences, over several uses, and against the stated formula."""

import numpy as np

from deepbp.layers.boundary import is_part_of_deepbp
from deepbp.testing import layer_case
from deepbp.testing.check import CheckFailure
from deepbp.testing.comparisons import (
    arrays_in,
    expect_agreement,
    expect_same,
    stated_solutions,
    stated_value,
    values_of_fields,
)
from deepbp.testing.derived_formulas import Rules
from deepbp.testing.gradients import expect_gradient, numeric_gradient
from deepbp.testing.layer_case import BuiltLayer, LayerCase
from deepbp.typing import Array

__tracebackhide__ = True  # pytest shows no frames of this module


def input_gradient(case: LayerCase) -> None:
    """``backward`` returns ∂L/∂x, by central differences in float64 with a random upstream gradient."""
    if case.takes_real_numbers() and not _is_surrogate(case):
        _expect_input_gradient(case, case.x())


def kink_gradients(case: LayerCase) -> None:
    """The same at inputs of −1, 0 and 1, where kinks are common: any value between the one-sided derivatives passes."""
    if _is_surrogate(case):
        return
    x = case.rng(30).integers(-1, 2, (case.rows, *case.input_shape)).astype(np.float64)
    built = case.build()
    with np.errstate(all="ignore"):
        usable = np.isfinite(built.forward(x)).all() and np.isfinite(built.forward(x + 1e-5)).all()
        usable = usable and np.isfinite(built.forward(x - 1e-5)).all()
    if not usable:
        return
    try:
        _expect_input_gradient(case, case.x())
    except CheckFailure:
        return  # wrong everywhere: input_gradient reports it
    _expect_input_gradient(case, x, " at −1, 0 and 1, where a kink allows any value between the slopes on both sides,")


def parameter_gradients(case: LayerCase) -> None:
    """``backward`` accumulates ∂L/∂parameter in each parameter."""
    if _is_surrogate(case):
        return
    built, x = case.build(), case.x()
    delta = built.delta(x, case.rng(10))
    failures = []
    for name, gradient in built.run(x, delta).gradients.items():
        if not np.any(gradient):
            continue  # every_parameter_gets_a_gradient reports it if it is wrong
        value = built.layer.named_parameters()[name].value.copy()
        try:
            expect_gradient(
                f"∂L/∂{name}",
                gradient,
                layer_case.loss_of_parameter(built, name, x, delta),
                value,
                case.rng(11),
                lambda name=name: [layer_case.sample_parameter_gradient(case, name, stream) for stream in (0, 1)],  # type: ignore[misc]
                {**layer_case.sizes(case, built), f"the number of entries of {name}": value.size},
                magnitude=layer_case.magnitude(built, x, delta),
            )
        except CheckFailure as failure:
            failures.append(str(failure))
    if failures:
        raise CheckFailure("\n".join(failures))


def every_parameter_gets_a_gradient(case: LayerCase) -> None:
    """``backward`` accumulates a gradient in every parameter on which the loss depends."""
    if _is_surrogate(case):
        return
    built, x = case.build(), case.x()
    gradients = built.run(x, built.delta(x, case.rng(10))).gradients
    for name, parameter in built.layer.named_parameters().items():
        if not np.any(gradients[name]) and np.any(_numeric_of_parameter(built, name, x, case)):
            raise CheckFailure(
                f"parameter `{name}` never got a gradient: backward must call self.{name}.accumulate(...), "
                f"with an array of shape {parameter.value.shape}"
            )


def _is_surrogate(case: LayerCase) -> bool:
    """Whether the layer or a sublayer deliberately returns a surrogate gradient.

    Differences cannot check a surrogate gradient. The layer must state it in ``formula``, which is checked instead.
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
    built = case.build()
    delta = built.delta(x, case.rng(10))
    loss, grad_input = layer_case.loss_of_input(built, x, delta), built.run(x.copy(), delta.copy()).grad_input
    places = None
    if case.inputs is not layer_case.standard_normal:
        places, fixed = layer_case.perturbable(loss, x)
        for place in fixed:
            if grad_input[place] != 0:
                raise CheckFailure(
                    f"∂L/∂x at {list(place)} is {grad_input[place]:.9g}: the layer refuses to see this number moved a "
                    "little, so there is no derivative, and the error signal must be 0"
                )
    expect_gradient(
        f"∂L/∂x{where or ', which backward returns,'}",
        grad_input,
        loss,
        x,
        case.rng(11),
        lambda: [] if where else [layer_case.sample_input_gradient(case, stream) for stream in (0, 1)],
        layer_case.sizes(case, built),
        magnitude=layer_case.magnitude(built, x, delta),
        places=places,
        terms=layer_case.terms_of_input(built, x, delta) if where else None,
    )


def _numeric_of_parameter(built: BuiltLayer, name: str, x: Array, case: LayerCase) -> Array:
    """Return ∂L/∂parameter at up to 100 random entries, and zeros elsewhere."""
    delta = built.delta(x, case.rng(10))
    value = built.layer.named_parameters()[name].value.copy()
    places = [tuple(map(int, place)) for place in np.ndindex(value.shape)]
    places = [places[i] for i in case.rng(13).permutation(len(places))[:100]]
    gradient = numeric_gradient(layer_case.loss_of_parameter(built, name, x, delta), value, places=places)
    return np.nan_to_num(gradient)


def gradients_accumulate(case: LayerCase) -> None:
    """A second ``backward`` adds to the gradients of the first."""
    built, x = case.build(), case.x()
    delta = built.delta(x, case.rng(10))
    once = built.run(x, delta).gradients
    built.reset()
    for _ in range(2):
        _, saved = built.passes.forward(x.copy())
        built.passes.backward(saved, delta.copy())
        _reset_passes(built)
    for name, twice in built.gradients().items():
        hint = ""
        if np.any(once[name]) and np.allclose(twice, once[name], rtol=1e-12):
            hint = ": the second overwrote the first, or was left out: call accumulate(...) each time"
        expect_same(twice, 2 * once[name], f"∂L/∂{name}: two passes do not give twice the gradient of one{hint}")


def used_twice_in_one_net(case: LayerCase) -> None:
    """Weight sharing: a layer used twice in a network accumulates the sum of both gradients."""
    built, first, second = case.build(), case.x(), case.x(stream=1)
    delta_first, delta_second = (built.delta(first, case.rng(stream)) for stream in (10, 12))

    def backward(*uses: int) -> dict[str, Array]:
        built.reset()
        saved = [built.passes.forward(x.copy())[1] for x in (first, second)]
        for use in uses:
            built.passes.backward(saved[use], (delta_first, delta_second)[use].copy())
        return built.gradients()

    alone, other, both = backward(0), backward(1), backward(1, 0)
    for name, gradient in both.items():
        expect_same(
            gradient,
            alone[name] + other[name],
            f"∂L/∂{name}: used twice in one net, the two uses' gradients do not add",
        )


def backward_parameters_equals_backward(case: LayerCase) -> None:
    """``backward_parameters`` accumulates the same gradients as ``backward``."""
    built, x = case.build(), case.x()
    delta = built.delta(x, case.rng(10))
    whole = built.run(x, delta).gradients
    built.reset()
    _, saved = built.passes.forward(x)
    built.passes.backward_parameters(saved, delta)
    for name, gradient in built.gradients().items():
        what = "backward_parameters and backward do not agree"
        if not np.any(gradient) and np.any(whole[name]):
            what = "backward_parameters accumulates nothing, and backward does"
        expect_same(gradient, whole[name], f"∂L/∂{name}: {what}")


def _reset_passes(built: BuiltLayer) -> None:
    """Reset buffers and random generators, but keep the gradients."""
    gradients = built.gradients()
    built.reset()
    for name, parameter in built.layer.named_parameters().items():
        parameter.accumulate(gradients[name])


def formula(case: LayerCase) -> None:
    """The stated formulas give the results of ``forward`` and ``backward``, and the rules derive one from the other."""
    built, x = case.build(), case.x()
    stated = built.layer.stated_formula()
    if stated is None or (built.is_random(x) and not stated.saved):
        return
    delta = built.delta(x, case.rng(10))
    run = built.run(x.copy(), delta.copy())
    built.reset()
    drawn = dict(zip(stated.saved, arrays_in(built.passes.forward(x.copy())[1]), strict=False))
    names = {
        **values_of_fields(built.layer),
        **drawn,
        "x": x,
        "y": run.output,
        "delta": delta,
        "input_shape": x.shape,
        "output_shape": run.output.shape,
    }
    if stated.where:
        names |= stated_solutions(stated, names)
    expect_agreement("y", stated.forward, stated_value("y", stated.forward, names), run.output, "forward")
    if stated.inference:
        value = stated_value("the output of predict", stated.inference, names)
        expect_agreement("the output of predict", stated.inference, value, built.predict(x.copy()), "predict")
    for name in stated.gradients:
        if name not in run.gradients:
            held = ", ".join(run.gradients) or "none"
            raise CheckFailure(f"formula: states a gradient of {name!r}; the parameters are: {held}")
    rules = Rules(stated.forward, ("x", *(name for name in run.gradients if name.isidentifier())), names)
    own = not stated.where and not is_part_of_deepbp(type(built.layer)) and not _is_surrogate(case)
    for name, computed in {"x": run.grad_input, **run.gradients}.items():
        expression = stated.passed_back if name == "x" else stated.gradients.get(name, "")
        if expression:
            value = stated_value(f"∂L/∂{name}", expression, names)
            try:
                expect_agreement(f"∂L/∂{name}", expression, value, computed, "backward")
            except CheckFailure as failure:
                if _is_surrogate(case) or stated.where:
                    raise
                raise CheckFailure(f"{failure}{rules.explain(name, expression)}") from None
        elif own:
            rules.expect(f"∂L/∂{name}", name, computed, "backward")
