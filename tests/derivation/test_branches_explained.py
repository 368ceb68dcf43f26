"""Explanations through branches: number by number as long as one number carries it, and in words where it does not."""

import re

import pytest
from branched import NAMES, branched_nets, data, net

from deepbp.layers import L2, Dense, Penalized, Residual, Tanh
from deepbp.losses import SumSquaredError


@pytest.mark.parametrize("name", NAMES)
def test_explanations_say_where_several_ways_lead_on(name: str) -> None:
    trace = branched_nets()[name].trace(*data(), SumSquaredError())
    for parameter, gradient in trace.gradients.items():
        page = str(trace.explain(parameter, (0,) * gradient.ndim))
        assert "the difference that defines it" in page


def test_an_explanation_goes_through_a_block_number_by_number() -> None:
    network = net(Dense(3), Residual([Dense(3), Tanh()]), Dense(2))
    page = str(network.trace(*data(), SumSquaredError()).explain("1.body.0.weight", (1, 2)))
    assert "∂L/∂W₁,₂¹·⁰ = Σᵢ ∂z₂¹·⁰/∂W₁,₂¹·⁰ · ∂a₂¹·¹/∂z₂¹·⁰ · ∂L/∂a₂¹·¹" in page
    assert re.search(r"∂L/∂a₂¹ = δ₀² · W₂,₀² \+ δ₁² · W₂,₁² = .*2 paths through layer 2", page)
    assert re.search(r"∂L/∂a₂¹·¹ = ∂L/∂a₂¹ = .*back through layer 1, Residual", page)
    assert re.search(r"δ₂¹·⁰ = ∂L/∂a₂¹·¹ · tanh′\(z₂¹·⁰\)", page)
    page = str(network.trace(*data(), SumSquaredError()).explain("0.weight", (1, 2)))
    first, second, total = re.search(r"δ₂⁰ = (\S+) ([+−] \S+) = (\S+)   2 ways lead on from here, added", page).groups()  # type: ignore[union-attr]
    numbers = [float(part.replace("− ", "-").replace("+ ", "").replace("−", "-")) for part in (first, second, total)]
    assert numbers[0] + numbers[1] == pytest.approx(numbers[2], rel=1e-5)


def test_an_explanation_of_a_penalised_weight_has_the_share_of_the_penalty() -> None:
    network = net(Penalized(Dense(2), weights=L2(0.1)))
    page = str(network.trace(*data(), SumSquaredError()).explain("0.layer.weight", (1, 0)))
    assert "Its penalty, L2(0.1)" in page
    assert "∂P⁰/∂W₁,₀⁰ = 0.2 W₁,₀⁰ = " in page


def test_an_explanation_follows_one_column_into_its_branch() -> None:
    network = branched_nets()["split"]
    page = str(network.trace(*data(), SumSquaredError()).explain("0.weight", (1, 4)))
    assert re.search(r"∂L/∂a₃¹ = δ₀² · W₃,₀² \+ δ₁² · W₃,₁² = .*2 paths through layer 2", page)
    assert re.search(r"∂L/∂a₁¹·ᶜ·¹ = ∂L/∂a₃¹ = .*back through layer 1, Split: columns 2 to 3", page)
    assert re.search(r"δ₄⁰ = ∂L/∂a₁¹·ᶜ·¹ = .*columns 3 to 4 of it", page)
    assert "a¹·ᵇ" not in page  # the other branch, which it does not go into
