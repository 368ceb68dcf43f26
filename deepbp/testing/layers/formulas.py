"""The mathematics that a layer states is the mathematics that it runs."""

from deepbp.testing.check import CheckFailure
from deepbp.testing.formulas import expect_agreement, stated_value, values_of_fields
from deepbp.testing.layers.case import LayerCase


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
