"""Backward compatibility: public names, signatures, and base classes stay as data/public_interface.json has them.

New names and new optional arguments at the end are allowed; removals and changes are not. After a deliberate change,
``python tests/test_public_interface.py --write`` writes the snapshot anew.
"""

import ast
import importlib
import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from attrs import frozen

from deepbp import kernels

SNAPSHOT = Path(__file__).parent / "data" / "public_interface.json"
MODULES = (
    "deepbp",
    "deepbp.layers",
    "deepbp.losses",
    "deepbp.optimizers",
    "deepbp.optimizers.schedules",
    "deepbp.training",
    "deepbp.training.callbacks",
    "deepbp.training.metrics",
    "deepbp.testing",
    "deepbp.files",
    "deepbp.plots",
    "deepbp.processes",
    "deepbp.derivation",
    "deepbp.errors",
    "deepbp.initializers",
    "deepbp.kernels",
    "deepbp.typing",
    "deepbp.callbacks",
    "deepbp.metrics",
)
INTERNAL = {
    "Layer": {"has_penalty", "infer"},
    "ParameterVector": {"outdate"},
}
"""Members without an underscore that are no part of the interface, in these classes and all that derive from them."""

Interface = dict[str, dict[str, str]]
"""A description for each name in each module."""


@frozen
class Description:
    """What the text of a description says: ``class (units, *, use_bias=True) of Layer``."""

    kind: str
    signature: ast.arguments | None
    bases: frozenset[str]

    @classmethod
    def of(cls, text: str) -> "Description":
        match = re.fullmatch(r"(?P<kind>.*?)(?: \((?P<signature>.*)\))?(?: of (?P<bases>[\w, ]+))?", text)
        assert match is not None
        signature = None
        if match["signature"] is not None:
            function = ast.parse(f"lambda {match['signature']}: 0", mode="eval").body
            assert isinstance(function, ast.Lambda)
            signature = function.args
        return cls(match["kind"], signature, frozenset((match["bases"] or "").split(", ")) - {""})


def load_module(name: str) -> ModuleType:
    """Import it; kernels in their NumPy form, whose signatures can be read."""
    module = importlib.import_module(name)
    if module is kernels:
        kernels.use("numpy")
    return module


def names_in(module: ModuleType) -> list[str]:
    """``__all__``; without one, the type aliases, classes and functions that the module defines."""
    if (listed := getattr(module, "__all__", None)) is not None:
        return sorted(listed)
    own = {
        name
        for name, value in vars(module).items()
        if (inspect.isclass(value) or inspect.isfunction(value))
        and f"{value.__module__}.".startswith(f"{module.__name__}.")
    }
    aliases = set(getattr(module, "__annotations__", {}))
    return sorted(name for name in own | aliases if not name.startswith("_"))


def default_text(default: Any) -> str:
    """How a default is written; ``...`` where that cannot be read back, or differs from run to run."""
    text = repr(default)
    try:
        ast.parse(text, mode="eval")
    except SyntaxError:
        return "..."
    return "..." if text == "NOTHING" else text


def signature_text(callable_: Any, bound: bool = False) -> str:
    """``(units, *, use_bias=True)``; without the first parameter, if it is ``bound``."""
    parameters = list(inspect.signature(callable_).parameters.values())[bound:]
    plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    texts = [
        parameter.name
        if parameter.default is parameter.empty
        else f"{parameter.name}={default_text(parameter.default)}"
        for parameter in plain
    ]
    result: list[str] = []
    for index, (parameter, text) in enumerate(zip(plain, texts, strict=True)):
        before = plain[index - 1].kind if index else None
        if before is parameter.POSITIONAL_ONLY and parameter.kind is not parameter.POSITIONAL_ONLY:
            result.append("/")
        if parameter.kind is parameter.KEYWORD_ONLY and before not in (
            parameter.KEYWORD_ONLY,
            parameter.VAR_POSITIONAL,
        ):
            result.append("*")
        stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(parameter.kind.name, "")
        result.append(stars + text)
    if plain and plain[-1].kind is inspect.Parameter.POSITIONAL_ONLY:
        result.append("/")
    return f"({', '.join(result)})"


def public_bases(class_: type, public: set[type]) -> list[str]:
    """The names of all its base classes that users know."""
    given = (object, BaseException, Exception)
    known = [
        base for base in class_.__mro__[1:] if base in public or (base.__module__ == "builtins" and base not in given)
    ]
    return [base.__name__ for base in known]


def describe_class(class_: type) -> str:
    """Its kind and the signature of its constructor; that of an error, or of a kind of dict, says nothing."""
    if issubclass(class_, Exception):
        return "error"
    return "class" if issubclass(class_, dict) else f"class {signature_text(class_)}"


def describe(value: Any, public: set[type]) -> str:
    """The description of a name in a module."""
    if inspect.ismodule(value):
        return "module"
    if inspect.isclass(value):
        bases = public_bases(value, public)
        return describe_class(value) + (f" of {', '.join(bases)}" if bases else "")
    return f"function {signature_text(value)}" if inspect.isfunction(value) else "value"


def member_names(class_: type) -> list[str]:
    """Its public methods and attributes, without those of built-in base classes."""
    names: set[str] = set()
    internal: set[str] = set()
    for base in class_.__mro__:
        internal |= INTERNAL.get(base.__name__, set())
        if base.__module__ not in ("builtins", "typing", "abc"):
            names |= vars(base).keys() | vars(base).get("__annotations__", {}).keys()
    return sorted(name for name in names - internal if not name.startswith("_"))


def describe_member(class_: type, name: str) -> str | None:
    """The description of a method or attribute; None where there is none."""
    if name not in member_names(class_):
        return None
    member = inspect.getattr_static(class_, name, None)
    if isinstance(member, classmethod):
        return f"class method {signature_text(getattr(class_, name))}"
    if isinstance(member, staticmethod):
        return f"static method {signature_text(getattr(class_, name))}"
    return f"method {signature_text(member, bound=True)}" if inspect.isfunction(member) else "attribute"


def classes_of(modules: tuple[str, ...]) -> set[type]:
    """All public classes."""
    loaded = [load_module(name) for name in modules]
    values = [getattr(module, name) for module in loaded for name in names_in(module)]
    return {value for value in values if inspect.isclass(value)}


def fulfils(text: str, contract: str | None) -> bool:
    """Whether a member is as the base class states it. Positional arguments may be called ``z`` instead of ``x``."""
    names_only = re.compile(r"method \([\w, ]*\)")
    if contract is None or not (names_only.fullmatch(text) and names_only.fullmatch(contract)):
        return text == contract
    return text.count(",") == contract.count(",")


def interface(modules: tuple[str, ...] = MODULES) -> Interface:
    """The interface as it is. Members that a public base class describes alike are not repeated."""
    public = classes_of(modules)
    places: dict[int, str] = {}
    result: Interface = {}
    for module_name in modules:
        module = load_module(module_name)
        found = result[module_name] = {}
        for name in names_in(module):
            value = getattr(module, name)
            if id(value) in places and not inspect.ismodule(value):
                found[name] = f"same as {places[id(value)]}"
                continue
            places[id(value)] = f"{module_name}.{name}"
            found[name] = describe(value, public)
            for member in member_names(value) if inspect.isclass(value) else ():
                text = describe_member(value, member)
                bases = [base for base in value.__mro__[1:] if base in public]
                if text is not None and not any(fulfils(text, describe_member(base, member)) for base in bases):
                    found[f"{name}.{member}"] = text
    return result


def current(module: ModuleType, name: str, public: set[type]) -> str | None:
    """The description as it is now; None where there is no such name."""
    owner, _, member = name.partition(".")
    if not hasattr(module, owner):
        return None
    value = getattr(module, owner)
    if not member:
        return describe(value, public)
    return describe_member(value, member) if inspect.isclass(value) else None


def differences(was: str, now: str | None) -> Iterator[str]:
    """What is missing or changed."""
    if now is None:
        yield "is missing"
        return
    before, after = Description.of(was), Description.of(now)
    if before.kind != after.kind:
        yield f"was a {before.kind}, is a {after.kind}"
    elif before.signature is not None and after.signature is not None:
        yield from changed_arguments(before.signature, after.signature)
    for base in sorted(before.bases - after.bases):
        yield f"is no longer a {base}"


def positional(arguments: ast.arguments) -> list[tuple[str, str | None]]:
    """(name, default) of the arguments that may be given by position."""
    both = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(both) - len(arguments.defaults)) + [ast.unparse(value) for value in arguments.defaults]
    return [(argument.arg, default) for argument, default in zip(both, defaults, strict=True)]


def by_keyword(arguments: ast.arguments) -> dict[str, str | None]:
    """The default of each argument that must be given by keyword."""
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return {argument.arg: None if default is None else ast.unparse(default) for argument, default in pairs}


def changed_arguments(before: ast.arguments, after: ast.arguments) -> Iterator[str]:
    """Arguments that were removed, moved, renamed or got another default, and new ones that are required."""
    old, new = positional(before), positional(after)
    for index, (name, default) in enumerate(old):
        if index >= len(new) or new[index][0] != name:
            there = f"is {new[index][0]}" if index < len(new) else "is missing"
            yield f"positional argument {index + 1} was {name}, {there}"
        else:
            yield from changed_default(name, default, new[index][1])
    if len(before.posonlyargs) < len(after.posonlyargs):
        yield "an argument can no longer be given by keyword"
    old_keywords, new_keywords = by_keyword(before), by_keyword(after)
    for name, default in old_keywords.items():
        if name in new_keywords:
            yield from changed_default(name, default, new_keywords[name])
        elif name not in dict(new):
            yield f"keyword argument {name} is missing"
        else:
            yield from changed_default(name, default, dict(new)[name])
    added = [*new[len(old) :], *new_keywords.items()]
    for name, default in added:
        if default is None and name not in old_keywords:
            yield f"new argument {name} is required"
    for star, one, other in (("*", before.vararg, after.vararg), ("**", before.kwarg, after.kwarg)):
        if one is not None and other is None:
            yield f"{star}{one.arg} is missing"


def changed_default(name: str, before: str | None, after: str | None) -> Iterator[str]:
    if before != after and before is not None:
        yield f"default of {name} was {before}, " + ("and it is now required" if after is None else f"is {after}")


def broken(was: Interface, module_name: str) -> list[str]:
    """A line for each difference to what the module offered."""
    module, public = load_module(module_name), classes_of(MODULES)
    listed = getattr(module, "__all__", None)
    lines = []
    for name, text in was[module_name].items():
        if text.startswith("same as "):
            home, _, original = text.removeprefix("same as ").rpartition(".")
            if not hasattr(module, name):
                lines.append(f"{module_name}.{name} is missing")
            elif getattr(module, name) is not getattr(load_module(home), original, None):
                lines.append(f"{module_name}.{name} is no longer the {text}")
        else:
            lines += [f"{module_name}.{name} {line}" for line in differences(text, current(module, name, public))]
        if listed is not None and "." not in name and hasattr(module, name) and name not in listed:
            lines.append(f"{module_name}.{name} is no longer in __all__")
    return lines


def stored() -> Interface:
    result: Interface = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    return result


@pytest.fixture
def numpy_kernels() -> Iterator[None]:
    before = kernels.current()
    kernels.use("numpy")
    yield
    kernels.use("numba" if before == "numba" else "numpy")


@pytest.mark.usefixtures("numpy_kernels")
@pytest.mark.parametrize("module", MODULES)
def test_nothing_public_is_removed_or_changed(module: str) -> None:
    assert "\n".join(broken(stored(), module)) == ""


def test_snapshot_has_every_module() -> None:
    assert stored().keys() == set(MODULES)
    assert sum(map(len, stored().values())) > 400


@pytest.mark.parametrize(
    ("was", "now", "line"),
    [
        ("module", None, "is missing"),
        ("class (units)", "function (units)", "was a class, is a function"),
        ("class (units) of Layer, Base", "class (units) of Base", "is no longer a Layer"),
        ("error of DeepBPError, ValueError", "error of DeepBPError", "is no longer a ValueError"),
        ("method (x, y)", "method (y, x)", "positional argument 1 was x, is y"),
        ("method (x, y)", "method (x)", "positional argument 2 was y, is missing"),
        ("method (x=1.0)", "method (x=2.0)", "default of x was 1.0, is 2.0"),
        ("method (x=1)", "method (x)", "default of x was 1, and it is now required"),
        ("method (x)", "method (x, /)", "an argument can no longer be given by keyword"),
        ("method (*, x=')')", "method (*, x='(')", "default of x was ')', is '('"),
        ("method (*, x=1)", "method (*, y=1)", "keyword argument x is missing"),
        ("method (x)", "method (x, y)", "new argument y is required"),
        ("method (x)", "method (x, *, y)", "new argument y is required"),
        ("method (*layers)", "method ()", "*layers is missing"),
    ],
)
def test_each_break_is_named(was: str, now: str | None, line: str) -> None:
    assert line in list(differences(was, now))


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("class (x, *, y=1) of Layer", "class (x, z=2, *, w=None, y=1) of Layer, Elementwise"),
        ("method (x)", "method (x=0)"),
        ("method (*, x=1)", "method (x=1)"),
        ("attribute", "attribute"),
        ("method (x)", "method (x, *rest, **options)"),
    ],
)
def test_extensions_are_allowed(was: str, now: str) -> None:
    assert list(differences(was, now)) == []


@pytest.mark.usefixtures("numpy_kernels")
def test_planted_removal_and_changed_default_are_found() -> None:
    planted = stored()
    layers = planted["deepbp.layers"]
    layers["Dense"] = layers["Dense"].replace("use_bias=True", "use_bias=False")
    layers["Conv"] = "class (channels) of Layer"
    layers["Dense.transpose"] = "method ()"
    assert broken(planted, "deepbp.layers") == [
        "deepbp.layers.Dense default of use_bias was False, is True",
        "deepbp.layers.Conv is missing",
        "deepbp.layers.Dense.transpose is missing",
    ]


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(f"usage: python {sys.argv[0]} --write")
    SNAPSHOT.write_text(json.dumps(interface(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
