"""Builders of files with valid structure around any description, and the networks that the tests start from."""

import json
import zlib
from hashlib import sha256
from typing import Any

import numpy as np

from deepbp import Sequential
from deepbp.errors import FileFormatError
from deepbp.files.network import describe_model
from deepbp.initializers import Constant
from deepbp.layers import (
    L2,
    Activation,
    BatchNorm,
    Chain,
    Dense,
    Flatten,
    Parallel,
    Penalized,
    PReLU,
    Repeat,
    Reshape,
    Residual,
    Sigmoid,
    Tanh,
    TiedDense,
)
from deepbp.storage.contents import Spec, contents_text, read_contents
from deepbp.storage.npz_format import DESCRIPTION, Member, end
from deepbp.storage.safetensors_format import CODES

Part = tuple[str, bytes]
SMALL = 2**16

tied, encoder = Dense(3), Dense(1)
NETWORKS = [
    Sequential([Dense(2, bias_init=Constant(0.5)), Sigmoid()], input_shape=3, rng=0),
    Sequential([Dense(3), Tanh(), Sequential([tied, Chain([tied])], rng=1)], input_shape=3, rng=0, dtype="float64"),
    Sequential([Repeat([Dense(2), Tanh()], 2), Residual(Dense(2), Dense(2))], input_shape=2, rng=0),
    Sequential(
        [Flatten(), Reshape((2, -1)), Flatten(), Penalized(Dense(2), weights=L2(0.1))], input_shape=(2, 2), rng=0
    ),
    Sequential([Activation(np.sin, np.cos), encoder, BatchNorm(), TiedDense(encoder), PReLU()], input_shape=2, rng=0),
    Sequential([Parallel([None, [Dense(2), Sigmoid()]], merge="multiply")], input_shape=2, rng=0),
]


def text_of(network: Sequential) -> bytes:
    """The JSON text that a file of this network holds."""
    description, arrays = describe_model(network)
    return contents_text(description, Spec.of_all(arrays))


def build_zip(parts: list[Part]) -> bytes:
    """A valid archive of these members, whatever they hold."""
    data, directory, offset = [], [], 0
    for name, content in parts:
        member = Member(name, zlib.crc32(content), len(content), offset)
        data += [member.header(), content]
        directory.append(member.entry())
        offset = member.end
    entries = b"".join(directory)
    return b"".join([*data, entries, end(len(parts), len(entries), offset)])


def build_archive(text: bytes) -> bytes:
    """An archive of this text, and of the arrays that it lists, all zeros, where they are small."""
    specs = _small(text)
    return build_zip([(DESCRIPTION, text), *((f"{n}.npy", s.header() + bytes(s.size)) for n, s in specs.items())])


def build_tensors(text: bytes) -> bytes:
    """The same contents as a safetensors file."""
    codes = {name: code for code, name in CODES.items()}
    header: dict[str, Any] = {}
    start = 0
    for name, spec in _small(text).items():
        offsets = [start, start := start + spec.size]
        header[name] = {"dtype": codes[spec.dtype], "shape": list(spec.shape), "data_offsets": offsets}
    digest = sha256(text + bytes(start)).hexdigest()
    header["__metadata__"] = {"deepbp": text.decode(errors="replace"), "deepbp_sha256": digest}
    encoded = json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + bytes(start)


def _small(text: bytes) -> dict[str, Spec]:
    try:
        specs = read_contents(text)[1]
    except FileFormatError:
        return {}
    return specs if sum(spec.size for spec in specs.values()) <= SMALL else {}
