"""Embedding(sparse_gradient=True): steps that change, and touch, the rows of their batch only."""

import copy
import pickle
import tracemalloc
from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deepbp
from deepbp import Parameter, ParameterVector, Sequential, Trainer
from deepbp.callbacks import Callback, WeightAverage
from deepbp.errors import ConfigurationError, NonFiniteError
from deepbp.layers import L2, Dense, Embedding, Flatten, Layer, Penalized, Split
from deepbp.losses import MeanSquaredError, SumSquaredError
from deepbp.optimizers import SGD, Adagrad, Adam, AdamW, Grouped, Lion, Optimizer, RMSprop
from deepbp.sparse_parameters import RowParameter
from deepbp.typing import Array

LOSS = MeanSquaredError()
RNG = np.random.default_rng(0)
X, Y = RNG.integers(0, 40, (64, 3)), RNG.normal(size=(64, 2))
X[:, 2] = 7  # a row that each batch has several times; rows 40 to 49 never occur


def network(sparse: bool, categories: int = 50) -> Sequential:
    embedding = Embedding(categories, 4, sparse_gradient=sparse)
    return Sequential([embedding, Flatten(), Dense(2)], input_shape=3, rng=0, dtype="float64")


def values(net: Sequential) -> Array:
    return np.concatenate([parameter.value.reshape(-1) for parameter in net.parameters()])


@pytest.mark.parametrize(
    "optimizer", [SGD(0.1), SGD(lambda step: 0.1 / (step + 1)), Adagrad(0.1), Adagrad(initial=0.1)]
)
@pytest.mark.parametrize("accumulate", [1, 3])
def test_exact_optimizers_give_the_same_bytes(optimizer: Optimizer, accumulate: int) -> None:
    nets = network(True), network(False)
    for net in nets:
        net.fit(X, Y, loss=LOSS, optimizer=optimizer, epochs=3, batch_size=5, accumulate=accumulate)
    assert np.array_equal(values(nets[0]), values(nets[1]))


@pytest.mark.parametrize("clip", [{"clip_norm": 0.1}, {"clip_value": 0.01}, {"clip_norm": 0.1, "clip_value": 0.02}])
def test_gradients_are_clipped_as_a_whole(clip: Any) -> None:
    nets = network(True), network(False)
    for net in nets:
        net.fit(X, Y, loss=LOSS, optimizer=SGD(0.5), epochs=3, batch_size=5, **clip)
    np.testing.assert_allclose(values(nets[0]), values(nets[1]), rtol=1e-12)


def test_adam_updates_the_rows_that_occur_as_sparse_adam_does() -> None:
    """Lazy Adam by hand: m, v and E change in the rows of a batch, and t counts all steps."""
    net, eta, epsilon = network(True), 0.05, 1e-12
    trainer = Trainer(net, SumSquaredError(), Adam(eta, epsilon=epsilon))
    table, weight, bias = (parameter.value.copy() for parameter in net.parameters())
    means = [[np.zeros_like(one), np.zeros_like(one)] for one in (table, weight, bias)]
    for t in range(1, 30):
        x, y = RNG.integers(0, 20, (4, 3)), RNG.normal(size=(4, 2))
        trainer.step(x, y)
        flat = table[x].reshape(4, -1)
        delta = 2 * (flat @ weight + bias - y)
        of_table = np.zeros_like(table)
        for place, g in zip(x.reshape(-1), (delta @ weight.T).reshape(-1, 4), strict=True):
            of_table[place] += g
        rows = np.unique(x)
        for one, g, (m, v), at in (
            (table, of_table, means[0], rows),
            (weight, flat.T @ delta, means[1], slice(None)),
            (bias, delta.sum(axis=0), means[2], slice(None)),
        ):
            m[at] = 0.9 * m[at] + 0.1 * g[at]
            v[at] = 0.999 * v[at] + 0.001 * g[at] ** 2
            size = eta * sqrt(1 - 0.999**t) / (1 - 0.9**t)
            one[at] -= size * m[at] / (np.sqrt(v[at]) + epsilon * sqrt(1 - 0.999**t))
    for parameter, expected in zip(net.parameters(), (table, weight, bias), strict=True):
        np.testing.assert_allclose(parameter.value, expected, rtol=1e-9, atol=1e-12)


def test_adam_equals_dense_adam_where_all_rows_occur_in_each_step() -> None:
    x = np.arange(12).reshape(4, 3)
    nets = network(True, 12), network(False, 12)
    for net in nets:
        net.fit(x, Y[:4], loss=LOSS, optimizer=Adam(0.1), epochs=20, batch_size=4)
    assert np.array_equal(values(nets[0]), values(nets[1]))


def test_a_row_that_does_not_occur_stays_where_dense_adam_moves_it() -> None:
    moved = []
    for sparse in (True, False):
        net = network(sparse)
        trainer = Trainer(net, LOSS, Adam(0.1))
        trainer.step(np.full((1, 3), 3), Y[:1])
        before = net.layers[0].table.value[3].copy()
        trainer.step(np.full((1, 3), 4), Y[:1])
        moved.append(not np.array_equal(net.layers[0].table.value[3], before))
    assert moved == [False, True]


@pytest.mark.parametrize(
    "optimizer",
    [
        *(SGD(0.1, momentum=0.9), SGD(0.1, weight_decay=0.1), Adagrad(weight_decay=0.1), AdamW(), RMSprop(), Lion()),
        Grouped({"*": SGD(0.1)}),
    ],
    ids=repr,
)
def test_optimizers_that_change_all_rows_are_refused(optimizer: Optimizer) -> None:
    with pytest.raises(ConfigurationError, match=r"sparse gradient of 0\.table: use Adam\(\).*sparse_gradient=False"):
        Trainer(network(True), LOSS, optimizer)
    trainer = Trainer(network(True), LOSS, SGD(0.1))
    trainer.optimizer = optimizer
    with pytest.raises(ConfigurationError, match="sparse gradient"):
        trainer.step(X, Y)


class Watch(Callback):
    """Reads all gradients after each step."""

    def on_step_end(self, trainer: Trainer, loss: float) -> None:
        assert trainer.parameters.grads.any()
        assert trainer.parameters.parameters[0].grad.any()


def test_reading_gradients_changes_nothing() -> None:
    nets = network(True), network(True)
    for net, callbacks in zip(nets, ([], [Watch(), WeightAverage()]), strict=True):
        net.fit(X, Y, loss=LOSS, optimizer=Adam(0.1), epochs=3, batch_size=5, callbacks=callbacks)
    assert np.array_equal(values(nets[0]), values(nets[1]))


def test_gradients_are_dense_arrays_of_the_last_batch() -> None:
    nets = network(True), network(False)
    for rows in (slice(0, 4), slice(4, 5), slice(9, 12)):
        for net in nets:
            parameters = ParameterVector.of(net.parameters())
            parameters.clear_grads()
            output, saved = net.forward(X[rows].astype(np.float64))
            net.backward_parameters(saved, output)
        ours, theirs = (ParameterVector.of(net.parameters()).grads for net in nets)
        assert np.array_equal(ours, theirs)


def test_numbers_that_a_callback_writes_into_a_gradient_count() -> None:
    table = RowParameter(np.zeros((5, 2)))
    vector = ParameterVector({"table": table, "bias": Parameter(np.zeros(1))})
    state = (sgd := SGD(1.0)).start(vector)
    vector.clear_grads()
    table.accumulate_rows(np.array([1]), np.ones((1, 2)))
    vector.grads[8] = 3.0
    sgd.step(vector, state)
    assert table.value.tolist() == [[0, 0], [-1, -1], [0, 0], [0, 0], [-3, 0]]
    vector.clear_grads()
    table.accumulate_rows(np.array([0]), np.ones((1, 2)))
    sgd.step(vector, state)
    assert table.value.tolist() == [[-1, -1], [-1, -1], [0, 0], [0, 0], [-3, 0]]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))], ids=["copy", "pickle"])
def test_copies_train_on(copied: Callable[[Trainer], Trainer]) -> None:
    trainer = Trainer(network(True), LOSS, Adam(0.1))
    trainer.step(X[:4], Y[:4])
    other = copied(trainer)
    for one in (trainer, other):
        one.step(X[4:8], Y[4:8])
        assert isinstance(one.model, Sequential)
    assert np.array_equal(trainer.parameters.values, other.parameters.values)
    assert len(other.parameters.sparse) == 1


def test_a_stored_training_resumes_with_the_same_bytes(tmp_path: Path) -> None:
    whole, first = (Trainer(network(True), LOSS, Adam(0.1), rng=1) for _ in range(2))
    whole.fit(X, Y, epochs=4, batch_size=5)
    first.fit(X, Y, epochs=2, batch_size=5)
    first.save(tmp_path / "training.npz")
    again = Trainer(network(True), LOSS, Adam(0.1), rng=2)
    again.load(tmp_path / "training.npz")
    again.fit(X, Y, epochs=2, batch_size=5)
    assert np.array_equal(again.parameters.values, whole.parameters.values)
    assert deepbp.load(tmp_path / "training.npz").layers[0].sparse_gradient


def test_freezing_leaves_the_table_and_its_state_aside() -> None:
    net = network(True)
    trainer = Trainer(net, LOSS, Adam(0.1))
    trainer.step(X[:4], Y[:4])
    net.layers[0].freeze()
    before = net.layers[0].table.value.copy()
    trainer.step(X[:4], Y[:4])
    assert np.array_equal(net.layers[0].table.value, before)
    net.layers[0].unfreeze()
    trainer.step(X[4:6], Y[4:6])
    changed = (net.layers[0].table.value != before).any(axis=1)
    assert set(np.flatnonzero(changed)) == set(X[4:6].reshape(-1))


@pytest.mark.parametrize("kind", ["penalty", "twice"])
def test_several_shares_add_up(kind: str) -> None:
    nets = []
    for sparse in (True, False):
        embedding = Embedding(50, 4, sparse_gradient=sparse)
        layers: list[Layer[Any]] = [Penalized(embedding, weights=L2(0.1)), Flatten(), Dense(2)]
        if kind == "twice":
            layers = [Split([[embedding, Flatten()] for _ in range(3)]), Dense(2)]
        net = Sequential(layers, input_shape=3, rng=0, dtype="float64")
        net.fit(X, Y, loss=LOSS, optimizer=SGD(0.1), epochs=2, batch_size=5)
        nets.append(net)
    assert np.array_equal(values(nets[0]), values(nets[1]))


def test_an_overflow_names_the_row() -> None:
    table = RowParameter(np.zeros((50, 2), np.float32))
    vector = ParameterVector({"bias": Parameter(np.zeros(1, np.float32)), "table": table})
    state = (sgd := SGD(1e30)).start(vector)
    vector.clear_grads()
    table.accumulate_rows(np.array([41, 7]), np.array([[1, 1e30], [1, 1]], np.float32))
    with pytest.raises(NonFiniteError, match=r"the value of table\[41\]\[1\]"):
        sgd.step(vector, state)
    assert not vector.values.any()
    assert state == {"step": 0}


def test_a_step_uses_memory_for_its_rows_only() -> None:
    net = Sequential([Embedding(200_000, 8, sparse_gradient=True), Flatten(), Dense(1)], input_shape=4, rng=0)
    trainer = Trainer(net, LOSS, Adam(), clip_norm=1.0)
    batches = [RNG.integers(0, 200_000, (32, 4)) for _ in range(4)]
    trainer.step(batches[0], np.zeros((32, 1)))
    table = net.layers[0].table.value
    tracemalloc.start()
    for batch in batches[1:]:
        trainer.step(batch, np.zeros((32, 1)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < table.nbytes / 10


def test_programs_leave_sparse_gradients_to_the_ordinary_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program would update all rows: with Adam, other numbers."""
    nets = network(True), network(True)
    nets[0].fit(X, Y, loss=LOSS, optimizer=Adam(0.1), epochs=3, batch_size=4)
    monkeypatch.setattr("deepbp.training.programmed.is_on", lambda: True)
    nets[1].fit(X, Y, loss=LOSS, optimizer=Adam(0.1), epochs=3, batch_size=4)
    assert np.array_equal(values(nets[0]), values(nets[1]))
