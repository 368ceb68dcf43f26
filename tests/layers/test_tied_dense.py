"""Tied weights: one parameter in two layers, which counts once, gathers both gradients, and stays tied in copies."""

import pickle
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential, Trainer, load
from deepbp.errors import ArgumentTypeError, ContractError, DeepBPError, NotBuiltError, ShapeError
from deepbp.layers import Builder, Chain, Dense, Embedding, Flatten, Sigmoid, Tanh, TiedDense
from deepbp.losses import MeanSquaredError, SoftmaxCrossEntropy
from deepbp.optimizers import SGD, Adam
from deepbp.testing import check_layer, numeric_gradient
from deepbp.typing import Array


def autoencoder(dtype: str = "float64") -> Sequential:
    encoder = Dense(2)
    return Sequential([encoder, Tanh(), TiedDense(encoder)], input_shape=3, rng=0, dtype=dtype)


def weights(net: Sequential) -> tuple[Dense, TiedDense]:
    encoder, decoder = net[0], net[2]
    assert isinstance(encoder, Dense)
    assert isinstance(decoder, TiedDense)
    return encoder, decoder


def test_it_multiplies_by_the_transposed_weights(rng: np.random.Generator) -> None:
    encoder, layer = Dense(2), None
    builder = Builder(0, "float64")
    builder.build(encoder, (3,))
    layer = TiedDense(encoder)
    assert builder.build(layer, (2,)) == (3,)
    assert layer.bias is not None
    layer.bias.value = np.array([10.0, 20.0, 30.0])
    w, x, delta = encoder.weight.value, rng.normal(size=(4, 2)), rng.normal(size=(4, 3))
    z, saved = layer.forward(x)
    expected = [[sum(x[b, o] * w[i, o] for o in range(2)) + 10 * (i + 1) for i in range(3)] for b in range(4)]
    np.testing.assert_allclose(z, expected, rtol=1e-13)
    moved = layer.backward(saved, delta)
    np.testing.assert_allclose(
        moved, [[sum(d[i] * w[i, o] for i in range(3)) for o in range(2)] for d in delta], rtol=1e-13
    )
    by_weight = [[sum(delta[b, i] * x[b, o] for b in range(4)) for o in range(2)] for i in range(3)]
    np.testing.assert_allclose(encoder.weight.grad, by_weight, rtol=1e-13)
    np.testing.assert_allclose(layer.bias.grad, delta.sum(axis=0), rtol=1e-13)


def test_the_weights_count_once_and_gather_both_gradients(rng: np.random.Generator) -> None:
    net = autoencoder()
    encoder, decoder = weights(net)
    assert decoder.weight is encoder.weight
    assert list(net.named_parameters()) == ["0.weight", "0.bias", "2.bias"]
    assert [row[2] for row in net.summary().rows] == ["8", "0", "3"]
    x, delta = rng.normal(size=(2, 5, 3))
    net.backward(net.forward(x)[1], delta)
    hidden = np.tanh(x @ encoder.weight.value)
    at_hidden = delta @ encoder.weight.value * (1 - hidden**2)
    np.testing.assert_allclose(encoder.weight.grad, x.T @ at_hidden + delta.T @ hidden, rtol=1e-12)


def test_only_the_weights_belong_to_it_not_the_other_layers_bias() -> None:
    _, decoder = weights(autoencoder())
    assert list(decoder.named_parameters()) == ["weight", "bias"]
    assert decoder.named_layers() == {}
    assert repr(decoder) == "TiedDense(Dense(2))"
    assert repr(TiedDense(Dense(2), use_bias=False)) == "TiedDense(Dense(2), use_bias=False)"


def copied_by_file(net: Sequential, folder: Path) -> Sequential:
    return load(net.save(folder / "net.npz"))


COPIES: dict[str, Callable[[Sequential, Path], Sequential]] = {
    "deepcopy": lambda net, folder: deepcopy(net),
    "pickle": lambda net, folder: pickle.loads(pickle.dumps(net)),
    "file": copied_by_file,
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_copies_keep_the_tie(
    copy: Callable[[Sequential, Path], Sequential], tmp_path: Path, rng: np.random.Generator
) -> None:
    net, x = autoencoder(), rng.normal(size=(20, 3))
    twin = copy(net, tmp_path)
    (encoder, decoder), original = weights(twin), net.parameters()[0].value.copy()
    assert decoder.weight is encoder.weight
    assert decoder.other is encoder
    np.testing.assert_array_equal(twin.predict(x), net.predict(x))
    twin.fit(x, x, loss=MeanSquaredError(), optimizer=SGD(0.1))
    assert decoder.weight is encoder.weight
    assert (encoder.weight.value != original).any()
    np.testing.assert_array_equal(net.parameters()[0].value, original)
    hidden = np.tanh(x @ encoder.weight.value + twin.parameters()[1].value)
    np.testing.assert_allclose(
        twin.predict(x), hidden @ encoder.weight.value.T + twin.parameters()[2].value, rtol=1e-12
    )


def test_while_the_other_is_frozen_the_weights_stay(rng: np.random.Generator) -> None:
    net, x = autoencoder(), rng.normal(size=(20, 3))
    encoder, decoder = weights(net)
    encoder.freeze()
    before = encoder.weight.value.copy()
    trainer = Trainer(net, MeanSquaredError(), SGD(0.1))
    assert trainer.parameters.parameters == (decoder.bias,)
    trainer.fit(x, x)
    np.testing.assert_array_equal(encoder.weight.value, before)
    encoder.unfreeze()
    net.fit(x, x, loss=MeanSquaredError(), optimizer=SGD(0.1))
    assert (encoder.weight.value != before).any()


def test_freezing_it_leaves_the_others_bias_alone() -> None:
    net = autoencoder()
    encoder, decoder = weights(net)
    decoder.freeze()
    assert net.trainable_parameters() == [encoder.bias]


def test_a_decoder_by_itself_shares_the_weights_of_a_built_network(rng: np.random.Generator) -> None:
    net = Sequential([Dense(2), Sigmoid()], input_shape=3, rng=0)
    encoder = net[0]
    assert isinstance(encoder, Dense)
    decoder = Sequential([TiedDense(encoder, use_bias=False)], input_shape=2)
    x = rng.normal(size=(4, 2)).astype(np.float32)
    np.testing.assert_allclose(decoder.predict(x), x @ encoder.weight.value.T, rtol=1e-6)
    assert decoder.parameters() == [encoder.weight]
    assert decoder[:1].parameters() == [encoder.weight]


def test_an_autoencoder_learns(rng: np.random.Generator) -> None:
    """Points on a plane in space need two numbers."""
    x = rng.normal(size=(200, 2)) @ rng.normal(size=(2, 3))
    encoder = Dense(2)
    net = Sequential([encoder, TiedDense(encoder)], input_shape=3, rng=0)
    net.fit(x, x, loss=MeanSquaredError(), optimizer=Adam(0.02), epochs=60)
    assert net.evaluate(x, x, loss=MeanSquaredError())["loss"] < 1e-4


def test_the_other_must_be_built_first() -> None:
    encoder = Dense(3)
    with pytest.raises(NotBuiltError) as caught:
        Sequential([TiedDense(encoder), Tanh(), encoder], input_shape=3)
    assert str(caught.value) == (
        "layer 0, TiedDense(Dense(3)): Dense(3) is not built yet, so there are no weights to share: it must stand "
        "before this layer in the network, or be built before it"
    )
    with pytest.raises(NotBuiltError, match=r"TiedDense\(Dense\(3\)\): its sizes are not known yet"):
        TiedDense(encoder).forward(np.ones((2, 3)))


def test_both_have_one_number_type_and_fitting_sizes() -> None:
    encoder = Dense(2)
    Builder(0, "float32").build(encoder, (3,))
    with pytest.raises(ContractError, match=r"Dense\(2\) was built with float32, the network has float64"):
        Sequential([TiedDense(encoder)], input_shape=2, dtype="float64")
    with pytest.raises(
        ShapeError, match=r"layer 0, .*: expects samples of shape \(2,\), which Dense\(2\) puts out, got \(3,\)"
    ):
        Sequential([TiedDense(encoder)], input_shape=3)


def predictor(**options: Any) -> Sequential:
    """Predicts the next of five categories from two."""
    table = Embedding(5, 3)
    return Sequential([table, Flatten(), Dense(3), Tanh(), TiedDense(table)], input_shape=2, rng=0, **options)


def test_an_embedding_gives_a_logit_for_each_category(tmp_path: Path, rng: np.random.Generator) -> None:
    net, loss = predictor(dtype="float64"), SoftmaxCrossEntropy()
    (table, *_, decoder), x, y = net.layers, rng.integers(0, 5, (6, 2)), rng.integers(0, 5, 6)
    assert isinstance(table, Embedding)
    assert isinstance(decoder, TiedDense)
    assert decoder.weight is table.table
    assert list(net.named_parameters()) == ["0.table", "2.weight", "2.bias", "4.bias"]
    table.table.value = rng.normal(size=(5, 3))
    hidden = net[:4].predict(x)
    np.testing.assert_allclose(net.predict(x), hidden @ table.table.value.T + decoder.parameters()[1].value, rtol=1e-13)

    def at(values: Array) -> float:
        table.table.value = values
        return loss.forward(net.predict(x.astype(float)), y)[0]

    start = table.table.value.copy()
    numeric = numeric_gradient(at, start)
    table.table.value = start
    z, saved = net.forward(x.astype(float))
    net.backward_parameters(saved, loss.backward(loss.forward(z, y)[1]))
    np.testing.assert_allclose(table.table.grad, numeric, atol=1e-9)
    for name, copy in COPIES.items():
        twin = copy(net, tmp_path)
        assert twin[4].weight is twin[0].table, name
        np.testing.assert_array_equal(twin.predict(x), net.predict(x))
    assert "W" in str(net.derivation(loss))
    history = net.fit(x, y, loss=loss, optimizer=Adam(0.05), epochs=100)
    assert history["loss"][-1] < 0.2 * history["loss"][0]
    with pytest.raises(
        ShapeError, match=r"samples of shape \(3,\), which Embedding\(5, 3\) has for each category, got \(6,"
    ):
        Sequential([other := Embedding(5, 3), Flatten(), TiedDense(other)], input_shape=2)


def test_a_chain_with_a_tied_embedding_is_right() -> None:
    table = Embedding(4, 3)
    check_layer(
        Chain([table, Flatten(), Dense(3), TiedDense(table)]), 2, inputs=lambda rng, shape: rng.integers(0, 4, shape)
    )


@pytest.mark.parametrize("other", [None, 4, "Dense", Tanh(), Dense])
def test_the_other_is_a_dense_layer(other: object) -> None:
    with pytest.raises(DeepBPError, match=r"TiedDense: other: expected Dense or Embedding, got ") as caught:
        TiedDense(other)  # type: ignore[arg-type]
    assert type(caught.value) is ArgumentTypeError
