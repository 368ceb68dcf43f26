"""Frozen layers: they keep their numbers, leave the training, and pass the error signal on."""

import pickle
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential, Trainer, load
from deepbp.errors import ConfigurationError, ContractError, NotBuiltError
from deepbp.formulas.language import evaluate
from deepbp.layers import BatchNorm, Dense, Layer, Tanh
from deepbp.losses import MeanSquaredError, SumSquaredError
from deepbp.optimizers import SGD, Adam, AdamW, Optimizer
from deepbp.parameters import Parameter
from deepbp.testing import numeric_gradient
from deepbp.typing import Array

X, Y = np.random.default_rng(0).normal(size=(30, 3)), np.random.default_rng(1).normal(size=(30, 2))


def network() -> Sequential:
    """Parameters at 0, 2.0, 2.2 and 4."""
    layers = [Dense(4), Tanh(), Sequential([Dense(5), Tanh(), Dense(3)]), Tanh(), Dense(2)]
    return Sequential(layers, input_shape=3, rng=0, dtype="float64")


def fit(net: Sequential, optimizer: Optimizer | None = None, epochs: int = 2) -> set[str]:
    """Trains, and returns the names of the parameters that changed."""
    before = {name: p.value.copy() for name, p in net.named_parameters().items()}
    net.fit(X, Y, loss=MeanSquaredError(), optimizer=optimizer or SGD(0.1), epochs=epochs)
    return {name for name, p in net.named_parameters().items() if (p.value != before[name]).any()}


def gradients(net: Sequential) -> tuple[Array, dict[str, Array]]:
    for p in net.parameters():
        p.clear_grad()
    output, saved = net.forward(X)
    moved = net.backward(saved, output - Y)
    return moved, {name: p.grad.copy() for name, p in net.named_parameters().items()}


EVERYTHING = {f"{place}.{name}" for place in ("0", "2.0", "2.2", "4") for name in ("weight", "bias")}


@pytest.mark.parametrize(
    ("place", "frozen"),
    [("0", {"0"}), ("2", {"2.0", "2.2"}), ("2.2", {"2.2"}), ("4", {"4"})],
)
def test_the_others_are_trained_by_the_same_gradients(place: str, frozen: set[str]) -> None:
    net, whole = network(), gradients(network())
    net.named_layers()[place].freeze()
    moved, shares = gradients(net)
    np.testing.assert_array_equal(moved, whole[0])
    for name, share in shares.items():
        is_frozen = name.rpartition(".")[0] in frozen
        np.testing.assert_array_equal(share, np.zeros_like(share) if is_frozen else whole[1][name])
    assert fit(net) == {name for name in EVERYTHING if name.rpartition(".")[0] not in frozen}


@pytest.mark.parametrize("optimizer", [SGD(0.1, momentum=0.9, weight_decay=0.1), Adam(), AdamW(0.01)], ids=repr)
def test_neither_momentum_nor_decay_moves_what_is_frozen(optimizer: Optimizer) -> None:
    net = network()
    fit(net, optimizer)
    net[2].freeze()
    assert fit(net, optimizer) == {"0.weight", "0.bias", "4.weight", "4.bias"}


def test_it_leaves_the_vector_of_the_optimizer() -> None:
    net = network()
    net[0].freeze()
    trainer = Trainer(net, MeanSquaredError(), Adam())
    assert set(trainer.parameters.parameters) == {p for name, p in net.named_parameters().items() if name[0] != "0"}
    assert trainer.parameters.values.size == sum(p.value.size for p in net.parameters()) - 16
    assert trainer.state["mean"].size == trainer.parameters.values.size
    assert net.trainable_parameters() == net.parameters()[2:]


def test_one_parameter_alone() -> None:
    net = network()
    net.named_parameters()["2.0.bias"].freeze()
    assert fit(net) == EVERYTHING - {"2.0.bias"}


def test_let_back_in_it_is_trained_again() -> None:
    net = network()
    net.freeze()
    assert net.trainable_parameters() == []
    net[4].unfreeze()
    assert fit(net) == {"4.weight", "4.bias"}
    net.unfreeze()
    assert fit(net) == EVERYTHING


def test_with_everything_frozen_there_is_nothing_to_train() -> None:
    net = network()
    net.freeze()
    with pytest.raises(ConfigurationError, match="Sequential: has no parameters that are not frozen: there is nothing"):
        fit(net)


def test_a_layer_that_stands_in_two_places_is_frozen_in_both() -> None:
    shared = Dense(3)
    net = Sequential([shared, Tanh(), Sequential([shared]), Dense(2)], input_shape=3, rng=0)
    net[2].freeze()
    assert fit(net) == {"3.weight", "3.bias"}


def test_the_summary_counts_what_is_frozen() -> None:
    net = network()
    assert "frozen" not in repr(net.summary())
    net[2].freeze()
    assert repr(net.summary()).endswith("\nParameters: 67 (536 bytes), 43 of them frozen")
    net[2].unfreeze()
    assert net.summary().frozen == 0


def test_a_trainer_that_was_made_before_follows() -> None:
    net = network()
    net[2].freeze()
    trainer = Trainer(net, MeanSquaredError(), Adam(0.1))
    names = list(net.named_parameters())

    def moved() -> set[str]:
        before = [parameter.value.copy() for parameter in net.parameters()]
        trainer.fit(X, Y)
        pairs = zip(names, before, net.parameters(), strict=True)
        return {name for name, value, parameter in pairs if not np.array_equal(value, parameter.value)}

    assert moved() == {"0.weight", "0.bias", "4.weight", "4.bias"}
    net[2].unfreeze()
    assert moved() == EVERYTHING
    net[0].freeze()
    assert moved() == EVERYTHING - {"0.weight", "0.bias"}
    net.freeze()
    with pytest.raises(ConfigurationError, match="Sequential: has no parameters that are not frozen: there is nothing"):
        trainer.fit(X, Y)


@pytest.mark.parametrize("copy", [deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["deepcopy", "pickle"])
def test_a_copy_is_as_frozen_as_the_original(copy: Callable[[Sequential], Sequential]) -> None:
    net = network()
    fit(net)
    net[2].freeze()
    twin = copy(net)
    assert [p.frozen for p in twin.parameters()] == [False, False, True, True, True, True, False, False]
    net[2].unfreeze()
    assert fit(twin) == {"0.weight", "0.bias", "4.weight", "4.bias"}
    assert fit(net) == EVERYTHING


def test_a_part_of_a_network_shares_what_is_frozen() -> None:
    net = network()
    net[:2].freeze()
    assert fit(net) == EVERYTHING - {"0.weight", "0.bias"}


def test_averages_of_a_frozen_normalisation_go_on() -> None:
    net = Sequential([Dense(4), BatchNorm(), Dense(2)], input_shape=3, rng=0)
    norm = net[1]
    assert isinstance(norm, BatchNorm)
    norm.freeze()
    assert fit(net) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert (norm.running_mean.value != 0).all()
    assert (norm.running_variance.value != 1).all()


def frozen_statistics(dtype: str = "float64") -> Sequential:
    """A network with a normalization whose running averages, of data unlike X, stay."""
    net = Sequential([Dense(4), BatchNorm(), Tanh(), Dense(2)], input_shape=3, rng=0, dtype=dtype)
    net.forward(3 * X + 1)
    net[1].gain.value = [0.5, 2, -1, 1]
    net[1].freeze(statistics=True)
    return net


def test_frozen_statistics_stay_and_training_passes_compute_with_them() -> None:
    net = frozen_statistics()
    norm = net[1]
    before = [norm.running_mean.value.copy(), norm.running_variance.value.copy()]
    fit(net)
    np.testing.assert_array_equal([norm.running_mean.value, norm.running_variance.value], before)
    z = X @ net[0].weight.value + net[0].bias.value
    by_hand = norm.gain.value * (z - before[0]) / np.sqrt(before[1] + 1e-5) + norm.shift.value
    np.testing.assert_allclose(norm.forward(z)[0], by_hand, rtol=1e-12)
    np.testing.assert_array_equal(net.forward(X)[0], net.predict(X))
    np.testing.assert_array_equal(net.forward(X[:1])[0], net.predict(X[:1]))
    norm.unfreeze()
    assert np.abs(net.forward(X)[0] - net.predict(X)).max() > 0.1
    assert (norm.running_mean.value != before[0]).all()


def test_the_gradients_of_frozen_statistics_are_those_of_an_affine_function(rng: np.random.Generator) -> None:
    norm = frozen_statistics()[1]
    norm.gain.freeze(False)
    norm.shift.freeze(False)
    x, delta = rng.normal(size=(5, 4)), rng.normal(size=(5, 4))

    def value(x: Array) -> float:
        return float((norm.forward(x)[0] * delta).sum())

    grad = norm.backward(norm.forward(x)[1], delta)
    np.testing.assert_allclose(grad, numeric_gradient(value, x), rtol=1e-7)
    for parameter in (norm.gain, norm.shift):
        values = parameter.value.copy()

        def of_parameter(values: Array, parameter: Parameter = parameter) -> float:
            parameter.value = values
            return value(x)

        np.testing.assert_allclose(parameter.grad, numeric_gradient(of_parameter, values), rtol=1e-7)
        parameter.value = values
    formula = norm.stated_formula()
    names = {field: getattr(norm, field).value for field in ("gain", "shift", "running_mean", "running_variance")}
    names |= {"x": x, "delta": delta, "epsilon": norm.epsilon}
    assert formula is not None
    np.testing.assert_allclose(evaluate(formula.forward, names), norm.forward(x)[0], rtol=1e-12)
    np.testing.assert_allclose(evaluate(formula.backward, names), grad, rtol=1e-12)
    np.testing.assert_allclose(evaluate(formula.gradients["gain"], names), norm.gain.grad, rtol=1e-12)


def test_what_is_frozen_is_copied_stored_and_derived(tmp_path: Path) -> None:
    net = frozen_statistics("float32")
    assert "a¹ = γ¹ · (z⁰ − μ) / √(v + 10⁻⁵) + β¹" in str(net.derivation(SumSquaredError()))
    for other in (deepcopy(net), pickle.loads(pickle.dumps(net)), load(net.save(tmp_path / "net.npz"))):
        assert [buffer.frozen for buffer in other.named_buffers().values()] == [True, True]
        np.testing.assert_array_equal(other.forward(X.astype("float32"))[0], net.forward(X.astype("float32"))[0])
    trainer = Trainer(net, SumSquaredError(), SGD(0.01))
    trainer.save(tmp_path / "run.npz")
    trainer.load(tmp_path / "run.npz")
    assert net[1].running_mean.frozen
    assert load(tmp_path / "run.npz")[1].running_mean.frozen


@pytest.mark.parametrize("layer", [Dense(3), Sequential([Dense(3)]), BatchNorm()], ids=repr)
def test_without_parameters_yet_there_is_nothing_to_freeze(layer: Layer[Any]) -> None:
    for name in ("freeze", "unfreeze"):
        with pytest.raises(NotBuiltError, match=rf"{type(layer).__name__}: {name}: its sizes are not known yet, so it"):
            getattr(layer, name)()


def test_a_built_layer_without_parameters_may_be_frozen() -> None:
    net = network()
    net[1].freeze()
    assert fit(net) == EVERYTHING


def test_a_frozen_gradient_is_zero_and_still_checked() -> None:
    p = Parameter(np.ones((2, 3)))
    p.accumulate(np.full((2, 3), 7.0))
    p.freeze()
    np.testing.assert_array_equal(p.grad, np.zeros((2, 3)))
    p.accumulate(np.ones((2, 3)))
    p.accumulate_product(np.ones((2, 4)), np.ones((4, 3)))
    np.testing.assert_array_equal(p.grad, np.zeros((2, 3)))
    with pytest.raises(ContractError, match=r"gradient has shape \(3, 2\), expected \(2, 3\): it is transposed"):
        p.accumulate(np.ones((3, 2)))
    p.freeze(False)
    p.accumulate(np.ones((2, 3)))
    np.testing.assert_array_equal(p.grad, np.ones((2, 3)))


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_a_layer_of_which_a_part_is_frozen_trains_the_rest(name: str) -> None:
    net, twin = network(), network()
    part, whole = (one.named_parameters() for one in (net, twin))
    part[f"0.{name}"].freeze()
    for one in (net, twin):
        output, saved = one.forward(X)
        one.backward_parameters(saved, output - Y)
    for other in part.keys() - {f"0.{name}"}:
        assert whole[other].grad.any()
        np.testing.assert_array_equal(part[other].grad, whole[other].grad, err_msg=other)
    assert not part[f"0.{name}"].grad.any()
