"""Networks and trainings in memory: binary streams and bytes hold what files hold."""

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deepbp
from deepbp import Sequential, Trainer
from deepbp.errors import ArgumentTypeError, ConfigurationError, FileFormatError
from deepbp.layers import BatchNorm, Dense
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import Adam

ENDINGS = [".npz", ".safetensors"]
X = np.random.default_rng(0).normal(size=(12, 3))
Y = X[:, :2] ** 2


def network(seed: int = 0) -> Sequential:
    return Sequential([Dense(4), BatchNorm(), Dense(2)], input_shape=3, rng=seed)


def trainer(seed: int = 0) -> Trainer:
    return Trainer(network(seed), MeanSquaredError(), Adam(0.01), rng=1)


def stream(ending: str) -> io.BytesIO:
    made = io.BytesIO()
    made.name = f"net{ending}"
    return made


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_network(ending: str, tmp_path: Path) -> None:
    net, held = network(), stream(ending)
    assert net.save(held) is held
    path = net.save(tmp_path / f"net{ending}")
    assert held.getvalue() == path.read_bytes()
    held.seek(0)
    with path.open("rb") as file:
        for source in (held, held.getvalue(), bytearray(held.getvalue()), file):
            again = deepbp.load(source)  # type: ignore[arg-type]  # of a bytearray
            np.testing.assert_array_equal(again.predict(X), net.predict(X))
    other = network(seed=1)
    assert other.load_weights(held.getvalue()).complete
    np.testing.assert_array_equal(other.predict(X), net.predict(X))


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_training(ending: str) -> None:
    whole, part, held = trainer(), trainer(), stream(ending)
    whole.fit(X, Y, epochs=4, batch_size=5)
    part.fit(X, Y, epochs=2, batch_size=5)
    part.save(held)
    rest = trainer(seed=3)
    rest.load(held.getvalue())
    rest.fit(X, Y, epochs=2, batch_size=5)
    np.testing.assert_array_equal(rest.parameters.values, whole.parameters.values)
    np.testing.assert_array_equal(deepbp.load(held.getvalue()).predict(X), part.model.predict(X))


def test_a_stream_without_a_name_gets_an_archive() -> None:
    held = io.BytesIO()
    network().save(held)
    assert held.getvalue()[:2] == b"PK"
    held.seek(0)
    assert "description.json" in np.load(held).files


def test_streams_of_other_kinds(tmp_path: Path) -> None:
    net = network()
    with gzip.open(tmp_path / "net.gz", "wb") as packed:
        net.save(packed)  # type: ignore[call-overload]  # gzip's class is no BinaryIO for type checkers
    with gzip.open(tmp_path / "net.gz", "rb") as packed:
        np.testing.assert_array_equal(deepbp.load(packed).predict(X), net.predict(X))  # type: ignore[arg-type]


def test_a_network_behind_other_bytes() -> None:
    held = io.BytesIO(b"before")
    held.seek(6)
    network().save(held)
    held.seek(6)
    assert len(deepbp.load(held)) == 3


class Full(io.BytesIO):
    def write(self, data: Any) -> int:
        raise OSError("full")


class Broken(io.BytesIO):
    def read(self, size: Any = -1) -> bytes:
        raise OSError("broken")


def test_errors() -> None:
    net, contents = network(), network().save(io.BytesIO()).getvalue()  # type: ignore[attr-defined]
    with pytest.raises(ArgumentTypeError, match=r"expected a binary stream, got one of text, .*mode 'wb'"):
        net.save(io.StringIO())  # type: ignore[call-overload]
    with pytest.raises(ArgumentTypeError, match=r"expected a binary stream, got one of text, .*mode 'rb'"):
        deepbp.load(io.StringIO("text"))  # type: ignore[arg-type]
    with pytest.raises(OSError, match="full"):
        net.save(Full())
    with pytest.raises(OSError, match="broken"):
        deepbp.load(Broken())
    with pytest.raises(FileFormatError, match=r"bytes: .*damaged"):
        deepbp.load(contents[:-200] + bytes(100) + contents[-100:])
    with pytest.raises(FileFormatError, match="expected at most 100 bytes, got"):
        deepbp.load(io.BytesIO(contents), limit=100)
    with pytest.raises(FileFormatError, match="bytes: expected at most 100 bytes, got"):
        deepbp.load(contents, limit=100)
    for nothing in (b"", io.BytesIO()):
        with pytest.raises(FileFormatError, match="bytes: expected a file of deepbp, got an empty one"):
            deepbp.load(nothing)
    with pytest.raises(FileFormatError, match="bytes: expected a safetensors file"):
        deepbp.load(b"anything else")
    with pytest.raises(ArgumentTypeError, match=r"expected a file name, got b'net.npz': use os.fsdecode\(path\)"):
        deepbp.load(b"net.npz")
    held = io.BytesIO(b"old")
    lambdas = Sequential([deepbp.layers.Activation(lambda z: z, lambda z: z)], input_shape=2)
    with pytest.raises((ArgumentTypeError, ConfigurationError)):
        lambdas.save(held)
    assert held.getvalue() == b"old"
