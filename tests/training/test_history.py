"""The history: a dictionary of lists, its best epochs, and a file that no failure damages."""

import csv
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from problems import SQUARES

from deepbp import History
from deepbp.errors import ConfigurationError
from deepbp.optimizers import SGD
from deepbp.training import R2, Best, MeanAbsoluteError

NAN = float("nan")


def history_of(**columns: list[float]) -> History:
    history = History()
    for row in zip(*columns.values(), strict=True):
        history.append(dict(zip(columns, row, strict=True)))
    return history


def test_fit_returns_a_dictionary_of_lists() -> None:
    history = SQUARES.network().fit(
        SQUARES.x, SQUARES.y, loss=SQUARES.loss, optimizer=SGD(0.001), epochs=4, metrics=[MeanAbsoluteError()]
    )
    assert isinstance(history, dict)
    assert list(history) == ["loss", "mean_absolute_error"]
    assert history.epochs == 4
    assert not history.interrupted
    assert all(type(value) is float for column in history.values() for value in column)
    assert sorted(history["loss"], reverse=True) == history["loss"]  # small steps downhill
    assert history.best("loss") == Best(history["loss"][3], 4)


def test_no_epochs_change_nothing() -> None:
    net = SQUARES.network()
    before = [p.value.tobytes() for p in net.parameters()]
    history = net.fit(SQUARES.x, SQUARES.y, loss=SQUARES.loss, optimizer=SGD(0.1), epochs=0)
    assert history == {}
    assert history.epochs == 0
    assert [p.value.tobytes() for p in net.parameters()] == before


def test_columns_that_come_late_or_stay_away_are_filled() -> None:
    history = history_of(loss=[3, 2])
    history.append({"loss": 1, "val_loss": 5})
    history.append({"loss": 0})
    assert history["loss"] == [3, 2, 1, 0]
    assert str(history["val_loss"]) == "[nan, nan, 5, nan]"
    assert history.best("val_loss") == (5, 3)


def test_best_knows_its_direction_and_takes_the_first() -> None:
    history = history_of(loss=[2, NAN, 1, 1], accuracy=[0.5, 0.9, NAN, 0.9], mine=[1, 3, 2, 0])
    history.note_direction("accuracy", higher_is_better=True)
    assert history.best("loss") == Best(value=1, epoch=3)
    assert history.best("accuracy") == (0.9, 2)
    assert history.best("mine", mode="max") == (3, 2)
    assert history.best("mine", mode="min") == (0, 4)
    assert history.best("accuracy", mode="min") == (0.5, 1)


def test_fit_tells_the_direction_of_each_metric() -> None:
    x, y = SQUARES.x, SQUARES.y
    history = SQUARES.network().fit(
        x,
        y,
        loss=SQUARES.loss,
        optimizer=SGD(0.01),
        epochs=5,
        metrics=[R2(), MeanAbsoluteError()],
        validation_data=(x, y),
    )
    for prefix in ("", "val_"):
        assert history.best(prefix + "r2").value == max(history[prefix + "r2"])
        assert history.best(prefix + "mean_absolute_error").value == min(history[prefix + "mean_absolute_error"])


@pytest.mark.parametrize(
    ("name", "mode", "message"),
    [
        ("val_loss", None, r"history: expected one of \['loss', 'mine', 'empty'\], got 'val_loss'"),
        ("mine", None, r"history: is more of 'mine' better\? give mode='max' or mode='min', got None"),
        ("mine", "lowest", r"give mode='max' or mode='min', got 'lowest'"),
        ("empty", "min", r"history: expected numbers in 'empty', got \[nan\]"),
    ],
)
def test_best_of_nothing_or_of_who_knows(name: str, mode: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        history_of(loss=[1], mine=[1], empty=[NAN]).best(name, mode)


def test_to_csv_can_be_read_back(tmp_path: Path) -> None:
    history = history_of(loss=[0.1 + 0.2, 1e-300], **{"a, b": [1, NAN]})
    history.to_csv(tmp_path / "history.csv")
    with open(tmp_path / "history.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["epoch", "loss", "a, b"]
    assert [int(row[0]) for row in rows[1:]] == [1, 2]
    assert [float(row[1]) for row in rows[1:]] == history["loss"]
    assert str([float(row[2]) for row in rows[1:]]) == "[1.0, nan]"
    assert os.listdir(tmp_path) == ["history.csv"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "Ctrl-C"])
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    def fail(*_: Any) -> None:
        raise error

    path = tmp_path / "history.csv"
    path.write_text("the old file")
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(type(error)):
        history_of(loss=[1]).to_csv(path)
    assert path.read_text() == "the old file"
    assert os.listdir(tmp_path) == ["history.csv"]


def test_a_history_prints_one_line_and_draws_its_curves() -> None:
    history = History()
    history.note_direction("accuracy", True)
    assert repr(history) == "History(0 epochs)"
    assert "<svg" not in history._repr_html_()
    for epoch in range(1000):
        history.append({"loss": 1 / (epoch + 1), "val_loss": abs(epoch - 500) if epoch % 2 else float("nan")})
    history.append({"loss": 0.5, "accuracy": 0.25, "<b>": 1.0})
    history.interrupted = True
    assert repr(history) == (
        "History(1001 epochs, loss=0.5, lowest 0.001 in epoch 1000, val_loss=nan, lowest 1 in epoch 500, "
        "accuracy=0.25, <b>=1, interrupted)"
    )
    page = ElementTree.fromstring(history._repr_html_())
    assert [one.get("aria-label") for one in page.iter("svg")] == ["loss, val_loss (dashed)", "accuracy", "<b>"]
    counts = [len((line.get("points") or "").split()) for line in page.iter("polyline")]
    assert counts == [1001, 500, 1, 1]
    loss = [float(point.partition(",")[2]) for point in (next(page.iter("polyline")).get("points") or "").split()]
    assert loss[0] < loss[499]  # y counts downwards
