"""Callbacks that write logs: CSV files and TensorBoard event files."""

import csv
import os
import socket
import struct
import warnings
from collections.abc import Mapping
from functools import cache
from os import PathLike
from time import time

import numpy as np
from attrs import define, field

from deepbp.errors import ConfigurationError
from deepbp.errors.validators import instance_of
from deepbp.training.trainer import Callback, Trainer


@define(eq=False)
class CSVLog(Callback):
    """Writes the history to a CSV file after every epoch, as ``history.to_csv`` does: a crash loses nothing.

    The file has the history of its trainer. A training that resumes continues the file, without rows of epochs after
    those that it has completed; a new trainer starts a new file. A column that is added later is NaN in earlier rows.

    A file that cannot be written is an error before the first epoch. Later, for example if the disk is full, it is a
    warning, and the next epoch writes what is missing.

    >>> from pathlib import Path
    >>> from deepbp import Sequential
    >>> from deepbp.callbacks import CSVLog
    >>> from deepbp.layers import Dense
    >>> from deepbp.losses import SumSquaredError
    >>> from deepbp.optimizers import SGD
    >>> net = Sequential([Dense(1)], input_shape=1, rng=0)
    >>> options = {"loss": SumSquaredError(), "optimizer": SGD(0.25), "callbacks": [CSVLog("run.csv")]}
    >>> history = net.fit([[0.0]], [[1.0]], epochs=2, **options)
    >>> print(Path("run.csv").read_text().strip())
    epoch,loss
    1,1.0
    2,0.25

    Args:
        path: the name of the file, in a folder that exists.
    """

    path: str | os.PathLike[str] = field(validator=instance_of(str, os.PathLike))
    _columns: list[str] = field(init=False, factory=list, repr=False)  # of the file, if there is one

    def on_fit_start(self, trainer: Trainer) -> None:
        self._columns = []
        if not trainer.is_first:
            return
        try:
            self._write(trainer)
        except OSError as error:
            raise ConfigurationError(f"CSVLog: path: expected a file that can be written, got {error}") from None

    def on_epoch_end(self, trainer: Trainer, row: Mapping[str, float]) -> None:
        if not trainer.is_first:
            return
        try:
            self._write(trainer)
        except OSError as error:
            if self._columns:  # warn once
                warnings.warn(f"CSVLog: {error}: training goes on, and each epoch tries again", stacklevel=2)
            self._columns = []

    def _write(self, trainer: Trainer) -> None:
        history = trainer.history
        columns = ["epoch", *history]
        if columns == self._columns:
            with open(self.path, "a", newline="", encoding="utf-8") as file:
                csv.writer(file).writerow([history.epochs, *(column[-1] for column in history.values())])
        else:
            history.to_csv(self.path)
        self._columns = columns


STARTED = b"\x08\x01"
"""A ``SessionLog`` with status START, which hides what earlier files contain about this step and later ones."""


def append(path: str | PathLike[str], step: int, values: Mapping[str, float], *, begins: bool = False) -> None:
    """Append values of a step, by their tags, to an event file, which is created if it does not exist.

    Args:
        begins: whether a training starts, or resumes, with this step.
    """
    with open(path, "ab") as file:
        if file.tell() == 0:
            file.write(_record(_event(0, 3, b"brain.Event:2")))
        if begins:
            file.write(_record(_event(step, 7, STARTED)))
        summary = b"".join(_field(1, _field(1, tag.encode()) + b"\x15" + _float(v)) for tag, v in values.items())
        file.write(_record(_event(step, 5, summary)))


def _event(step: int, number: int, content: bytes) -> bytes:
    return b"\x09" + struct.pack("<d", time()) + b"\x10" + _varint(step) + _field(number, content)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _float(value: float) -> bytes:
    with np.errstate(all="ignore"):  # a value too large for float32 is drawn as infinity
        return np.array(value).astype("<f4").tobytes()


def _varint(number: int) -> bytes:
    """Seven bits in each byte, the lowest first; the eighth bit is set if more bytes follow."""
    digits = bytearray()
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _masked(crc32c(length)) + data + _masked(crc32c(data))


def _masked(checksum: int) -> bytes:
    """Rotated and shifted, because checksums of data that include checksums are weak."""
    return struct.pack("<I", ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def crc32c(data: bytes) -> int:
    """The cyclic redundancy check with Castagnoli's polynomial."""
    table, checksum = _table(), 0xFFFFFFFF
    for byte in data:
        checksum = table[(checksum ^ byte) & 0xFF] ^ checksum >> 8
    return checksum ^ 0xFFFFFFFF


@cache
def _table() -> list[int]:
    def entry(byte: int) -> int:
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        return byte

    return [entry(byte) for byte in range(256)]


@define(eq=False)
class TensorBoard(Callback):
    """Writes TensorBoard event files: the columns of the history, and the learning rate of each epoch's last step.

    ``tensorboard --logdir FOLDER`` draws them; writing them needs no further package. Columns named ``val_…`` are in
    the folder ``validation``, the others in ``training``, so that both are lines of one chart. A training that resumes
    hides what an earlier run has written about the same epochs. Use a folder for each training, ``runs/first`` and
    ``runs/second``: ``--logdir runs`` shows them side by side.

    A folder that cannot be created is an error before the first epoch. Later, a file that cannot be written is a
    warning, and the training continues.

    >>> from pathlib import Path
    >>> from deepbp import Sequential
    >>> from deepbp.callbacks import TensorBoard
    >>> from deepbp.layers import Dense
    >>> from deepbp.losses import MeanSquaredError
    >>> from deepbp.optimizers import SGD
    >>> net = Sequential([Dense(1)], input_shape=1, rng=0)
    >>> options = {"loss": MeanSquaredError(), "optimizer": SGD(0.1), "validation_data": ([[1.0]], [[1.0]])}
    >>> history = net.fit([[1.0]], [[1.0]], callbacks=[TensorBoard("runs/first")], **options)
    >>> sorted(file.parent.name for file in Path("runs/first").rglob("events.*"))
    ['training', 'validation']

    Args:
        folder: the folder for event files, which is created, and may have those of earlier runs.
    """

    folder: str | os.PathLike[str] = field(validator=instance_of(str, os.PathLike))
    _files: dict[str, str] = field(init=False, factory=dict, repr=False)  # of this call of fit
    _failed: bool = field(init=False, default=False, repr=False)

    def on_fit_start(self, trainer: Trainer) -> None:
        self._files, self._failed = {}, False
        if not trainer.is_first:
            return
        try:
            os.makedirs(self.folder, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"TensorBoard: folder: expected one that can be made, got {error}") from None

    def on_epoch_end(self, trainer: Trainer, row: Mapping[str, float]) -> None:
        if not trainer.is_first:
            return
        training = {name: value for name, value in row.items() if not name.startswith("val_")}
        validation = {name.removeprefix("val_"): value for name, value in row.items() if name.startswith("val_")}
        training["learning_rate"] = trainer.optimizer.rate(trainer.steps - 1)
        try:
            self._append("training", trainer.epoch + 1, training)
            if validation:
                self._append("validation", trainer.epoch + 1, validation)
        except OSError as error:
            if not self._failed:  # warn once
                warnings.warn(f"TensorBoard: {error}: training goes on, and each epoch tries again", stacklevel=2)
            self._failed = True

    def _append(self, part: str, epoch: int, values: Mapping[str, float]) -> None:
        begins = part not in self._files
        if begins:
            os.makedirs(os.path.join(self.folder, part), exist_ok=True)
            name = f"events.out.tfevents.{time():.6f}.{socket.gethostname()}"  # TensorBoard reads files in this order
            self._files[part] = os.path.join(self.folder, part, name)
        append(self._files[part], epoch, values, begins=begins)
