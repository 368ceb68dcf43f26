"""Gradients add up: over passes, over uses of a layer, and the same from both methods."""

import numpy as np

from deepbp.testing.arrays import expect_same
from deepbp.testing.layers.case import LayerCase, Specimen
from deepbp.typing import Array


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
