"""The house: which room may import which, no circles, and files that hold a family each."""

import ast
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from statistics import median

import deepbp
from benchmarks.hops import count, trips

ROOT = Path(deepbp.__file__).parent
FLOORS = {
    **dict.fromkeys(
        (
            "_config",
            "_plain_text",
            "_rich",
            "_tables",
            "_validation",
            "errors",
            "formulas",
            "initializers",
            "kernels",
            "parameters",
            "processes",
            "sparse_parameters",
        ),
        1,
    ),
    **dict.fromkeys(("_suggestions", "_version", "program", "storage", "typing"), 1),
    **dict.fromkeys(("layers", "losses", "optimizers"), 2),
    **dict.fromkeys(("files", "metrics", "testing"), 3),
    **dict.fromkeys(("callbacks", "training"), 4),
    **dict.fromkeys(("derivation", "summary"), 5),
    "sequential": 6,
    "plots": 7,
    **dict.fromkeys(("export", "onnx", "sklearn"), 7),
    **dict.fromkeys(("__main__", "cli", "doctor"), 8),
}
TOP = 8  # of the package itself, whose parts are loaded on first use


def module_name(file: Path) -> str:
    parts = ("deepbp", *file.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def statements(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import, also those that run inside a function, and those for type checkers alone."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))


def imports(source: str, modules: set[str]) -> set[str]:
    """Those of the modules that this source imports."""
    found: set[str] = set()
    for statement in statements(ast.parse(source)):
        if isinstance(statement, ast.Import):
            found.update(alias.name for alias in statement.names)
        else:
            assert statement.level == 0, "imports are absolute"
            names = {f"{statement.module}.{alias.name}" for alias in statement.names}
            inside = names & modules
            found.update(inside if len(inside) == len(names) else inside | {str(statement.module)})
    return found & modules


FILES = {module_name(file): file for file in sorted(ROOT.rglob("*.py"))}
SOURCES = {name: file.read_text(encoding="utf-8") for name, file in FILES.items()}


def graph() -> dict[str, set[str]]:
    return {name: imports(source, set(FILES)) - {name} for name, source in SOURCES.items()}


def floor(module: str) -> int:
    return FLOORS[module.split(".")[1]] if "." in module else TOP


def test_no_floor_imports_a_higher_one() -> None:
    edges = [(module, target) for module, targets in graph().items() for target in targets]
    assert len(edges) > 50
    assert [f"{one} imports {other}" for one, other in edges if floor(other) > floor(one)] == []


def test_no_import_runs_in_a_circle() -> None:
    edges = graph()
    assert set(TopologicalSorter(edges).static_order()) == set(edges)  # raises CycleError, which shows the circle


def test_late_imports_count() -> None:
    source = """
import deepbp.layers
from deepbp import kernels
if TYPE_CHECKING:
    import deepbp.sequential
def late():
    from deepbp.losses import Loss
"""
    modules = {f"deepbp.{name}" for name in ("layers", "kernels", "sequential", "losses", "training")}
    assert imports(source, modules) == modules - {"deepbp.training"}


def test_no_two_modules_have_the_same_name() -> None:
    names = Counter(file.stem for file in FILES.values() if file.stem not in ("__init__", "__main__"))
    aliases = {"callbacks": 1, "metrics": 1}  # deepbp.training.callbacks and .metrics, the old homes of these two
    assert {name for name, count in names.items() if count > aliases.get(name, 1)} == set()


def test_files_hold_families() -> None:
    """A reader opens few files, and each is worth opening; imports are a small share of what is read."""
    lines = {name: source.splitlines() for name, source in SOURCES.items()}
    imported = sum(len(list(statements(ast.parse(source)))) for source in SOURCES.values())
    assert len(FILES) <= 244
    assert median(map(len, lines.values())) >= 110
    assert imported <= 0.06 * sum(map(len, lines.values()))
    assert [name for name, text in lines.items() if len(text) > 460] == []


def test_a_call_of_fit_goes_through_few_files(tmp_path: Path) -> None:
    """One batch of a small net: each call into another file is a place that a reader has to look up."""
    fit = dict(trips(tmp_path))["fit, 1 epoch, 1 batch"]
    fit()  # the first call imports and caches
    assert count(fit).file_hops <= 73
