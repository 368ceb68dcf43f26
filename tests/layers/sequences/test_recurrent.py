"""SimpleRNN, GRU and LSTM: values against formulas written out and against PyTorch, and steps one by one."""

from typing import Any

import numpy as np
import pytest
from references import built, results, states

from deepbp import Sequential
from deepbp.errors import ConfigurationError, ShapeError
from deepbp.layers import GRU, LSTM, Bidirectional, Dense, Flatten, SimpleRNN

KINDS = [SimpleRNN, GRU, LSTM]
SIZES = [(1, 5, 3, 4), (3, 1, 2, 33), (13, 4, 5, 6)]  # samples, steps, features, units


@pytest.mark.usefixtures("kernel_form")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("batch", "steps", "features", "units"), SIZES)
def test_states_are_those_of_the_formulas(
    kind: Any, batch: int, steps: int, features: int, units: int, rng: np.random.Generator
) -> None:
    x = rng.standard_normal((batch, steps, features))
    for reverse in (False, True):
        layer = built(kind(units, return_sequences=True, reverse=reverse), (steps, features))
        expected = states(layer, x)
        np.testing.assert_allclose(layer.predict(x), expected, rtol=0, atol=1e-13)
        last = built(kind(units, reverse=reverse), (steps, features))
        np.testing.assert_allclose(last.predict(x), expected[:, 0 if reverse else -1], rtol=0, atol=1e-13)


@pytest.mark.usefixtures("kernel_form")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("batch", "steps", "features", "units"), SIZES)
@pytest.mark.parametrize("sequences", [True, False])
def test_gradients_are_those_of_pytorch(
    kind: Any, batch: int, steps: int, features: int, units: int, sequences: bool, rng: np.random.Generator
) -> None:
    torch = pytest.importorskip("torch")
    layer = built(kind(units, return_sequences=sequences), (steps, features))
    peer = getattr(torch.nn, str(kind.__name__).removeprefix("Simple"))(
        features, units, batch_first=True, dtype=torch.float64
    )
    own: dict[str, Any] = {"weight_ih_l0": layer.weight, "weight_hh_l0": layer.recurrent_weight}
    with torch.no_grad():
        for name, parameter in own.items():
            getattr(peer, name).copy_(torch.from_numpy(parameter.value.T))
        peer.bias_ih_l0.copy_(torch.from_numpy(layer.bias.value))
        peer.bias_hh_l0.zero_()
        if kind is GRU:
            peer.bias_hh_l0[2 * units :] = torch.from_numpy(layer.hidden_bias.value)
    x = rng.standard_normal((batch, steps, features))
    delta = rng.standard_normal((batch, steps, units) if sequences else (batch, units))
    y, moved, *_ = results(layer, x, delta)
    inputs = torch.from_numpy(x).requires_grad_()
    output = peer(inputs)[0] if sequences else peer(inputs)[0][:, -1]
    output.backward(torch.from_numpy(delta))
    pairs = [(y, output.detach()), (moved, inputs.grad), (layer.bias.grad, peer.bias_ih_l0.grad)]
    pairs += [(parameter.grad.T, getattr(peer, name).grad) for name, parameter in own.items()]
    if kind is GRU:
        pairs.append((layer.hidden_bias.grad, peer.bias_hh_l0.grad[2 * units :]))
    for found, expected in pairs:
        np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-12)


def test_a_bidirectional_layer_holds_both_directions_side_by_side(rng: np.random.Generator) -> None:
    layer = built(Bidirectional(GRU(3, return_sequences=True)), (4, 2))
    x = rng.standard_normal((2, 4, 2))
    expected = np.concatenate([states(layer.layer, x), states(layer.reversed_layer, x)], axis=2)
    np.testing.assert_allclose(layer.predict(x), expected, rtol=0, atol=1e-13)
    assert layer.reversed_layer.reverse


@pytest.mark.usefixtures("kernel_form")
def test_steps_one_by_one_are_those_of_a_whole_sequence(rng: np.random.Generator) -> None:
    net = Sequential(
        [
            LSTM(5, return_sequences=True, initial_state="learned"),
            Dense(4),
            GRU(3, return_sequences=True),
            SimpleRNN(2),
        ],
        input_shape=(None, 3),
        rng=0,
        dtype="float64",
    )
    x = rng.standard_normal((2, 6, 3))
    state: Any = net.start(2)
    for t in range(6):
        y, state = net.step(x[:, t], state)
        np.testing.assert_allclose(y, net.predict(x[:, : t + 1]), rtol=0, atol=1e-14)


def test_layers_that_need_the_whole_sequence_have_no_step() -> None:
    net = Sequential([GRU(3, reverse=True)], input_shape=(4, 2), rng=0)
    with pytest.raises(ConfigurationError, match="begins with the last step"):
        net.start(1)
    other = Sequential([Flatten(), Dense(2)], input_shape=(4, 2), rng=0)
    with pytest.raises(ConfigurationError, match=r"layer 0, Flatten.*looks at a whole sequence"):
        other.step(np.zeros((1, 2), np.float32), other.start(1))


def test_a_learned_initial_state_is_that_of_every_sequence(rng: np.random.Generator) -> None:
    layer = built(LSTM(3, initial_state="learned", return_sequences=True), (4, 2))
    before = rng.standard_normal((2, 3))  # h and c after a first part of a sequence, as the initial state
    first = built(LSTM(3, return_sequences=True), (4, 2))
    for name, parameter in first.named_parameters().items():
        parameter.value = layer.named_parameters()[name].value
    layer.initial.value = before
    x = rng.standard_normal((1, 4, 2))
    _, state = first.step(x[:, 0], tuple(one[None] for one in before))
    np.testing.assert_allclose(layer.predict(x)[:, 0], state[0], rtol=0, atol=1e-14)
    assert not layer.initial.is_decayed


def test_samples_that_are_no_sequences_are_refused() -> None:
    for shape in ((3,), (2, 3, 4)):
        with pytest.raises(ShapeError, match=r"expects sequences, samples of shape \(steps, features\)"):
            Sequential([GRU(2)], input_shape=shape)


def test_a_new_lstm_remembers() -> None:
    layer = LSTM(2, forget_bias=2.0)
    Sequential([layer], input_shape=(3, 1), rng=0)
    assert layer.bias.value.tolist() == [0, 0, 2, 2, 0, 0, 0, 0]  # i, f, g, o
    squares = layer.recurrent_weight.value @ layer.recurrent_weight.value.T
    np.testing.assert_allclose(squares, np.eye(2), atol=1e-6)  # orthogonal
