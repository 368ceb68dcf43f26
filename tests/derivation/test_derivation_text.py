"""What the derivation says: for the notes' network line by line the notes, for others what their layers state."""

import re
from itertools import pairwise
from typing import Any

import pytest
from nets import StatedGain, notes_net, rich_net

from deepbp import Sequential
from deepbp.errors import ArgumentTypeError, NotBuiltError
from deepbp.layers import Dense, Layer, ReLU, Reshape, Sigmoid, Tanh
from deepbp.losses import CrossEntropy, Loss, MeanSquaredError, SoftmaxCrossEntropy, SumSquaredError
from deepbp.optimizers import SGD, AdamW, Optimizer
from deepbp.optimizers.optimizer import State
from deepbp.parameters import ParameterVector
from deepbp.typing import Array

NOTES = """
z⁰ = x W⁰
a¹ = σ(z⁰)
z² = a¹ W²
a³ = σ(z²)
ŷ = a³
σ(z) = 1 / (1 + e⁻ᶻ)
σ′(z) = σ(z) · (1 − σ(z))
L = Σ (ŷ − y)²
∂L/∂ŷ = 2(ŷ − y)
∂L/∂W² = ∂z²/∂W² · ∂a³/∂z² · ∂L/∂a³
∂L/∂a³ = 2(ŷ − y)
∂a³/∂z² = σ′(z²)
∂z²/∂W² = a¹
∂L/∂a³ = 2(ŷ − y)
δ² = ∂L/∂a³ · σ′(z²) = ∂L/∂a³ · a³ · (1 − a³)
∂L/∂a¹ = δ² W²ᵀ
δ⁰ = ∂L/∂a¹ · σ′(z⁰) = ∂L/∂a¹ · a¹ · (1 − a¹)
∂L/∂W⁰ = xᵀ δ⁰
∂L/∂W² = a¹ᵀ δ²
w ← w − η · g
d₂ = layer1ᵀ [2(y − ŷ) · σ′(ŷ)] = −∂L/∂W²
d₁ = inputᵀ { [2(y − ŷ) · σ′(ŷ)] weights2ᵀ · σ′(layer1) } = −∂L/∂W⁰
weights2 = weights2 + d₂
weights1 = weights1 + d₁
"""


def equations(text: str) -> list[str]:
    """The formulas alone, without the shapes and words beside them."""
    return [re.split(r"\s{3,}", line.strip())[0] for line in text.splitlines() if line.startswith("    ")]


def net(*layers: Layer[Any], inputs: int = 3) -> Sequential:
    return Sequential(layers, input_shape=inputs, rng=0)


def test_notes_net_gives_the_notes_line_by_line() -> None:
    assert equations(str(notes_net().derivation(SumSquaredError()))) == NOTES.split("\n")[1:-1]


def test_sign_is_explained() -> None:
    text = " ".join(str(notes_net().derivation(SumSquaredError())).split())
    assert "start from the negative of the error signal at the output. For this loss, that is 2(y − ŷ)" in text
    assert "so what comes out is the negative of the gradient" in text
    assert "deepbp carries the gradient itself, ∂L/∂ŷ = 2(ŷ − y), and the optimizer subtracts it" in text


@pytest.mark.parametrize(
    "line",
    [
        r"z⁰ = x W⁰ +\(B, 3\)\(3, 4\) → \(B, 4\) +layer 0, Dense\(4, use_bias=False\)",
        r"∂L/∂a¹ = δ² W²ᵀ +\(B, 1\)\(1, 4\) → \(B, 4\) +moved by one layer, through the transposed weights",
        r"∂L/∂W⁰ = xᵀ δ⁰ +\(3, B\)\(B, 4\) → \(3, 4\)",
        r"δ⁰ = .* \(B, 4\) +times the slope of layer 1, Sigmoid",
    ],
)
def test_shapes_and_words_stand_beside_the_formulas(line: str) -> None:
    assert re.search(line, str(notes_net().derivation(SumSquaredError())))


def test_other_sizes_behind_a_layer_are_shown() -> None:
    text = str(rich_net().derivation(SumSquaredError()))
    assert re.search(r"a⁰ = reshape\(x\) +\(B, 2, 2\) → \(B, 4\) +layer 0", text)
    flattened = Sequential([Dense(6), Reshape((2, 3))], input_shape=2).derivation(SumSquaredError())
    assert re.search(r"δ⁰ = reshape\(∂L/∂a¹\) +\(B, 2, 3\) → \(B, 6\) +back through layer 1, Reshape", str(flattened))


def test_title_has_the_sizes() -> None:
    assert str(notes_net().derivation(SumSquaredError())).startswith("Backpropagation through a network 3 → 4 → 1\n")
    assert str(rich_net().derivation(SumSquaredError())).startswith("Backpropagation through a network 2×2 → 4 → 4 → ")


def test_three_layers_nest_the_notes_bracket_twice() -> None:
    text = str(net(Dense(5), Tanh(), Dense(4), Sigmoid(), Dense(2)).derivation(MeanSquaredError()))
    assert "d₃ = layer2ᵀ [2(y − ŷ) / n] = −∂L/∂W⁴" in text
    inner = "{ [2(y − ŷ) / n] weights3ᵀ · σ′(layer2) }"
    assert f"d₁ = inputᵀ {{ {inner} weights2ᵀ · tanh′(layer1) }} = −∂L/∂W⁰" in text


@pytest.mark.parametrize("layers", [[Dense(3), ReLU()] * 5, [Dense(3), Sigmoid(), StatedGain()]])
def test_notes_words_are_left_out_where_they_do_not_fit(layers: list[Layer[Any]]) -> None:
    text = str(net(*layers).derivation(SumSquaredError()))
    assert "The handwritten notes" not in text
    assert "layer1ᵀ" not in text


def test_layer_used_twice_adds_its_gradients() -> None:
    text = str(rich_net().derivation(SumSquaredError()))
    assert re.search(r"∂L/∂W¹ = a⁰ᵀ δ¹ \+ a²ᵀ δ³·⁰ .*layer 1 is used 2 times: the shares add", text)
    assert re.search(r"∂L/∂b¹ = Σᵢ δ¹ \+ Σᵢ δ³·⁰ ", text)
    assert re.search(r"z³·⁰ = a² W¹ \+ b¹ .*layer 3\.0, Dense\(4\), used again", text)


def test_black_boxes_are_named_with_their_shapes() -> None:
    text = str(rich_net().derivation(SumSquaredError()))
    assert re.search(r"a⁴ = Gain\(a³·²\) +\(B, 4\) +layer 4, Gain\(\): a black box, no formula is stated", text)
    assert "∂L/∂a³·² = Gain.backward(∂L/∂a⁴)" in text
    assert "∂L/∂gain⁴ = Gain.backward(∂L/∂a⁴)" in text


def test_a_layer_that_states_forward_only_is_no_black_box_forwards() -> None:
    text = str(net(StatedGain()).derivation(SumSquaredError()))
    assert "a⁰ = x · W⁰" in text
    assert "∂L/∂W⁰ = StatedGain.backward(∂L/∂a⁰)" in text


def test_error_signal_stops_at_the_first_parameters() -> None:
    text = str(rich_net().derivation(SumSquaredError()))
    assert "∂L/∂x" not in text
    assert "∂L/∂a⁰" not in text
    signals = [line for line in equations(text) if re.match(r"(δ.|∂L/∂[az].) = ", line)]
    assert signals[-1].startswith("δ¹ = ")


def test_a_net_without_parameters_has_no_gradients() -> None:
    text = str(net(Sigmoid(), Tanh()).derivation(SumSquaredError()))
    assert "Gradients" not in text
    assert "The update" not in text
    assert "∂L/∂x = ∂L/∂a⁰ · σ′(x)" in text


def test_the_scale_of_a_loss_is_put_in() -> None:
    half = equations(str(notes_net().derivation(SumSquaredError(scale=0.5))))
    assert "L = 0.5 Σ (ŷ − y)²" in half
    assert "∂L/∂ŷ = ŷ − y" in half
    assert "d₂ = layer1ᵀ [(y − ŷ) · σ′(ŷ)] = −∂L/∂W²" in half
    assert "∂L/∂ŷ = 6(ŷ − y)" in equations(str(notes_net().derivation(SumSquaredError(scale=3))))


def test_classifier_says_what_its_sums_add() -> None:
    text = str(net(Dense(3)).derivation(SoftmaxCrossEntropy()))
    assert "Sums: Σ u adds over everything, Σᵢ u over the samples, Σⱼ u along each row." in text
    assert "∂L/∂ŷ = (softmax(ŷ) − y) / B" in text
    assert "counts the rows" not in text
    assert "d₁ = inputᵀ [(y − softmax(ŷ)) / B] = −∂L/∂W⁰" in text


def test_the_minus_stands_before_the_fraction() -> None:
    assert "L = −(Σ y · ln(ŷ)) / B" in str(net(Dense(3)).derivation(CrossEntropy()))


def test_given_optimizers_update() -> None:
    text = str(notes_net().derivation(SumSquaredError(), SGD(0.1, momentum=0.9, nesterov=True)))
    assert equations(text)[19:21] == ["v ← μ · v + g", "w ← w − η · (g + μ · v)"]
    assert "SGD(0.1, momentum=0.9" in text
    adamw = " ".join(str(notes_net().derivation(SumSquaredError(), AdamW())).split())
    assert "v ← β₂ · v + (1 − β₂) · g²" in adamw
    assert "t is the number of the step, from 1; λ is the decay of the weights" in adamw


class Secret(Optimizer):
    learning_rate = 1.0

    def step(self, parameters: ParameterVector, state: State) -> None: ...


class Guess(Loss[None]):
    def forward(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> tuple[float, None]:
        return 0.0, None

    def backward(self, saved: None) -> Array:
        raise NotImplementedError


def test_black_box_loss_and_optimizer_are_named() -> None:
    text = str(notes_net().derivation(Guess(), Secret()))
    assert "L = Guess(ŷ, y)" in text
    assert "changes the parameters: a black box" in text
    assert "∂L/∂W⁰ = xᵀ δ⁰" in text


def test_arguments_are_checked() -> None:
    with pytest.raises(ArgumentTypeError, match="loss: expected an instance such as SumSquaredError"):
        notes_net().derivation(SumSquaredError)  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match="optimizer: expected an instance such as SGD"):
        notes_net().derivation(SumSquaredError(), SGD)  # type: ignore[arg-type]
    with pytest.raises(NotBuiltError):
        Sequential([Dense(2)]).derivation(SumSquaredError())


def test_lines_of_words_are_short_and_formulas_stay_whole() -> None:
    text = str(notes_net().derivation(SumSquaredError()))
    assert max(len(line) for line in text.splitlines() if not line.startswith(" ")) <= 100
    assert all(not line.endswith((" =", " −")) for line, _ in pairwise(text.splitlines()))
