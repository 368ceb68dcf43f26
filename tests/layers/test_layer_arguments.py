"""What layers refuse: arguments that make no sense, and arrays that do not fit one that is used by itself."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.errors import ArgumentTypeError, ConfigurationError, DeepBPError, NotBuiltError, ShapeError
from deepbp.initializers import Zeros
from deepbp.layers import (
    BatchNorm,
    Bilinear,
    Builder,
    Chain,
    Dense,
    Dropout,
    Embedding,
    GaussianNoise,
    GroupNorm,
    Layer,
    LayerNorm,
    Maxout,
    RMSNorm,
    Scale,
    Shift,
    StopGradient,
    TiedDense,
)

WHOLE = "a whole number of at least 1"
MADE: dict[str, tuple[Callable[[Any], Layer[Any]], str, tuple[Any, ...]]] = {
    "Embedding: categories": (lambda v: Embedding(v, 2), WHOLE, (0, -3)),
    "Embedding: units": (lambda v: Embedding(2, v), WHOLE, (0, -3)),
    "Bilinear: units": (Bilinear, WHOLE, (0, -3)),
    "Maxout: units": (Maxout, WHOLE, (0, -3)),
    "Maxout: pieces": (lambda v: Maxout(2, v), "a whole number of at least 2", (1, 0, -3)),
    "GroupNorm: groups": (GroupNorm, WHOLE, (0, -3)),
    "Dropout: rate": (Dropout, "a number of at least 0 and below 1", (1, 1.5, -0.1, np.nan)),
    "GaussianNoise: std": (GaussianNoise, "a number of at least 0", (-0.1, np.nan, np.inf)),
    "BatchNorm: momentum": (lambda v: BatchNorm(momentum=v), "a number of at least 0 and below 1", (1, -0.1, np.nan)),
    "BatchNorm: epsilon": (lambda v: BatchNorm(epsilon=v), "a number above 0", (0, -1e-5, np.nan, np.inf)),
    "LayerNorm: epsilon": (lambda v: LayerNorm(epsilon=v), "a number above 0", (0, -1e-5, np.nan)),
    "RMSNorm: epsilon": (lambda v: RMSNorm(epsilon=v), "a number above 0", (0, -1e-5, np.nan)),
    "GroupNorm: epsilon": (lambda v: GroupNorm(1, epsilon=v), "a number above 0", (0, -1e-5, np.nan)),
}


def refused(make: Callable[[Any], Any], value: Any, error: type[DeepBPError], message: str) -> None:
    with pytest.raises(DeepBPError) as caught:
        make(value)
    assert type(caught.value) is error
    assert str(caught.value).startswith(message), str(caught.value)


@pytest.mark.parametrize("name", MADE)
def test_numbers_out_of_range_and_other_things(name: str) -> None:
    make, expected, bad = MADE[name]
    for value in bad:
        refused(make, value, ConfigurationError, f"{name}: expected {expected}, got {value!r}")
    others: tuple[Any, ...] = (None, "64", True, [1])
    for value in (*others, 2.5) if "whole" in expected else others:
        refused(make, value, ArgumentTypeError, f"{name}: expected {expected}, got {value!r}")


@pytest.mark.parametrize(
    ("make", "value", "error", "message"),
    [
        (lambda v: Bilinear(2, sizes=v), (2,), ConfigurationError, "Bilinear: sizes: expected two, of the left and"),
        (lambda v: Bilinear(2, sizes=v), (0, 2), ConfigurationError, "Bilinear: sizes: expected sizes of at least 1"),
        (lambda v: Bilinear(2, sizes=v), ("2", 2), ArgumentTypeError, "Bilinear: sizes: expected whole numbers"),
        (lambda v: Bilinear(2, sizes=v), 2.5, ArgumentTypeError, "Bilinear: sizes: expected whole numbers"),
        (lambda v: Bilinear(2, use_bias=v), 1, ArgumentTypeError, "Bilinear: use_bias: expected bool, got 1"),
        (lambda v: Bilinear(2, weight_init=v), Zeros, ArgumentTypeError, "Bilinear: weight_init: expected Initializer"),
        (lambda v: Bilinear(2, bias_init=v), None, ArgumentTypeError, "Bilinear: bias_init: expected Initializer"),
        (lambda v: Embedding(2, 2, table_init=v), 0, ArgumentTypeError, "Embedding: table_init: expected Initializer"),
        (lambda v: Maxout(2, weight_init=v), "a", ArgumentTypeError, "Maxout: weight_init: expected Initializer"),
        (lambda v: Maxout(2, bias_init=v), Zeros, ArgumentTypeError, "Maxout: bias_init: expected Initializer"),
        (lambda v: Scale(gain_init=v), 1.0, ArgumentTypeError, "Scale: gain_init: expected Initializer"),
        (lambda v: Shift(shift_init=v), 1.0, ArgumentTypeError, "Shift: shift_init: expected Initializer"),
        (lambda v: TiedDense(Dense(2), use_bias=v), 0, ArgumentTypeError, "TiedDense: use_bias: expected bool, got 0"),
        (lambda v: TiedDense(Dense(2), bias_init=v), 0, ArgumentTypeError, "TiedDense: bias_init: expected Initiali"),
    ],
)
def test_other_arguments(make: Callable[[Any], Any], value: Any, error: type[DeepBPError], message: str) -> None:
    refused(make, value, error, message)


def tied() -> TiedDense:
    dense = Dense(4)
    Builder(0).build(dense, (5,))
    return TiedDense(dense)


WITH_FEATURES: list[Callable[[], Layer[Any]]] = [
    BatchNorm,
    LayerNorm,
    RMSNorm,
    Scale,
    Shift,
    lambda: GroupNorm(2),
]
FLAT: list[Callable[[], Layer[Any]]] = [lambda: Bilinear(3), lambda: Maxout(3), tied]
ANY: list[Callable[[], Layer[Any]]] = [Dropout, lambda: GaussianNoise(0.1), StopGradient]


def built(make: Callable[[], Layer[Any]]) -> Layer[Any]:
    layer = make()
    Builder(0).build(layer, (4,))
    return layer


@pytest.mark.parametrize(
    "make", [*WITH_FEATURES, *FLAT, Dropout, lambda: GaussianNoise(1), lambda: Embedding(3, 2)], ids=lambda m: repr(m())
)
def test_before_the_sizes_are_known(make: Callable[[], Layer[Any]]) -> None:
    layer, x = make(), np.ones((5, 4), np.float32)
    with pytest.raises(NotBuiltError, match=rf"^{re.escape(repr(layer))}: its sizes are not known yet"):
        layer.forward(x)


@pytest.mark.parametrize("make", WITH_FEATURES, ids=lambda make: repr(make()))
def test_single_numbers_have_no_features(make: Callable[[], Layer[Any]]) -> None:
    message = rf"layer 0, {re.escape(repr(make()))}: expects samples with an axis of features, got \(\)"
    with pytest.raises(ShapeError, match=message):
        Chain([make()]).build((), Builder(0))


def test_numpy_numbers_as_arguments_do_not_widen_float32() -> None:
    eps, rate = np.float64(0.1), np.float64(0.25)
    layers: list[Layer[Any]] = [
        BatchNorm(momentum=rate, epsilon=eps),
        LayerNorm(epsilon=eps),
        RMSNorm(epsilon=eps),
        GroupNorm(2, epsilon=eps),
        Dropout(rate),
        GaussianNoise(rate),
    ]
    net = Sequential(layers, input_shape=4, rng=0)
    x = np.linspace(-1, 1, 20, dtype=np.float32).reshape(5, 4)
    y, saved = net.forward(x)
    assert {y.dtype, net.backward(saved, y).dtype, net.predict(x).dtype} == {np.dtype(np.float32)}
