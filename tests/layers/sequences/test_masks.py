"""Masks and sequences of different lengths: padding changes nothing, and every size that may differ is None."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from references import built

import deepbp
from deepbp import Sequential
from deepbp.errors import ConfigurationError, DataError, ShapeError
from deepbp.layers import (
    GRU,
    LSTM,
    BatchNorm,
    Bidirectional,
    Context,
    CrossAttention,
    Dense,
    Embedding,
    EncoderDecoder,
    Flatten,
    GlobalAveragePool,
    GlobalMaxPool,
    Masked,
    Positions,
    ReLU,
    Repeat,
    Residual,
    SelfAttention,
    SimpleRNN,
)
from deepbp.losses import MeanSquaredError, SoftmaxCrossEntropy
from deepbp.optimizers import SGD
from deepbp.testing import compare_gradients, numeric_gradient
from deepbp.training import Accuracy, pad_sequences

BODIES = [
    [GRU(3)],
    [LSTM(3, reverse=True, return_sequences=True), SimpleRNN(2)],
    [Bidirectional(LSTM(2))],
    [SelfAttention(2), Bidirectional(GRU(2))],
    [SelfAttention(1, causal=True, rotary=True, width=4), GRU(2, reverse=True)],
    [GlobalAveragePool()],
    [Dense(3), GlobalMaxPool()],
    [Residual(SelfAttention(2)), Repeat([Dense(4), ReLU()], 2), GRU(2)],
]


@pytest.mark.usefixtures("kernel_form")
@pytest.mark.parametrize("body", BODIES, ids=str)
def test_padding_changes_nothing(body: list[Any], rng: np.random.Generator) -> None:
    layer = built(Masked(deepcopy(body), padding=-7.0), (None, 4))
    lengths = (5, 2, 1)
    sequences = [rng.standard_normal((length, 4)) for length in lengths]
    alone = np.concatenate([layer.predict(one[None]) for one in sequences])
    padded, _ = pad_sequences(sequences, value=-7.0)
    np.testing.assert_allclose(layer.predict(padded), alone, rtol=0, atol=1e-14)
    if "rotary" not in str(body):  # whose positions count the padding in front
        other = np.full((3, 8, 4), -7.0)
        for row, one, places in zip(other, sequences, ([0, 2, 3, 6, 7], [4, 6], [7]), strict=True):
            row[places] = one  # in front, behind, and between
        np.testing.assert_allclose(layer.predict(other), alone, rtol=0, atol=1e-14)


WHOLE: list[list[Any]] = [[GRU(3, return_sequences=True)], [SelfAttention(2)]]  # whose outputs of padding are 0


@pytest.mark.usefixtures("kernel_form")
@pytest.mark.parametrize("body", [*BODIES, *WHOLE], ids=str)
def test_gradients_under_a_mask(body: list[Any], rng: np.random.Generator) -> None:
    layer = built(Masked(deepcopy(body), padding=0), (None, 4))
    x, _ = pad_sequences([rng.standard_normal((length, 4)) for length in (4, 2, 1)])
    y, saved = layer.forward(x)
    delta = rng.standard_normal(y.shape)
    moved = layer.backward(saved, delta)
    real = x != 0

    def loss(values: Any) -> float:
        given = np.zeros_like(x)
        given[real] = values
        return float((layer.predict(given) * delta).sum())

    analytic, numeric = {"x": moved[real]}, {"x": numeric_gradient(loss, x[real])}
    assert not moved[~real].any()
    for name, parameter in list(layer.named_parameters().items())[:2]:
        value = parameter.value.copy()

        def of_parameter(values: Any, parameter: Any = parameter) -> float:
            parameter.value = values
            return float((layer.predict(x) * delta).sum())

        analytic[name], numeric[name] = parameter.grad, numeric_gradient(of_parameter, value)
        parameter.value = value
    assert compare_gradients(analytic, numeric).relative < 1e-6


def test_a_sequence_of_padding_alone_keeps_its_initial_state(rng: np.random.Generator) -> None:
    layer = built(Masked(GRU(3, initial_state="learned")), (4, 2))
    x = rng.standard_normal((2, 4, 2))
    x[1] = 0
    np.testing.assert_array_equal(layer.predict(x)[1], layer.body.initial.value[0])
    _, saved = layer.forward(x)
    delta = np.zeros((2, 3))
    delta[1] = [1.0, 2.0, 3.0]
    layer.backward(saved, delta)
    np.testing.assert_allclose(layer.body.initial.grad[0], delta[1])
    assert not layer.body.weight.grad.any()


def test_padding_of_both_inputs_changes_nothing(rng: np.random.Generator) -> None:
    decoder = [SelfAttention(2, causal=True), Residual(CrossAttention(2)), GRU(3)]
    layer = built(
        EncoderDecoder(Bidirectional(GRU(2, return_sequences=True)), decoder, source_steps=4, padding=9), (None, 4)
    )
    short = built(
        EncoderDecoder(Bidirectional(GRU(2, return_sequences=True)), decoder, source_steps=2, padding=9), (None, 4)
    )
    for name, parameter in short.named_parameters().items():
        parameter.value = layer.named_parameters()[name].value
    x = rng.standard_normal((2, 5, 4))
    padding = np.full((2, 2, 4), 9.0)
    padded = np.concatenate([x[:, :2], padding, x[:, 2:], padding], axis=1)
    np.testing.assert_allclose(layer.predict(padded), short.predict(x), rtol=0, atol=1e-14)


def test_the_memory_gets_the_gradients_of_one_backward_pass(rng: np.random.Generator) -> None:
    layer = built(EncoderDecoder(Dense(4), Residual(CrossAttention(2)), source_steps=2), (5, 4))
    y, saved = layer.forward(rng.standard_normal((3, 5, 4)))
    delta = rng.standard_normal(y.shape)
    once = layer.backward(saved, delta)
    np.testing.assert_array_equal(layer.backward(saved, delta), once)
    layer.encoder.weight.clear_grad()
    layer.backward_parameters(saved, delta)
    gradient = layer.encoder.weight.grad.copy()
    layer.encoder.weight.clear_grad()
    layer.backward(saved, delta)
    np.testing.assert_array_equal(layer.encoder.weight.grad, gradient)


def test_layers_that_look_at_several_steps_without_a_mask_are_refused() -> None:
    net = Sequential([Masked([Dense(3), BatchNorm(), GRU(2)])], input_shape=(None, 3), rng=0)
    with pytest.raises(ConfigurationError, match=r"layer 1, BatchNorm.*knows no mask"):
        net.forward(np.ones((2, 3, 3), np.float32))
    fits = Sequential([Masked([GRU(2), BatchNorm()])], input_shape=(None, 3), rng=0)  # the sequence has ended
    assert fits.forward(np.ones((2, 4, 3), np.float32))[0].shape == (2, 2)


def test_a_mask_ends_with_the_sequence() -> None:
    context, x = Context(np.ones((2, 3), bool)), np.ones((2, 3, 4))
    assert context.after(x, np.ones((2, 3, 5))) is context
    assert context.after(x[..., 0], x) is context  # an embedding
    assert context.after(x, np.ones((2, 3))).mask is None
    assert context.after(x, np.ones((2, 2, 4))).mask is None


@pytest.mark.parametrize("layer", [Flatten(), Positions()])
def test_layers_that_need_all_sizes_refuse_none(layer: Any) -> None:
    with pytest.raises(ShapeError, match=rf"layer 0, {type(layer).__name__}.*\(None, 4\)"):
        Sequential([layer], input_shape=(None, 4))


def test_a_network_of_sequences_of_any_length(rng: np.random.Generator) -> None:
    net = Sequential([GRU(4, return_sequences=True), Dense(2)], input_shape=(None, 3), rng=0)
    assert str(net.input_shape) == "(None, 3)"
    assert repr(net) == "Sequential([GRU(4, return_sequences=True), Dense(2)], input_shape=(None, 3), rng=0)"
    assert "(None, 2)" in str(net.summary())
    for steps in (3, 8):
        x, y = rng.standard_normal((5, steps, 3)), rng.integers(0, 2, (5, steps))
        history = net.fit(x, y, loss=SoftmaxCrossEntropy(), optimizer=SGD(0.1), metrics=[Accuracy()], epochs=2)
        assert len(history["loss"]) == 2
        assert net.evaluate(x, y, loss=SoftmaxCrossEntropy())["loss"] > 0
        trace = net.trace(x, y, SoftmaxCrossEntropy())
        assert trace.error_signals
    assert "(B, T, 2)" in str(net.derivation(SoftmaxCrossEntropy()))
    for wrong in ((5, 3), (5, 4, 2), (5, 4, 3, 1)):
        with pytest.raises(ShapeError, match=r"samples of shape \(None, 3\)"):
            net.predict(np.zeros(wrong))
    with pytest.raises(ShapeError):
        net.fit(np.zeros((5, 4, 3)), np.zeros((5, 6, 2)), loss=MeanSquaredError(), optimizer=SGD(0.1))


def test_files_keep_sizes_that_differ(tmp_path: Any, rng: np.random.Generator) -> None:
    net = Sequential([Embedding(5, 3), Masked(LSTM(2))], input_shape=(None,), rng=0)
    x = rng.integers(1, 5, (3, 6))
    again = deepbp.load(net.save(tmp_path / "net.npz"))
    assert str(again.input_shape) == "(None,)"
    np.testing.assert_array_equal(again.predict(x), net.predict(x))


def test_pad_sequences() -> None:
    x, mask = pad_sequences([np.ones((2, 3)), np.ones((1, 3))], value=-1, length=4)
    assert x.shape == (2, 4, 3)
    assert x[:, :, 0].tolist() == [[1, 1, -1, -1], [1, -1, -1, -1]]
    assert mask.tolist() == [[1, 1, 0, 0], [1, 0, 0, 0]]
    labels, _ = pad_sequences([[1, 2], [3]], value=-100)
    assert labels.dtype.kind == "i"
    assert labels.tolist() == [[1, 2], [3, -100]]
    with pytest.raises(DataError, match="expected at least one sequence"):
        pad_sequences([])
    with pytest.raises(DataError, match="expected at most 2 steps, got 3"):
        pad_sequences([[1], [1, 2, 3]], length=2)
    with pytest.raises(ShapeError, match="steps of the same shape"):
        pad_sequences([[[1.0]], [[1.0, 2.0]]])


def test_weights_of_a_mask_leave_padding_out_of_loss_and_accuracy(rng: np.random.Generator) -> None:
    net = Sequential([GRU(4, return_sequences=True), Dense(3)], input_shape=(None, 2), rng=0, dtype="float64")
    sequences = [rng.standard_normal((length, 2)) for length in (5, 3)]
    labels = [rng.integers(0, 3, len(one)) for one in sequences]
    x, mask = pad_sequences(sequences)
    y, _ = pad_sequences(labels)
    found = net.evaluate(x, y, loss=SoftmaxCrossEntropy(), metrics=[Accuracy()], sample_weight=mask)
    right = [(net.predict(one[None])[0].argmax(axis=1) == own) for one, own in zip(sequences, labels, strict=True)]
    assert found["accuracy"] == pytest.approx(np.concatenate(right).mean())
