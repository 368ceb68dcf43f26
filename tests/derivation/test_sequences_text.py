"""Equations in time, and of attention: solved, checked against the code, and printed step by step."""

from pathlib import Path

import numpy as np
import pytest
from attrs import define, evolve

from deepbp import Sequential
from deepbp.derivation import derive, steps
from deepbp.derivation.layer_derivation import sample_names
from deepbp.errors import ConfigurationError
from deepbp.formulas.language import evaluate, reversed_in_time, solved
from deepbp.layers import (
    GRU,
    LSTM,
    CrossAttention,
    Dense,
    EncoderDecoder,
    Formula,
    SelfAttention,
    SimpleRNN,
)
from deepbp.losses import MeanSquaredError
from deepbp.testing import CheckFailure, layer_checks


def lines(net: Sequential) -> list[str]:
    text = str(net.derivation(MeanSquaredError()))
    return [line.strip().split("   ")[0] for line in text.splitlines()]


def test_a_recurrence_is_moved_by_one_step_in_time() -> None:
    net = Sequential([SimpleRNN(4, return_sequences=True), Dense(2)], input_shape=(None, 3), rng=0)
    found = lines(net)
    for line in (
        "hₜ⁰ = tanh(xₜ W⁰ + hₜ₋₁⁰ R⁰ + b⁰)",
        "∂L/∂a⁰ = δ¹ W¹ᵀ",
        "δₜ⁰ = (∂L/∂aₜ⁰ + δₜ₊₁⁰ R⁰ᵀ) · (1 − (hₜ⁰)²)",
        "∂L/∂W⁰ = Σₜ xₜᵀ δₜ⁰",
        "∂L/∂R⁰ = Σₜ hₜ₋₁⁰ᵀ δₜ⁰",
        "∂L/∂b⁰ = Σᵢ δₜ⁰",
    ):
        assert line in found
    text = str(net.derivation(MeanSquaredError()))
    assert text.count("moved by one step in time, through the transposed weights") == 1
    assert "hₜ₋₁ belongs to the step before, and is 0 before the first one." in " ".join(text.split())


def test_the_gates_of_an_lstm() -> None:
    found = lines(Sequential([LSTM(4)], input_shape=(5, 3), rng=0))
    for line in ("cₜ⁰ = fₜ⁰ · cₜ₋₁⁰ + iₜ⁰ · gₜ⁰", "hₜ⁰ = oₜ⁰ · tanh(cₜ⁰)", "iₜ⁰ = σ(zₜ⁰[1])", "a⁰ = last(hₜ⁰)"):
        assert line in found


def test_attention_has_its_softmax_bracket() -> None:
    found = lines(Sequential([SelfAttention(2, causal=True), Dense(1)], input_shape=(5, 4), rng=0))
    plain = [one.translate({ord(c): None for c in "⁰¹²"}) for one in found]
    for line in ("A = softmax(causal(q kᵀ / √nⱼ))", "S = A · (G − Σⱼ A · G) / √nⱼ", "∂L/∂z = [S k, Sᵀ q, Aᵀ δ]"):
        assert line in plain


def test_traces_pages_and_summaries_have_the_equations(tmp_path: Path) -> None:
    layers = [GRU(3, return_sequences=True), SelfAttention(1), SimpleRNN(2, reverse=True)]
    net = Sequential(layers, input_shape=(None, 2), rng=0)
    x, y = np.ones((2, 3, 2)), np.ones((2, 2))
    assert "hₜ = (1 − uₜ) · nₜ + uₜ · hₜ₋₁" in str(net.summary())
    assert "y = A v O + o" in str(net.summary())
    assert "hₜ = tanh(xₜ W + hₜ₊₁ R + b)" in str(net.summary())  # from the last step to the first
    trace = net.trace(x, y, MeanSquaredError())
    assert str(trace).count("moved by one step in time") == 2
    assert "h_{t-1}" in trace.to_latex()
    page = net.explore(x, y, MeanSquaredError(), path=tmp_path / "step.html").read_text(encoding="utf-8")
    assert "SelfAttention" in page
    assert "The letter t counts the steps, from 1 to T" in page


def test_equations_in_time_are_solved_exactly() -> None:
    x = np.array([[[1.0], [0.0], [2.0]]])
    found = solved({"r": "s + after(r)"}, solved({"s": "x + 0.5 * before(s)"}, {"x": x}))
    assert found["s"].ravel().tolist() == [1.0, 0.5, 2.25]
    assert found["r"].ravel().tolist() == [3.75, 2.75, 2.25]
    assert evaluate("at_last(d, x)", {"d": np.array([[5.0]]), "x": x}).ravel().tolist() == [0, 0, 5]
    assert reversed_in_time("last(h) + before(beforehand)") == "first(h) + after(beforehand)"
    with pytest.raises(ConfigurationError, match="expected a Python expression"):
        Formula("h", where={"h": "before(h"})


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("dh", "delta + after(dz) @ recurrent_weight.T + after(dh)"),
        ("dc", "dh * o * (1 - tanh(c)**2)"),
        ("dz", "beside(dc * g * i, dc * before(c) * f * (1 - f), dc * i * (1 - g**2), dh * tanh(c) * o * (1 - o))"),
    ],
)
def test_a_wrong_equation_is_noticed(name: str, wrong: str) -> None:
    assert LSTM.formula is not None

    @define(eq=False)
    class Wrong(LSTM):
        formula = evolve(LSTM.formula, where_back={**LSTM.formula.where_back, name: wrong})

    check = next(one for one in layer_checks(Wrong(2), (3, 2)) if one.name == "formula")
    with pytest.raises(CheckFailure, match="is not what backward gives"):
        check.run()


@pytest.mark.parametrize("reverse", [False, True])
def test_every_line_of_the_way_back_has_its_reason(reverse: bool) -> None:
    recurrent = (kind(4, return_sequences=True, reverse=reverse) for kind in (LSTM, GRU, SimpleRNN))
    cross = EncoderDecoder(Dense(4), [Dense(6), CrossAttention(2)], source_steps=2)
    net = Sequential([*recurrent, SelfAttention(2, rotary=True), cross], input_shape=(5, 3), rng=0)
    rows = [row for step in steps(net) for row in step.equations(back=True)]
    assert len(rows) == 23
    assert [math for math, remark in rows if not remark] == []


def test_many_steps_do_not_make_a_derivation_slow() -> None:
    """The rules are the same for any number of steps: four are enough for them."""
    net = Sequential([LSTM(2)], input_shape=(100_000, 1), rng=0)
    assert len(sample_names(net.layers[0], LSTM.formula)["x"][0]) == 4
    assert "∂L/∂cₜ₊₁ · fₜ₊₁" in str(derive(net.layers[0]))
