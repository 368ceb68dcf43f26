"""The API reference: one page for each public name, written before Sphinx reads the sources."""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from copy import deepcopy
from importlib import import_module
from itertools import pairwise, takewhile
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from attrs import frozen

import deepbp
from building import formulas
from deepbp import kernels
from deepbp.layers import Layer, Penalty
from deepbp.losses import Loss

ROOT = Path(__file__).parents[2]
INTERNAL = {"has_penalty", "infer", "outdate"}  # as in tests/test_public_interface.py


@frozen
class Name:
    """A public name: where it lives, what it is, and under which other paths it can be imported."""

    module: str
    name: str
    value: Any
    aliases: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The dotted path, which is also the name of the page."""
        return f"{self.module}.{self.name}"


def public_modules() -> list[ModuleType]:
    """deepbp, its modules that list public names, and the modules among those names; aliases of old paths left out."""
    names = ["deepbp", *(f"deepbp.{found.name}" for found in iter_modules(deepbp.__path__) if found.name[0] != "_")]
    found = [module for module in map(import_module, names) if listed(module)]
    values = [getattr(module, name) for module in found[1:] for name in listed(module)]
    return sorted([*found, *filter(inspect.ismodule, values)], key=lambda module: module.__name__)


def listed(module: ModuleType) -> list[str]:
    """The public names of a module; those of the kernels are functions, in whatever form they are loaded."""
    if module is kernels:
        kernels.use("numpy")
        functions = {name: value for name, value in vars(kernels).items() if inspect.isfunction(value)}
        return [name for name, value in functions.items() if name[0] != "_" and value.__module__.startswith("deepbp.")]
    return list(getattr(module, "__all__", ()))


def public_names(modules: list[ModuleType]) -> list[Name]:
    """Every public object once, at the module that it says it comes from, with its other paths."""
    paths: dict[int, list[tuple[str, str, Any]]] = {}
    for module in modules:
        for name in listed(module):
            value = getattr(module, name)
            if not inspect.ismodule(value):
                paths.setdefault(id(value), []).append((module.__name__, name, value))
    return [_at_home(places) for places in paths.values()]


def _at_home(places: list[tuple[str, str, Any]]) -> Name:
    value = places[0][2]
    own = getattr(value, "__module__", "")
    home = next((place for place in places if place[0] == own), places[0])
    aliases = tuple(f"{module}.{name}" for module, name, _ in places if (module, name) != home[:2])
    return Name(*home, aliases)


def examples() -> dict[type, Any]:
    """A configured instance of each built-in class: layers with an input shape, losses, optimizers. They are copies."""
    sys.path.insert(0, str(ROOT / "tests" / "testing"))
    try:
        built_in = import_module("every_builtin")
    finally:
        sys.path.pop(0)
    found: dict[type, Any] = {}
    for layer, shape, *_ in (*built_in.BUILTIN_LAYERS, *built_in.CATEGORY_LAYERS):
        found.setdefault(type(layer), (layer, shape))
    for loss, *_ in built_in.BUILTIN_LOSSES:
        found.setdefault(type(loss), loss)
    for optimizer in built_in.BUILTIN_OPTIMIZERS:
        found.setdefault(type(optimizer), optimizer)
    return deepcopy(found)


def formula_of(kind: Any, instances: dict[type, Any]) -> str:
    """The typeset formulas of a class; empty if it states none."""
    if not isinstance(kind, type):
        return ""
    if issubclass(kind, Penalty):
        return formulas.as_html(formulas.penalty_sections(kind))
    if kind not in instances:
        return ""
    example = instances[kind]
    if issubclass(kind, Layer):
        layer, shape = example
        return formulas.as_html(formulas.layer_sections(layer, shape), repr(layer), f", for samples of shape {shape}")
    sections = formulas.loss_sections if issubclass(kind, Loss) else formulas.optimizer_sections
    return formulas.as_html(sections(example), repr(example))


def members(kind: type, public: set[Any]) -> list[str]:
    """The documented methods and properties that a class defines itself, or inherits from a class without a page."""
    found: list[str] = []
    public_bases = [one for one in kind.__mro__[1:] if one in public]
    for owner in takewhile(lambda one: one is kind or one not in public, kind.__mro__):
        for name, value in vars(owner).items():
            is_method = inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod)
            inherited = any(
                getattr(base, name, None) and value.__doc__ == getattr(base, name).__doc__ for base in public_bases
            )
            if (
                is_method
                and value.__doc__
                and not inherited
                and name[0] != "_"
                and name not in INTERNAL
                and _is_own(owner)
            ):
                found.append(name)
    return list(dict.fromkeys(found))


def _is_own(owner: type) -> bool:
    return owner.__module__.partition(".")[0] == "deepbp"


def first_line(value: Any) -> str:
    """The first sentence of a docstring, as one line for a table."""
    text = (inspect.getdoc(value) or "").partition("\n\n")[0]
    return " ".join(text.split()).removesuffix(":")


def escaped(text: str) -> str:
    """Text outside of ``code``, where bars and stars of mathematics would be markup."""
    parts = text.split("``")
    return "``".join(part if i % 2 else part.replace("|", r"\|").replace("*", r"\*") for i, part in enumerate(parts))


def alias_in_source(module: str, name: str) -> tuple[str, str]:
    """What a type alias stands for, and the text below its assignment, which no object can hold."""
    package = ROOT.joinpath(*module.split("."))
    for file in sorted(package.rglob("*.py")) if package.is_dir() else [package.with_suffix(".py")]:
        body = ast.parse(file.read_text(encoding="utf-8")).body
        for one, text in pairwise(body):
            if isinstance(one, ast.AnnAssign) and ast.unparse(one.target) == name and isinstance(text, ast.Expr):
                return ast.unparse(one.value) if one.value else "", str(ast.literal_eval(text.value))
    return "", ""


def page(name: Name, instances: dict[type, Any], public: set[Any]) -> str:
    """The page of a name, in reStructuredText."""
    value = name.value
    lines = [name.name, "=" * len(name.name), ""]
    if html := formula_of(value, instances):
        lines += [".. raw:: html", "", *(f"   {line}" for line in html.splitlines()), ""]
    if isinstance(value, type):
        lines += [f".. auto{'exception' if issubclass(value, BaseException) else 'class'}:: {name.path}"]
        lines += [f"   :members: {', '.join(found)}" for found in [members(value, public)] if found]
        if base := next((one for one in value.__mro__[1:] if one in public), None):
            lines += ["", f"   Derived from ``{base.__module__}.{base.__name__}``."]
    elif inspect.isroutine(value):
        lines += [f".. autofunction:: {name.path}"]
    else:
        meaning, text = alias_in_source(name.module, name.name)
        lines += [f".. py:data:: {name.path}", f"   :value: {meaning}", "", f"   {escaped(text)}"]
    if name.aliases:
        lines += ["", "Also importable as " + ", ".join(f"``{alias}``" for alias in name.aliases) + "."]
    return "\n".join(lines) + "\n"


def module_page(module: ModuleType, names: list[Name]) -> str:
    """The page of a module: its docstring, and a table of its names with their first sentences."""
    title = module.__name__
    inside = {f"{title}.{name}" for name in listed(module)}
    rows = sorted((one for one in names if {one.path, *one.aliases} & inside), key=lambda one: one.name.lower())
    lines = [title, "=" * len(title), "", f".. automodule:: {title}", "   :no-members:", ""]
    lines += [".. list-table::", "   :widths: 30 70", ""]
    for one in rows:
        line = first_line(one.value) if inspect.isroutine(one.value) or isinstance(one.value, type) else "A type alias."
        lines += [f"   * - :doc:`{one.name} <{one.path}>`", f"     - {escaped(line)}"]
    lines += ["", ".. toctree::", "   :hidden:", ""]
    lines += [f"   {one.name} <{one.path}>" for one in rows if one.module == title]
    return "\n".join(lines) + "\n"


def pages() -> Iterator[tuple[str, str]]:
    """The file name and the text of every page of the reference."""
    modules = public_modules()
    names = public_names(modules)
    instances, public = examples(), {name.value for name in names if isinstance(name.value, type)}
    for name in names:
        yield f"{name.path}.rst", page(name, instances, public)
    for module in modules:
        yield f"{module.__name__}.rst", module_page(module, names)
    titles = [module.__name__ for module in modules]
    lines = ["API reference", "=============", "", ".. list-table::", "   :widths: 30 70", ""]
    for module in modules:
        lines += [f"   * - :doc:`{module.__name__}`", f"     - {escaped(first_line(module))}"]
    yield "index.rst", "\n".join([*lines, "", ".. toctree::", "   :hidden:", "", *(f"   {t}" for t in titles)]) + "\n"


def write(folder: Path) -> None:
    """Write the pages that changed, and remove those of names that are gone."""
    folder.mkdir(exist_ok=True)
    written = dict(pages())
    for file in folder.iterdir():
        if file.name not in written:
            file.unlink()
    for file_name, text in written.items():
        file = folder / file_name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


def escape_docstring(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Escape the bars of |x| in a docstring, outside of code, for Sphinx."""
    in_example = False
    for i, line in enumerate(lines):
        in_example = line.lstrip().startswith(">>>") or (in_example and bool(line.strip()))
        if not in_example:
            parts = line.split("``")
            lines[i] = "``".join(part if k % 2 else part.replace("|", r"\|") for k, part in enumerate(parts))


ANY = r"(~?typing\.)?Any"
SHORTER = [
    (rf"(~?numpy\.)?ndarray\[tuple\[{ANY}, \.\.\.\], (~?numpy\.)?dtype\[{ANY}\]\]", "Array"),
    (r"([~\w.]*_Buffer \| )?[~\w.]*_SupportsArray\[.*?_NestedSequence\[complex \| bytes \| str\]", "ArrayLike"),
    (r"= NOTHING", "= ..."),
]


def shorten_signature(
    app: Any, what: str, name: str, value: Any, options: Any, signature: str | None, result: str | None
) -> tuple[str | None, str | None]:
    """Write the types of arrays by their names in ``deepbp.typing``, which Python has forgotten."""
    texts = [signature, result]
    for pattern, short in SHORTER:
        texts = [None if text is None else re.sub(pattern, short, text) for text in texts]
    return texts[0], texts[1]
