"""Networks of many layers, and of layers that contain layers to a great depth."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deepbp
from deepbp import Sequential, Trainer
from deepbp.errors import ConfigurationError, ContractError
from deepbp.layers import Chain, Dense, Layer, Parallel, Repeat, Residual, Tanh, same_configuration
from deepbp.layers.inner_graph import MOST_NESTED
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD

WRAPPERS: list[Callable[[Layer[Any]], Layer[Any]]] = [
    Residual,
    lambda layer: Chain([layer]),
    lambda layer: Parallel([layer, None], merge="mean"),
    lambda layer: Sequential([layer]),
    lambda layer: Repeat(layer, 1),
]
LOSS = MeanSquaredError()
X, Y = np.ones((2, 3)), np.zeros((2, 3))


def nested(depth: int) -> Layer[Any]:
    """Layers of all kinds within each other, ``depth`` in all, with a Tanh innermost and a Dense beside it."""
    layer: Layer[Any] = Chain([Tanh(), Dense(3)])
    for position in range(depth - 2):
        layer = WRAPPERS[position % len(WRAPPERS)](layer)
    return layer


@pytest.fixture(scope="module")
def deep() -> Sequential:
    net = Sequential([nested(MOST_NESTED - 1)], input_shape=3, rng=0, dtype="float64")
    net.parameters()[1].value[:] = [1.0, -1.0, 0.5]
    return net


def test_the_deepest_network_computes_what_its_levels_compute(deep: Sequential) -> None:
    """A residual level gives f(x) + x, a mean of branches (f(x) + x) / 2, and the others f(x)."""
    weight, bias = (parameter.value for parameter in deep.parameters())
    y = np.tanh(X) @ weight + bias
    for position in range(MOST_NESTED - 3):
        y = y + X if position % 5 == 0 else (y + X) / 2 if position % 5 == 2 else y
    np.testing.assert_allclose(deep.predict(X), y, rtol=1e-12)
    output, saved = deep.forward(X)
    assert np.array_equal(output, deep.predict(X))
    deep.backward(saved, output)
    halves = sum(position % 5 == 2 for position in range(MOST_NESTED - 3))
    np.testing.assert_allclose(deep.parameters()[1].grad, output.sum(axis=0) / 2**halves, rtol=1e-12)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["copy", "pickle"])
def test_the_deepest_network_is_copied(deep: Sequential, copied: Callable[[Any], Any]) -> None:
    other, trainer = copied((deep, Trainer(deep, LOSS, SGD(0.1))))
    assert trainer.model is other
    assert same_configuration(other, deep)
    assert np.array_equal(other.predict(X), deep.predict(X))
    before = deep.parameters()[1].value.copy()
    trainer.step(X, Y)
    assert np.array_equal(deep.parameters()[1].value, before)
    assert not np.array_equal(other.parameters()[1].value, before)


def test_the_deepest_network_is_stored(deep: Sequential, tmp_path: Path) -> None:
    loaded = deepbp.load(deep.save(tmp_path / "deep.npz"))
    assert np.array_equal(loaded.predict(X), deep.predict(X))
    assert repr(loaded).replace(", rng=0", "") == repr(deep).replace(", rng=0", "")


@pytest.mark.parametrize("text", ["repr", "summary", "trace", "derivation"])
def test_the_deepest_network_is_explained(deep: Sequential, text: str) -> None:
    texts: dict[str, Callable[[], Any]] = {
        "repr": lambda: deep,
        "summary": deep.summary,
        "trace": lambda: deep.trace(X, Y, LOSS),
        "derivation": lambda: deep.derivation(LOSS),
    }
    assert len(str(texts[text]())) > 1000


def test_deeper_networks_are_refused_in_words() -> None:
    layer = nested(300)
    assert len(repr(layer)) > 100
    assert same_configuration(copy.deepcopy(layer), layer)
    assert len(layer.named_layers()) == 300
    with pytest.raises(ConfigurationError, match=rf"depth of at most {MOST_NESTED}, got 301: put .* Sequential"):
        Sequential([layer], input_shape=3)
    part = Sequential([nested(MOST_NESTED // 2)], input_shape=3)
    for _ in range(MOST_NESTED // 2):
        part = Sequential([part])
    with pytest.raises(ConfigurationError, match=f"at most {MOST_NESTED}, got {MOST_NESTED + 1}"):
        part.build(3)


def test_a_layer_inside_itself_is_refused() -> None:
    chain = Chain([Tanh()])
    residual = Residual(chain)
    object.__setattr__(chain, "layers", (residual,))
    assert list(residual.named_layers()) == ["body"]
    assert repr(copy.deepcopy(chain)).startswith("Chain([Residual(Chain(")
    with pytest.raises(ContractError, match="one that it is inside of itself"):
        Sequential([chain], input_shape=3)


def test_a_thousand_layers(tmp_path: Path) -> None:
    net = Sequential([Tanh() if i % 2 else Dense(2) for i in range(1000)], input_shape=2, rng=0)
    x = np.ones((4, 2))
    net.fit(x, x, loss=LOSS, optimizer=SGD(0.1))
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), deepbp.load(net.save(tmp_path / "long.npz"))):
        assert np.array_equal(other.predict(x), net.predict(x))
    assert net.summary().parameters == 500 * 6
