"""No single bit of a file can change without being noticed, or else without changing anything."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import deepbp
from deepbp import Sequential
from deepbp.errors import FileFormatError
from deepbp.layers import Dense, same_configuration

NETWORK = Sequential([Dense(1)], input_shape=2, rng=0)
X = np.array([[1.0, 2.0]])


def flipped(content: bytes, every: int) -> Iterator[bytes]:
    for bit in range(0, 8 * len(content), every):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


@pytest.mark.parametrize(("ending", "every", "most"), [(".npz", 1, 0), (".safetensors", 3, 12)])
def test_each_bit(ending: str, every: int, most: int, tmp_path: Path) -> None:
    content = NETWORK.save(tmp_path / f"network{ending}").read_bytes()
    path, read = tmp_path / f"flipped{ending}", 0
    for changed in flipped(content, every):
        path.write_bytes(changed)
        try:
            other = deepbp.load(path)
        except FileFormatError:
            continue
        read += 1  # spaces of a JSON text, for example, may be of another kind
        assert other.predict(X).tobytes() == NETWORK.predict(X).tobytes()
        assert same_configuration(other, NETWORK)
    assert read <= most
