"""Attack the reader of files: files of random contents within the real format, of networks, trainings and weights.

    python tests/attacks/files.py --seconds 60 --seed 0

Each file is loaded or refused in words, within a second of the processor's time and 50 MB of memory, and imports
nothing but parts of deepbp. Structures and checksums are right, so that the files reach what is behind them. ``make
fuzz`` is guided by coverage; this attack knows the format, and builds what is large, deep, wide, shared or repeated.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
import tracemalloc
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

import attrs

import deepbp
from deepbp import initializers, layers, losses
from deepbp.errors import ConfigurationError, DataError, FileFormatError
from deepbp.files.objects import Classes

sys.path.insert(0, str(Path(__file__).parents[1] / "files"))

from built_files import NETWORKS, build_archive, build_tensors, text_of  # beside the tests of files
from hostile_trainings import Nothing, stored, trainer

SECONDS, MEGABYTES, LONGEST_MESSAGE, HANGS = 1.0, 50, 2500, 60
OWN = {
    name: cls
    for module in (layers, initializers, losses)
    for name in ("AnsweringChain", "Network", "Sequential", *module.__all__)
    if (cls := Classes.of(deepbp.Sequential).own(name)) is not None
}
LEAVES = ["ReLU", "Tanh", "Flatten", "Softmax", "Dropout", "StopGradient", "Reshape"]
COMPOSITES = ["Chain", "Sequential", "Chain", "Residual", "Parallel", "Repeat", "Repeat", "Split", "Penalized"]
ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    3,
    10**18,
    2**63,
    10**59,
    0.5,
    -1e308,
    "",
    "\x1b[2J",
    "\ud800",
    "x" * 3000,
    [],
    {},
    [[]],
]
ODD += [
    {"object": 0},
    {"number": "nan"},
    {"tuple": [2, -1]},
    {"dict": [[1, 2]]},
    {"ufunc": "testing"},
    {"ufunc": "add"},
]
ODD += [{"array": "0.weight"}, {"parameter": "0.bias"}, {"function": "eval"}, {"class": "Enum", "member": "a"}]


def network_text(draw: Random) -> bytes:
    """A network without arrays: random layers within layers, some of them shared, repeated, or odd."""
    objects: list[dict[str, Any]] = [{"class": "L2", "arguments": {"strength": 0.1}}]
    objects += [_entry(draw.choice(LEAVES), draw, []) for _ in range(draw.randint(1, 4))]
    for _ in range(int(10 ** draw.uniform(0, 2.2))):
        cls = draw.choice(LEAVES if draw.random() < 0.2 else COMPOSITES if draw.random() < 0.995 else sorted(OWN))
        objects.append(_entry(cls, draw, list(range(1, len(objects)))))
    objects.append({"class": "Sequential", "arguments": {"layers": [{"object": len(objects) - 1}]}})
    shape = [draw.choice((1, 1, 2, 3, 6, 64, 2**20)) for _ in range(draw.choice((1, 1, 2, 3, 32)))]
    arrays = {"0.weight": ["float32", [1, 1]]} if draw.random() < 0.05 else {}
    return _contents(objects, shape, arrays)


def _entry(cls: str, draw: Random, known: list[int]) -> dict[str, Any]:
    def inside() -> Any:
        return {"object": known[-1] if draw.random() < 0.7 else draw.choice(known)} if known else None

    many = int(10 ** draw.uniform(0, draw.choice((0.3, 0.3, 0.3, 0.3, 1, 2, 4))))
    one, several = inside(), [inside()] * many if draw.random() < 0.5 else [inside() for _ in range(many)]
    nones = [None if draw.random() < 0.3 else branch for branch in several]
    usual: dict[str, dict[str, Any]] = {
        "Chain": {"layers": several},
        "Sequential": {"layers": several, "rng": draw.choice((None, 0))},
        "Residual": {"body": one, "shortcut": draw.choice((None, one))},
        "Parallel": {"branches": nones, "merge": draw.choice(("concat", "add", "mean"))},
        "Split": {"branches": nones, "sizes": draw.choice((None, None, {"tuple": [1] * many}))},
        "Repeat": {"layer": one, "times": many, "share": draw.random() < 0.5},
        "Penalized": {"layer": one, "outputs": {"object": 0}},
        "Reshape": {"shape": {"tuple": [-1, *[1] * draw.choice((0, 1, 5, 31, 40))]}},
        "Dropout": {"rate": 0.5},
    }
    arguments = usual.get(cls, {})
    if draw.random() < 0.002:
        names = [a.alias for a in attrs.fields(OWN[cls]) if a.init] if attrs.has(OWN[cls]) else ["x"]
        arguments = {**arguments, draw.choice([*names, "x"]): draw.choice(ODD)}
    return {"class": cls, "arguments": arguments}


def _contents(objects: list[Any], shape: list[int], arrays: dict[str, Any]) -> bytes:
    model = {"kind": "model", "version": 1, "deepbp": "0", "dtype": "float32", "input_shape": shape}
    description = {**model, "objects": objects, "ties": {}, "frozen": []}
    contents = {"archive": 1, "description": description, "arrays": arrays}
    return json.dumps(contents, separators=(",", ":")).encode()


def changed(draw: Random, text: bytes) -> bytes:
    """The contents of a right file with a few values that are odd, missing, exchanged, or a thousand times there."""
    tree = json.loads(text)
    for _ in range(draw.choice((1, 1, 2, 4))):
        holders = [holder for holder in _holders(tree) if holder]
        holder, other = draw.choice(holders), draw.choice(holders)
        key, its_key = (draw.choice([*one] if isinstance(one, dict) else range(len(one))) for one in (holder, other))
        how = draw.randrange(5)
        if how == 0:
            del holder[key]
        elif how == 1 and isinstance(holder, list):
            holder[key:key] = [holder[key]] * int(10 ** draw.uniform(0, 4))
        elif how == 2 and isinstance(holder, dict):
            holder[str(draw.choice(ODD))] = deepcopy(draw.choice(ODD))
        elif how == 3:
            holder[key] = json.loads(json.dumps(other[its_key]))
        else:
            holder[key] = deepcopy(draw.choice(ODD))  # for the next change may be inside of it
    return json.dumps(tree, separators=(",", ":")).encode()


def _holders(tree: Any) -> list[Any]:
    found, pending = [], [tree]
    while pending:
        value = pending.pop()
        if isinstance(value, list | dict):
            found.append(value)
            pending += value.values() if isinstance(value, dict) else value
    return found


def weights_file(draw: Random) -> bytes:
    """A safetensors file as another program writes it, with names of any kind."""
    words = ["fc", "weight", "bias", "0", "1", "9" * 5000, "a." * 400, "\x1b[2J", "ü", "running_mean", ""]
    header: dict[str, Any] = {}
    start = 0
    for _ in range(int(10 ** draw.uniform(0, 3))):
        name = ".".join(draw.choice(words) for _ in range(draw.randint(1, 4)))
        header[name] = {"dtype": "F32", "shape": [2, 1], "data_offsets": [start, start := start + 8]}
    if draw.random() < 0.3:
        header[draw.choice(words)] = draw.choice(ODD)
    encoded = json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + bytes(start)


class Targets:
    """What reads the files: a network, a trainer, and weights into a network."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.net = deepbp.Sequential([deepbp.layers.Dense(2), deepbp.layers.Dense(2)], input_shape=1, rng=0)
        self.trainers = [trainer(kind, Nothing()) for kind in range(4)]
        self.texts = [text_of(network) for network in NETWORKS]
        self.trainings = []
        for kind in range(len(self.trainers)):
            stored(kind, folder / "training.npz")
            with zipfile.ZipFile(folder / "training.npz") as archive:
                self.trainings.append(archive.read("description.json"))

    def make(self, draw: Random) -> tuple[str, Path, Callable[[], Any]]:
        """A random file, its kind, and the call that reads it."""
        kind = draw.choice(("network", "network", "changed", "training", "weights"))
        ending, build = draw.choice(((".npz", build_archive), (".safetensors", build_tensors)))
        path = self.folder / f"file{'.safetensors' if kind == 'weights' else ending}"
        if kind == "weights":
            path.write_bytes(weights_file(draw))
            convention: Any = draw.choice(("deepbp", "pytorch"))
            strict = draw.random() < 0.5
            return kind, path, lambda: self.net.load_weights(path, strict=strict, convention=convention)
        if kind == "training":
            number = draw.randrange(len(self.trainings))
            path.write_bytes(build(changed(draw, self.trainings[number])))
            return kind, path, lambda: self.trainers[number].load(path)
        text = network_text(draw) if kind == "network" else changed(draw, draw.choice(self.texts))
        path.write_bytes(build(text))
        return kind, path, lambda: deepbp.load(path)


def attack(seconds: float = 60.0, seed: int = 0, most: int = 10**9) -> list[str]:
    """Load files for some seconds, or so many, and return what went wrong; a file that did so is kept in output/."""
    finds: list[str] = []
    outcomes: Counter[str] = Counter()
    slowest = largest = 0.0
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        targets = Targets(Path(folder))
        modules, end, number = {*sys.modules}, time.monotonic() + seconds, 0
        before = signal.signal(signal.SIGALRM, _hangs)
        while time.monotonic() < end and number < most:
            kind, path, read = targets.make(Random(f"{seed} {number}"))
            small = path.stat().st_size < 1_000_000
            outcome, find, taken = _measured(read)
            if not find and small:
                tracemalloc.start()
                _measured(read)
                peak = tracemalloc.get_traced_memory()[1] / 1e6
                tracemalloc.stop()
                for _ in range(3):  # a busy machine takes longer, but not each time
                    if taken >= SECONDS:
                        taken = min(taken, _measured(read)[2])
                slowest, largest = max(slowest, taken), max(largest, peak)
                if taken >= SECONDS or peak >= MEGABYTES:
                    find = f"{taken:.2f} s, {peak:.0f} MB: {outcome}"
            new = {*sys.modules} - modules
            if strange := sorted(name for name in new if not name.startswith("deepbp.")):  # these come when used
                find, modules = f"imports {strange[:5]}", {*sys.modules}
            if find:
                kept = Path("output") / f"attack-{seed}-{number}{path.suffix}"
                kept.parent.mkdir(exist_ok=True)
                kept.write_bytes(path.read_bytes())
                finds.append(f"file {number}, {kind}, {kept}: {find:.500}")
            outcomes[f"{kind} {outcome.partition(':')[0]}"] += 1
            number += 1
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    print(f"files: {number:,} of seed {seed}, at most {slowest:.2f} s and {largest:.0f} MB: {dict(outcomes)}")
    return finds


def _measured(read: Callable[[], Any]) -> tuple[str, str, float]:
    """What came out, what is wrong with that, and the processor's time."""
    outcome, find, start = "loaded", "", time.process_time()
    signal.alarm(HANGS)
    try:
        read()
    except (FileFormatError, ConfigurationError, DataError) as error:
        outcome = f"refused: {error}"
        if not str(error).isprintable() or len(str(error)) > LONGEST_MESSAGE:
            find = f"its message cannot be shown: {str(error)!a:.300}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        outcome = "crashed"
        find = f"{type(error).__name__}: {str(error)!a:.300}"
    return outcome, find, time.process_time() - start


def _hangs(*_: Any) -> None:
    raise TimeoutError(f"it took more than {HANGS} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    finds = attack(arguments.seconds, arguments.seed)
    print("\n".join(finds[:20]) or "nothing found")
    return bool(finds)


if __name__ == "__main__":
    sys.exit(main())
