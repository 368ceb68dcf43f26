"""Every built-in layer, loss and penalty states a formula; losses and penalties follow from theirs by the rules."""

from collections.abc import Iterator
from copy import deepcopy
from inspect import isabstract
from typing import Any

import numpy as np
import pytest
from every_builtin import ACTIVATIONS, BUILTIN_LAYERS, BUILTIN_LOSSES, CATEGORY_LAYERS, OTHERS

from deepbp import Sequential, layers, losses
from deepbp.derivation.layer_derivation import LayerDerivation, sample_names
from deepbp.derivation.steps import OperationStep, PenaltyStep, Step, steps
from deepbp.export.jax_export import JaxLibrary
from deepbp.formulas.algebra import ONE
from deepbp.formulas.derive import Derived
from deepbp.formulas.formula_text import read
from deepbp.formulas.language import evaluate, solved
from deepbp.formulas.rules import NoDerivative
from deepbp.layers import L1, L1L2, L2, Layer, Penalty
from deepbp.losses import Loss
from deepbp.testing.comparisons import values_of_fields
from deepbp.typing import Shape

EVERY = [*ACTIVATIONS, *OTHERS, *BUILTIN_LAYERS, *((layer, shape) for layer, shape, _ in CATEGORY_LAYERS)]
OTHER_DERIVATIVES = {
    "Activation",  # whose two functions, f and its derivative, are the user's
    "StopGradient",  # which passes back 0 on purpose
}
"""The layers whose backward pass is not derived from their formula: those whose definition says so."""


def every_step() -> Iterator[Step]:
    """The steps of all layers, in all configurations, each once; penalties are losses, operations state their rules."""
    seen: set[str] = set()
    for layer, shape in EVERY:
        for step in steps(Sequential([deepcopy(layer)], input_shape=shape, rng=0)):
            is_layer = not isinstance(step, OperationStep | PenaltyStep)
            if is_layer and (known := f"{step.layer!r} {step.input_shapes}") not in seen:
                seen.add(known)
                yield step


def test_every_layer_states_its_formula_or_its_graph() -> None:
    for step in every_step():
        formula = step.formula
        assert formula is not None, step.layer
        assert formula.passed_back, step.layer
        assert step.parameters.keys() <= formula.gradients.keys(), step.layer


def test_every_backward_pass_is_derived_from_its_formula() -> None:
    found: set[str] = set()
    for step in every_step():
        stated = step.formula
        assert stated is not None
        try:
            derivation = LayerDerivation.of(step.layer, step.input_shape)
        except NoDerivative:
            found.add(step.kind)
            continue
        names = solved(stated.where, sample_names(derivation.layer, stated))
        names["y"] = evaluate(stated.forward, names)
        names["delta"] = np.random.default_rng(1).standard_normal(names["y"].shape)
        derived, solution = derivation.derived.gradients(names), solved(stated.where_back, names)
        for name, expression in {"x": stated.passed_back, **stated.gradients}.items():
            expected = np.asarray(evaluate(expression, solution))
            got = np.broadcast_to(derived.get(name, np.zeros(expected.shape)), expected.shape)
            if not np.allclose(got, expected, rtol=1e-9, atol=1e-11 * (1 + np.abs(expected).max())):
                found.add(step.kind)
    assert found == OTHER_DERIVATIVES


def test_every_public_layer_is_in_the_table_above() -> None:
    public = (getattr(layers, name) for name in layers.__all__)
    wanted = {one for one in public if isinstance(one, type) and issubclass(one, Layer) and not isabstract(one)}
    tabled = {type(one) for layer, _ in EVERY for one in (layer, *layer.named_layers().values())}
    assert {one.__name__ for one in wanted - tabled} == set()


def test_every_public_loss_states_its_formula() -> None:
    public = (getattr(losses, name) for name in losses.__all__)
    wanted = {one for one in public if isinstance(one, type) and issubclass(one, Loss) and not isabstract(one)}
    stated = {type(loss) for loss, *_ in BUILTIN_LOSSES if loss.stated_formula() is not None}
    assert {one.__name__ for one in wanted - stated} == set()
    assert [loss for loss, *_ in BUILTIN_LOSSES if loss.stated_formula() is None] == []


STATED = [(loss, shape) for loss, shape, _ in BUILTIN_LOSSES]


def names_of(loss: Loss[Any], shape: Shape) -> dict[str, Any]:
    """The values of all names in the formulas of a loss, for random predictions and targets."""
    rng = np.random.default_rng(0)
    prediction, target = rng.uniform(0.1, 0.9, (5, *shape)), rng.uniform(0.1, 0.9, (5, *shape))
    fields = {name: np.asarray(v) if isinstance(v, tuple) else v for name, v in values_of_fields(loss).items()}
    if "quantiles" in fields and np.ndim(fields["quantiles"]):
        target = target[..., :1]
    if "Focal" in str(loss):  # whose formulas hold for targets of 0 and 1
        classes = max(2, shape[-1])
        target = np.eye(classes)[rng.integers(0, classes, (5, *shape[:-1]))][..., : shape[-1]]
    counts = {"n": prediction.size, "rows": prediction.size // shape[-1], "classes": shape[-1]}
    return {**fields, **counts, "prediction": prediction, "target": target}


@pytest.mark.parametrize(("loss", "shape"), STATED, ids=lambda value: str(value))
def test_the_gradient_of_a_loss_follows_from_its_value(loss: Loss[Any], shape: Shape) -> None:
    stated, names = loss.stated_formula(), names_of(loss, shape)
    assert stated is not None
    derived = Derived.of(read(stated.value), ("prediction",), names, ONE)
    found, right = evaluate(derived.text("prediction"), names), evaluate(stated.delta, names)
    np.testing.assert_allclose(np.broadcast_to(found, right.shape), right, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(("loss", "shape"), STATED, ids=lambda value: str(value))
def test_jax_finds_the_same_gradient_of_a_loss(loss: Loss[Any], shape: Shape) -> None:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    stated, names = loss.stated_formula(), names_of(loss, shape)
    assert stated is not None
    known = {"__builtins__": {}, **JaxLibrary(np.dtype("float64")).functions}

    def value(prediction: Any) -> Any:
        return eval(stated.value, known, {**names, "prediction": prediction})

    right = evaluate(stated.delta, names)
    found = np.asarray(jax.grad(value)(names["prediction"]))
    np.testing.assert_allclose(
        found, np.broadcast_to(right, found.shape), rtol=0, atol=1e-12 * (1 + np.abs(right).max())
    )


@pytest.mark.parametrize("penalty", [L1(0.3), L2(0.2), L1L2(0.1, 0.4)], ids=str)
def test_the_gradient_of_a_penalty_follows_from_its_value(penalty: Penalty) -> None:
    assert penalty.formula is not None
    names = {**values_of_fields(penalty), "w": np.random.default_rng(0).standard_normal((3, 4))}
    derived = Derived.of(read(penalty.formula.value), ("w",), names, ONE)
    found, right = evaluate(derived.text("w"), names), evaluate(penalty.formula.gradient, names)
    np.testing.assert_allclose(found, right, rtol=1e-12)
    value, gradient = penalty(names["w"])
    np.testing.assert_allclose(evaluate(penalty.formula.value, names), value, rtol=1e-12)
    np.testing.assert_allclose(right, gradient, rtol=1e-12)
