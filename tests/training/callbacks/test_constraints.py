"""Constraints hold after every update, with every optimizer, and are what their formulas say."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripted import Each, X, Y, numbers, trainer

from deepbp import Sequential, Trainer
from deepbp.callbacks import Constraint, MaxNorm, ModelCheckpoint, NonNegative, UnitNorm
from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.layers import Dense, Embedding, Tanh
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD, Adam, Grouped, Lion, Optimizer, Rprop
from deepbp.typing import Array


def weights(it: Trainer) -> list[Array]:
    return [parameter.value for parameter in it.model.parameters() if parameter.value.ndim > 1]


def holds(constraint: Constraint, weight: Array) -> bool:
    norms = np.linalg.norm(weight, axis=0)
    if isinstance(constraint, MaxNorm):
        return bool((norms <= constraint.limit * (1 + 1e-12)).all())
    if isinstance(constraint, UnitNorm):
        return bool(np.allclose(norms, 1, rtol=1e-12))
    return bool((weight >= 0).all())


@pytest.mark.parametrize("constraint", [MaxNorm(0.5), UnitNorm(), NonNegative()], ids=repr)
@pytest.mark.parametrize(
    "optimizer", [SGD(0.5, momentum=0.9), Adam(0.1), Lion(0.1), Rprop(), Grouped({"*": Adam(0.1)})], ids=repr
)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_it_holds_after_every_update(constraint: Constraint, optimizer: Optimizer, accumulate: int) -> None:
    seen: list[bool] = []
    it = trainer(
        constraint,
        Each(step=lambda it: seen.extend(holds(constraint, weight) for weight in weights(it))),
        optimizer=optimizer,
    )
    it.accumulate = accumulate
    before = numbers(it)
    it.fit(X, Y, epochs=4, batch_size=4)
    assert len(seen) == 2 * it.steps
    assert all(seen)
    assert numbers(it) != before


def test_it_is_projected_gradient_descent() -> None:
    """w ← project(w − η ∂L/∂w), by hand."""
    it = trainer(MaxNorm(0.7), NonNegative(parameters="0.bias"), optimizer=SGD(0.3))
    net, twin = it.model, trainer(optimizer=SGD(0.3))

    def project() -> None:
        for name, parameter in twin.model.named_parameters().items():
            if parameter.value.ndim > 1:
                norms = np.sqrt((parameter.value**2).sum(axis=0))
                parameter.value = parameter.value * np.where(norms > 0.7, 0.7 / norms, 1)
            elif name == "0.bias":
                parameter.value = np.where(parameter.value > 0, parameter.value, 0)

    it.fit(X, Y, epochs=3, batch_size=None)
    project()
    for _ in range(3):
        twin.step(X, Y)
        project()
    for one, other in zip(net.parameters(), twin.model.parameters(), strict=True):
        np.testing.assert_allclose(one.value, other.value, rtol=1e-12)
    assert any((other.value < 0).any() for name, other in net.named_parameters().items() if name == "3.bias")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_projections(dtype: Any, rng: np.random.Generator) -> None:
    value = rng.normal(size=(5, 3)).astype(dtype)
    value[:, 1] *= 0.01
    for constraint in (MaxNorm(0.5), UnitNorm(), NonNegative()):
        projected = constraint.project(value)
        assert (projected.dtype, projected.shape) == (value.dtype, value.shape)
        np.testing.assert_allclose(constraint.project(projected), projected, rtol=1e-6)
    np.testing.assert_array_equal(MaxNorm(0.5).project(value)[:, 1], value[:, 1])
    np.testing.assert_array_equal(MaxNorm(1.0).project(0 * value), 0 * value)
    np.testing.assert_allclose(UnitNorm().project(value[:, 0]), value[:, 0] / np.linalg.norm(value[:, 0]), rtol=1e-6)
    large = np.full((2, 1), 3e30, dtype)
    np.testing.assert_allclose(MaxNorm(2.0).project(large), np.full((2, 1), np.sqrt(2)), rtol=1e-6)


def test_patterns_frozen_parameters_and_steps_by_hand() -> None:
    net = Sequential([Dense(4), Tanh(), Dense(4), Tanh(), Dense(2)], input_shape=3, rng=0)
    net[2].freeze()
    before = {name: parameter.value.copy() for name, parameter in net.named_parameters().items()}
    NonNegative(parameters="[02].*").apply(net)
    changed = [name for name, parameter in net.named_parameters().items() if (parameter.value != before[name]).any()]
    assert changed == ["0.weight"]
    with pytest.raises(ConfigurationError, match=r"^NonNegative: parameters: expected a pattern that matches one"):
        net.fit(X, Y, loss=MeanSquaredError(), optimizer=SGD(0.1), callbacks=[NonNegative(parameters="weight")])
    with pytest.raises(ArgumentTypeError, match="NonNegative: parameters: expected str, got 3"):
        NonNegative(parameters=3)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="MaxNorm: limit: expected a number above 0"):
        MaxNorm(0.0)
    table = Sequential([Embedding(9, 2)], input_shape=3, rng=0)
    UnitNorm().apply(table)
    np.testing.assert_allclose(np.linalg.norm(table.parameters()[0].value, axis=0), 1, rtol=1e-6)


def test_a_stored_training_goes_on_with_it(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    whole = trainer(MaxNorm(0.5), ModelCheckpoint(path))
    other, again = trainer(MaxNorm(0.5), ModelCheckpoint(path)), trainer(MaxNorm(0.5), ModelCheckpoint(path), rng=1)
    whole.fit(X, Y, epochs=6, batch_size=4)
    other.fit(X, Y, epochs=3, batch_size=4)
    again.load(path)
    again.fit(X, Y, epochs=6, batch_size=4)
    assert numbers(again) == numbers(whole)
    assert all(holds(MaxNorm(0.5), weight) for weight in weights(again))


@pytest.mark.parametrize("constraint", [MaxNorm(0.5), UnitNorm(), NonNegative()], ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_was_projected_stays_as_it_is(constraint: Constraint, dtype: str) -> None:
    rng = np.random.default_rng(0)
    for shape in [(3, 200), (50, 40), (2, 3, 70)]:
        once = constraint.project(rng.normal(size=shape).astype(dtype))
        assert constraint.project(once).tobytes() == once.tobytes()
