"""Keras itself: weights go both ways, and both networks compute the same."""

import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential, layers
from deepbp.files import weights_for

os.environ.setdefault("KERAS_BACKEND", "jax" if find_spec("jax") else "torch")
if not (find_spec("jax") or find_spec("torch")):
    pytest.skip("keras has nothing to compute with", allow_module_level=True)
keras = pytest.importorskip("keras")
their: Any = keras.layers
RNG = np.random.default_rng(0)
IMAGE, SEQUENCE = (9, 8, 3), (7, 4)

CASES: dict[str, tuple[tuple[int, ...], list[Any], Callable[[], list[Any]]]] = {
    "convolution": (IMAGE, [layers.Conv2D(5, (3, 2))], lambda: [their.Conv2D(5, (3, 2))]),
    "same, stride 2": (
        IMAGE,
        [layers.Conv2D(4, 3, stride=2, padding="same"), layers.ReLU()],
        lambda: [their.Conv2D(4, 3, strides=2, padding="same", activation="relu")],
    ),
    "dilation": (IMAGE, [layers.Conv2D(4, 3, dilation=2)], lambda: [their.Conv2D(4, 3, dilation_rate=2)]),
    "groups": (IMAGE, [layers.Conv2D(6, 3, groups=3)], lambda: [their.Conv2D(6, 3, groups=3)]),
    "causal": (
        SEQUENCE,
        [layers.Conv1D(3, 3, padding="causal", dilation=2)],
        lambda: [their.Conv1D(3, 3, padding="causal", dilation_rate=2)],
    ),
    "transposed": (
        IMAGE,
        [layers.ConvTranspose2D(4, 3, stride=2, padding="same")],
        lambda: [their.Conv2DTranspose(4, 3, strides=2, padding="same")],
    ),
    "depthwise": (
        IMAGE,
        [layers.DepthwiseConv2D(3, multiplier=2)],
        lambda: [their.DepthwiseConv2D(3, depth_multiplier=2)],
    ),
    "pooling, normalization, flattening": (
        IMAGE,
        [
            layers.Conv2D(4, 3, padding="same"),
            layers.BatchNorm(epsilon=1e-3),
            layers.MaxPool2D(2),
            layers.AveragePool2D(3, stride=1, padding="same"),
            layers.Flatten(),
            layers.Dense(3),
        ],
        lambda: [
            their.Conv2D(4, 3, padding="same"),
            their.BatchNormalization(epsilon=1e-3),
            their.MaxPooling2D(2),
            their.AveragePooling2D(3, strides=1, padding="same"),
            their.Flatten(),
            their.Dense(3),
        ],
    ),
    "global poolings": (IMAGE, [layers.GlobalAveragePool()], lambda: [their.GlobalAveragePooling2D()]),
    "simple": (SEQUENCE, [layers.SimpleRNN(5)], lambda: [their.SimpleRNN(5, dtype="float64")]),
    "LSTM": (SEQUENCE, [layers.LSTM(5, return_sequences=True)], lambda: [their.LSTM(5, return_sequences=True)]),
    "GRU": (
        SEQUENCE,
        [layers.GRU(5, return_sequences=True), layers.GRU(3)],
        lambda: [their.GRU(5, return_sequences=True), their.GRU(3)],
    ),
    "both directions": (
        SEQUENCE,
        [layers.Bidirectional(layers.GRU(5, return_sequences=True)), layers.Dense(2)],
        lambda: [their.Bidirectional(their.GRU(5, return_sequences=True)), their.Dense(2)],
    ),
}


@pytest.fixture
def in_double() -> Iterator[None]:
    """Keras in float64, which JAX has to be asked for."""
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    wide: Any = nullcontext()
    if keras.config.backend() == "jax":
        import jax

        wide = jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64()
    with wide:
        yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


@pytest.mark.filterwarnings("ignore")  # of Keras
@pytest.mark.parametrize("name", CASES)
def test_weights_go_both_ways(name: str, in_double: None) -> None:
    if name == "simple" and keras.config.backend() == "jax":
        pytest.skip("with JAX, Keras mixes float32 into its SimpleRNN")
    shape, ours, theirs = CASES[name]
    model = keras.Sequential([keras.Input(shape, dtype="float64"), *theirs()])
    model.set_weights([RNG.uniform(0.1, 1, array.shape) - 0.3 * (array.ndim > 1) for array in model.get_weights()])
    x = RNG.normal(size=(3, *shape))

    net = Sequential(ours, input_shape=shape, rng=0, dtype="float64")
    if net.parameters():
        assert net.load_weights(model.get_weights(), convention="keras").complete
    expected = np.asarray(keras.ops.convert_to_numpy(model(x, training=False)))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(net.predict(x), expected, rtol=0, atol=1e-6 * scale)

    model.set_weights([*weights_for(net, "keras").values()])  # of a GRU, one of two biases is 0 where both are added
    again = np.asarray(keras.ops.convert_to_numpy(model(x, training=False)))
    np.testing.assert_allclose(again, expected, rtol=0, atol=1e-6 * scale)
