"""NumPy numbers and fractions as constructor arguments: the same object as with plain numbers, and the same dtype."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from every_builtin import BUILTIN_INITIALIZERS, BUILTIN_LAYERS, BUILTIN_LOSSES, BUILTIN_OPTIMIZERS, CATEGORY_LAYERS
from stored import stored

from deepbp import Sequential, callbacks, metrics
from deepbp._config import without_addresses
from deepbp.layers import L1, L1L2, L2, Activation, BatchNorm, Dense, Layer, Penalized, Repeat
from deepbp.losses import CosineSimilarity, MeanSquaredError, SumOfLosses
from deepbp.optimizers import Adam, Grouped, schedules

LAYERS = [(layer, shape) for layer, shape, *_ in [*BUILTIN_LAYERS, *CATEGORY_LAYERS]]
OTHERS: list[Any] = [
    *BUILTIN_INITIALIZERS,
    *BUILTIN_OPTIMIZERS,
    *(loss for loss, *_ in BUILTIN_LOSSES),
    schedules.Scaled(schedules.Cosine(0.5, 10, end=0.1), 0.5),
    schedules.StepDecay(0.5, 10, 0.25),
    schedules.Exponential(0.5, 10, 0.25),
    schedules.Polynomial(0.5, 10, 0.1, 2.0),
    schedules.InverseTime(0.5, 10),
    schedules.InverseSqrt(0.5, 10),
    schedules.Piecewise([10, 20], [0.5, 0.25, 0.125]),
    schedules.CosineRestarts(0.5, 10, 0.1, 2),
    schedules.OneCycle(0.5, 10),
    schedules.Warmup(10, 0.5, 0.1),
    L1(0.5),
    L2(0.5),
    L1L2(0.5, 0.25),
    metrics.BinaryAccuracy(0.25),
    metrics.TopKAccuracy(3),
    callbacks.WeightAverage(0.5),
    callbacks.EarlyStopping(patience=3, min_delta=0.25),
    callbacks.ReduceOnPlateau(factor=0.5, patience=3),
    callbacks.TimeLimit(2.5),
    callbacks.MaxNorm(2.5),
]


def named(value: Any) -> str:
    return getattr(value, "__name__", without_addresses(repr(value)))


def is_number(value: Any) -> bool:
    return type(value) in (int, float)


def numbers(value: Any, make: Any) -> Any:
    """The same argument with its numbers of another type; None where it has none, or not of that kind."""
    if isinstance(value, tuple | list) and value and all(map(is_number, value)):
        made = [numbers(one, make) for one in value]
        return None if None in made else type(value)(made)
    if not is_number(value) or (type(value) is int) != (make in (np.int64, np.int8)):
        return None
    return make(value)


def plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(map(plain, value))
    return int(value) if isinstance(value, np.integer) else float(value)


def arguments(one: Any) -> Iterator[tuple[str, str, Any]]:
    """The fields and arguments of the constructor that are numbers, each in other types."""
    for attribute in attrs.fields(type(one)) if attrs.has(type(one)) else ():
        value = getattr(one, attribute.name, None)
        for make in (np.float64, np.float32, np.int64, np.int8, Fraction):
            if attribute.init and (given := numbers(value, make)) is not None:
                yield attribute.name, attribute.alias or attribute.name, given


def held(one: Any, name: str) -> Any:
    return getattr(one, name)


def assert_plain(value: Any, wanted: Any) -> None:
    assert value == wanted
    for own, other in zip(value, wanted, strict=True) if isinstance(value, tuple | list) else ((value, wanted),):
        assert is_number(own), type(own)
        assert float(own) == float(other)


def changed(one: Any, alias: str, value: Any) -> Any:
    return attrs.evolve(one, **{alias: value})


def test_the_tables_have_numbers() -> None:
    found = {(type(one).__name__, name) for one, _ in LAYERS for name, *_ in arguments(one)}
    assert found >= {("ELU", "alpha"), ("Dense", "units"), ("BatchNorm", "momentum"), ("Bilinear", "sizes")}
    assert len({(type(one).__name__, name) for one in OTHERS for name, *_ in arguments(one)}) > 70


@pytest.mark.parametrize("one", OTHERS, ids=named)
def test_numbers_of_any_type_become_plain(one: Any) -> None:
    for name, alias, given in arguments(one):
        made, wanted = changed(one, alias, given), changed(one, alias, plain(given))
        assert_plain(held(made, name), held(wanted, name))
        assert repr(made) == repr(wanted)
        if isinstance(one, schedules.LearningRateSchedule):
            assert type(made.rate(3)) in (int, float)


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=named)
def test_layers_keep_their_dtype(layer: Layer[Any], shape: Any, tmp_path: Path) -> None:
    for name, alias, given in arguments(layer):
        if isinstance(layer, Sequential):
            continue
        wanted: Any = changed(layer, alias, plain(given))
        made: Any = changed(layer, alias, given)
        assert_plain(held(made, name), held(wanted, name))
        assert repr(made) == repr(wanted)
        if isinstance(made, Activation | Repeat):
            continue
        try:
            network = Sequential([made], input_shape=shape, rng=0)
        except ValueError:  # sizes that do not fit
            continue
        x = np.ones((2, *shape), np.float32)
        output, saved = network.forward(x)
        assert output.dtype == network.predict(x).dtype == np.float32
        assert network.backward(saved, np.ones_like(output)).dtype == np.float32
        assert repr(stored(network, tmp_path, x=x)) == repr(Sequential([wanted], input_shape=shape, rng=0))


@pytest.mark.parametrize(("loss", "shape", "targets"), BUILTIN_LOSSES, ids=named)
def test_losses_keep_their_dtype(loss: Any, shape: Any, targets: Any) -> None:
    rng = np.random.default_rng(0)
    target = np.full((3, *shape), 1 / shape[-1]) if targets is None else targets(rng, (3, *shape))
    if "focal" in type(loss).__name__.lower() and targets is None:
        target = np.zeros((3, *shape)) + (np.arange(shape[-1]) == 0)
    target = target.astype(np.float32) if target.dtype.kind == "f" else target
    prediction = np.full((3, *shape), 1 / shape[-1] if shape[-1] > 1 else 0.5, np.float32)
    for _, alias, given in arguments(loss):
        made = changed(loss, alias, given)
        value, saved = made.forward(prediction, target)
        assert type(value) is float
        assert made.backward(saved).dtype == np.float32


@pytest.mark.parametrize("make", [np.float64, np.float32, Fraction])
def test_numbers_inside_other_arguments(make: Any) -> None:
    half = make(0.5)
    assert repr(SumOfLosses([MeanSquaredError(), CosineSimilarity()], weights=(half, make(0.25)))).endswith(
        "(0.5, 0.25))"
    )
    assert repr(Grouped({"*": Adam(half)}, learning_rate=half)) == repr(Grouped({"*": Adam(0.5)}, learning_rate=0.5))
    assert repr(half * schedules.Cosine(half, 10)) == repr(0.5 * schedules.Cosine(0.5, 10))
    assert repr(schedules.Piecewise((10,), (half, half))) == "Piecewise((10,), (0.5, 0.5))"
    assert repr(Penalized(Dense(2), weights=L2(half))) == repr(Penalized(Dense(2), weights=L2(0.5)))


def test_assigned_numbers_become_plain_too() -> None:
    layer: Any = BatchNorm()
    layer.momentum, layer.epsilon = np.float64(0.5), np.float32(0.25)
    assert (type(layer.momentum), type(layer.epsilon)) == (float, float)
    assert repr(layer) == "BatchNorm(momentum=0.5, epsilon=0.25)"
