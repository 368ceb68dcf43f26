"""Files of trainings that lie: each is refused in words, and the trainer is as it was; or it is one to go on with."""

import re
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hostile_trainings import (
    FIT,
    Nothing,
    Tree,
    X,
    Y,
    all_of,
    mutate_arrays,
    mutate_description,
    stored,
    trainer,
    write,
)

import deepbp
from deepbp.errors import ArgumentTypeError, ConfigurationError, DataTypeError, DeepBPError, FileFormatError
from deepbp.storage import npz_format
from deepbp.training import Accuracy

MUTATIONS = 100  # of each kind: thousands were tried


@pytest.mark.parametrize("kind", range(4))
@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.filterwarnings("ignore:invalid")
def test_whatever_is_in_the_file(kind: int, tmp_path: Path) -> None:
    path, draw = tmp_path / "run.npz", Random(kind)
    base, fresh = stored(kind, path), trainer(kind, Nothing())
    outcomes = {"refused": 0, "trained": 0}
    before = all_of(fresh)
    for _ in range(MUTATIONS):
        description, arrays = deepcopy(base[0]), dict(base[1])
        for _ in range(draw.choice([1, 1, 2])):
            if draw.random() < 0.7:
                mutate_description(draw, description)
            else:
                mutate_arrays(draw, arrays)
        try:
            write(path, description, arrays)
        except (ArgumentTypeError, ConfigurationError, DataTypeError):
            continue  # no file can hold it
        try:
            fresh.load(path)
        except (FileFormatError, ConfigurationError):
            assert all_of(fresh) == before
            outcomes["refused"] += 1
            continue
        try:
            fresh.fit(X, Y, **FIT)
            outcomes["trained"] += 1
        except DeepBPError:
            pass  # numbers that overflow, or a state that a callback can do nothing with
        fresh = trainer(kind, Nothing())
        before = all_of(fresh)
    assert all(outcomes.values()), outcomes


def at(*path: Any, value: Any) -> Any:
    def change(description: Any, arrays: dict[str, Any]) -> None:
        *outer, last = path
        for key in ("training", *outer):
            description = description[key]
        description[last] = value

    return change


def key_of_nothing(description: Any, arrays: dict[str, Any]) -> None:
    (name,) = (name for name in arrays if name.endswith("trainer/state/key"))
    arrays[name] = arrays[name][:3]


COUNT = "expected a count, got "
POSITION = "expected a position in a training, got "


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (at("epoch", value=-1), COUNT + "-1"),
        (at("epoch", value=True), COUNT + "True"),
        (at("skipped", value=2**63), COUNT),
        (at("position", "batches", value=-3), COUNT + "-3"),
        (at("position", "epochs", value=-(10**20)), COUNT),
        (at("position", "meter", "seen", value=-1), COUNT),
        (at("optimizer_state", "step", value=-1), COUNT),
        (at("position", "stopped", value="no"), POSITION),
        (at("position", "call", value=3), POSITION),
        (at("position", value=[]), POSITION),
        (at("position", "epoch_start", value=Tree()), "the state of a MT19937"),
        (at("position", "fit_start", value=0), "the state of a MT19937"),
        (at("generators", "trainer", "state", "pos", value=10**6), "the state of a MT19937"),
        (at("generators", "trainer", "state", "pos", value=-5), "the state of a MT19937"),
        (at("generators", "3.rng", "buffer_pos", value=100), "the state of a Philox"),
        (key_of_nothing, "the state of a MT19937"),
        (at("position", "meter", "total", value=None), "expected the loss and the samples seen so far, got "),
        (at("position", "meter", "targets", value=0), "something else: DataTypeError|expected .* targets|y: "),
        (at("interrupted", value=0), "expected whether it was interrupted, got 0"),
        (at("history", "loss", value="123"), "expected columns of a history, got '123'"),
        (at("history", "more", value=[]), r"expected columns of a history, got \[\]"),
        (at("callbacks", value=[["EarlyStopping", []]]), "expected the states of callbacks, got "),
        (at("callbacks", value=Tree()), r"load: the callbacks: the file has \[\], this trainer"),
    ],
)
def test_what_is_refused(change: Any, message: str, tmp_path: Path) -> None:
    """Some of it would be read beyond the end of a table, as numbers from elsewhere in the memory."""
    path, it = tmp_path / "run.npz", trainer(1, Nothing())
    description, arrays = stored(1, path)
    change(description, arrays)
    taken = str(description)  # names all arrays that are left
    write(
        path,
        description,
        {name: array for name, array in arrays.items() if f"'{name}'" in taken or not name.startswith("training/")},
    )
    before = all_of(it)
    with pytest.raises((FileFormatError, ConfigurationError), match=message):
        it.load(path)
    assert all_of(it) == before


def test_metrics_of_half_an_epoch_are_none(tmp_path: Path) -> None:
    for kind, metrics in ((0, ()), (2, (Accuracy(),))):
        it = trainer(kind, Nothing())
        stored(kind, tmp_path / "run.npz")
        it.metrics = metrics
        with pytest.raises(ConfigurationError, match="load: the metrics: the file was stored in the middle"):
            it.load(tmp_path / "run.npz")


def test_files_of_the_other_kind(tmp_path: Path) -> None:
    it, path = trainer(0, Nothing()), tmp_path / "run.npz"
    it.save(path)
    assert deepbp.load(path).predict(X).tobytes() == it.model.predict(X).tobytes()
    before = all_of(it)
    it.model.save(tmp_path / "model.npz")  # type: ignore[attr-defined]
    message = f"{re.escape(str(tmp_path / 'model.npz'))}: expected a file of Trainer.save, got one of kind 'model'"
    with pytest.raises(FileFormatError, match=message):
        it.load(tmp_path / "model.npz")
    assert all_of(it) == before


def test_arrays_are_read_only_from_a_file_of_the_right_kind_and_shapes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it, other = trainer(0, Nothing()), deepbp.Sequential([deepbp.layers.Dense(3)], input_shape=3, rng=0)
    other.save(tmp_path / "model.npz")
    others = deepbp.Trainer(other, it.loss, it.optimizer)
    others.save(tmp_path / "training.npz")

    def reading(*_: Any) -> None:
        raise AssertionError("an array was read")

    monkeypatch.setattr(npz_format, "_read_array", reading)
    for name, message in (
        ("model", "of kind 'model'"),
        ("training", "the model.s parameters and buffers"),
    ):
        with pytest.raises((FileFormatError, ConfigurationError), match=message):
            it.load(tmp_path / f"{name}.npz")
