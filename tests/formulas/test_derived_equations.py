"""The backward passes of recurrences and of attention, derived from their equations by the rules."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from attrs import evolve

import deepbp
from deepbp.derivation.layer_derivation import LayerDerivation, sample_names
from deepbp.errors import ConfigurationError
from deepbp.formulas.derived_equations import DerivedEquations
from deepbp.formulas.language import Formula, evaluate, solved
from deepbp.layers import GRU, LSTM, Builder, CrossAttention, Layer, Residual, SelfAttention, SimpleRNN
from deepbp.layers.masking import Context
from deepbp.parameters import Parameter
from deepbp.testing.gradients import numeric_gradient

FLAGS = list(product([False, True], repeat=2))
LAYERS: list[Layer[Any]] = [
    *(
        kind(2, return_sequences=s, reverse=r, initial_state=i)
        for kind in (SimpleRNN, GRU, LSTM)
        for s, r in FLAGS
        for i in ("zeros", "learned")
    ),
    *(SelfAttention(2, causal=causal, rotary=rotary) for causal, rotary in FLAGS),
    CrossAttention(2),
]
SHAPE = (3, 4)


def case(layer: Layer[Any]) -> tuple[LayerDerivation, Formula, dict[str, Any]]:
    """The derivation, the stated formula, and the values of all names of its forward pass and of δ."""
    found = LayerDerivation.of(layer, SHAPE)
    names = sample_names(found.layer, found.formula)
    known = solved(found.formula.where, names)
    known["y"] = evaluate(found.formula.forward, known)
    known["delta"] = np.random.default_rng(5).standard_normal(known["y"].shape)
    return found, found.formula, known


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_the_stated_backward_pass_is_the_derived_one(layer: Layer[Any]) -> None:
    found, stated, known = case(layer)
    derived = found.derived.gradients(known)
    solution = solved(stated.where_back, known)
    expressions = {"x": stated.passed_back, **stated.gradients}
    assert derived.keys() == expressions.keys()
    for name, expression in expressions.items():
        expected = evaluate(expression, solution)
        assert derived[name].shape == expected.shape
        np.testing.assert_allclose(derived[name], expected, rtol=0, atol=1e-12 * (1 + np.abs(expected).max()))


SMALL = [
    SimpleRNN(2, initial_state="learned"),
    GRU(2, return_sequences=True, initial_state="learned"),
    LSTM(2, return_sequences=True, initial_state="learned"),
    SelfAttention(2, causal=True, rotary=True),
    CrossAttention(2),
]


@pytest.mark.parametrize("layer", SMALL, ids=str)
def test_and_that_of_central_differences(layer: Layer[Any]) -> None:
    found, stated, known = case(layer)
    for name, derived in found.derived.gradients(known).items():

        def loss(moved: Any, name: str = name) -> float:
            y = evaluate(stated.forward, solved(stated.where, {**known, name: moved}))
            return float((known["delta"] * y).sum())

        expected = numeric_gradient(loss, np.array(known[name], dtype=float))
        np.testing.assert_allclose(derived, expected, rtol=0, atol=1e-6 * (1 + np.abs(expected).max()))


def test_the_passes_of_cross_attention_are_its_formula() -> None:
    """``check_layer`` cannot build it alone: its memory comes from an encoder."""
    layer, rng = CrossAttention(2), np.random.default_rng(0)
    builder = Builder(rng=0, dtype="float64")
    builder.memory_shape = (5, 3)
    builder.build(layer, (4, 6))
    for parameter in layer.parameters():
        parameter.value = rng.standard_normal(parameter.value.shape)
    x, memory, delta = (rng.standard_normal((2, *shape)) for shape in ((4, 6), (5, 3), (4, 6)))
    held = Parameter(memory)
    y, saved = layer.forward_with(x, Context(None, held, None))
    grad_input = layer.backward(saved, delta)
    stated = layer.stated_formula()
    assert stated is not None
    values = {name: one.value for name, one in layer.named_parameters().items()}
    names = solved(stated.where, {**values, "x": x, "memory": memory, "heads": 2, "delta": delta})
    np.testing.assert_allclose(y, evaluate(stated.forward, names), rtol=0, atol=1e-12)
    names = solved(stated.where_back, names)
    computed = {name: one.grad for name, one in layer.named_parameters().items()} | {"memory": held.grad}
    np.testing.assert_allclose(grad_input, evaluate(stated.passed_back, names), rtol=0, atol=1e-11)
    for name, gradient in computed.items():
        np.testing.assert_allclose(gradient, evaluate(stated.gradients[name], names), rtol=0, atol=1e-11)


def test_a_recurrence_reads_as_in_the_notes() -> None:
    text = str(deepbp.derive(SimpleRNN(2, return_sequences=True), input_shape=SHAPE))
    for line in (
        "∂L/∂hₜ = δₜ + ∂L/∂u₁,ₜ₊₁ Rᵀ ",
        "∂L/∂u₁,ₜ = ∂L/∂hₜ · (1 − hₜ²) ",
        "∂L/∂W = Σₜ xₜᵀ ∂L/∂u₁,ₜ ",
        "∂L/∂R = Σₜ hₜ₋₁ᵀ ∂L/∂u₁,ₜ ",
    ):
        assert line in text
    assert "two ways lead here, the shares add: the error signal arrives, and a product with weights" in text
    assert "hₜ₋₁ belongs to the step before, and is 0 before the first one." in " ".join(text.split())


def test_the_gates_of_an_lstm_and_its_states_at_the_start() -> None:
    text = str(deepbp.derive(LSTM(2, initial_state="learned"), input_shape=SHAPE))
    for line in (
        "∂L/∂hₜ = 𝟙[t = T] · δ + ∂L/∂zₜ₊₁ Rᵀ ",
        "∂L/∂cₜ = ∂L/∂u₁,ₜ · (1 − u₁,ₜ²) + ∂L/∂cₜ₊₁ · fₜ₊₁ ",
        "∂L/∂fₜ = ∂L/∂cₜ · cₜ₋₁ ",
        "∂L/∂s₀ = [Σᵢ ∂L/∂z₁ Rᵀ ; Σᵢ ∂L/∂c₁ · f₁] ",
        "each part its own signal: σ′ = σ (1 − σ), tanh′ = 1 − tanh²",
    ):
        assert line in text


def test_attention_is_passed_back_through_the_softmax() -> None:
    found = deepbp.derive(SelfAttention(2, causal=True, rotary=True), input_shape=SHAPE)
    assert "∂L/∂u₁ = causal(A · (∂L/∂A − Σⱼ ∂L/∂A · A)) / √nⱼ " in str(found)
    assert "∂L/∂z = [rotate⁻¹(∂L/∂q), rotate⁻¹(∂L/∂k), ∂L/∂v] " in str(found)
    assert r"\mathrm{rotate}^{-1}" in found.to_latex()


def test_a_step_that_sends_nothing_back_is_not_the_derivative() -> None:
    """What the tests above would miss if the rule of ``before`` sent nothing to the step before."""
    found, stated, known = case(SimpleRNN(2, return_sequences=True))
    cut = evolve(stated, where_back={"dz": "delta * (1 - h**2)"})
    wrong = evaluate(cut.passed_back, solved(cut.where_back, known))
    assert np.abs(found.derived.gradients(known)["x"] - wrong).max() > 0.01


def test_what_has_no_formula_cannot_be_derived() -> None:
    with pytest.raises(ConfigurationError, match="derive the layers inside it"):
        deepbp.derive(Residual(SelfAttention(2)), input_shape=SHAPE)
    with pytest.raises(ConfigurationError, match="no rule for its derivative"):
        DerivedEquations.of("h", {"h": "x * at_last(last(x), x)"}, ["x"], {"x": np.ones((2, 3, 4))})
