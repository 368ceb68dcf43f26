"""Structure of the code at run time: calls, files, and hops between files, counted for typical operations.

``python -m benchmarks.hops`` prints a Markdown table; ``python -m benchmarks.hops --structure`` prints figures about
the source files instead. A *hop* is a call into another file than that of the previous call. A *folder* is a part of
the package at the top level: ``layers`` with its contents, or a single module such as ``summary.py``. The counts are
reproducible, except those of a trace, which depend on the number of digits of its numbers. Run with
DEEPBP_KERNELS=numpy, because calls of compiled kernels are not counted.
"""

import argparse
import ast
import os
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

import numpy as np
from attrs import define, frozen

import deepbp
from deepbp import Sequential, Trainer
from deepbp.layers import Dense, Layer, Sigmoid
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.optimizers import Adam
from deepbp.testing import check_layer
from deepbp.typing import Array

ROOT = Path(deepbp.__file__).parent
Trip: TypeAlias = Callable[[], Any]


@define(eq=False)
class Square(Layer[Array]):
    """y = x²."""

    def forward(self, x: Array) -> tuple[Array, Array]:
        return x * x, x

    def backward(self, x: Array, delta: Array) -> Array:
        return 2 * x * delta


@frozen
class Count:
    """What one operation calls within the package."""

    calls: int
    functions: int
    files: int
    lines: int
    file_hops: int
    folder_hops: int


def changes(places: list[str]) -> int:
    """How often a place differs from the one before it."""
    return sum(one != other for one, other in pairwise(places))


def count(trip: Trip) -> Count:
    """Run it and count its calls of Python functions of the package."""
    called: list[tuple[str, str]] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            called.append((frame.f_code.co_filename, frame.f_code.co_qualname))

    sys.setprofile(note)
    try:
        trip()
    finally:
        sys.setprofile(None)
    inside = f"{ROOT}{os.sep}"
    calls = [(file.removeprefix(inside), function) for file, function in called if file.startswith(inside)]
    files = [file for file, _ in calls]
    return Count(
        calls=len(calls),
        functions=len(set(calls)),
        files=len(set(files)),
        lines=sum(len(source(ROOT / file).splitlines()) for file in set(files)),
        file_hops=changes(files),
        folder_hops=changes([file.split(os.sep)[0] for file in files]),
    )


def source(file: Path) -> str:
    """The text of a module."""
    return file.read_text(encoding="utf-8")


def network() -> Sequential:
    """Three layers: dense, sigmoid, dense."""
    return Sequential([Dense(4), Sigmoid(), Dense(2)], input_shape=(3,), rng=0)


def trips(folder: Path) -> Iterator[tuple[str, Trip]]:
    """(name, operation), in order: later ones use what earlier ones left."""
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    y = np.array([0, 1, 1, 1] * 2)
    net, traced, stored, training = network(), network(), folder / "net.npz", folder / "training.npz"
    trainer = Trainer(network(), SoftmaxCrossEntropy(), Adam())
    yield "build of three layers", network
    yield (
        "fit, 1 epoch, 1 batch",
        lambda: net.fit(x, y, loss=SoftmaxCrossEntropy(), optimizer=Adam(), batch_size=None),
    )
    yield "Trainer.step", lambda: trainer.step(x, y)
    yield "predict", lambda: net.predict(x)
    yield "summary", lambda: repr(net.summary())
    yield "net.save, npz", lambda: net.save(stored)
    yield "deepbp.load, npz", lambda: deepbp.load(stored)
    yield "trainer.save", lambda: trainer.save(training)
    yield "trainer.load", lambda: trainer.load(training)
    yield "derivation to text", lambda: str(net.derivation(SoftmaxCrossEntropy()))
    yield "derivation to HTML", lambda: net.derivation(SoftmaxCrossEntropy())._repr_html_()
    yield "trace of one step", lambda: str(traced.trace(x[:2], y[:2].copy(), SoftmaxCrossEntropy()))
    yield "check_layer of a 4-line layer", lambda: check_layer(Square(), (4,), rng=0)


def print_hops() -> None:
    """One row for each operation. Each runs twice and the second run counts: the first one imports and caches."""
    print("| operation | calls | functions | files entered | lines in them | file hops | folder hops |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for _, trip in trips(Path(folder)):
            trip()
        for name, trip in trips(Path(folder)):
            trip()
            c = count(trip)
            print(f"| {name} | {c.calls} | {c.functions} | {c.files} | {c.lines} | {c.file_hops} | {c.folder_hops} |")


def modules() -> dict[str, ast.Module]:
    """The parsed modules of the package, by name."""
    found = {}
    for file in sorted(ROOT.rglob("*.py")):
        parts = ("deepbp", *file.relative_to(ROOT).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(source(file))
    return found


def import_statements(node: ast.AST, types_too: bool = True) -> Iterator[ast.Import | ast.ImportFrom]:
    """All of them, including those inside functions; also those under TYPE_CHECKING, if ``types_too``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif types_too or not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from import_statements(child, types_too)


def import_graph(trees: dict[str, ast.Module], types_too: bool) -> dict[str, set[str]]:
    """Which modules of the package each module imports."""
    graph = {}
    for name, tree in trees.items():
        targets: set[str] = set()
        for statement in import_statements(tree, types_too):
            if isinstance(statement, ast.Import):
                targets.update(alias.name for alias in statement.names)
            else:
                members = {f"{statement.module}.{alias.name}" for alias in statement.names}
                targets.update(members & trees.keys() or {str(statement.module)})
        graph[name] = targets & trees.keys() - {name}
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that import one another, directly or through others; the largest first."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            new = graph[waiting.pop()] - seen
            seen |= new
            waiting += new
        return seen

    reach = {name: reached(name) for name in graph}
    groups = {tuple(sorted(other for other in reach[name] if name in reach[other])) for name in graph}
    return sorted((list(group) for group in groups if group), key=lambda group: (-len(group), group))


def print_structure() -> None:
    """Figures about the files of the package."""
    files = sorted(ROOT.rglob("*.py"))
    lines = [len(source(file).splitlines()) for file in files]
    trees = modules()
    statements = [one for tree in trees.values() for one in import_statements(tree)]
    importing = sum((one.end_lineno or one.lineno) - one.lineno + 1 for one in statements)
    names = Counter(file.name for file in files if not file.name.startswith("__"))
    twice = sorted(f"{name} ×{times}" for name, times in names.items() if times > 1)
    print(f"- files: {len(files)}")
    print(f"- lines: {sum(lines)}, median {statistics.median(lines):g}, largest {max(lines)}")
    print(f"- import statements: {importing} lines, {importing / sum(lines):.1%}")
    print(f"- file names that occur more than once: {len(twice)}: {', '.join(twice)}")
    for types_too, included in ((True, "late imports and TYPE_CHECKING included"), (False, "late imports included")):
        found = circles(import_graph(trees, types_too))
        print(f"- import circles, {included}: {len(found)}; files in each: {[len(group) for group in found]}")
        for group in found:
            print(f"  - {', '.join(group)}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Count the calls of typical operations, and hops between files.")
    parser.add_argument("--structure", action="store_true", help="print figures about the source files instead")
    if parser.parse_args().structure:
        print_structure()
    else:
        print_hops()


if __name__ == "__main__":
    main()
