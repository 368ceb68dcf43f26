"""Freezing and unfreezing in the middle of a training keeps the state of the optimizer, of averages and of the best."""

import pickle
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential, Trainer
from deepbp.callbacks import Callback, EarlyStopping, WeightAverage
from deepbp.errors import FileFormatError
from deepbp.layers import Dense, Tanh
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD, Adam, AdamW, AMSGrad, Grouped, Lion, NAdam, Optimizer, RAdam, RMSprop
from deepbp.training import Metric
from deepbp.typing import Array

RNG = np.random.default_rng(4)
X, Y = RNG.normal(size=(12, 3)), RNG.normal(size=(12, 2))


def network() -> Sequential:
    return Sequential([Dense(4), Tanh(), Dense(4), Tanh(), Dense(2)], input_shape=3, rng=0, dtype="float64")


# In which of 18 steps each layer is trained: unfrozen from the top down, and frozen again.
PLAN = {4: range(18), 2: [*range(4, 9), *range(13, 18)], 0: range(8, 16)}


def run(net: Sequential, trainer: Trainer, steps: range = range(18)) -> None:
    for step in steps:
        for layer, trained in PLAN.items():
            (net[layer].unfreeze if step in trained else net[layer].freeze)()
        trainer.step(X, Y)


def apart(optimizer: Optimizer) -> list[Array]:
    """The same with a trainer of its own for each layer, which knows nothing of others: PyTorch's counters."""
    net = network()
    trainers = {}
    for layer in PLAN:
        net.freeze()
        net[layer].unfreeze()
        trainers[layer] = Trainer(net, MeanSquaredError(), optimizer)
    for step in range(18):
        gradients = network()
        for own, other in zip(net.parameters(), gradients.parameters(), strict=True):
            other.value = own.value
        Trainer(gradients, MeanSquaredError(), SGD(0.0)).step(X, Y)
        for layer, trained in PLAN.items():
            if step in trained:
                state = trainers[layer]
                vector = type(state.parameters)(net[layer].named_parameters())
                for name, parameter in net[layer].named_parameters().items():
                    parameter.frozen = False
                    parameter.clear_grad()
                    parameter.accumulate(gradients[layer].named_parameters()[name].grad)
                optimizer.step(vector, state.state)
    return [parameter.value for parameter in net.parameters()]


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(0.1, momentum=0.9, weight_decay=0.1),
        Adam(0.1),
        AdamW(0.1),
        AMSGrad(0.1),
        NAdam(0.1),
        RAdam(0.1),
        RMSprop(0.1),
        Lion(0.1),
        Grouped({"0.*": Adam(0.1), "*": Adam(0.1)}),
    ],
    ids=repr,
)
def test_each_layer_has_the_state_of_the_steps_that_it_has_made(optimizer: Optimizer) -> None:
    net = network()
    run(net, Trainer(net, MeanSquaredError(), optimizer))
    expected = apart(Adam(0.1) if isinstance(optimizer, Grouped) else optimizer)
    for parameter, value in zip(net.parameters(), expected, strict=True):
        np.testing.assert_allclose(parameter.value, value, rtol=1e-10)


def test_adam_by_hand() -> None:
    """w ← w − η m̂ / (√v̂ + ε), with t of each layer of its own."""
    net = network()
    trainer = Trainer(net, MeanSquaredError(), Adam(0.1))
    net[0].freeze()
    for _ in range(50):
        trainer.step(X, Y)
    net[0].unfreeze()
    before = net[0].named_parameters()["weight"].value.copy()
    trainer.step(X, Y)
    moved = net[0].named_parameters()["weight"].value - before
    np.testing.assert_allclose(np.abs(moved), 0.1, rtol=1e-3)  # the first update of Adam is η · sign(g)


@pytest.mark.parametrize("at", [2, 6, 10, 14])
@pytest.mark.parametrize("optimizer", [Adam(0.1), NAdam(0.1), Grouped({"0.*": Adam(0.1), "*": NAdam(0.1)})], ids=repr)
def test_files_and_copies_go_on_exactly(at: int, optimizer: Optimizer, tmp_path: Path) -> None:
    whole, half, other = network(), network(), network()
    run(whole, Trainer(whole, MeanSquaredError(), optimizer))
    trainer = Trainer(half, MeanSquaredError(), optimizer)
    run(half, trainer, range(at))
    trainer.save(tmp_path / "run.npz")
    resumed = Trainer(other, MeanSquaredError(), optimizer)
    for layer, trained in PLAN.items():
        if at - 1 not in trained:
            other[layer].freeze()
    resumed.load(tmp_path / "run.npz")
    for it in (resumed, deepcopy(trainer), pickle.loads(pickle.dumps(trainer)), trainer):
        run(it.model, it, range(at, 18))  # type: ignore[arg-type]
        for parameter, expected in zip(it.model.parameters(), whole.parameters(), strict=True):
            np.testing.assert_array_equal(parameter.value, expected.value)


def test_a_file_from_before_a_freeze_loads_after_it(tmp_path: Path) -> None:
    net, other = network(), network()
    before = Trainer(net, MeanSquaredError(), Adam(0.1))
    for _ in range(5):
        before.step(X, Y)
    before.save(tmp_path / "run.npz")
    other[0].freeze()
    after = Trainer(other, MeanSquaredError(), Adam(0.1))
    after.load(tmp_path / "run.npz")
    assert other[0].parameters()[0].frozen  # what is frozen is up to the trainer
    net[0].freeze()
    for _ in range(2):
        assert before.step(X, Y) == after.step(X, Y)
    for it in (net, other):
        it[0].unfreeze()  # its state was kept
    assert [before.step(X, Y) for _ in range(3)] == [after.step(X, Y) for _ in range(3)]


@pytest.mark.parametrize(
    "damage", [{"x": {}}, [], {"0.weight": {"step": 99}}, {"0.weight": {"step": 1, "mean": np.zeros(3)}}], ids=repr
)
def test_a_damaged_state_of_what_is_frozen(damage: Any, tmp_path: Path) -> None:
    net = network()
    trainer = Trainer(net, MeanSquaredError(), Adam(0.1))
    trainer.step(X, Y)
    trainer._training.kept = damage
    trainer.save(tmp_path / "run.npz")
    if damage != []:
        with pytest.raises(FileFormatError):
            Trainer(network(), MeanSquaredError(), Adam(0.1)).load(tmp_path / "run.npz")


class Unfreeze(Callback):
    def __init__(self, at: Mapping[int, int]) -> None:
        self.at = at

    def on_epoch_start(self, trainer: Trainer) -> None:
        if trainer.epoch in self.at:
            trainer.model[self.at[trainer.epoch]].unfreeze()  # type: ignore[index]


def test_averages_go_on() -> None:
    net, average = network(), WeightAverage(0.8)
    net[:3].freeze()
    seen: list[list[Array]] = []

    class Look(Callback):
        def on_step_end(self, trainer: Trainer, loss: float) -> None:
            seen.append([parameter.value.copy() for parameter in trainer.model.parameters()])

    trainer = Trainer(net, MeanSquaredError(), Adam(0.1), callbacks=[Unfreeze({3: 2, 5: 0}), average, Look()])
    trainer.fit(X, Y, epochs=9, batch_size=6)
    weights = 0.8 ** np.arange(len(seen))[::-1]
    with average.applied(trainer):
        for place, parameter in enumerate(net.parameters()):
            expected = np.average([values[place] for values in seen], axis=0, weights=weights)
            np.testing.assert_allclose(parameter.value, expected, rtol=1e-12, atol=1e-14)


def test_the_best_from_before_is_restored() -> None:
    class Score(Metric):
        name, higher_is_better, numbers = "score", True, [1, 5, 2, 3, 4]

        def __call__(self, prediction: Array, target: Array) -> float:
            return self.numbers.pop(0)

    net = network()
    net[:3].freeze()
    seen: list[list[Array]] = []

    class Look(Callback):
        def on_epoch_end(self, trainer: Trainer, row: Mapping[str, float]) -> None:
            seen.append([parameter.value.copy() for parameter in trainer.model.parameters()])

    callbacks = [Unfreeze({3: 2}), Look(), EarlyStopping("score")]
    Trainer(net, MeanSquaredError(), Adam(0.1), metrics=[Score()], callbacks=callbacks).fit(X, Y, epochs=5)
    for parameter, best in zip(net.parameters(), seen[1], strict=True):
        np.testing.assert_array_equal(parameter.value, best)
