"""Nobody writes into an array it received or has handed out."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from deepbp.testing.arrays import arrays_in, copies, sealed, unchanged
from deepbp.testing.blame import blame
from deepbp.testing.check import CheckFailure
from deepbp.testing.layers.case import LayerCase


def input_stays(case: LayerCase) -> None:
    """Forward and predict do not write into x."""
    specimen = case.build()
    for name, call in (("forward", specimen.layer.forward), ("predict", specimen.predict)):
        x = case.x()
        before = x.copy()
        call(x)
        if not np.array_equal(x, before):
            raise CheckFailure(f"{name} wrote into its input: x belongs to the caller, make a new array")
        message = f"{name} writes into its input: x belongs to the caller, make a new array"
        _without_writing(message, x, partial(call, x))


def delta_stays(case: LayerCase) -> None:
    """Backward does not write into delta."""
    specimen, x = case.build(), case.x()
    delta = specimen.delta(x, case.rng(10))
    message = "into delta, the error signal it received: make a new array"
    for method in (specimen.layer.backward, specimen.layer.backward_parameters):
        given = delta.copy()
        method(specimen.layer.forward(x)[1], given)
        if not np.array_equal(given, delta):
            raise CheckFailure(f"{method.__name__} wrote {message}")
        saved = specimen.layer.forward(x)[1]
        _without_writing(f"{method.__name__} writes {message}", given, partial(method, saved, given))


def saved_stays(case: LayerCase) -> None:
    """Backward does not write into what forward saved, so that it can run again; neither does a later forward."""
    specimen, x = case.build(), case.x()
    delta = specimen.delta(x, case.rng(10))
    _, saved = specimen.layer.forward(x)
    before = copies(saved)
    specimen.layer.forward(case.x(stream=1))
    if not unchanged(saved, before):
        raise CheckFailure("a second forward overwrote what the first one saved: return new arrays each time")
    specimen.layer.backward(saved, delta.copy())
    if not unchanged(saved, before):
        raise CheckFailure("backward wrote into saved: another layer may hold the same array, make a new one")
    _, saved = specimen.layer.forward(x.copy())
    message = "backward writes into saved: another layer may hold the same array, make a new one"
    _without_writing(message, saved, lambda: specimen.layer.backward(saved, delta.copy()))


def results_stay(case: LayerCase) -> None:
    """Outputs and error signals stay as they were handed out, whatever runs later."""
    specimen, x = case.build(), case.x()
    delta = specimen.delta(x, case.rng(10))
    output, saved = specimen.layer.forward(x)
    first = output.copy()
    moved = specimen.layer.backward(saved, delta)
    if not np.array_equal(output, first):
        raise CheckFailure("backward wrote into the output that forward had handed out: make a new array")
    second = moved.copy()
    predicted = specimen.predict(x)
    third = predicted.copy()
    specimen.layer.backward(specimen.layer.forward(case.x(stream=1))[1], specimen.delta(x, case.rng(12)))
    specimen.predict(case.x(stream=2))
    for name, array, before in (
        ("an output that forward had handed out", output, first),
        ("an error signal that backward had handed out", moved, second),
        ("an output that predict had handed out", predicted, third),
    ):
        if not np.array_equal(array, before):
            raise CheckFailure(f"a later pass wrote into {name}: return new arrays each time")


def results_are_not_parameters(case: LayerCase) -> None:
    """No output and no error signal is a view of a parameter's value or gradient, which a step will change."""
    specimen, x = case.build(), case.x()
    output, saved = specimen.layer.forward(x)
    moved = specimen.layer.backward(saved, specimen.delta(x, case.rng(10)))
    for name, parameter in specimen.layer.named_parameters().items():
        for what, result in (("the output", output), ("the error signal", moved)):
            for array in arrays_in([parameter.value, parameter.grad]):
                if np.shares_memory(result, array):
                    raise CheckFailure(f"{what} shares its memory with the parameter `{name}`: return a copy")


def _without_writing(message: str, arrays: Any, call: Callable[[], object]) -> None:
    """Run with read-only arrays, and turn NumPy's refusal to write into the message."""
    try:
        with sealed(arrays):
            call()
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        line = blame(error).partition("\n")[2]
        raise CheckFailure(f"{message}\n{line}".rstrip()) from error
