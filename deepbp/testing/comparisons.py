"""Comparison of arrays in checks: with copies, with a tolerance, and with the values of stated formulas."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import attrs
import numpy as np

from deepbp.formulas.language import Formula, evaluate, solved
from deepbp.formulas.printer import TextPrinter, print_expression
from deepbp.parameters import Buffer, Parameter
from deepbp.testing.check import CheckFailure
from deepbp.typing import Array

__tracebackhide__ = True  # pytest shows no frames of this module

FORMULA_TOLERANCE = 1e-12


def arrays_in(saved: Any) -> Iterator[Array]:
    """Yield every array in nested lists, tuples and dicts, such as the saved values of a forward pass."""
    if isinstance(saved, np.ndarray):
        yield saved
    elif isinstance(saved, dict):
        for value in saved.values():
            yield from arrays_in(value)
    elif isinstance(saved, list | tuple):
        for value in saved:
            yield from arrays_in(value)


@contextmanager
def read_only(saved: Any) -> Iterator[None]:
    """Context manager that makes all arrays read-only, so that writing into one raises immediately."""
    writeable = [array for array in arrays_in(saved) if array.flags.writeable]
    for array in writeable:
        array.flags.writeable = False
    try:
        yield
    finally:  # owners of memory before their views: NumPy cannot make a view of a read-only array writeable
        for array in sorted(writeable, key=lambda array: array.base is not None):
            array.flags.writeable = True


def copies(saved: Any) -> list[Array]:
    """Return copies of all arrays."""
    return [array.copy() for array in arrays_in(saved)]


def unchanged(saved: Any, before: list[Array]) -> bool:
    """Whether all arrays equal their earlier copies."""
    return all(np.array_equal(now, then, equal_nan=True) for now, then in zip(arrays_in(saved), before, strict=True))


def worst_difference(got: Array, expected: Array) -> tuple[float, tuple[int, ...]]:
    """Return the largest difference, relative to the largest expected number or 1, and its index."""
    if got.size == 0:
        return 0.0, ()
    got, expected = got.astype(np.float64), expected.astype(np.float64)
    equal = (got == expected) | (np.isnan(got) & np.isnan(expected))
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.where(equal, 0.0, np.abs(got - expected))
    difference[np.isnan(difference)] = np.inf
    place = np.unravel_index(int(np.argmax(difference)), difference.shape)
    size = np.abs(expected[np.isfinite(expected)]).max(initial=1.0)
    return float(difference[place] / size), tuple(int(i) for i in place)


def expect_same(got: Array, expected: Array, message: str, tolerance: float = 1e-10) -> None:
    """Raise CheckFailure, with the message and the index of the largest difference, if two arrays differ."""
    if got.shape != expected.shape:
        raise CheckFailure(f"{message} (got shape {got.shape}, expected {expected.shape})")
    difference, place = worst_difference(got, expected)
    if difference > tolerance:
        raise CheckFailure(f"{message} (at {list(place)}: got {got[place]:.9g}, expected {expected[place]:.9g})")


def values_of_fields(instance: Any) -> dict[str, Any]:
    """Return the fields of an attrs instance by name, with the arrays of parameters and buffers, for a formula."""
    if hasattr(instance, "formula_values"):
        return dict(instance.formula_values())
    names = [a.name for a in attrs.fields(type(instance))] if attrs.has(type(instance)) else []
    held = {name: getattr(instance, name, None) for name in names}
    inner = values_of_fields(held["loss"]) if "loss" in held else {}  # whose formula may be that of the whole
    return inner | {name: v.value if isinstance(v, Parameter | Buffer) else v for name, v in held.items()}


def stated_value(what: str, expression: str, names: Mapping[str, Any]) -> Array:
    """Evaluate an expression; raises CheckFailure if it cannot be evaluated or printed."""
    try:
        print_expression(expression, {}, TextPrinter())
        return np.asarray(evaluate(expression, names))
    except Exception as error:
        raise CheckFailure(f"formula: {what} = {expression!r} cannot be evaluated: {error}") from error


def stated_solutions(formula: Formula, names: Mapping[str, Any]) -> dict[str, Any]:
    """Solve the equations of a formula; raises CheckFailure if they cannot be evaluated or printed."""
    try:
        for expression in (*formula.where.values(), *formula.where_back.values()):
            print_expression(expression, {}, TextPrinter())
        return solved(formula.where_back, solved(formula.where, names))
    except Exception as error:
        raise CheckFailure(f"formula: its equations cannot be evaluated: {error}") from error


def expect_agreement(what: str, expression: str, stated: Array, computed: Array, by: str) -> None:
    """Raise CheckFailure if formula and code differ; the message tells whether the sign is wrong."""
    message = f"formula: {what} = {expression!r} is not what {by} gives"
    if stated.shape == computed.shape and np.any(computed) and np.allclose(stated, -computed, rtol=1e-9, atol=0):
        message += ": it is the negative of it"
    expect_same(stated, computed, message, FORMULA_TOLERANCE)
