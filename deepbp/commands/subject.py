"""What stands behind ``my_layer.py:Swish(3)``: the file, imported by its path, and the object that it names."""

import difflib
import inspect
import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any

from deepbp.commands import UsageError
from deepbp.initializers import Initializer
from deepbp.layers import Layer
from deepbp.losses import Loss
from deepbp.optimizers import Optimizer

KINDS = (Layer, Loss, Optimizer, Initializer)


def load_subject(text: str, arguments: str | None) -> tuple[Any, ModuleType]:
    """The object to check, and the module it comes from.

    Args:
        text: ``FILE.py:NAME`` or ``FILE.py:EXPRESSION``; a class is called without arguments.
        arguments: with which a class is called instead.

    Raises:
        UsageError: for a file or a name that does not exist, and for arguments that the class does not take.
    """
    match = re.fullmatch(r"(?P<path>.+?\.py):(?P<expression>.+)", text, re.DOTALL)
    if match is None:
        raise UsageError(f"expected FILE.py:CLASS, such as my_layer.py:Swish, got {text!r}")
    module = _load_module(Path(match["path"]))
    found = evaluate(match["expression"], module)
    if arguments is not None:
        found = evaluate(f"{match['expression']}({arguments})", module)
    elif isinstance(found, type):
        _check_call(found, match["expression"], module)
        found = evaluate(f"{match['expression']}()", module)
    if not isinstance(found, KINDS):
        raise UsageError(
            f"{match['expression']}: expected a layer, a loss, an optimizer or an initializer, got {found!r}: "
            "a layer's class inherits from deepbp.layers.Layer"
        )
    return found, module


def evaluate(expression: str, module: ModuleType) -> Any:
    """The value of an expression in the names of a module."""
    place = Path(str(module.__file__)).name
    try:
        return eval(expression, vars(module))
    except NameError as error:
        raise UsageError(f"{place} has no {error.name!r}{_instead(str(error.name), module)}") from error
    except Exception as error:
        raise UsageError(f"{expression} raises {type(error).__name__}: {error}") from error


def _load_module(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"there is no file {path} in {Path.cwd()}")
    name = f"checked_{path.stem}"  # not the stem itself: a file called random.py must not stand in for Python's own
    spec = spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise UsageError(f"{path}: cannot be imported")
    module = module_from_spec(spec)
    sys.modules[name] = module  # where pickle looks for the file's classes
    sys.path.insert(0, str(path.resolve().parent))  # for the files beside it, as if it were run
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        last = extract_tb(error.__traceback__)[-1]
        line = "" if isinstance(error, SyntaxError) else f" ({Path(last.filename).name}, line {last.lineno})"
        raise UsageError(f"{path}: importing it raises {type(error).__name__}: {error}{line}") from error
    return module


def _check_call(cls: type, expression: str, module: ModuleType) -> None:
    """Refuse a class that cannot be called without arguments."""
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing and issubclass(cls, KINDS):
        raise UsageError(f"{cls.__name__}: has no {' and no '.join(missing)}, which its contract asks for")
    try:
        inspect.signature(cls).bind()
    except TypeError as error:
        file = Path(str(module.__file__)).name
        raise UsageError(
            f"{cls.__name__}{inspect.signature(cls)}: {error}: write {file}:'{expression}(...)', or --arguments '...'"
        ) from error


def _instead(name: str, module: ModuleType) -> str:
    """The classes of the file that could be meant."""
    own = [key for key, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    names = [key for key in own if isinstance(vars(module)[key], type) and issubclass(vars(module)[key], KINDS)]
    close = difflib.get_close_matches(name, names, n=1)
    return f": did you mean {close[0]}?" if close else f": it has {', '.join(names) or 'no layer, loss or optimizer'}"
