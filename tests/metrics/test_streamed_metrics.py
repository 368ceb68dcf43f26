"""Metrics that are computed from sums keep sums, not predictions; the results are those of all samples at once."""

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential, Trainer
from deepbp.errors import ConfigurationError, DeepBPError, FileFormatError
from deepbp.layers import Dense
from deepbp.losses import MeanSquaredError, SoftmaxCrossEntropy
from deepbp.metrics import (
    F1,
    R2,
    ROCAUC,
    Accuracy,
    BinaryAccuracy,
    MeanAbsoluteError,
    Metric,
    Precision,
    Recall,
    RootMeanSquaredError,
    StreamingMetric,
    TopKAccuracy,
    compute,
)
from deepbp.optimizers import SGD
from deepbp.storage.formats import open_file, write_file
from deepbp.storage.json_codec import from_json, to_json
from deepbp.training import Callback, evaluation
from deepbp.training.evaluation import Meter
from deepbp.typing import Array

RNG = np.random.default_rng(11)
N = 700
NUMBERS = (1e6 + RNG.normal(size=(N, 3))).astype(np.float32)
VALUES = (NUMBERS + RNG.normal(size=(N, 3))).astype(np.float32)
SCORES, LABELS = RNG.normal(size=(N, 5)).astype(np.float32), RNG.integers(0, 5, N)
P, ANSWERS = RNG.random((N, 2)).astype(np.float32), RNG.integers(0, 2, (N, 2))
WEIGHT = RNG.random(N)

COUNTED: list[tuple[Metric, Array, Array]] = [
    (BinaryAccuracy(), P, ANSWERS),
    *((share(), P, ANSWERS) for share in (Precision, Recall, F1)),
    *((metric, SCORES, LABELS) for metric in (Accuracy(), TopKAccuracy(2), F1("macro"), Recall("weighted"))),
]
SUMMED: list[tuple[Metric, Array, Array]] = [
    (metric, VALUES, NUMBERS) for metric in (MeanAbsoluteError(), RootMeanSquaredError(), R2())
]


def metered(metric: Metric, prediction: Array, target: Array, weight: Array | None, size: int) -> tuple[float, Meter]:
    meter = Meter(MeanSquaredError(), [metric])
    for start in range(0, len(prediction), size):
        rows = slice(start, start + size)
        meter.add(0.0, prediction[rows], target[rows], None if weight is None else weight[rows])
    return meter.row()[metric.name], meter


@pytest.mark.parametrize(("metric", "prediction", "target"), [*COUNTED, *SUMMED], ids=lambda value: repr(value)[:40])
@pytest.mark.parametrize("size", [1, 13, N])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("pending", [0, 500, 2**20])
def test_batches_give_the_value_of_all_samples(
    metric: Metric,
    prediction: Array,
    target: Array,
    size: int,
    weighted: bool,
    pending: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evaluation, "PENDING", pending)
    weight = WEIGHT if weighted else None
    expected = compute(metric, prediction, target, weight)
    found, meter = metered(metric, prediction, target, weight, size)
    if weighted or (metric, prediction, target) in SUMMED:
        assert found == pytest.approx(expected, rel=1e-12)
    else:
        assert found == expected
    if pending < 2**20 and size == 13:
        assert len(meter.pending.arrays()[0]) <= 1 + 500 // 12


def test_r2_of_batches_far_from_0() -> None:
    """Σ y² − (Σ y)² / n would leave no digit of the spread."""
    expected = [
        1 - ((VALUES[:, k] - y) ** 2).sum() / ((y - y.mean()) ** 2).sum()
        for k, y in enumerate(NUMBERS.astype(np.float64).T)
    ]
    found, _ = metered(R2(), VALUES, NUMBERS, None, 7)
    assert found == pytest.approx(np.mean(expected), rel=1e-12)
    constant = np.full((40, 1), 0.1)
    assert metered(R2(), constant, constant, None, 3)[0] == 1
    assert metered(R2(), constant + np.eye(40)[:, :1], constant, None, 3)[0] == 0


def test_one_metric_that_needs_all_predictions_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "PENDING", 0)

    class Median(MeanAbsoluteError):  # noqa: N818
        name = "median"

        def __call__(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> float:
            return float(np.median(np.abs(prediction - target)))

    for other in (Median(), ROCAUC(), lambda prediction, target: 0.0):
        meter = Meter(MeanSquaredError(), [BinaryAccuracy(), other])
        for start in range(0, N, 10):
            meter.add(0.0, P[start : start + 10], ANSWERS[start : start + 10])
        assert len(meter.pending.arrays()[0]) == N
        assert list(meter.row().values())[1:] == [BinaryAccuracy()(P, ANSWERS), compute(other, P, ANSWERS)]


BATCH, WIDTH, BATCHES = 256, 256, 24  # 6 MiB of targets in pieces of 256 KiB


def autoencoder_batches() -> Iterator[tuple[Array, Array]]:
    rng = np.random.default_rng(0)
    for _ in range(BATCHES):
        x = rng.normal(size=(BATCH, WIDTH)).astype(np.float32)
        yield x, x.copy()


def peak(metrics: list[Any]) -> int:
    net = Sequential([Dense(16), Dense(WIDTH)], input_shape=WIDTH, rng=0)
    trainer = Trainer(net, MeanSquaredError(), SGD(0.01), metrics=metrics)
    trainer.fit(autoencoder_batches)
    tracemalloc.start()
    try:
        trainer.fit(autoencoder_batches, epochs=1)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_streamed_epoch_with_metrics_needs_little_more_memory() -> None:
    without = peak([])
    assert peak([MeanAbsoluteError(), RootMeanSquaredError(), R2()]) < 1.5 * without
    assert peak([lambda prediction, target: 0.0]) > 3 * without


class Leave(Callback):
    def __init__(self, path: Path, after: int) -> None:
        self.path, self.after = path, after

    def on_step_end(self, trainer: Trainer, loss: float) -> None:
        if trainer.steps == self.after:
            trainer.save(self.path)
            trainer.stop(now=True)


METRICS: list[Metric] = [Accuracy(), F1("macro"), TopKAccuracy(2)]


def classifier(callbacks: list[Callback], metrics: list[Any] = METRICS) -> Trainer:
    net = Sequential([Dense(5)], input_shape=5, rng=1)
    return Trainer(net, SoftmaxCrossEntropy(), SGD(0.1), metrics=metrics, callbacks=callbacks)


@pytest.mark.parametrize("pending", [0, 900, 2**20])
@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_resuming_within_an_epoch_gives_the_same_bytes(
    pending: int, weight: Array | None, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "PENDING", pending)
    fit: dict[str, Any] = {"x": SCORES, "y": LABELS, "epochs": 3, "batch_size": 32, "sample_weight": weight}
    path = tmp_path / f"run.{ending}"
    whole = classifier([Leave(path, -1)])
    whole.fit(**fit)
    classifier([Leave(path, 35)]).fit(**fit)
    resumed = classifier([Leave(path, -1)])
    resumed.load(path)
    resumed.fit(**fit)
    assert {name: np.array(column).tobytes() for name, column in resumed.history.items()} == {
        name: np.array(column).tobytes() for name, column in whole.history.items()
    }
    other = classifier([Leave(path, -1)], [*METRICS, Recall("macro")])
    if pending < 2**20:  # sums of a metric that was not there are not known
        with pytest.raises(ConfigurationError, match=r"load: the metrics: .*as it was made for the training"):
            other.load(path)


def changed(path: Path, change: Any) -> None:
    """Rewrite the meter of a training file."""
    with open_file(path) as stored:
        description: dict[str, Any] = stored.description  # type: ignore[assignment]
        arrays = {name: stored.array(name) for name in stored.specs}
    training = from_json(description["training"], arrays, description["version"])
    change(training["position"]["meter"])
    held = {name: array for name, array in arrays.items() if not name.startswith("training")}
    description["training"] = to_json(training, "training", held)
    write_file(path, json.loads(json.dumps(description)), held)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda meter: meter["sums"].update(accuracy=np.zeros(3)), r"expected the sums of Accuracy.*\(2,\)"),
        (lambda meter: meter["sums"].update(accuracy=np.zeros(2, np.float32)), "expected the sums of Accuracy"),
        (lambda meter: meter["sums"].update(accuracy=1.0), "expected the sums of Accuracy"),
        (lambda meter: meter["sums"].pop("accuracy"), "load: the metrics"),
        (lambda meter: meter.update(weights=np.zeros(1000)), "expected .* weights"),
        (lambda meter: meter.update(predictions=np.zeros((99999, 5), np.float32)), "expected predictions of shape"),
        (lambda meter: meter.update(sums=np.zeros(3)), "."),
    ],
)
def test_hostile_sums(change: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "PENDING", 900)
    path = tmp_path / "run.npz"
    classifier([Leave(path, 5)]).fit(SCORES, LABELS)
    classifier([Leave(path, 5)]).load(path)
    changed(path, lambda meter: None)
    classifier([Leave(path, 5)]).load(path)
    changed(path, change)
    trainer = classifier([Leave(path, 5)])
    before = trainer.parameters.values.tobytes()
    with pytest.raises((FileFormatError, ConfigurationError), match=message) as caught:
        trainer.load(path)
    assert isinstance(caught.value, DeepBPError)
    assert trainer.parameters.values.tobytes() == before


def test_a_file_that_holds_all_predictions_of_a_half_epoch_still_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earlier versions kept them: no sums, no weights."""
    fit: dict[str, Any] = {"x": SCORES, "y": LABELS, "epochs": 2, "batch_size": 32}
    path = tmp_path / "run.npz"
    classifier([Leave(path, 30)]).fit(**fit)
    kept: list[Any] = []
    changed(path, lambda meter: kept.append((sorted(meter), len(meter["predictions"]), meter["seen"])))
    assert kept == [(["predictions", "seen", "targets", "total"], 8 * 32, 8 * 32)]
    monkeypatch.setattr(evaluation, "PENDING", 900)
    whole, resumed = classifier([Leave(path, -1)]), classifier([Leave(path, -1)])
    whole.fit(**fit)
    resumed.load(path)
    resumed.fit(**fit)
    for name, column in whole.history.items():
        assert resumed.history[name] == pytest.approx(column, rel=1e-12)


def test_a_metric_of_sums_by_a_user() -> None:
    class Bias(StreamingMetric):
        name = "bias"
        higher_is_better = False

        def update(self, state: Any, prediction: Array, target: Array, sample_weight: Any = None) -> Array:
            error = prediction.astype(np.float64) - target
            return np.array([error.sum(), error.size]) + (0 if state is None else state)

        def result(self, state: Array) -> float:
            return float(state[0] / state[1])

    expected = np.mean(VALUES.astype(np.float64) - NUMBERS)
    assert Bias()(VALUES, NUMBERS) == pytest.approx(expected, rel=1e-12)
    assert metered(Bias(), VALUES, NUMBERS, None, 9)[0] == pytest.approx(expected, rel=1e-12)
