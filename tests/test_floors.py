"""The package is a house of five floors: a lower one never imports a higher one, and no import runs in a circle."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import deepbp

ROOT = Path(deepbp.__file__).parent
FLOORS = {
    **dict.fromkeys(("arrays", "errors", "initializers", "kernels", "parameter", "typing"), 1),
    **dict.fromkeys(("layers", "losses", "optimizers"), 2),
    "training": 3,
    "sequential": 4,
}
TOP = 5


def module_name(file: Path) -> str:
    parts = ("deepbp", *file.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def module_level(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that run when the module is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        elif not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from module_level(child)


def imports(source: str, modules: set[str]) -> set[str]:
    """Those of the modules that this source imports."""
    found: set[str] = set()
    for statement in module_level(ast.parse(source)):
        if isinstance(statement, ast.Import):
            found.update(alias.name for alias in statement.names)
        else:
            assert statement.level == 0, "imports are absolute"
            names = {f"{statement.module}.{alias.name}" for alias in statement.names}
            found.update(names & modules or {str(statement.module)})
    return found & modules


def graph() -> dict[str, set[str]]:
    files = {module_name(file): file for file in ROOT.rglob("*.py")}
    return {name: imports(file.read_text(encoding="utf-8"), set(files)) for name, file in files.items()}


def floor(module: str) -> int:
    return FLOORS.get(module.split(".")[1], TOP) if "." in module else TOP


def test_no_floor_imports_a_higher_one() -> None:
    edges = [(module, target) for module, targets in graph().items() for target in targets]
    assert len(edges) > 50
    assert [(one, other) for one, other in edges if floor(other) > floor(one)] == []


def test_no_import_runs_in_a_circle() -> None:
    inner = {module: targets - {module} for module, targets in graph().items()}
    assert set(TopologicalSorter(inner).static_order()) == set(inner)  # raises CycleError, which shows the circle


def test_what_runs_later_is_no_import_of_the_module() -> None:
    source = """
import deepbp.layers
from deepbp import kernels
if TYPE_CHECKING:
    import deepbp.sequential
try:
    from deepbp.training import Trainer
except ImportError:
    pass
def late():
    import deepbp.losses
"""
    modules = {f"deepbp.{name}" for name in ("layers", "kernels", "sequential", "training", "losses")}
    assert imports(source, modules) == {"deepbp.layers", "deepbp.kernels", "deepbp.training"}
