"""The numbers of one step are those of training, and the network is as it was."""

import copy
from typing import Any

import numpy as np
import pytest
from nets import Gain, Noise, X, Y, notes_net, rich_data, rich_net

from deepbp import Sequential, Trainer
from deepbp.derivation.trace import Trace
from deepbp.errors import ContractError, DataError, PositionError, ShapeError
from deepbp.layers import Dense, Layer, Sigmoid
from deepbp.losses import Loss, MeanSquaredError, SoftmaxCrossEntropy, SumSquaredError
from deepbp.optimizers import SGD
from deepbp.typing import Array


@pytest.mark.parametrize("weights", [None, np.arange(5.0)])
@pytest.mark.parametrize("loss", [SumSquaredError(), MeanSquaredError()])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_are_those_of_training(dtype: str, loss: Loss[Any], weights: Array | None) -> None:
    net, (x, y) = rich_net(dtype), rich_data()
    trace = net.trace(x, y, loss, weights)
    trainer = Trainer(net, loss, SGD(learning_rate=0.0))
    assert trace.loss == trainer.step(x, y, weights)
    assert trace.gradients.keys() == net.named_parameters().keys()
    for name, parameter in net.named_parameters().items():
        assert trace.gradients[name].dtype == dtype
        np.testing.assert_allclose(trace.gradients[name], parameter.grad, rtol=1e-12 if dtype == "float64" else 1e-5)


def test_signals_go_from_layer_to_layer() -> None:
    net, (x, y) = rich_net(), rich_data()
    trace = net.trace(x, y, SumSquaredError())
    assert len(trace) == len(trace.steps) == 10
    for before, after in zip(trace.steps, trace.steps[1:], strict=False):
        assert after.input is before.output
        assert before.delta is after.delta_input
    np.testing.assert_array_equal(trace[0].input, x)
    np.testing.assert_array_equal(trace.prediction, net.predict(x))
    np.testing.assert_array_equal(trace[-1].delta, 2 * (trace.prediction - y))
    _, saved = net.forward(x)
    np.testing.assert_array_equal(trace[0].delta_input, net.backward(saved, trace[-1].delta))


def test_a_layer_used_twice_has_a_share_for_each_use() -> None:
    net, (x, y) = rich_net(), rich_data()
    trace = net.trace(x, y, SumSquaredError())
    for field in ("weight", "bias"):
        shares = trace["1"].gradients[field], trace["3.0"].gradients[field]
        assert all(np.any(share) for share in shares)
        np.testing.assert_allclose(trace.gradients[f"1.{field}"], shares[0] + shares[1], rtol=1e-14)
    np.testing.assert_array_equal(trace["1"].gradients["weight"], trace["1"].input.T @ trace["1"].delta)


def test_network_stays_as_it_is() -> None:
    net, (x, y) = rich_net(), rich_data()
    for parameter in net.parameters():
        parameter.accumulate(np.full_like(parameter.value, 7))
    before = copy.deepcopy(net)
    state = net.generator.bit_generator.state
    net.trace(x, y, SumSquaredError())
    assert net.generator.bit_generator.state == state
    for one, other in zip(net.parameters(), before.parameters(), strict=True):
        np.testing.assert_array_equal(one.value, other.value)
        np.testing.assert_array_equal(one.grad, np.full_like(one.value, 7))


def test_trace_stays_as_it_is_while_the_network_trains() -> None:
    net = notes_net()
    trace = net.trace(X, Y, SumSquaredError())
    text, weight = str(trace), net.named_parameters()["0.weight"].value.copy()
    explanation = str(trace.explain("0.weight", (0, 0)))
    Trainer(net, SumSquaredError(), SGD(1.0)).step(X, Y)
    assert str(trace) == text
    assert str(trace.explain("0.weight", (0, 0))) == explanation
    np.testing.assert_array_equal(trace[0].parameters["weight"], weight)


def test_random_layers_draw_for_the_trace_alone() -> None:
    noise = Noise()
    net = Sequential([Dense(2), noise], input_shape=3, dtype="float64")
    expected = noise.rng.bit_generator.state
    one, other = (net.trace(X, X[:, :2], SumSquaredError()) for _ in range(2))
    assert noise.rng.bit_generator.state == expected
    np.testing.assert_array_equal(one.prediction, other.prediction)
    assert np.any(one[1].output != one[1].input)


def test_steps_are_found_by_position_and_by_place() -> None:
    trace = rich_net().trace(*rich_data(), SumSquaredError())
    assert trace[1] is trace["1"] is trace.steps[1]
    assert trace[3] is trace["3.2"] is trace.steps[5]  # what makes the output of layer 3
    assert trace[-1] is trace[7] is trace["7"]
    for place in (8, -9, "3", "8"):
        with pytest.raises(PositionError, match=f"no layer {place!r}: there are 8, with steps 0, 1, 2, 3.0"):
            trace[place]


def test_labels_are_targets() -> None:
    net = Sequential([Dense(3)], input_shape=2, dtype="float64", rng=0)
    trace = net.trace(np.eye(2), [2, 0], SoftmaxCrossEntropy())
    assert trace.target.tolist() == [2, 0]
    assert "y = [ 2  0 ]" in str(trace)


def test_any_layer_can_be_traced() -> None:
    layer = Dense(2)
    net = Sequential([layer], input_shape=3, dtype="float64")
    trace = Trace.of(layer, X, X[:, :2], SumSquaredError())
    np.testing.assert_array_equal(
        trace.gradients["weight"], net.trace(X, X[:, :2], SumSquaredError()).gradients["0.weight"]
    )


def test_data_pass_the_door() -> None:
    with pytest.raises(ShapeError, match=r"expects samples of shape \(3,\)"):
        notes_net().trace(X[:, :2], Y, SumSquaredError())
    with pytest.raises(DataError, match="finite"):
        notes_net().trace(X, Y + np.nan, SumSquaredError())


class TestErrorsInLayers:
    def test_broken_contract_is_placed(self) -> None:
        class Broken(Gain):
            def backward(self, saved: tuple[Array, Array], delta: Array) -> Array:
                return delta.T

        net = Sequential([Dense(2), Sequential([_defined(Broken)()])], input_shape=3, dtype="float64")
        with pytest.raises(ContractError, match=r"layer 1\.0, Broken\(\): backward: expected the error signal"):
            net.trace(X, X[:, :2], SumSquaredError())

    def test_other_errors_get_a_note(self) -> None:
        class Failing(Gain):
            def forward(self, x: Array) -> tuple[Array, tuple[Array, Array]]:
                raise RuntimeError("no")

        net = Sequential([Dense(2), _defined(Failing)()], input_shape=3)
        with pytest.raises(RuntimeError) as caught:
            net.trace(X, X[:, :2], SumSquaredError())
        assert caught.value.__notes__ == ["in layer 1, Failing()"]


def _defined(cls: type[Layer[Any]]) -> type[Layer[Any]]:
    from attrs import define

    return define(cls, eq=False)


def test_overflow_is_shown_not_raised() -> None:
    net = Sequential([Dense(2), Sigmoid(), Dense(1)], input_shape=1, dtype="float32")
    net.named_parameters()["2.weight"].value = np.full((2, 1), 3e38)
    trace = net.trace([[1.0]], [[0.0]], SumSquaredError())
    assert "L = Σ (ŷ − y)² = inf" in str(trace)
