"""Mutation testing: change the package in one place, run the tests of that part, and list unnoticed changes.

``make mutants`` runs all mutations of the parts that ``tool.mutants`` in pyproject.toml lists; it takes hours.
``make mutants ARGS="--sample 20 deepbp/testing"`` runs 20 random mutations of one part, the same ones each time. Some
survivors are equivalent to the original, e.g. a bound that no input reaches; the others show missing tests.
"""

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from queue import Queue

from attrs import frozen

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("deepbp", "tests", "docs", "examples", "pyproject.toml", "README.md")
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "DEEPBP_KERNELS": "numpy", "PYTHONDONTWRITEBYTECODE": "1"}  # as `make test`
PAIRS: tuple[tuple[type[ast.AST], type[ast.AST]], ...] = (
    *((ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.Is, ast.IsNot), (ast.In, ast.NotIn)),
    *((ast.And, ast.Or), (ast.Add, ast.Sub), (ast.Mult, ast.Div), (ast.BitAnd, ast.BitOr), (ast.UAdd, ast.USub)),
)
OPERATORS = {**dict(PAIRS), **{other: one for one, other in PAIRS}}
UNMUTATED = ("annotation", "returns", "decorator_list", "type_params")
SEEDS = ("rng", "default_rng")  # functions whose numbers only select other random numbers


@frozen
class Mutation:
    """A change of one file: the source of the changed module, and the statement before and after."""

    path: str
    line: int
    before: str
    after: str
    source: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.before}  →  {self.after}"


def replacements(node: ast.AST) -> Iterator[ast.AST | None]:
    """Yield changed copies of a node; None stands for a removed statement."""
    if isinstance(node, ast.Compare | ast.BoolOp | ast.BinOp | ast.UnaryOp | ast.AugAssign):
        operator = node.ops[0] if isinstance(node, ast.Compare) else node.op
        if other := OPERATORS.get(type(operator)):
            changed = deepcopy(node)
            if isinstance(changed, ast.Compare):
                changed.ops[0] = other()  # type: ignore[call-overload]
            else:
                changed.op = other()  # type: ignore[assignment]
            yield changed
        elif isinstance(node, ast.UnaryOp) and isinstance(operator, ast.Not):
            yield node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield ast.Constant(node.value + 1)
    elif isinstance(node, ast.Constant) and isinstance(node.value, float):
        yield ast.Constant(node.value * 30 or 1e-3)  # a tolerance that is 30 times as large must be noticed
    elif isinstance(node, ast.If | ast.IfExp):
        for value in (True, False):
            conditional = deepcopy(node)
            conditional.test = ast.Constant(value)
            yield conditional
    elif isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        yield None
    elif isinstance(node, ast.Continue | ast.Break):
        yield ast.Pass()


def statements(module: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements that run, without imports, overloads and blocks for type checkers."""
    pending: list[ast.AST] = list(module.body)
    while pending:
        node = pending.pop()
        overloaded = isinstance(node, ast.FunctionDef) and any(
            ast.unparse(d) == "overload" for d in node.decorator_list
        )
        for_checkers = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if not overloaded and not for_checkers and not isinstance(node, ast.Import | ast.ImportFrom):
            if isinstance(node, ast.stmt):
                yield node
            pending += [n for n in ast.iter_child_nodes(node) if isinstance(n, ast.stmt | ast.ExceptHandler)]


def expressions(statement: ast.stmt) -> Iterator[ast.AST]:
    """Yield a statement and the expressions in it that run: without statements inside it, annotations and texts."""
    pending: list[ast.AST] = [statement]
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.keyword) and node.arg in ("stream", "seed")):
            continue
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in SEEDS:
            continue
        for name, value in ast.iter_fields(node):
            if name in UNMUTATED:
                continue
            found = value if isinstance(value, list) else [value]
            pending += [n for n in found if isinstance(n, ast.AST) and not isinstance(n, ast.stmt | ast.ExceptHandler)]


def header(node: ast.AST) -> str:
    """The first line of a statement."""
    return ast.unparse(node).partition("\n")[0] if not isinstance(node, ast.Pass) else "removed"


def overwrite(node: ast.AST, kind: type[ast.AST], state: dict[str, object]) -> None:
    """Give a node another type and other fields."""
    node.__class__ = kind
    vars(node).clear()
    vars(node).update(state)


def mutations(path: Path) -> Iterator[Mutation]:
    """Yield all mutations of a file, one node changed in each."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    name = path.relative_to(ROOT).as_posix()
    for statement in list(statements(module)):
        before = header(statement)
        for node in list(expressions(statement)):
            kind, original = type(node), dict(vars(node))
            for changed in replacements(node):
                # Turn the node into the changed one in place, since its parent refers to it, and back afterwards.
                new = ast.Pass() if changed is None else changed
                overwrite(node, type(new), dict(vars(new)))
                after, source = header(statement), ast.unparse(module)
                overwrite(node, kind, original)
                yield Mutation(name, statement.lineno, before, after, source)


def run(copy: Path, tests: Sequence[str], limit: float) -> str:
    """Run tests in a copy of the repository: "survived", "killed" or "timeout"."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(copy)}
    try:
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return "timeout"
    return "survived" if done.returncode == 0 else "killed"


def make_copy(folder: str) -> Path:
    """Copy the repository to a folder, so that mutations never touch the original."""
    copy = Path(folder)
    copy.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    return copy


def run_all(found: Sequence[Mutation], stages: Sequence[Sequence[str]], jobs: int) -> list[tuple[Mutation, str]]:
    """Run the tests for each mutation, stage by stage until one fails; survivors have passed all stages."""
    with tempfile.TemporaryDirectory(prefix="mutants") as folder:
        copies: Queue[Path] = Queue()
        for number in range(jobs):
            copies.put(make_copy(f"{folder}/{number}"))
        first = copies.get()
        limits = []
        for tests in stages:
            start = time.perf_counter()
            if run(first, tests, 3600) != "survived":
                raise SystemExit(f"the tests {' '.join(tests)} fail without a mutation")
            limits.append(30 + 4 * (time.perf_counter() - start))
        copies.put(first)

        def outcome(mutation: Mutation) -> tuple[Mutation, str]:
            copy = copies.get()
            file = copy / mutation.path
            original = file.read_text(encoding="utf-8")
            try:
                file.write_text(mutation.source, encoding="utf-8")
                result = "survived"
                for tests, limit in zip(stages, limits, strict=True):
                    result = run(copy, tests, limit)
                    if result != "survived":
                        break
            finally:
                file.write_text(original, encoding="utf-8")
                copies.put(copy)
            print(f"{result:9} {mutation}", flush=True)
            return mutation, result

        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(outcome, found))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the mutations of the selected parts; print a summary and the survivors."""
    parts: dict[str, list[list[str]]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutants"]
    parser = argparse.ArgumentParser(prog="make mutants", description="Mutation testing of parts of the package.")
    parser.add_argument("parts", nargs="*", help=f"folders or files of {', '.join(parts)} (default: all)")
    parser.add_argument("--sample", type=int, help="number of random mutations of each part (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample (default: 0)")
    parser.add_argument("--jobs", type=int, default=2, help="number of processes (default: 2)")
    options = parser.parse_args(argv)
    survivors: list[Mutation] = []
    for part, stages in parts.items():
        chosen = [ROOT / p for p in options.parts if (ROOT / p).is_relative_to(ROOT / part)]
        if options.parts and not chosen:
            continue
        files = [f for p in chosen or [ROOT / part] for f in (sorted(p.rglob("*.py")) if p.is_dir() else [p])]
        found = [mutation for file in files for mutation in mutations(file)]
        if options.sample is not None and options.sample < len(found):
            found = sorted(random.Random(options.seed).sample(found, options.sample), key=str)
        results = run_all(found, stages, options.jobs)
        survivors += [mutation for mutation, result in results if result == "survived"]
        print(f"{part}: {dict(Counter(result for _, result in results))}", flush=True)
    print("\n".join(["", f"{len(survivors)} survivors", *map(str, survivors)]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
