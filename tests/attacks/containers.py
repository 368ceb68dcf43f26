"""Attack the deployment: run a training in all the places where a package finds itself.

    python tests/attacks/containers.py --seconds 300 --seed 0

Read-only packages, users without a home, caches of other users, damaged caches, many first processes at once, locales
and streams that are missing, Python's options. Each run must print the same numbers as an ordinary one, and no error.
Started by root, it also runs cases as another user and on a read-only system, where the system allows that. The exit
code is 0 if nothing was found.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import deepbp

Settings: TypeAlias = dict[str, str | None]

PROGRAM = """
import numpy as np
from deepbp import Sequential
from deepbp.layers import Dense, ReLU, Sigmoid
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import Adam

x = np.linspace(-1, 1, 12).reshape(4, 3)
net = Sequential([Dense(4), ReLU(), Dense(1), Sigmoid()], input_shape=3, rng=0)
net.fit(x, x[:, :1] ** 2, loss=MeanSquaredError(), optimizer=Adam(0.1), epochs=2, progress=True)
print(net.summary())
print(net.derivation(MeanSquaredError()))
print("numbers", net.predict(x).tobytes().hex())
"""
NOBODY = 65_534
AS_NOBODY = (
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),  # may read this Python, wherever it is
)
READ_ONLY = ("unshare", "--mount", "sh", "-c", 'mount --bind / / && mount -o remount,ro,bind / && exec "$@"', "sh")
OPTIONS = ((), ("-O",), ("-OO",), ("-W", "error"), ("-bb",), ("-X", "dev"), ("-I",), ("-X", "utf8=0"))
LOCALES: tuple[Settings, ...] = (
    {},
    {"LC_ALL": "C"},
    {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "cp1252"},
)


class Place:
    """A copy of the package, with a cache and a working folder of its own; ``run`` starts a program there."""

    def __init__(self, root: Path, form: str) -> None:
        self.root, self.form = root, form
        self.cache, self.work, self.found = root / "cache", root / "work", list[str]()
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(deepbp.__file__).parent, root / "package" / "deepbp", ignore=ignored)
        self.work.mkdir(exist_ok=True)
        for folder in (root, self.work):
            folder.chmod(0o755)
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(root / "package"),
            "DEEPBP_KERNELS": form,
            "NUMBA_CACHE_DIR": str(self.cache),
            "OPENBLAS_NUM_THREADS": "1",
            "HOME": str(root / "home"),
        }
        self.numbers = ""
        self.numbers = self.check("ordinary", self.start())

    def start(
        self, *options: str, within: tuple[str, ...] = (), close: str = "", settings: Settings | None = None
    ) -> subprocess.Popen[bytes]:
        """A process with Python's ``options``, started by another command; a setting of None is left out."""
        code = f"import sys; sys.path.insert(0, {str(self.root / 'package')!r})\n{PROGRAM}"
        command = [*within, "sh", "-c", f'exec "$0" "$@" {close}', sys.executable, *options, "-c", code]
        variables = {
            name: value for name, value in {**self.environment, **(settings or {})}.items() if value is not None
        }
        return subprocess.Popen(command, cwd=self.work, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def check(self, case: str, process: subprocess.Popen[bytes], warnings: int = 0) -> str:
        """Wait for a process, and note what is wrong: its exit code, numbers or warnings. Returns the numbers."""
        out, err = process.communicate(timeout=600)
        printed, complaints = out.decode("latin-1"), err.decode("latin-1")
        numbers = printed.partition("numbers ")[2].strip()
        wrong = process.returncode != 0 or (self.numbers and numbers != self.numbers)
        if wrong or complaints.count("Warning: ") != warnings or "Traceback" in complaints:
            self.found.append(f"{self.form}: {case}: exit code {process.returncode}: {numbers}\n{complaints[-1500:]}")
        return numbers


def several_at_once(place: Place, rng: random.Random) -> None:
    shutil.rmtree(place.cache, ignore_errors=True)
    for process in [place.start() for _ in range(8)]:
        place.check("8 processes on an empty cache", process)


def options_and_locales(place: Place, rng: random.Random) -> None:
    options, locale = rng.choice(OPTIONS), rng.choice(LOCALES)
    place.check(f"{options} {locale}", place.start(*options, settings=locale))


def closed_streams(place: Place, rng: random.Random) -> None:
    close = rng.choice(("<&-", "2>&-", "<&- 2>&-", "2>/dev/full"))
    place.check(f"streams {close}", place.start(close=close))
    process = place.start(close=">&-")
    process.communicate(timeout=600)
    if process.returncode:
        place.found.append(f"{place.form}: stdout closed: exit code {process.returncode}")


def damaged_cache(place: Place, rng: random.Random) -> None:
    damage = rng.choice(("empty", "short", "garbage", "bit", "folder"))
    for file in place.cache.rglob("*.nbc"):
        content = bytearray(file.read_bytes())
        file.unlink()
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        if damage == "folder":
            file.mkdir()
        else:
            made = {"empty": b"", "short": bytes(content[:50]), "garbage": b"garbage\n" * 50, "bit": bytes(content)}
            file.write_bytes(made[damage])
    place.check(f"damaged cache: {damage}", place.start())
    shutil.rmtree(place.cache, ignore_errors=True)


def killed_while_compiling(place: Place, rng: random.Random) -> None:
    shutil.rmtree(place.cache, ignore_errors=True)
    process = place.start()
    time.sleep(rng.uniform(0.5, 4))
    process.kill()
    process.communicate()
    place.check("after a kill", place.start())


def no_place_for_a_cache(place: Place, rng: random.Random) -> None:
    (place.work / "file").touch()
    expected = int(place.form == "numba")
    process = place.start(settings={"NUMBA_CACHE_DIR": str(place.work / "file")})
    place.check("a file in place of the cache", process, warnings=expected)


def another_user(place: Place, rng: random.Random) -> None:
    """The package belongs to root and cannot be written; there is no home; the cache belongs to root, or to others."""
    expected = int(place.form == "numba")
    for file in (place.root / "package").rglob("__pycache__"):
        shutil.rmtree(file)
    cases: tuple[tuple[str, Settings, int], ...] = (
        ("no home", {"NUMBA_CACHE_DIR": None, "HOME": None}, expected),
        ("a home that is not there", {"NUMBA_CACHE_DIR": None, "HOME": "/nonexistent"}, expected),
        ("an empty name as home", {"NUMBA_CACHE_DIR": None, "HOME": ""}, expected),
        ("a full cache of root", {}, 0),
    )
    case, settings, warnings = rng.choice(cases)
    place.check("of root", place.start())
    if not warnings:
        place.check(case, place.start(within=AS_NOBODY, settings=settings))
        return
    for file in (place.root / "package").rglob("__pycache__"):
        shutil.rmtree(file)
    place.check(f"another user, {case}", place.start("-B", within=AS_NOBODY, settings=settings), warnings)


def foreign_files(place: Place, rng: random.Random) -> None:
    """Root finds files of another user in its cache: well formed, but they must not be executed."""
    place.check("ordinary", place.start())
    for file in place.cache.rglob("*.nbc"):
        os.chown(file, NOBODY, NOBODY)
    place.check("files of another user", place.start())
    if any(file.stat().st_uid == NOBODY for file in place.cache.rglob("*.nbc")):
        place.found.append("files of another user stayed in use")


def read_only_mount(place: Place, rng: random.Random) -> None:
    """The system is read-only, in a mount namespace of its own; a mount of temporary files may not be."""
    if subprocess.run([*READ_ONLY, "touch", str(place.root / "new")], capture_output=True).returncode == 0:
        return
    expected = int(place.form == "numba")
    place.check(
        "read-only system",
        place.start(within=READ_ONLY, settings={"NUMBA_CACHE_DIR": str(place.root / "new")}),
        expected,
    )


CASES: tuple[Callable[[Place, random.Random], None], ...] = (
    options_and_locales,
    closed_streams,
    damaged_cache,
    no_place_for_a_cache,
    killed_while_compiling,
    several_at_once,
)


def root_cases() -> Iterator[Callable[[Place, random.Random], None]]:
    """The cases that root can run on this system."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return
    yield foreign_files
    for within, case in ((AS_NOBODY, another_user), (READ_ONLY, read_only_mount)):
        if shutil.which(within[0]) and subprocess.run([*within, "true"], capture_output=True).returncode == 0:
            yield case


def attack(seed: int, seconds: float, forms: tuple[str, ...], rounds: int = 1) -> list[str]:
    """Run all cases, in a random order, at least ``rounds`` times and for some seconds; returns what was found."""
    rng, end, found = random.Random(seed), time.monotonic() + seconds, list[str]()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        places = [Place(Path(folder, form), form) for form in forms]
        cases = [*CASES, *root_cases()]
        number = 0
        while number < rounds or time.monotonic() < end:
            number += 1
            for case in rng.sample(cases, len(cases)):
                for place in places:
                    if number <= rounds or time.monotonic() < end:
                        case(place, rng)
        for place in places:
            found += place.found
    names = ", ".join(case.__name__ for case in cases)
    print(f"containers: {number} rounds of {names}; seed {seed}: {len(found)} found")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--forms", nargs="+", default=["numpy", "numba"])
    given = parser.parse_args()
    found = attack(given.seed, given.seconds, tuple(given.forms))
    for one in found:
        print(one)
    return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main())
