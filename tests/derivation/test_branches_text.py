"""What the derivation of branches and penalties says, line by line."""

import re
from typing import Any

import pytest
from attrs import define, frozen
from branched import NAMES, Taxed, Wrapped, branched_nets, net
from test_derivation_text import equations

from deepbp.derivation.steps import steps
from deepbp.formulas.printer import TextPrinter
from deepbp.layers import (
    L1,
    L1L2,
    L2,
    Dense,
    Parallel,
    Penalized,
    Penalty,
    ReLU,
    Repeat,
    Residual,
    Sigmoid,
    Split,
    Tanh,
)
from deepbp.losses import SumSquaredError
from deepbp.typing import Array


def lines(network: object) -> list[str]:
    return equations(str(network.derivation(SumSquaredError())))  # type: ignore[attr-defined]


def written(symbol: object) -> str:
    return TextPrinter().symbol(symbol)  # type: ignore[arg-type]


def test_a_residual_block() -> None:
    found = lines(net(Dense(3, use_bias=False), Residual([Dense(3, use_bias=False), Sigmoid()])))
    assert found == [
        "z⁰ = x W⁰",
        "z¹·⁰ = z⁰ W¹·⁰",
        "a¹·¹ = σ(z¹·⁰)",
        "a¹ = a¹·¹ + z⁰",
        "ŷ = a¹",
        "σ(z) = 1 / (1 + e⁻ᶻ)",
        "σ′(z) = σ(z) · (1 − σ(z))",
        "L = Σ (ŷ − y)²",
        "∂L/∂ŷ = 2(ŷ − y)",
        "∂L/∂W¹·⁰ = ∂z¹·⁰/∂W¹·⁰ · ∂a¹·¹/∂z¹·⁰ · ∂a¹/∂a¹·¹ · ∂L/∂a¹",
        "∂L/∂a¹ = 2(ŷ − y)",
        "∂a¹/∂a¹·¹ = 1",
        "∂a¹·¹/∂z¹·⁰ = σ′(z¹·⁰)",
        "∂z¹·⁰/∂W¹·⁰ = z⁰",
        "∂L/∂a¹ = 2(ŷ − y)",
        "∂L/∂a¹·¹ = ∂L/∂a¹",
        "δ¹·⁰ = ∂L/∂a¹·¹ · σ′(z¹·⁰) = ∂L/∂a¹·¹ · a¹·¹ · (1 − a¹·¹)",
        "δ⁰ = δ¹·⁰ W¹·⁰ᵀ + ∂L/∂a¹",
        "∂L/∂W⁰ = xᵀ δ⁰",
        "∂L/∂W¹·⁰ = z⁰ᵀ δ¹·⁰",
        "w ← w − η · g",
    ]
    text = str(net(Dense(3), Residual([Dense(3), Sigmoid()])).derivation(SumSquaredError()))
    assert text.startswith("Backpropagation through a network 3 → … → 3\n")
    assert re.search(r"a¹ = a¹·¹ \+ z⁰ +\(B, 3\) +layer 1, Residual: its branches, added", text)
    assert re.search(r"δ⁰ = δ¹·⁰ W¹·⁰ᵀ \+ ∂L/∂a¹ +\(B, 3\) +2 ways lead on from here: their shares add", text)
    assert re.search(r"∂L/∂a¹·¹ = ∂L/∂a¹ +\(B, 3\) +back through layer 1, Residual: a sum hands it on to each", text)
    assert "what they pass back is added: that is the chain rule for several paths" in " ".join(text.split())


@pytest.mark.parametrize(
    ("merge", "forward", "backward"),
    [
        ("add", "a⁰ = z⁰·⁰ + z⁰·¹ + x", ["δ⁰·¹ = ∂L/∂a⁰", "δ⁰·⁰ = ∂L/∂a⁰"]),
        ("mean", "a⁰ = (z⁰·⁰ + z⁰·¹ + x) / 3", ["δ⁰·¹ = ∂L/∂a⁰ / 3", "δ⁰·⁰ = ∂L/∂a⁰ / 3"]),
        ("multiply", "a⁰ = z⁰·⁰ · z⁰·¹ · x", ["δ⁰·¹ = ∂L/∂a⁰ · z⁰·⁰ · x", "δ⁰·⁰ = ∂L/∂a⁰ · z⁰·¹ · x"]),
        ("concat", "a⁰ = [z⁰·⁰, z⁰·¹, x]", ["δ⁰·¹ = ∂L/∂a⁰[3:6]", "δ⁰·⁰ = ∂L/∂a⁰[0:3]"]),
    ],
)
def test_parallel_branches(merge: Any, forward: str, backward: list[str]) -> None:
    found = lines(net(Parallel([Dense(3), Dense(3), None], merge=merge), Dense(2)))
    assert forward in found
    start = found.index("∂L/∂a⁰ = δ¹ W¹ᵀ")
    assert found[start + 1 : start + 3] == backward


def test_columns_are_cut_and_put_together_again() -> None:
    network = net(Dense(4), Split([Dense(2), [ReLU()]], sizes=(1, 3)), Dense(2))
    found = lines(network)
    assert [line for line in found if re.search(r"\[\d:\d\]$", line)] == [
        "a¹·ᶜ·⁰ = z⁰[0:1]",
        "a¹·ᶜ·¹ = z⁰[1:4]",
        "∂L/∂a¹·ᵇ·¹·⁰ = ∂L/∂a¹[2:5]",
        "δ¹·ᵇ·⁰ = ∂L/∂a¹[0:2]",
    ]
    assert "a¹ = [z¹·ᵇ·⁰, a¹·ᵇ·¹·⁰]" in found
    assert "δ⁰ = [∂L/∂a¹·ᶜ·⁰, ∂L/∂a¹·ᶜ·¹]" in found
    text = str(network.derivation(SumSquaredError()))
    assert re.search(r"a¹·ᶜ·⁰ = z⁰\[0:1\] +\(B, 1\) +layer 1, Split: column 0\n", text)
    assert re.search(r"a¹·ᶜ·¹ = .* layer 1, Split: columns 1 to 3\n", text)
    assert "[u, v] has the columns of both side by side; u[2:5] is columns 2 to 4 of it." in text
    assert "put together again, as layer 1, Split, cut them" in text


def test_copies_and_uses() -> None:
    assert [one.place for one in steps(net(Repeat([Dense(3), Tanh()], 2)))] == ["0.0.0", "0.0.1", "0.1.0", "0.1.1"]
    again = net(Repeat(Dense(3), 3, share=True))
    assert [written(one.parameters["weight"]) for one in steps(again)] == ["W⁰·⁰", "W⁰·⁰", "W⁰·⁰"]
    assert "∂L/∂W⁰·⁰ = xᵀ δ⁰·⁰ + z⁰·⁰ᵀ δ⁰·¹ + z⁰·¹ᵀ δ⁰·²" in lines(again)
    text = str(again.derivation(SumSquaredError()))
    assert "layer 0.0 is used 3 times: the shares add" in text
    assert "how the weights change the loss, by their last use" in text


def test_penalties_are_steps_that_end_in_the_loss() -> None:
    network = net(Penalized([Dense(4), Tanh()], weights=L2(0.1), outputs=L1(0.5)), Penalized(Dense(2), outputs=L2(1.0)))
    found = lines(network)
    for line in (
        "P⁰ = 0.1 Σ (W⁰·⁰)²",
        "P⁰⁽²⁾ = 0.5 Σ |a⁰·¹| / B",
        "P¹ = (Σ (z¹)²) / B",
        "L = Σ (ŷ − y)² + P⁰ + P⁰⁽²⁾ + P¹",
        "δ¹ = 2(ŷ − y) + 2 z¹ / B",
        "∂L/∂a⁰·¹ = δ¹ W¹ᵀ + 0.5 sgn(a⁰·¹) / B",
        "∂L/∂W⁰·⁰ = xᵀ δ⁰·⁰ + 0.2 W⁰·⁰",
        "∂L/∂b⁰·⁰ = Σᵢ δ⁰·⁰",
        "∂L/∂W¹ = a⁰·¹ᵀ δ¹",
    ):
        assert line in found
    text = str(network.derivation(SumSquaredError()))
    assert re.search(r"P⁰ = .*layer 0, Penalized: L2\(0.1\) of its weights", text)
    assert re.search(r"P⁰⁽²⁾ = .*layer 0, Penalized: L1\(0.5\) of its outputs", text)
    assert re.search(r"L = .*SumSquaredError\(.*\), and the penalties", text)
    assert re.search(r"∂L/∂W⁰·⁰ = .*and from the penalty of layer 0, L2\(0.1\)", text)
    assert "from the loss, and from the penalty" in text
    both = lines(net(Penalized(Dense(2), weights=L1L2(0.1, 0.2))))
    assert "P⁰ = 0.1 Σ |W⁰| + 0.2 Σ (W⁰)²" in both
    assert "∂L/∂W⁰ = xᵀ δ⁰ + 0.1 sgn(W⁰) + 0.4 W⁰" in both
    assert "∂L/∂W⁰ = ∂z⁰/∂W⁰ · ∂L/∂z⁰ + ∂P⁰/∂W⁰" in both


def test_penalties_without_a_formula_and_layers_that_add_by_themselves() -> None:
    @frozen
    class Cubic(Penalty):
        def __call__(self, values: Array) -> tuple[float, Array]:
            return float(abs(values**3).sum()), 3 * values * abs(values)

    found = lines(net(Penalized(Dense(2), weights=Cubic(), outputs=Cubic())))
    assert "P⁰ = Cubic(W⁰)" in found
    assert "P⁰⁽²⁾ = Cubic(z⁰) / B" in found
    assert "δ⁰ = 2(ŷ − y) + Cubic′(z⁰) / B" in found
    assert "∂L/∂W⁰ = xᵀ δ⁰ + Cubic′(W⁰)" in found
    found = lines(net(Dense(3), Taxed(), Wrapped()))
    assert "P¹ = Taxed.penalty(a¹)" in found
    assert "P² = Wrapped.penalty(a²)" in found
    assert "L = Σ (ŷ − y)² + P¹ + P²" in found
    assert "∂L/∂gain¹ = Taxed.backward(∂L/∂a¹)" in found


@pytest.mark.parametrize("name", NAMES)
def test_letters_never_repeat(name: str) -> None:
    found = steps(branched_nets()[name])
    outputs = [one.output for one in found]
    fresh = {id(p): one.parameters[key] for one in found for key, p in one.held.items()}
    assert len({*outputs, *fresh.values()}) == len(outputs) + len(fresh)


@define(eq=False)
class Doubled(Residual):
    """A user's block that runs otherwise: twice what a residual block gives."""

    def forward(self, x: Array) -> tuple[Array, Any]:
        y, saved = super().forward(x)
        return 2 * y, saved

    def backward(self, saved: Any, delta: Array) -> Array:
        return super().backward(saved, 2 * delta)


def test_a_subclass_that_runs_otherwise_is_a_black_box() -> None:
    network = net(Doubled([Dense(3), Tanh()]), Dense(2))
    found = lines(network)
    assert found[:2] == ["a⁰ = Doubled(x)", "z¹ = a⁰ W¹ + b¹"]
    assert [one.place for one in steps(network)] == ["0", "1"]


def test_the_notes_words_are_left_out() -> None:
    text = str(net(Residual([Dense(3), Sigmoid()])).derivation(SumSquaredError()))
    assert "The handwritten notes" not in text
    assert "layer1ᵀ" not in text
