"""Stated formulas, evaluated and held against the code."""

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np

from deepbp.formulas.language import evaluate
from deepbp.formulas.printer import TextPrinter, print_expression
from deepbp.parameters import Buffer, Parameter
from deepbp.testing.check import CheckFailure
from deepbp.testing.comparisons import expect_same
from deepbp.typing import Array

TOLERANCE = 1e-12


def values_of_fields(instance: Any) -> dict[str, Any]:
    """What the names of the fields stand for in a formula: parameters and buffers stand for their values."""
    names = [a.name for a in attrs.fields(type(instance))] if attrs.has(type(instance)) else []
    held = {name: getattr(instance, name, None) for name in names}
    return {name: v.value if isinstance(v, Parameter | Buffer) else v for name, v in held.items()}


def stated_value(what: str, expression: str, names: Mapping[str, Any]) -> Array:
    """The expression's value; CheckFailure where it has none, or cannot be printed."""
    try:
        print_expression(expression, {}, TextPrinter())
        return np.asarray(evaluate(expression, names))
    except Exception as error:
        raise CheckFailure(f"formula: {what} = {expression!r} cannot be evaluated: {error}") from error


def expect_agreement(what: str, expression: str, stated: Array, computed: Array, by: str) -> None:
    """Raise CheckFailure where formula and code differ, saying how where one is the other's negative."""
    message = f"formula: {what} = {expression!r} is not what {by} gives"
    if stated.shape == computed.shape and np.any(computed) and np.allclose(stated, -computed, rtol=1e-9, atol=0):
        message += ": it is the negative of it"
    expect_same(stated, computed, message, TOLERANCE)
