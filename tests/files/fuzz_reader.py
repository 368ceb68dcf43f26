"""Fuzz the reader, guided by coverage: each mutated file is refused with FileFormatError, or read completely.

Files of networks and of trainings. Any other exception, more than a second of the processor's time, or 50 MB of memory
is a finding.

    python tests/files/fuzz_reader.py output/fuzz -max_total_time=60

Mutated bytes would hardly get past the checksums. So the first byte chooses what the others are: a whole file, or the
description inside a file that is right around it, in either format. Half the time a description is mutated as what it
says, one value of it, rather than as bytes.
"""

import json
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import atheris

with atheris.instrument_imports(include=["deepbp"]):
    from built_files import NETWORKS, build_archive, build_tensors, text_of
    from hostile_trainings import Nothing, stored, trainer

    from deepbp import Sequential
    from deepbp.errors import ConfigurationError, FileFormatError
    from deepbp.files import load


def as_it_is(content: bytes) -> bytes:
    return content


KINDS: list[tuple[str, Callable[[bytes], bytes]]] = [
    (".npz", as_it_is),
    (".npz", build_archive),
    (".safetensors", as_it_is),
    (".safetensors", build_tensors),
]
SECONDS, MEGABYTES = 1.0, 50
TRAINERS = [trainer(kind, Nothing()) for kind in range(4)]
FOLDER = Path(tempfile.mkdtemp(prefix="fuzz", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))


def read(data: bytes) -> None:
    """What atheris calls: any other exception, much memory, or a long time is a finding."""
    first = data[0] if data else 0
    ending, make = KINDS[first % len(KINDS)]
    path = FOLDER / f"file{ending}"
    path.write_bytes(make(data[1:]))
    start, before = time.process_time(), peak_memory()
    if first < 128:
        with suppress(FileFormatError):
            network = load(path)
            assert isinstance(network, Sequential)
            assert network.built is not None
    else:
        with suppress(FileFormatError, ConfigurationError):
            TRAINERS[first // len(KINDS) % len(TRAINERS)].load(path)
    assert time.process_time() - start < SECONDS
    assert peak_memory() - before < MEGABYTES * 1024


def peak_memory() -> int:
    """The most memory this program has held, in KiB.

    Not ``getrusage``, and not libFuzzer's own limit, which asks it: a new process begins there with its parent's peak.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


JUNK: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    2,
    3,
    10**9,
    10**19,
    0.5,
    1e308,
    "",
    "0",
    "float64",
    "Dense",
    "nan",
    [],
    {},
    [[]],
]
JUNK += [
    {"object": 0},
    {"number": "inf"},
    {"tuple": [2, -1]},
    {"dict": [[1, 2]]},
    {"array": "0"},
    {"parameter": "0.bias"},
]


def mutate(data: bytes, most: int, seed: int) -> bytes:
    """Another input made of this one, of at most so many bytes."""
    chance = Random(seed)
    try:
        if data[0] % 2 == 0 or chance.random() < 0.5:
            raise ValueError("as bytes")
        tree = json.loads(data[1:])
    except (ValueError, IndexError, RecursionError):
        return bytes(atheris.Mutate(data, most))
    places = list(_places([tree]))
    for _ in range(chance.choice((1, 1, 2, 5))):
        holder, key = chance.choice(places)
        other, its_key = chance.choice(places)
        what = chance.randrange(5)
        if what == 0 and isinstance(holder, dict):
            holder[chance.choice([*map(str, JUNK), "units", "class", "custom", "arguments"])] = holder.get(key)
        elif what == 1 and isinstance(holder, list):
            holder.insert(0, chance.choice(JUNK))
        elif what == 2:
            holder[key] = chance.choice(JUNK)
        elif key in holder if isinstance(holder, dict) else len(holder) > key:
            holder[key] = json.loads(json.dumps(other[its_key]))
    return (data[:1] + json.dumps(tree, separators=(",", ":")).encode())[:most]


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    for key, value in enumerate(tree) if isinstance(tree, list) else tree.items():
        yield tree, key
        if isinstance(value, list | dict):
            yield from _places(value)


def write_seeds(folder: Path) -> None:
    """Whole files, and descriptions, of a few small networks and trainings."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = [(0, text_of(network)) for network in NETWORKS]
    for kind in range(len(TRAINERS)):
        stored(kind, FOLDER / "training.npz")
        with zipfile.ZipFile(FOLDER / "training.npz") as archive:
            texts.append((128 + kind * len(KINDS), archive.read("description.json")))
    for i, (first, text) in enumerate(texts):
        for kind, (_, make) in enumerate(KINDS):
            right = build_archive if KINDS[kind][0] == ".npz" else build_tensors
            content = right(text) if make is as_it_is else text
            (folder / f"seed-{i}-{kind}").write_bytes(bytes([first + kind]) + content)


if __name__ == "__main__":
    write_seeds(Path(sys.argv[1]))
    atheris.Setup(
        [sys.argv[0], "-max_len=65536", *sys.argv[1:], "-rss_limit_mb=0", "-timeout=10"], read, custom_mutator=mutate
    )
    atheris.Fuzz()
