"""Why is this gradient this number: the factors multiply to it, the shares add to it, a difference confirms it."""

import re

import numpy as np
import pytest
from nets import Gain, Noise, X, Y, notes_net, rich_data, rich_net

from deepbp import Sequential
from deepbp.derivation.explanation import Explanation
from deepbp.errors import PositionError
from deepbp.layers import Dense, Sigmoid, Tanh
from deepbp.losses import SoftmaxCrossEntropy, SumSquaredError


def explained(parameter: str, index: tuple[int, ...], dtype: str = "float64") -> Explanation:
    return rich_net(dtype).trace(*rich_data(), SumSquaredError()).explain(parameter, index)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_gradient_is_confirmed(dtype: str) -> None:
    trace = rich_net(dtype).trace(*rich_data(), SumSquaredError())
    for name, gradient in trace.gradients.items():
        for index in np.ndindex(gradient.shape):
            explanation = trace.explain(name, index)
            assert explanation.gradient == gradient[index]
            size = np.abs(gradient).max()
            assert abs(explanation.numeric - gradient[index]) <= (1e-8 if dtype == "float64" else 1e-5) * size


def numbers(text: str) -> list[float]:
    return [float(number.replace("−", "-")) for number in re.findall(r"[-−]?\d+\.?\d*(?:e[-+]\d+)?", text)]


def sides(line: str) -> tuple[list[float], float]:
    """The factors in the middle of ``letters = 0.5 · (−0.2) = -0.1``, and the number at its end."""
    _, *middle, last = re.split(r" = ", re.split(r"\s{3,}", line.strip())[0])
    return numbers(middle[-1]), numbers(last)[0]


def test_factors_multiply_from_line_to_line() -> None:
    """On the notes' net every number is one product, so each line can be recomputed from the page itself."""
    trace = notes_net().trace(X, Y, SumSquaredError())
    text = str(trace.explain("0.weight", (1, 2)))
    lines = [line for line in text.splitlines() if line.count(" = ") >= 2 and "·" in line]
    products = [line for line in lines if re.search(r" = \(?[−\d]", line)]
    chain = [line for line in products if re.search(r"\d\)? · \(?[−\d]", line)]
    assert len(chain) == 3
    for line in chain:
        factors, result = sides(line)
        assert len(factors) == 2
        assert factors[0] * factors[1] == pytest.approx(result, rel=2e-5)
    results = [sides(line)[1] for line in chain]
    assert sides(chain[1])[0][0] == pytest.approx(results[0], rel=1e-5)  # what a line makes, the next one starts with
    assert sides(chain[2])[0][1] == pytest.approx(results[1], rel=1e-5)
    slope = trace[1].output[1, 2] * (1 - trace[1].output[1, 2])
    assert sides(chain[1])[0][1] == pytest.approx(slope, rel=1e-5)


def test_chain_rule_of_the_one_weight_is_written() -> None:
    text = str(notes_net().trace(X, Y, SumSquaredError()).explain("0.weight", (1, 2)))
    assert text.startswith("Why the gradient of 0.weight[1, 2] is ")
    assert "∂L/∂W₁,₂⁰ = Σᵢ ∂z₂⁰/∂W₁,₂⁰ · ∂a₂¹/∂z₂⁰ · ∂L/∂a₂¹" in text
    assert "∂L/∂a₂¹ = δ₀² · W₂,₀² = " in text
    assert "δ₂⁰ = ∂L/∂a₂¹ · σ′(z₂⁰) = " in text


def test_shares_of_the_samples_add_to_the_gradient() -> None:
    explanation = notes_net().trace(X, Y, SumSquaredError()).explain("2.weight", (3, 0))
    lines = [line for line in str(explanation).splitlines() if line.endswith("one for each sample")]
    assert len(lines) == 1
    shares = numbers(lines[0].split("[")[1].split("]")[0])
    assert len(shares) == 4
    assert sum(shares) == pytest.approx(explanation.gradient, abs=4e-9)
    largest = int(np.argmax(np.abs(shares)))
    assert f"for sample {largest}, whose share is the largest" in str(explanation)


def test_paths_through_the_next_layer_are_added() -> None:
    net = Sequential([Dense(2), Tanh(), Dense(9)], input_shape=2, rng=0, dtype="float64")
    trace = net.trace(np.ones((2, 2)), np.zeros((2, 9)), SumSquaredError())
    text = str(trace.explain("0.bias", 1))
    line = next(line for line in text.splitlines() if "paths through layer 2" in line)
    assert line.endswith("9 paths through layer 2, the 6 largest shown")
    assert line.count("W₁,") == 6
    assert " + … = " in line
    _, result = sides(line)
    assert result == pytest.approx(trace[1].delta[0, 1], rel=1e-8)
    with_weights = trace[2].delta[0] * trace[2].parameters["weight"][1]
    shown = {
        int(k) for k in "".join(re.findall(r"W₁,([₀-₉])", line)).translate(str.maketrans("₀₁₂₃₄₅₆₇₈", "012345678"))
    }
    assert shown == set(np.argsort(-np.abs(with_weights))[:6].tolist())


def test_each_use_of_a_shared_weight_is_explained() -> None:
    text = str(explained("1.weight", (2, 3)))
    assert "Its use in layer 1\n" in text
    assert "Its use in layer 3.0\n" in text
    assert "the shares of all uses, added" in text
    assert "δ₃³·⁰ · W₁,₃¹" not in text
    assert re.search(r"∂L/∂a₃² = δ₀³·⁰ · W₃,₀¹ \+ .* 4 paths through layer 3\.0", text)
    assert "back through layer 3.2, Softmax" in text


def test_black_boxes_are_not_taken_apart() -> None:
    text = str(explained("4.gain", (1,)))
    assert "from layer 4, Gain, which is not taken apart" in text
    assert "the difference that defines it" in text


def test_random_layers_are_confirmed_with_the_same_draws() -> None:
    net = Sequential([Dense(3), Noise(), Sigmoid(), Dense(1)], input_shape=3, rng=0, dtype="float64")
    explanation = net.trace(X, Y, SumSquaredError()).explain("0.weight", (2, 1))
    assert explanation.numeric == pytest.approx(explanation.gradient, rel=1e-7)


def test_labels_and_weights_of_samples() -> None:
    net = Sequential([Dense(3)], input_shape=3, rng=0, dtype="float64")
    explanation = net.trace(X, [0, 1, 2, 1], SoftmaxCrossEntropy(), [1.0, 0.5, 2.0, 3.0]).explain("0.weight", (2, 2))
    assert explanation.numeric == pytest.approx(explanation.gradient, rel=1e-7)
    assert explanation.gradient != 0


def test_negative_and_whole_indices() -> None:
    trace = Sequential([Dense(3), Gain()], input_shape=3, rng=0).trace(X, X, SumSquaredError())
    assert trace.explain("0.bias", -1).index == (2,)
    assert trace.explain("0.weight", (-1, 0)).gradient == trace.gradients["0.weight"][2, 0]


@pytest.mark.parametrize("index", [(3, 0), (0, 4), (0,), 0, (0, 0, 0), (-4, 0)])
def test_entries_that_do_not_exist(index: tuple[int, ...]) -> None:
    trace = notes_net().trace(X, Y, SumSquaredError())
    with pytest.raises(PositionError, match=r"explain: 0\.weight has shape \(3, 4\), there is no entry"):
        trace.explain("0.weight", index)


def test_parameters_that_do_not_exist() -> None:
    with pytest.raises(PositionError, match=r"no parameter '1\.weight': there are 0\.weight, 2\.weight"):
        notes_net().trace(X, Y, SumSquaredError()).explain("1.weight", (0, 0))
