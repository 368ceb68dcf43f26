"""Squares that overflow in normalizations are found, and rows of equal numbers become 0."""

from typing import Any

import numpy as np
import pytest

from deepbp import Sequential, Trainer
from deepbp.errors import NonFiniteError
from deepbp.layers import BatchNorm, Dense, GroupNorm, Layer, LayerNorm, RMSNorm
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD, Adam

LAYERS: list[Layer[Any]] = [BatchNorm(), LayerNorm(), GroupNorm(2), RMSNorm()]
CALM = np.random.default_rng(0).standard_normal((8, 4))


def named(layer: Layer[Any]) -> str:
    return type(layer).__name__


def data(large: float) -> tuple[Any, Any]:
    x = CALM.copy()
    x[3, 2] = large
    return x, np.ones((8, 1))


@pytest.mark.parametrize("optimizer", [SGD(0.01), Adam()], ids=named)
@pytest.mark.parametrize(("dtype", "large"), [("float32", 1e20), ("float32", 9.97e36), ("float64", 1e160)])
@pytest.mark.parametrize("layer", LAYERS, ids=named)
def test_training_names_the_layer_and_changes_nothing(layer: Any, dtype: Any, large: float, optimizer: Any) -> None:
    net = Sequential(
        [type(layer)(2) if type(layer) is GroupNorm else type(layer)(), Dense(1)], input_shape=4, rng=0, dtype=dtype
    )
    trainer = Trainer(net, MeanSquaredError(), optimizer)
    trainer.fit(CALM, np.ones((8, 1)), epochs=2, progress=False)
    held: dict[str, Any] = {**net.named_parameters(), **net.named_buffers()}
    before = {name: one.value.copy() for name, one in held.items()}
    x, y = data(large)
    with pytest.raises(
        NonFiniteError, match=rf"epoch 3, step 3: .*not finite: layer 0, {named(layer)}\(.*\)\. The update"
    ):
        trainer.fit(x, y, shuffle=False, progress=False)
    for name, one in held.items():
        assert one.value.tobytes() == before[name].tobytes()
    trainer.fit(CALM, y, progress=False)
    assert trainer.steps == 3
    assert np.isfinite(net.predict(CALM)).all()


@pytest.mark.parametrize("layer", LAYERS, ids=named)
def test_a_layer_alone(layer: Layer[Any]) -> None:
    net = Sequential([type(layer)(2) if type(layer) is GroupNorm else type(layer)()], input_shape=4)
    x = data(1e20)[0].astype(np.float32)
    with np.errstate(all="ignore"):
        y, _ = net.forward(x)
        assert np.isnan(y).any()
        assert all(np.isfinite(buffer.value).all() for buffer in net.named_buffers().values())
        if not isinstance(layer, BatchNorm):
            assert np.isnan(net.predict(x)[3]).any()
            assert np.isfinite(net.predict(x)[[0, 1, 2, 4]]).all()


def test_a_running_variance_that_is_infinite_is_not_used() -> None:
    net = Sequential([BatchNorm()], input_shape=2)
    net.named_buffers()["0.running_variance"].value = np.array([np.inf, 1.0])
    y = net.predict(np.ones((3, 2), np.float32))
    assert np.isnan(y[:, 0]).all()
    assert np.isfinite(y[:, 1]).all()


@pytest.mark.parametrize("size", [0.0, 1.0, 100.0, 1e4, 1e7, -3e9, 1e18])
@pytest.mark.parametrize("features", [4, 7, 64, 300])
def test_a_constant_row_becomes_zero(features: int, size: float) -> None:
    x = np.full((3, features), size, np.float32)
    for layer in (LayerNorm(), GroupNorm(1), BatchNorm()):
        y, saved = (net := Sequential([layer], input_shape=features)).forward(x)
        assert not y.any()
        assert np.isfinite(net.backward(saved, np.ones_like(y))).all()


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e7])
@pytest.mark.parametrize("make", [LayerNorm, lambda: GroupNorm(1), lambda: GroupNorm(2)])
def test_rows_far_from_zero(make: Any, offset: float) -> None:
    x = (np.random.default_rng(0).integers(0, 9, (5, 8)) + offset).astype(np.float32)
    y, _ = Sequential([layer := make()], input_shape=8).forward(x)
    groups = x.astype(np.float64).reshape(5, getattr(layer, "groups", 1), -1)
    wanted = (groups - groups.mean(-1, keepdims=True)) / np.sqrt(groups.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(y, wanted.reshape(5, 8), atol=2e-6)
