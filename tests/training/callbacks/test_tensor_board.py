"""Event files are what others read as TensorBoard's."""

import os
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripted import Each, X, Y, fit, trainer

from deepbp import Trainer
from deepbp.callbacks import logs
from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.optimizers import Adam
from deepbp.training import TensorBoard

needs_tensorboardx = pytest.mark.skipif(find_spec("tensorboardX") is None, reason="an independent reader is needed")


def events(file: Path) -> list[Any]:
    """Read with Google's Protocol Buffers, and the checksums of tensorboardX."""
    from tensorboardX.crc32c import crc32c
    from tensorboardX.proto.event_pb2 import Event

    def check(content: bytes, masked: bytes) -> bytes:
        crc = crc32c(content)
        assert struct.unpack("<I", masked)[0] == ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF
        return content

    found, data = [], file.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", check(data[:8], data[8:12]))
        found.append(Event.FromString(check(data[12 : 12 + length], data[12 + length : 16 + length])))
        data = data[16 + length :]
    return found


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for file in sorted(folder.iterdir()):
        assert "tfevents" in file.name
        first, second, *rest = events(file)
        assert first.file_version == "brain.Event:2"
        assert second.session_log.status == 1  # START
        for event in rest:
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


@needs_tensorboardx
def test_columns_and_rate_are_read_back(tmp_path: Path) -> None:
    it = trainer(TensorBoard(tmp_path), optimizer=Adam(lambda step: 0.1 / (step + 1)), scores=[1, 2, 3, 4, 5, 6])
    it.fit(X, Y, epochs=3, batch_size=4, validation_data=(X, Y))
    training, validation = scalars(tmp_path / "training"), scalars(tmp_path / "validation")
    assert list(training) == ["loss", "score", "learning_rate"]
    assert list(validation) == ["loss", "score"]
    for part, prefix in ((training, ""), (validation, "val_")):
        for name in ("loss", "score"):
            column = it.history[prefix + name]
            assert part[name] == [(epoch, float(np.float32(value))) for epoch, value in enumerate(column, 1)]
    assert training["learning_rate"] == [(epoch, float(np.float32(0.1 / (3 * epoch)))) for epoch in (1, 2, 3)]


@needs_tensorboardx
def test_a_training_that_goes_on_writes_another_file_and_says_where_it_starts(tmp_path: Path) -> None:
    it = trainer(TensorBoard(tmp_path))
    fit(it, 2)
    fit(it, 1)
    files = sorted((tmp_path / "training").iterdir())
    assert len(files) == 2
    assert [events(file)[1].step for file in files] == [1, 3]
    assert [step for step, _ in scalars(tmp_path / "training")["loss"]] == [1, 2, 3]


@needs_tensorboardx
def test_large_steps_long_names_and_numbers_beyond_float32(tmp_path: Path) -> None:
    file = tmp_path / "events"
    tag = "loss of the naïve Bayes " * 20
    values = {tag: -1.5, "a": 1e300, "b": float("nan"), "c": 1e-300, "d": -float("inf")}
    logs.append(file, 300, {})
    logs.append(file, 2**40 + 129, values)
    _, first, second = events(file)
    assert first.step == 300
    assert second.step == 2**40 + 129
    read = {value.tag: value.simple_value for value in second.summary.value}
    assert read.pop("b") != 0
    assert read == {tag: -1.5, "a": float("inf"), "c": 0, "d": -float("inf")}


def test_the_checksum_is_castagnolis() -> None:
    # the check value of the catalogue of parametrised CRC algorithms, and the examples of RFC 3720, B.4
    assert logs.crc32c(b"123456789") == 0xE3069283
    assert logs.crc32c(bytes(32)) == 0x8A9136AA
    assert logs.crc32c(b"\xff" * 32) == 0x62A8AB43
    assert logs.crc32c(bytes(range(32))) == 0x46DD794E


def test_a_folder_that_cannot_be_made_is_an_error_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError, match=r"^TensorBoard: folder: expected one that can be made, got .*file"):
        fit(trainer(TensorBoard(str(tmp_path / "file"))))


def test_a_disk_that_fails_later_is_a_warning(tmp_path: Path) -> None:
    def move(it: Trainer) -> None:
        if it.epoch == 0:
            os.rename(tmp_path / "runs", tmp_path / "away")

    it = trainer(TensorBoard(tmp_path / "runs"), Each(move))
    with pytest.warns(UserWarning, match=r"^TensorBoard: .*: training goes on, and each epoch tries again") as caught:
        fit(it, 4)
    assert len(caught) == 1
    assert it.history.epochs == 4


@pytest.mark.parametrize("folder", [3, None, 2.5])
def test_folder(folder: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=f"^TensorBoard: folder: expected str or PathLike, got {folder}$"):
        TensorBoard(folder)
