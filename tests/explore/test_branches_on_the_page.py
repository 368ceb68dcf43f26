"""A page of branches: what goes past what, and in which stage each signal's error signal is complete."""

import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from attrs import frozen
from explored import X, Y, branched_net, write_branched

from deepbp import Sequential
from deepbp.derivation.explore.drawing import _roofs, places_of, sources_of
from deepbp.layers import Dense, Parallel, Residual, Tanh
from deepbp.losses import SumSquaredError


@frozen
class Part:
    """A part of the drawing, with the stages in which it is reached."""

    kind: str
    column: int
    forward: int
    backward: int
    now: list[int]


def parts(page: str) -> list[Part]:
    reached = r'data-forward="(\d+)"(?: data-backward="(\d+)")? data-now="([\d ]+)"'
    pattern = rf'<g class="(\w+)" data-column="(\d+)" {reached}[^>]*>'
    return [
        Part(kind, int(column), int(forward), int(backward or -1), [int(stage) for stage in now.split()])
        for kind, column, forward, backward, now in re.findall(pattern, page)
    ]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("branches") / "step.html"
    write_branched(path)
    return path.read_text(encoding="utf-8")


def test_an_error_signal_is_complete_when_all_that_was_made_of_its_signal_is_passed(page: str) -> None:
    trace = branched_net().trace(X, Y, SumSquaredError())
    sources = sources_of([one.step for one in trace.steps])
    found = parts(page)
    layers = {part.column: part for part in found if part.kind == "layer"}
    assert sorted(layers) == list(range(1, len(trace) + 2))
    assert sorted(part.backward for part in layers.values()) == list(range(len(trace) + 2, 2 * len(trace) + 3))
    for part in found:
        if part.kind == "signal" and part.column <= len(trace):
            users = [layers[column].backward for column, made_of in sources.items() if part.column in made_of]
            assert part.backward == max(users)
            assert sorted(part.now) == sorted({part.forward, *users})
            assert part.forward == part.column


def test_a_residual_block_is_led_past_its_body() -> None:
    net = Sequential([Dense(2), Residual([Dense(2), Tanh()])], input_shape=2)
    steps = [one.step for one in net.trace(X[:, :2], X[:, :2], SumSquaredError()).steps]
    assert sources_of(steps) == {1: [0], 2: [1], 3: [2], 4: [3, 1], 5: [4]}


def test_no_column_lies_upon_another_and_each_is_right_of_what_it_is_made_of() -> None:
    steps = [one.step for one in branched_net().trace(X, Y, SumSquaredError()).steps]
    places, sources = places_of(steps), sources_of(steps)
    assert len(set(places)) == len(places) == len(steps) + 2
    for column, made_of in sources.items():
        assert all(places[one][0] < places[column][0] for one in made_of)
    assert places[0] == (0, 0)
    assert max(places)[0] == places[-1][0]  # the loss


def test_branches_lie_below_each_other_and_meet_behind_the_longest() -> None:
    net = Sequential([Parallel([[Dense(2), Tanh()], Dense(3)]), Dense(1)], input_shape=3)
    steps = [one.step for one in net.trace(X, Y, SumSquaredError()).steps]
    x, dense, tanh, other, merged, last, loss = places_of(steps)
    assert [x, dense, tanh, other] == [(0, 0), (1, 0), (2, 0), (1, 1)]
    assert [merged, last, loss] == [(3, 0), (4, 0), (5, 0)]


def test_lines_past_others_never_lie_upon_one_another() -> None:
    pairs = [(0, 3), (1, 3), (3, 6), (0, 6), (2, 5)]
    roofs = _roofs(pairs)
    assert roofs.keys() == set(pairs)
    for one in pairs:
        for other in pairs:
            if one != other and roofs[one] == roofs[other]:
                assert one[1] <= other[0] or other[1] <= one[0]
    assert roofs[1, 3] == roofs[3, 6] == 0.0  # short ones lie low


def test_panels_say_what_each_step_does(page: str) -> None:
    titles = [unescape(title) for title in re.findall(r'data-title="([^"]*)"', page)]
    for title in (
        "Forward: layer 0, Residual, makes a⁰, of shape (3,)",
        "Forward: the penalty of layer 0.body.0, Penalized, makes P⁰·⁰, a penalty, which is added to the loss",
        "Backward: the penalty of layer 0.body.0, Penalized, finds ∂L/∂W⁰·⁰·⁰",
        "Backward: the penalty of layer 0.body.0, Penalized, passes back ∂L/∂a⁰·⁰·¹",
        "Backward: layer 0, Residual, takes ∂L/∂a⁰ and passes back δ⁰·¹ and ∂L/∂x",
        "Forward: layer 2, Split, makes a²·ᶜ·⁰, of shape (3,)",
    ):
        assert title in titles
    text = unescape(re.sub(r"<[^>]*>", "", page))
    assert "∂L/∂a⁰ is a sum: this step passes one share of it back." in text
    assert "Layer 2: Split, columns 0 to 2" in text
    assert "Layer 1: Parallel, where its branches meet" in text
    assert "through 9 layers" in text


def test_shares_are_the_numbers_that_add_to_the_error_signal() -> None:
    trace = branched_net().trace(X, Y, SumSquaredError())
    for signal, whole in trace.error_signals.items():
        shares = [
            array
            for one in trace.steps
            for taken, array in zip(one.step.inputs, one.passed_back, strict=True)
            if taken == signal
        ]
        if shares:
            np.testing.assert_allclose(sum(shares), whole, rtol=1e-12, atol=1e-15)


def test_branches_in_a_page_without_penalties_say_nothing_of_them(tmp_path: Path) -> None:
    net = Sequential([Parallel([Dense(1), Dense(1)])], input_shape=3)
    text = net.explore(X, np.hstack([Y, Y]), SumSquaredError(), path=tmp_path / "a.html").read_text(encoding="utf-8")
    assert "Square brackets set columns side by side" in text
    assert "P is a penalty" not in text
