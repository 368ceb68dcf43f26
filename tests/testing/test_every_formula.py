"""Every built-in layer, loss and penalty states a formula; losses and penalties follow from theirs by the rules."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from every_builtin import ACTIVATIONS, BUILTIN_LAYERS, BUILTIN_LOSSES, OTHERS

from deepbp import Sequential
from deepbp.derivation.steps import OperationStep, PenaltyStep, steps
from deepbp.export.jax_export import JaxLibrary
from deepbp.formulas.algebra import ONE
from deepbp.formulas.derive import Derived
from deepbp.formulas.formula_text import read
from deepbp.formulas.language import evaluate
from deepbp.layers import L1, L1L2, L2, Penalty
from deepbp.losses import Loss, OnOutputs, SumOfLosses
from deepbp.testing.comparisons import values_of_fields
from deepbp.typing import Shape

EVERY = [*ACTIVATIONS, *OTHERS, *BUILTIN_LAYERS]
OPEN = {
    "CrossAttention",  # its source comes beside its input
    "SelfAttention(1, causal=True, rotary=True, width=6)",  # turns of rotary positions are no word of the language
    "SimpleRNN(2, return_sequences=True, reverse=True, initial_state='learned')",  # nor are learned first states
    "GRU(2, reverse=True, initial_state='learned')",
    "LSTM(2, reverse=True, initial_state='learned', forget_bias=0.5)",
}
"""What states no complete formula, by class or configuration: a place in the chain, with its shapes."""


def test_every_layer_states_its_formula_or_its_graph() -> None:
    found: set[str] = set()
    for layer, shape in EVERY:
        for step in steps(Sequential([deepcopy(layer)], input_shape=shape, rng=0)):
            formula = step.formula
            known = formula is not None and formula.passed_back and step.parameters.keys() <= formula.gradients.keys()
            if not known and not isinstance(step, OperationStep | PenaltyStep):
                kind = type(step.layer).__name__
                found.add(kind if kind in OPEN else repr(layer))
    assert found == OPEN


def test_a_sum_of_losses_is_the_only_one_without_a_formula() -> None:
    assert {type(loss) for loss, *_ in BUILTIN_LOSSES if loss.stated_formula() is None} == {SumOfLosses, OnOutputs}


STATED = [(loss, shape) for loss, shape, _ in BUILTIN_LOSSES if loss.stated_formula() is not None]


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
