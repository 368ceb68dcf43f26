"""Prove a layer in a file of yours right, or a loss, an optimizer, an initializer: check my_layer.py:Swish."""

import argparse
import warnings
from collections.abc import Iterator
from typing import Any

from deepbp.arrays import as_shape
from deepbp.commands import UsageError
from deepbp.commands.subject import evaluate, load_subject
from deepbp.errors import DeepBPError
from deepbp.layers import Layer
from deepbp.losses import Loss
from deepbp.optimizers import Optimizer
from deepbp.testing import Check, initializer_checks, layer_checks, loss_checks, optimizer_checks
from deepbp.testing.check import outcomes, report
from deepbp.typing import Shape


def _shape(text: str) -> Shape:
    try:
        return as_shape([int(size) for size in text.strip("()[], ").split(",")])
    except (ValueError, DeepBPError):
        raise argparse.ArgumentTypeError(f"expected sizes such as 5 or 3,8,8, got {text!r}") from None


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, got {text!r}")
    return int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "subject", metavar="FILE:CLASS", help="such as my_layer.py:Swish, or my_layer.py:'Swish(3, bias=False)'"
    )
    parser.add_argument("--input-shape", type=_shape, metavar="SIZES", help="of one sample: 5 or 3,8,8 (for a layer)")
    parser.add_argument("--output-shape", type=_shape, metavar="SIZES", help="of one prediction: 3 (for a loss)")
    parser.add_argument("--arguments", metavar="EXPRESSION", help="of the constructor, such as '3, bias=False'")
    parser.add_argument(
        "--inputs", metavar="NAME", help="a function (rng, shape) in FILE that draws what a layer takes"
    )
    parser.add_argument("--seed", type=_seed, default=0, help="of all random numbers (default: 0)")


def run(arguments: argparse.Namespace) -> int:
    """Print a line for each check, then why some failed; 0 when the subject is right, 1 when it is wrong."""
    checks = list(_checks(arguments))
    print(f"{checks[0].subject}\n")
    done = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those that matter are looked for by a check of their own
        for check, message in outcomes(checks):
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
    if not isinstance(subject, Loss) and arguments.output_shape:
        raise UsageError(f"--output-shape is for losses; {subject} is none")
    if isinstance(subject, Layer):
        if arguments.input_shape is None:
            raise UsageError(f"{subject}: on samples of which shape? add --input-shape 5, or --input-shape 3,8,8")
        if arguments.inputs:
            options["inputs"] = evaluate(arguments.inputs, module)
            if not callable(options["inputs"]):
                raise UsageError(f"--inputs: expected a function (rng, shape) -> array, got {options['inputs']!r}")
        return layer_checks(subject, arguments.input_shape, **options)
    if isinstance(subject, Loss):
        return loss_checks(subject, arguments.output_shape or (3,), **options)
    if isinstance(subject, Optimizer):
        return optimizer_checks(subject, **options)
    return initializer_checks(subject, **options)
