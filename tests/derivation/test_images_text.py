"""Networks of convolutions: derived, traced and explored like those of dense layers."""

from pathlib import Path

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.layers import Conv2D, ConvTranspose2D, Dense, Flatten, MaxPool2D, ReLU
from deepbp.losses import SoftmaxCrossEntropy

LAYERS = [Conv2D(4, 3, padding="same"), ReLU(), MaxPool2D(2), ConvTranspose2D(3, 2), Flatten(), Dense(2)]
NET = Sequential(LAYERS, input_shape=(6, 6, 1), rng=0, dtype="float64")


@pytest.mark.parametrize(
    "line",
    [
        "z⁰ = x ⋆ W⁰ + b⁰    (B, 6, 6, 1) → (B, 6, 6, 4)   layer 0, Conv2D(4, 3, padding='same')",
        "a² = max(a¹)        (B, 6, 6, 4) → (B, 3, 3, 4)   layer 2, MaxPool2D()",
        "z³ = a² ∗ W³ + b³   (B, 3, 3, 4) → (B, 4, 4, 3)   layer 3, ConvTranspose2D(3, 2)",
        "moved by one layer, through the same kernels, laid the other way round",
        "to the largest number of each window of layer 2, MaxPool2D",
        "∂L/∂W⁰ = x ⋆ δ⁰    (3, 3, 1, 4)",
        "∂L/∂W³ = δ³ ⋆ a²   (2, 2, 3, 4)",
        "∂L/∂a² = δ³ ⋆ W³",
        "u ⋆ w lays w on u at every place and adds the products, and u ∗ w does so with w turned round",
    ],
)
def test_the_derivation_of_a_convolution(line: str) -> None:
    assert line in str(NET.derivation(SoftmaxCrossEntropy()))


def test_no_word_on_convolutions_where_there_is_none() -> None:
    dense = Sequential([Dense(2)], input_shape=3, rng=0)
    assert "⋆" not in str(dense.derivation(SoftmaxCrossEntropy()))


def test_summary_and_diagram_have_the_formulas() -> None:
    assert "z = x ⋆ W + b" in str(NET.summary())
    assert "z = x ∗ W + b" in str(NET.summary())


def test_the_trace_has_the_gradients_of_training(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).normal(size=(3, 6, 6, 1)), np.array([0, 1, 1])
    trace = NET.trace(x, y, SoftmaxCrossEntropy())
    loss = SoftmaxCrossEntropy()
    prediction, saved = NET.forward(x)
    for parameter in NET.parameters():
        parameter.clear_grad()
    NET.backward(saved, loss.backward(loss.forward(prediction, y)[1]))
    for name, parameter in NET.named_parameters().items():
        np.testing.assert_allclose(trace.gradients[name], parameter.grad, rtol=1e-12, atol=1e-15)
    assert "x ⋆ W⁰" in trace.to_latex().replace(r"\star", "⋆").replace("^{0}", "⁰").replace(r"\, ", "")
