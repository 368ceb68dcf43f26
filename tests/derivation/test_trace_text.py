"""What a trace prints: small arrays in full, with the numbers that were published; large ones measured."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import X, Y, notes_net, rich_data, rich_net

from deepbp import Sequential
from deepbp.derivation.document import Document, Values, as_math, cells, measures
from deepbp.derivation.expressions import Math
from deepbp.derivation.rendering import as_fragment, as_latex, as_text
from deepbp.formulas.printer import Symbol
from deepbp.layers import Dense, Sigmoid
from deepbp.losses import SoftmaxCrossEntropy, SumSquaredError
from deepbp.typing import ArrayLike

EXAMPLES: dict[str, Any] = {
    example["id"]: example
    for example in json.loads((Path(__file__).parents[1] / "data" / "worked_examples.json").read_text(encoding="utf-8"))
}


def worked_example() -> Sequential:
    """Two inputs, two hidden neurons, two outputs."""
    given = EXAMPLES["mazur_h"]["inputs"]
    first, second = Dense(2), Dense(2)
    net = Sequential([first, Sigmoid(), second, Sigmoid()], input_shape=2, dtype="float64")
    first.weight.value, second.weight.value = np.transpose(given["W1_out_in"]), np.transpose(given["W2_out_in"])
    assert first.bias is not None
    assert second.bias is not None
    first.bias.value, second.bias.value = np.full(2, given["b1"]), np.full(2, given["b2"])
    return net


def below(text: str, start: str) -> str:
    """The part of a page that shows one array: its own line, and those around it that hold its other rows."""
    lines = text.splitlines()
    here = next(i for i, line in enumerate(lines) if line.strip().startswith(f"{start} ="))
    first, last = here, here
    while lines[first - 1].strip().startswith(("⎡", "⎢")):
        first -= 1
    while last + 1 < len(lines) and lines[last + 1].strip().startswith(("⎢", "⎣")):
        last += 1
    return "\n".join(lines[first : last + 1])


@pytest.mark.parametrize(
    ("start", "example", "numbers"),
    [
        ("z⁰", None, ["0.3775", "0.3925"]),
        ("a¹", "mazur_h", []),
        ("a³", "mazur_o", []),
        ("L", "mazur_E", []),
        ("δ²", "mazur_delta_o1", []),
        ("∂L/∂a¹", "mazur_dEdh1", []),
        ("z²", None, ["1.105905967"]),
        ("∂L/∂W²", None, ["0.082167041"]),
        ("∂L/∂W⁰", None, ["0.000438568"]),
    ],
)
def test_published_numbers_are_printed(start: str, example: str | None, numbers: list[str]) -> None:
    given = EXAMPLES["mazur_h"]["inputs"]
    text = str(worked_example().trace([given["x"]], [given["target"]], SumSquaredError(scale=0.5)))
    published = [f"{number:.9f}".rstrip("0") for number in np.ravel(EXAMPLES[example]["published"])] if example else []
    for number in [*numbers, *published]:
        assert number in below(text, start)


def test_numbers_from_the_example_are_the_published_ones() -> None:
    assert EXAMPLES["mazur_dW"]["published"] == [0.082167041, 0.000438568]  # as they stand in the test above


@pytest.mark.parametrize(("name", "y"), [("trask_3layer_errors", Y), ("trask_2layer", [[0], [0], [1], [1]])])
def test_published_networks_without_biases(name: str, y: ArrayLike) -> None:
    """The first step of networks of which later numbers were published: every number stands where it belongs."""
    given = EXAMPLES[name]["inputs"]
    weights = [np.array(given[key]) for key in ("syn0", "syn1") if key in given]
    dense = [Dense(w.shape[1], use_bias=False) for w in weights]
    net = Sequential([layer for one in dense for layer in (one, Sigmoid())], input_shape=3, dtype="float64")
    for layer, w in zip(dense, weights, strict=True):
        layer.weight.value = w
    trace = net.trace(X, y, SumSquaredError(scale=0.5))
    text, signal, passed = str(trace), X, []
    for number, w in enumerate(weights, start=1):
        assert_printed(text, f"z{'⁰²⁴'[number - 1]}", signal @ w)
        passed.append(signal)
        signal = 1 / (1 + np.exp(-(signal @ w)))
        assert_printed(text, f"a{'¹³⁵'[number - 1]}", signal)
    delta = (signal - np.asarray(y)) * signal * (1 - signal)
    for number in range(len(weights), 0, -1):
        assert_printed(text, f"δ{'⁰²⁴'[number - 1]}", delta)
        assert_printed(text, f"∂L/∂W{'⁰²⁴'[number - 1]}", passed[number - 1].T @ delta)
        delta = delta @ weights[number - 1].T * passed[number - 1] * (1 - passed[number - 1])


def assert_printed(text: str, start: str, array: Any) -> None:
    shown = below(text, start)
    for entry in np.ravel(array):
        assert as_math(f"{entry:.9f}") in shown, (start, entry)


def test_mean_absolute_error_of_the_published_network() -> None:
    given = EXAMPLES["trask_3layer_errors"]
    first, second = (np.array(given["inputs"][key]) for key in ("syn0", "syn1"))
    hidden = 1 / (1 + np.exp(-X @ first))
    output = 1 / (1 + np.exp(-hidden @ second))
    assert np.abs(Y - output).mean() == pytest.approx(
        given["computed"][0], rel=1e-12
    )  # the step traced above is theirs


def test_large_arrays_are_measured() -> None:
    rng = np.random.default_rng(0)
    net = Sequential([Dense(20), Sigmoid(), Dense(3)], input_shape=30, rng=0)
    text = str(net.trace(rng.normal(size=(50, 30)), rng.integers(0, 3, 50), SoftmaxCrossEntropy()))
    assert "W⁰ = 30 × 20, norm " in text
    assert "⎡" not in text
    assert "b² = [ 0  0  0 ]" in text


def test_page_follows_the_step() -> None:
    text = str(rich_net().trace(*rich_data(), SumSquaredError()))
    starts = [
        "x =",
        "y =",
        "a⁰ =",
        "W¹ =",
        "b¹ =",
        "z¹ =",
        "z³·⁰ =",
        "gain⁴ =",
        "ŷ = z⁷",
        "L =",
        "δ⁷ =",
        "δ¹ =",
        "∂L/∂W¹ =",
    ]
    places = [text.index(f" {start}") for start in starts]
    assert places == sorted(places)
    assert [line.strip()[:4] for line in text.splitlines()].count("W¹ =") == 1  # though the layer is used twice


def test_weights_of_samples_are_shown() -> None:
    text = str(notes_net().trace(X, Y, SumSquaredError(), [1, 2, 3, 4]))
    assert "sample_weight = [ 1  2  3  4 ]" in text
    assert "each sample's share is multiplied by its weight" in text


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([0.5, -0.25]), [["0.50", "-0.25"]]),
        (np.array([[1.0], [10.0]]), [["1"], ["10"]]),
        (np.array([0.0, -0.0]), [["0", "0"]]),
        (np.array([1 / 3]), [["0.333333333"]]),
        (np.array([1 / 3], "float32"), [["0.333333"]]),
        (np.array([1e-9, 2.5e-9]), ([["1.0", "2.5"]], -9)),
        (np.array([123456.789, 0.5], "float32"), [["123456.8", "0.5"]]),
        (np.array([1e9]), ([["1"]], 9)),
        (np.array([np.inf, np.nan, 1.0]), [["inf", "nan", "1"]]),
        (np.array([np.nan]), [["nan"]]),
        (np.array([3, 10]), [["3", "10"]]),
        (np.array(0.1234567890123), [["0.123456789"]]),
        (np.array(2.0), [["2"]]),
        (np.zeros((6, 6)), [["0"] * 6] * 6),
        (np.zeros((7, 1)), None),
        (np.zeros((1, 7)), None),
        (np.zeros((2, 2, 2)), None),
        (np.zeros((0, 2)), None),
    ],
)
def test_how_numbers_are_written(array: Any, expected: Any) -> None:
    assert cells(array) == (expected if expected is None or isinstance(expected, tuple) else (expected, 0))


def test_how_large_arrays_are_measured() -> None:
    assert measures(np.array([[3.0, -4.0], [0, 0]])) == "2 × 2, norm 5, from −4 to 3, 50% zeros"
    assert measures(np.arange(8)) == "8, from 0 to 7"
    assert measures(np.zeros((0, 3))) == "0 × 3, empty"


def test_a_matrix_of_large_or_small_numbers_has_one_power_of_ten() -> None:
    values = Values(Math(("a",), {"a": Symbol("a")}), np.array([[1e-9, -2.5e-9], [0.0, 1e-10]]))
    document = Document("", (values,))
    assert "a = 10⁻⁹ · ⎣" in as_text(document)
    assert "⎡ 1.0  −2.5 ⎤" in as_text(document)
    latex = as_latex(document, whole=False)
    assert r"10^{-9} \cdot \begin{bmatrix} 1.0 & -2.5 \\ 0 & \phantom{-}0.1 \end{bmatrix}" in latex
    assert "<msup><mn>10</mn><mn>−9</mn></msup><mo>·</mo><mtable" in as_fragment(document)
    one = Document("", (Values(Math(("a",), {"a": Symbol("a")}), np.array(-2.004e-05)),))
    assert "a = −2.004 · 10⁻⁵" in as_text(one)
    assert r"$-2.004 \cdot 10^{-5}$" in as_latex(one, whole=False)
    assert "<mn>−2.004</mn><mo>·</mo>" in as_fragment(one)
