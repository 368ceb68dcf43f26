"""Command-line interface, ``python -m deepbp``: checks of a user's class, derivations, and performance diagnosis."""

import argparse
import difflib
import inspect
import io
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any

from deepbp._plain_text import ERRORS
from deepbp._validation import as_shape
from deepbp.doctor import examine
from deepbp.errors import DeepBPError
from deepbp.initializers import Initializer
from deepbp.layers import Layer
from deepbp.losses import Loss
from deepbp.optimizers import Optimizer
from deepbp.testing import Check, initializer_checks, layer_checks, loss_checks, optimizer_checks
from deepbp.testing.check import report, run_in_stages
from deepbp.typing import Shape


class UsageError(DeepBPError, ValueError):
    """Invalid command line; the message explains the correct usage."""


KINDS = (Layer, Loss, Optimizer, Initializer)


def load_subject(text: str, arguments: str | None) -> tuple[Any, ModuleType]:
    """Return the object to check, and the module that defines it.

    Args:
        text: ``FILE.py:NAME`` or ``FILE.py:EXPRESSION``; a class is called without arguments.
        arguments: source of the constructor arguments, such as ``"3, bias=False"``.

    Raises:
        UsageError: if the file or name does not exist, or the class does not accept the arguments.
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
    """Evaluate an expression in the namespace of a module."""
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
    name = f"checked_{path.stem}"  # with a prefix, so that a file random.py does not replace Python's module
    spec = spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise UsageError(f"{path}: cannot be imported")
    module = module_from_spec(spec)
    sys.modules[name] = module  # so that pickle finds the file's classes
    sys.path.insert(0, str(path.resolve().parent))  # so that the file can import its neighbors, as a script can
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        last = extract_tb(error.__traceback__)[-1]
        line = "" if isinstance(error, SyntaxError) else f" ({Path(last.filename).name}, line {last.lineno})"
        raise UsageError(f"{path}: importing it raises {type(error).__name__}: {error}{line}") from error
    return module


def _check_call(cls: type, expression: str, module: ModuleType) -> None:
    """Raise UsageError if a class is abstract or requires arguments."""
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
    """Suggest classes of the file for an unknown name."""
    own = [key for key, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    names = [key for key in own if isinstance(vars(module)[key], type) and issubclass(vars(module)[key], KINDS)]
    close = difflib.get_close_matches(name, names, n=1)
    return f": did you mean {close[0]}?" if close else f": it has {', '.join(names) or 'no layer, loss or optimizer'}"


def _shape(text: str) -> Shape:
    try:
        return as_shape([int(size) for size in text.strip("()[], ").split(",")])
    except (ValueError, DeepBPError):
        raise argparse.ArgumentTypeError(f"expected sizes such as 5 or 3,8,8, got {text!r}") from None


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, got {text!r}")
    return int(text)


def add_check_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``check`` to a parser."""
    parser.add_argument(
        "subject", metavar="FILE:CLASS", help="class or instance: my_layer.py:Swish, my_layer.py:'Swish(3, bias=False)'"
    )
    parser.add_argument("--input-shape", type=_shape, metavar="SIZES", help="shape of one sample, such as 5 or 3,8,8")
    parser.add_argument("--output-shape", type=_shape, metavar="SIZES", help="shape of one prediction, for a loss")
    parser.add_argument("--arguments", metavar="EXPRESSION", help="constructor arguments, such as '3, bias=False'")
    parser.add_argument(
        "--inputs", metavar="NAME", help="function (rng, shape) in FILE that draws valid inputs of a layer"
    )
    for kind in ("predictions", "targets"):
        help_text = f"function (rng, shape) in FILE that draws valid {kind} of a loss; shape: of the predictions"
        parser.add_argument(f"--{kind}", metavar="NAME", help=help_text)
    parser.add_argument("--seed", type=_seed, default=0, help="seed of all random numbers (default: 0)")


def run_check(arguments: argparse.Namespace) -> int:
    """Print a line for each check, then a report of the failures; returns 0 if all checks pass, else 1."""
    checks = list(_checks(arguments))
    print(f"{checks[0].subject}\n")
    done = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checks of extreme inputs turn warnings into failures
        for check, message in run_in_stages(checks):
            done.append((check, message))
            print(f"  {'·' if message is None else '✗' if message else '✓'} {check.name}", flush=True)
    wrong = report(done)
    print(f"\n{wrong}" if wrong else f"\nright: all {len(done)} checks passed")
    return 1 if wrong else 0


def _checks(arguments: argparse.Namespace) -> Iterator[Check]:
    subject, module = load_subject(arguments.subject, arguments.arguments)
    options: dict[str, Any] = {"rng": arguments.seed}
    if not isinstance(subject, Layer) and (arguments.input_shape or arguments.inputs):
        raise UsageError(f"--input-shape and --inputs are for layers; {subject} is none")
    of_losses = {"--output-shape": arguments.output_shape}
    of_losses |= {"--predictions": arguments.predictions, "--targets": arguments.targets}
    for option, given in of_losses.items():
        if given and not isinstance(subject, Loss):
            raise UsageError(f"{option} is for losses; {subject} is none")
    for option in ("inputs", "predictions", "targets"):
        if name := getattr(arguments, option):
            options[option] = evaluate(name, module)
            if not callable(options[option]):
                raise UsageError(f"--{option}: expected a function (rng, shape) -> array, got {options[option]!r}")
    if isinstance(subject, Layer):
        if arguments.input_shape is None:
            raise UsageError(f"{subject}: on samples of which shape? add --input-shape 5, or --input-shape 3,8,8")
        return layer_checks(subject, arguments.input_shape, **options)
    if isinstance(subject, Loss):
        return loss_checks(subject, arguments.output_shape or (3,), **options)
    if isinstance(subject, Optimizer):
        return optimizer_checks(subject, **options)
    return initializer_checks(subject, **options)


def add_doctor_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``doctor`` to a parser."""
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run_doctor(arguments: argparse.Namespace) -> int:
    """Print the report; returns 1 if a setting would be faster, else 0."""
    found = examine()
    print(found.to_json() if arguments.json else found)
    return int(bool(found.faster))


def add_derive_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``derive`` to a parser."""
    parser.add_argument("formula", help="output of a layer, such as 'x * sigmoid(slope * x)'; or a loss, or a penalty")
    parser.add_argument(
        "--parameter", action="append", default=[], metavar="NAME", help="a trainable parameter: slope, or weight:4,3"
    )
    parser.add_argument(
        "--constant", action="append", default=[], metavar="NAME=NUMBER", help="another name, such as beta=2.0"
    )
    parser.add_argument("--input-shape", type=_shape, default=(4,), metavar="SIZES", help="shape of one sample")
    parser.add_argument("--name", default="Derived", help="name of the class that is written")
    parser.add_argument(
        "--format", choices=("text", "latex", "html", "source"), default="text", help="text has the source below it"
    )


def run_derive(arguments: argparse.Namespace) -> int:
    """Print the derivation of a formula, and the source of its class; returns 0."""
    from deepbp.derivation import derive

    parameters: dict[str, Shape | None] = {}
    for given in arguments.parameter:
        name, colon, sizes = given.partition(":")
        try:
            parameters[name] = _shape(sizes) if colon else None
        except argparse.ArgumentTypeError as error:
            raise UsageError(f"--parameter {given}: {error}") from None
    constants: dict[str, float] = {}
    for given in arguments.constant:
        name, _, value = given.partition("=")
        try:
            constants[name] = float(value)
        except ValueError:
            raise UsageError(f"--constant: expected NAME=NUMBER, such as beta=2.0, got {given!r}") from None
    try:
        found = derive(arguments.formula, parameters, constants=constants, input_shape=arguments.input_shape)
    except DeepBPError as error:
        raise UsageError(str(error)) from error
    if arguments.format == "text":
        print(found)
    if arguments.format in ("text", "source"):
        try:
            print(found.source(arguments.name), end="")
        except DeepBPError as error:
            raise UsageError(str(error)) from error
    else:
        print(found.to_latex(document=True) if arguments.format == "latex" else found.to_html())
    return 0


COMMANDS = {
    "check": (
        "Check a layer, loss, optimizer or initializer in a Python file: check my_layer.py:Swish.",
        add_check_arguments,
        run_check,
    ),
    "derive": (
        "Derive the backward pass of a formula step by step, and write the layer's class: derive 'x * sigmoid(x)'.",
        add_derive_arguments,
        run_derive,
    ),
    "doctor": (
        "Show the configuration that affects performance, and measure whether another one is faster.",
        add_doctor_arguments,
        run_doctor,
    ),
}
"""For each command: summary, function that adds its arguments to a parser, function that runs it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 for success, 1 for a negative result, 2 for invalid usage."""
    parser = argparse.ArgumentParser(
        prog="python -m deepbp", description="Backpropagation through any number of layers."
    )
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name, (summary, add_arguments, run) in COMMANDS.items():
        subparser = commands.add_parser(name, help=summary, description=summary)
        add_arguments(subparser)
        subparser.set_defaults(run=run)
    arguments = parser.parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ERRORS)
    try:
        return int(arguments.run(arguments))
    except UsageError as error:
        print(f"{parser.prog} {arguments.command}: {error}", file=sys.stderr)
        return 2
