"""The derivation of a formula as a page, as source, and from the command line."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import deepbp
from deepbp import Sequential
from deepbp.cli import main
from deepbp.derivation import derive
from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.initializers import Constant
from deepbp.layers import Dense, Penalized
from deepbp.losses import MeanSquaredError
from deepbp.testing import check_loss

SWISH = """\
The backward pass of y = x · σ(slope · x)
═════════════════════════════════════════

Shapes: x (B, 4), slope (4,). δ is the error signal ∂L/∂y that arrives from the layer behind; the
layer passes ∂L/∂x back.

Forward, in steps
─────────────────

    u₁ = slope · x
    u₂ = σ(u₁)          remembered
    y = x · u₂

Backward, from the last step to the first
─────────────────────────────────────────

    ∂L/∂y = δ                                the error signal arrives
    ∂L/∂u₂ = ∂L/∂y · x                       product rule: times the other factors
    ∂L/∂u₁ = ∂L/∂u₂ · u₂ · (1 − u₂)          σ′ = σ (1 − σ), written with its output
    ∂L/∂x = ∂L/∂y · u₂ + ∂L/∂u₁ · slope      two ways lead here, the shares add: product rule
    ∂L/∂slope = Σᵢ ∂L/∂u₁ · x                product rule: times the other factors; summed where it was repeated

The result
──────────

    ∂L/∂x = δ · (σ(slope · x) + (1 − σ(slope · x)) · slope · y)
    ∂L/∂slope = Σᵢ δ · x · (1 − σ(slope · x)) · y

What must be remembered
───────────────────────

From the forward pass the gradients need x and u₂.
"""


def test_every_step_has_a_reason() -> None:
    assert str(deepbp.derive("x * sigmoid(slope * x)", "slope")) == SWISH


def test_the_steps_compose_to_the_result() -> None:
    """The numbers of the steps, from the page's own equations."""
    found = derive("x * (1 + erf(x / sqrt(2))) / 2")
    values = found.derived.values
    arriving = {found.derived.quantities[-1].gradient: values.names["delta"]}
    total = np.zeros_like(values.names["x"])
    for quantity in reversed(found.derived.quantities):
        np.testing.assert_allclose(arriving[quantity.gradient], values.names[quantity.gradient.name], rtol=1e-12)
        for share in quantity.shares:
            value = values.of(share.gradient)
            gradient = next((one.gradient for one in found.derived.quantities if one.node == share.part), None)
            if gradient is None:
                total += value
            else:
                arriving[gradient] = arriving.get(gradient, 0) + value
    np.testing.assert_allclose(total, values.of(found.derived.gradients["x"]), rtol=1e-12)


def test_a_loss_and_a_penalty() -> None:
    loss = derive("total(log(1 + exp(prediction)) - target * prediction) / n")
    assert loss.gradients == {"prediction": "(sigmoid(prediction) - target) / n"}
    assert "∂L/∂ŷ = (σ(ŷ) − y) / n" in str(loss)
    penalty = derive("strength * total(w**2)", constants={"strength": 0.1})
    assert penalty.gradients == {"w": "2 * w * strength"}
    assert "∂P/∂w = 2 w · strength" in str(penalty)
    with pytest.raises(ConfigurationError, match="expected one number"):
        derive("prediction - target")


def test_all_formats_hold_the_steps() -> None:
    found = derive("tanh(x)")
    assert r"1 - y^{2}" in found.to_latex().replace("{y}", "y")
    page = derive("x * sigmoid(slope * x)", "slope").to_html()
    assert page.count("<details><summary>") == 5  # each step unfolds to its reason
    assert page.index("<p class='remark'>product rule: times the other factors</p>") > page.index("<summary>")
    assert found.remembered == ("y",)


def test_parameters_are_names_shapes_or_initializers() -> None:
    assert derive("x @ weight", {"weight": (4, 2)}).shapes == {"weight": (4, 2)}
    assert "builder.parameter(input_shape, Constant(" in derive("x * a", {"a": Constant(0.1)}).source()
    with pytest.raises(ArgumentTypeError, match="expected names"):
        derive("x * a", 3)  # type: ignore[call-overload]


def test_the_command_line_prints_derivation_and_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["derive", "x * sigmoid(slope * x)", "--parameter", "slope", "--name", "Swish"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(SWISH)
    assert "class Swish(Layer):" in out
    assert main(["derive", "x * sigmoid(slop * x)", "--parameter", "slope"]) == 2
    assert "did you mean slope?" in capsys.readouterr().err
    assert main(["derive", "beta * x @ w", "--parameter", "w:4,2", "--constant", "beta=2", "--format", "source"]) == 0
    assert "beta: float = 2.0" in capsys.readouterr().out
    assert main(["derive", "beta * x", "--constant", "beta=two"]) == 2
    assert main(["derive", "total((prediction - target)**2)"]) == 2
    assert "expected a loss that is a mean" in capsys.readouterr().err


def test_a_pasted_class_is_checked_from_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "pasted.py"
    file.write_text(derive("x * tanh(slope * x)", ["slope"]).source("Pasted"), encoding="utf-8")
    command = [sys.executable, "-m", "deepbp", "check", f"{file}:Pasted", "--input-shape", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "formula",
    [
        "total((prediction - target)**2) / n",
        "total(log(cosh(prediction - target))) / n",
        "total(log(1 + exp(prediction)) - target * prediction) / n",
        "total(sqrt(1 + scale * (prediction - target)**2) - 1) / n",
        "total(row_sum((prediction - target)**2)**2) / rows",
        "total((prediction - target)**4) / rows",
    ],
)
def test_the_written_loss_passes_the_conformance_checks(formula: str) -> None:
    constants = {"scale": 2.0} if "scale" in formula else {}
    exec(derive(formula, constants=constants).source("WrittenLoss"), globals())
    check_loss(globals()["WrittenLoss"](), (3,))


def test_the_written_penalty_is_its_formula() -> None:
    exec(derive("strength * total(log(1 + w**2))", constants={"strength": 0.1}).source("WrittenPenalty"), globals())
    penalty, w = globals()["WrittenPenalty"](), np.array([[1.0, -2.0, 0.5]])
    value, gradient = penalty(w)
    assert value == pytest.approx(0.1 * np.log(1 + w**2).sum())
    np.testing.assert_allclose(gradient, 0.2 * w / (1 + w**2))
    net = Sequential([Penalized(Dense(2), weights=penalty)], input_shape=3, rng=0)
    assert "Σ ln(1 + (W⁰)²)" in str(net.derivation(MeanSquaredError()))


def test_a_loss_that_is_no_mean_has_no_source() -> None:
    with pytest.raises(ConfigurationError, match="expected a loss that is a mean"):
        derive("total((prediction - target)**2)").source()
