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
        "z¹ = x W¹",
        "z² = z¹ W²",
        "a² = σ(z²)",
        "a³ = a² + z¹",
        "ŷ = a³",
        "σ(z) = 1 / (1 + e⁻ᶻ)",
        "σ′(z) = σ(z) · (1 − σ(z))",
        "L = Σ (ŷ − y)²",
        "∂L/∂ŷ = 2(ŷ − y)",
        "∂L/∂W² = ∂z²/∂W² · ∂a²/∂z² · ∂a³/∂a² · ∂L/∂a³",
        "∂L/∂a³ = 2(ŷ − y)",
        "∂a³/∂a² = 1",
        "∂a²/∂z² = σ′(z²)",
        "∂z²/∂W² = z¹",
        "∂L/∂a³ = 2(ŷ − y)",
        "∂L/∂a² = ∂L/∂a³",
        "δ² = ∂L/∂a² · σ′(z²) = ∂L/∂a² · a² · (1 − a²)",
        "δ¹ = δ² W²ᵀ + ∂L/∂a³",
        "∂L/∂W¹ = xᵀ δ¹",
        "∂L/∂W² = z¹ᵀ δ²",
        "w ← w − η · g",
    ]
    text = str(net(Dense(3), Residual([Dense(3), Sigmoid()])).derivation(SumSquaredError()))
    assert text.startswith("Backpropagation through a network 3 → … → 3\n")
    assert re.search(r"a³ = a² \+ z¹ +\(B, 3\) +layer 1, Residual: its branches, added", text)
    assert re.search(r"δ¹ = δ² W²ᵀ \+ ∂L/∂a³ +\(B, 3\) +2 ways lead on from here: their shares add", text)
    assert re.search(r"∂L/∂a² = ∂L/∂a³ +\(B, 3\) +back through layer 1, Residual: a sum hands it on to each", text)
    assert "what they pass back is added: that is the chain rule for several paths" in " ".join(text.split())


@pytest.mark.parametrize(
    ("merge", "forward", "backward"),
    [
        ("add", "a³ = z¹ + z² + x", ["δ² = ∂L/∂a³", "δ¹ = ∂L/∂a³"]),
        ("mean", "a³ = (z¹ + z² + x) / 3", ["δ² = ∂L/∂a³ / 3", "δ¹ = ∂L/∂a³ / 3"]),
        ("multiply", "a³ = z¹ · z² · x", ["δ² = ∂L/∂a³ · z¹ · x", "δ¹ = ∂L/∂a³ · z² · x"]),
        ("concat", "a³ = [z¹, z², x]", ["δ² = columns(∂L/∂a³, 3, 6)", "δ¹ = columns(∂L/∂a³, 0, 3)"]),
    ],
)
def test_parallel_branches(merge: Any, forward: str, backward: list[str]) -> None:
    found = lines(net(Parallel([Dense(3), Dense(3), None], merge=merge), Dense(2)))
    assert forward in found
    start = found.index("∂L/∂a³ = δ⁴ W⁴ᵀ")
    assert found[start + 1 : start + 3] == backward


def test_columns_are_cut_and_put_together_again() -> None:
    network = net(Dense(4), Split([Dense(2), [ReLU()]], sizes=(1, 3)), Dense(2))
    found = lines(network)
    assert [line for line in found if "columns" in line] == [
        "a¹ = columns(z¹, 0, 1)",
        "a³ = columns(z¹, 1, 4)",
        "∂L/∂a⁴ = columns(∂L/∂a⁵, 2, 5)",
        "δ² = columns(∂L/∂a⁵, 0, 2)",
    ]
    assert "a⁵ = [z², a⁴]" in found
    assert "δ¹ = [∂L/∂a¹, ∂L/∂a³]" in found
    text = str(network.derivation(SumSquaredError()))
    assert re.search(r"a¹ = columns\(z¹, 0, 1\) +\(B, 1\) +layer 1, Split: column 0\n", text)
    assert re.search(r"a³ = .* layer 1, Split: columns 1 to 3\n", text)
    assert "[u, v] has the columns of both side by side; columns(u, 2, 5) is columns 2 to 4 of it." in text
    assert "side by side again, as layer 1, Split, cut them" in text


def test_copies_and_uses() -> None:
    assert [one.place for one in steps(net(Repeat([Dense(3), Tanh()], 2)))] == ["0.0.0", "0.0.1", "0.1.0", "0.1.1"]
    again = net(Repeat(Dense(3), 3, share=True))
    assert [written(one.parameters["weight"]) for one in steps(again)] == ["W¹", "W¹", "W¹"]
    assert "∂L/∂W¹ = xᵀ δ¹ + z¹ᵀ δ² + z²ᵀ δ³" in lines(again)
    text = str(again.derivation(SumSquaredError()))
    assert "layer 0.0 is used 3 times: the shares add" in text
    assert "how the weights change the loss, by their last use" in text


def test_penalties_are_steps_that_end_in_the_loss() -> None:
    network = net(Penalized([Dense(4), Tanh()], weights=L2(0.1), outputs=L1(0.5)), Penalized(Dense(2), outputs=L2(1.0)))
    found = lines(network)
    for line in (
        "P¹ = 0.1 Σ (W¹)²",
        "P² = 0.5 Σ |a¹| / B",
        "P³ = (Σ (z²)²) / B",
        "L = Σ (ŷ − y)² + P¹ + P² + P³",
        "δ² = 2(ŷ − y) + 2 z² / B",
        "∂L/∂a¹ = δ² W²ᵀ + 0.5 sgn(a¹) / B",
        "∂L/∂W¹ = xᵀ δ¹ + 0.2 W¹",
        "∂L/∂b¹ = Σᵢ δ¹",
        "∂L/∂W² = a¹ᵀ δ²",
    ):
        assert line in found
    text = str(network.derivation(SumSquaredError()))
    assert re.search(r"P¹ = .*layer 0, Penalized: L2\(0.1\) of its weights", text)
    assert re.search(r"P² = .*layer 0, Penalized: L1\(0.5\) of its outputs", text)
    assert re.search(r"L = .*SumSquaredError\(.*\), and the penalties", text)
    assert re.search(r"∂L/∂W¹ = .*and from the penalty of layer 0, L2\(0.1\)", text)
    assert "from the loss, and from the penalty" in text
    both = lines(net(Penalized(Dense(2), weights=L1L2(0.1, 0.2))))
    assert "P¹ = 0.1 Σ |W¹| + 0.2 Σ (W¹)²" in both
    assert "∂L/∂W¹ = xᵀ δ¹ + 0.1 sgn(W¹) + 0.4 W¹" in both
    assert "∂L/∂W¹ = ∂z¹/∂W¹ · ∂L/∂z¹ + ∂P¹/∂W¹" in both


def test_penalties_without_a_formula_and_layers_that_add_by_themselves() -> None:
    @frozen
    class Cubic(Penalty):
        def __call__(self, values: Array) -> tuple[float, Array]:
            return float(abs(values**3).sum()), 3 * values * abs(values)

    found = lines(net(Penalized(Dense(2), weights=Cubic(), outputs=Cubic())))
    assert "P¹ = Cubic(W¹)" in found
    assert "P² = Cubic(z¹) / B" in found
    assert "δ¹ = 2(ŷ − y) + Cubic′(z¹) / B" in found
    assert "∂L/∂W¹ = xᵀ δ¹ + Cubic′(W¹)" in found
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
    assert "The handwritten notes" in text
    assert "layer1ᵀ" not in text
