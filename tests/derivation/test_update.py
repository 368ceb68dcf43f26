"""The notes' step 6: the update with its numbers, in the notes' order, and their words only where they are true."""

from pathlib import Path

import numpy as np
import pytest
from nets import X, Y, notes_net

from deepbp import Sequential
from deepbp.derivation.document import as_math
from deepbp.errors import ArgumentTypeError
from deepbp.layers import Dense, Sigmoid, Softmax
from deepbp.losses import CrossEntropy, MeanSquaredError, SumSquaredError
from deepbp.optimizers import SGD, AdamW, Optimizer


@pytest.mark.parametrize("optimizer", [SGD(1.0), SGD(0.5), AdamW(0.1)], ids=str)
def test_the_new_weights_are_those_of_one_step_of_training(optimizer: Optimizer) -> None:
    net = notes_net()
    before = [parameter.value.copy() for parameter in net.parameters()]
    trace = net.trace(X, Y, SumSquaredError(), optimizer=optimizer)
    assert all(map(np.array_equal, (parameter.value for parameter in net.parameters()), before))
    net.fit(X, Y, loss=SumSquaredError(), optimizer=optimizer, epochs=1, batch_size=None, shuffle=False)
    for name, parameter in net.named_parameters().items():
        np.testing.assert_array_equal(trace.updated[name], parameter.value)


def test_the_changes_stand_in_the_notes_order_with_their_numbers() -> None:
    trace = notes_net().trace(X, Y, SumSquaredError(), optimizer=SGD(1.0))
    page = str(trace).partition("The update")[2]
    assert (
        page.index("d₂ = −∂L/∂W²")
        < page.index("W² ← W² + d₂")
        < page.index("d₁ = −∂L/∂W⁰")
        < page.index("W⁰ ← W⁰ + d₁")
    )
    change = -trace.gradients["2.weight"][0, 0]
    assert as_math(f"{change:.9f}") in page
    assert as_math(f"{trace.updated['2.weight'][0, 0]:.9f}") in page
    assert "d₂ = −0.5 · ∂L/∂W²" in str(notes_net().trace(X, Y, SumSquaredError(), optimizer=SGD(0.5)))
    assert "The update" not in str(notes_net().trace(X, Y, SumSquaredError()))
    with pytest.raises(ArgumentTypeError, match="such as SGD"):
        notes_net().trace(X, Y, SumSquaredError(), optimizer=SGD)  # type: ignore[arg-type]


def test_the_page_of_a_step_shows_the_changes(tmp_path: Path) -> None:
    path = notes_net().explore(X, Y, SumSquaredError(), path=tmp_path / "step.html", optimizer=SGD(1.0))
    update = path.read_text(encoding="utf-8").partition("<h2>The update</h2>")[2]
    assert update.index("d₂, the change") < update.index("W², after the update") < update.index("d₁, the change")
    assert "The optimizer is SGD(1.0)" in update
    bare = notes_net().explore(X, Y, SumSquaredError(), path=tmp_path / "step.html").read_text(encoding="utf-8")
    assert "The optimizer is SGD(1.0)" in bare.partition("<h2>The update</h2>")[2]


def test_the_notes_are_named_only_where_their_update_is_meant() -> None:
    other_net = Sequential([Dense(3), Softmax()], input_shape=3, rng=0)
    assert "notes" not in str(other_net.derivation(CrossEntropy()))  # which know no softmax
    net = Sequential([Dense(3), Sigmoid()], input_shape=3, rng=0)
    for optimizer in (None, SGD(0.1)):
        text = " ".join(str(net.derivation(MeanSquaredError(), optimizer)).split())
        assert "The handwritten notes with which deepbp began" in text
    for other in (AdamW(0.1), SGD(0.1, 0.9)):
        assert "notes" not in str(net.derivation(MeanSquaredError(), other))
