"""Groups in a training: a trainer knows the names, also of what is frozen, shared, or stored."""

from pathlib import Path

import numpy as np
import pytest
from trajectories import falling

from deepbp import Sequential, Trainer
from deepbp.errors import ConfigurationError
from deepbp.layers import Dense, Tanh
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD, Adam, Grouped, NAdam, Optimizer, Rprop


def network() -> Sequential:
    return Sequential([Dense(5), Tanh(), Dense(1)], input_shape=2, rng=0)


X = np.random.default_rng(0).normal(size=(40, 2))
Y = X[:, :1] * X[:, 1:]


def test_a_trainer_knows_the_names() -> None:
    net = network()
    before = {name: p.value.copy() for name, p in net.named_parameters().items()}
    net.fit(X, Y, loss=MeanSquaredError(), optimizer=Grouped({"0.*": SGD(0.0), "*": Adam()}), epochs=2)
    moved = {name for name, p in net.named_parameters().items() if (p.value != before[name]).any()}
    assert moved == {"2.weight", "2.bias"}


def test_a_training_that_was_stored_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    def trainer() -> Trainer:
        groups: dict[str, Optimizer] = {"*.bias": SGD(0.1, momentum=0.9), "0.*": NAdam(falling), "*": Rprop()}
        return Trainer(network(), MeanSquaredError(), Grouped(groups), rng=1)

    through, first, second = trainer(), trainer(), trainer()
    for one in (through, first):
        one.fit(X, Y, epochs=2, progress=False)
    first.save(tmp_path / "training.npz")
    second.load(tmp_path / "training.npz")
    for one in (through, second):
        one.fit(X, Y, epochs=2, progress=False)
    np.testing.assert_array_equal(second.parameters.values, through.parameters.values)


def test_frozen_parameters_are_in_no_group() -> None:
    net = network()
    net[0].freeze()
    before = net[0].parameters()[0].value.copy()
    net.fit(X, Y, loss=MeanSquaredError(), optimizer=Grouped({"2.bias": SGD(0.1), "*": Adam(0.1)}))
    np.testing.assert_array_equal(net[0].parameters()[0].value, before)
    with pytest.raises(ConfigurationError) as caught:
        Trainer(net, MeanSquaredError(), Grouped({"0.*": SGD(0.1), "*": Adam(0.1)}))
    assert str(caught.value) == "Grouped: pattern '0.*': no parameter matches: there are 2.weight, 2.bias"


def test_a_part_of_a_network_has_names_of_its_own() -> None:
    """The same parameters, trained in turn under two names: each trainer goes by those of its model."""
    net = network()
    net[0].freeze()
    whole = Trainer(net, MeanSquaredError(), Grouped({"2.*": SGD(0.1)}))
    head = Trainer(net[2:], MeanSquaredError(), Grouped({"0.weight": SGD(0.1), "0.bias": SGD(0.0)}))
    hidden = net[:2].predict(X)
    for _ in range(2):
        weight, bias = (net[2].parameters()[i].value.copy() for i in (0, 1))
        head.step(hidden, Y)
        assert (net[2].parameters()[0].value != weight).all()
        np.testing.assert_array_equal(net[2].parameters()[1].value, bias)
        whole.step(X, Y)
        assert (net[2].parameters()[1].value != bias).all()
