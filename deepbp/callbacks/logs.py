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
    """The table that ``history.to_csv`` writes, complete after every epoch: a crash loses nothing of it.

    The file holds the history of its trainer. A training that goes on, also a stored one, goes on with it, and rows of
    epochs that it does not know are gone; a new trainer begins it anew. A column that comes later is NaN in the rows
    above.

    A file that cannot be written is an error before the first epoch. Later, with a disk that is full, it is a warning:
    training goes on, and the next epoch tries to write all that is missing.

    Args:
        path: of the file; its folder must exist.
    """

    path: str | os.PathLike[str] = field(validator=instance_of(str, os.PathLike))
    _columns: list[str] = field(init=False, factory=list, repr=False)  # of the file; none: to be written anew

    def on_fit_start(self, trainer: Trainer) -> None:
        self._columns = []
        try:
            self._write(trainer)
        except OSError as error:
            raise ConfigurationError(f"CSVLog: path: expected a file that can be written, got {error}") from None

    def on_epoch_end(self, trainer: Trainer, row: Mapping[str, float]) -> None:
        try:
            self._write(trainer)
        except OSError as error:
            if self._columns:  # say it once
                warnings.warn(f"CSVLog: {error}: training goes on, and each epoch tries again", stacklevel=2)
            self._columns = []

    def _write(self, trainer: Trainer) -> None:
        history = trainer.history
        columns = ["epoch", *history]
        if columns == self._columns:
            with open(self.path, "a", newline="", encoding="utf-8") as file:
                csv.writer(file).writerow([history.epochs - 1, *(column[-1] for column in history.values())])
        else:
            history.to_csv(self.path)
        self._columns = columns


STARTED = b"\x08\x01"
"""A ``SessionLog`` of status START: what earlier files say about this step and later ones is hidden."""


def append(path: str | PathLike[str], step: int, values: Mapping[str, float], *, begins: bool = False) -> None:
    """Add numbers of a step, by their tags, at the end of a file; one that does not exist yet is begun.

    Args:
        begins: a training starts with this step, perhaps once more.
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
    with np.errstate(over="ignore"):  # what float32 cannot hold is drawn as infinity
        return np.array(value).astype("<f4").tobytes()


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    digits = bytearray()
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _masked(crc32c(length)) + data + _masked(crc32c(data))


def _masked(checksum: int) -> bytes:
    """Rotated and shifted, for the checksum of data that hold checksums is weak."""
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
    """Each column of the history over the epochs, and the learning rate of each epoch's last step.

    ``tensorboard --logdir FOLDER`` draws them; writing them needs nothing that deepbp does not have. Columns named
    ``val_…`` lie in the folder ``validation``, the others in ``training``, so that both are lines of one picture. A
    training that goes on hides what an earlier run wrote about the same epochs. Give each training its own folder:
    ``runs/first``, ``runs/second``, and ``--logdir runs`` shows them side by side.

    A folder that cannot be made is an error before the first epoch. Files that cannot be written later on are a
    warning, and training goes on.

    Args:
        folder: of the event files; it is made, and may hold those of earlier runs.
    """

    folder: str | os.PathLike[str] = field(validator=instance_of(str, os.PathLike))
    _files: dict[str, str] = field(init=False, factory=dict, repr=False)  # of this fit, by the part that they hold
    _failed: bool = field(init=False, default=False, repr=False)

    def on_fit_start(self, trainer: Trainer) -> None:
        self._files, self._failed = {}, False
        try:
            os.makedirs(self.folder, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"TensorBoard: folder: expected one that can be made, got {error}") from None

    def on_epoch_end(self, trainer: Trainer, row: Mapping[str, float]) -> None:
        training = {name: value for name, value in row.items() if not name.startswith("val_")}
        validation = {name.removeprefix("val_"): value for name, value in row.items() if name.startswith("val_")}
        training["learning_rate"] = trainer.optimizer.rate(trainer.steps - 1)
        try:
            self._append("training", trainer.epoch, training)
            if validation:
                self._append("validation", trainer.epoch, validation)
        except OSError as error:
            if not self._failed:  # say it once
                warnings.warn(f"TensorBoard: {error}: training goes on, and each epoch tries again", stacklevel=2)
            self._failed = True

    def _append(self, part: str, epoch: int, values: Mapping[str, float]) -> None:
        begins = part not in self._files
        if begins:
            os.makedirs(os.path.join(self.folder, part), exist_ok=True)
            name = f"events.out.tfevents.{time():.6f}.{socket.gethostname()}"  # TensorBoard reads them in this order
            self._files[part] = os.path.join(self.folder, part, name)
        append(self._files[part], epoch, values, begins=begins)
