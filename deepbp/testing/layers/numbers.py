"""Number types, and numbers at the edge."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from deepbp.testing.arrays import expect_same
from deepbp.testing.check import CheckFailure
from deepbp.testing.layers.case import LayerCase, Specimen
from deepbp.typing import Array

DTYPES = ("float32", "float64")


def dtype_is_kept(case: LayerCase) -> None:
    """What goes in as float32 comes out as float32, and float64 as float64, in every array."""
    for dtype in DTYPES:
        specimen, x = case.build(dtype), case.x(dtype=dtype)
        for kind, members in (("parameter", specimen.layer.named_parameters()), ("buffer", _float_buffers(specimen))):
            for name, member in members.items():
                _expect_dtype(f"{kind} `{name}`", member.value, dtype)
        output, saved = specimen.layer.forward(x)
        _expect_dtype("forward's output", output, dtype)
        moved = specimen.layer.backward(saved, specimen.delta(x, case.rng(10)))
        if x.dtype.kind == "f":
            _expect_dtype("backward's error signal", moved, dtype)
        _expect_dtype("predict's output", specimen.predict(x), dtype)


def float32_agrees_with_float64(case: LayerCase) -> None:
    """The same numbers, to float32's precision."""
    single, double = case.build("float32"), case.build("float64")
    x, x_single = case.x(), case.x(dtype="float32")
    delta = single.delta(x_single, case.rng(10))
    for one, other in (
        (single.layer.named_parameters(), double.layer.named_parameters()),
        (single.layer.named_buffers(), double.layer.named_buffers()),
    ):
        for name, member in one.items():
            other[name].value = member.value
    got = single.run(x_single, delta)
    expected = double.run(x_single.astype(x.dtype), delta.astype(np.float64))
    message = "in float32 is another number than in float64, by more than rounding"
    expect_same(got.output, expected.output, f"the output {message}", 1e-4)
    expect_same(got.moved, expected.moved, f"∂L/∂x {message}", 1e-3)
    for name, gradient in got.gradients.items():
        expect_same(gradient, expected.gradients[name], f"∂L/∂{name} {message}", 1e-3)


def extreme_inputs(case: LayerCase) -> None:
    """±1e4, subnormal numbers and zeros give no warning and no NaN, forwards and backwards."""
    for dtype in DTYPES:
        tiny = float(np.finfo(dtype).smallest_subnormal)
        for values in ((1e4, 1e4), (-1e4, -1e4), (1e4, -1e4), (tiny, -tiny), (0.0, 0.0)):
            specimen = case.build(dtype, move=False)
            x = case.rng(40).choice(values, (case.rows, *case.input_shape)).astype(dtype)
            inputs = " and ".join(dict.fromkeys(f"{value:g}" for value in values))

            def run(specimen: Specimen = specimen, x: Array = x) -> dict[str, Array]:
                run = specimen.run(x, specimen.delta(x, case.rng(10)))
                return {"forward": run.output, "backward": run.moved, "predict": specimen.predict(x)}

            for name, array in _without_warnings(run, f"inputs of {inputs}, {dtype}").items():
                if np.isnan(array).any():
                    raise CheckFailure(f"{name}: inputs of {inputs}, {dtype}, give NaN")


def _without_warnings(run: Callable[[], dict[str, Array]], what: str) -> dict[str, Array]:
    """Underflow to zero is fine; overflow, division by zero and invalid operations are not."""
    try:
        with warnings.catch_warnings(), np.errstate(over="raise", divide="raise", invalid="raise", under="ignore"):
            warnings.simplefilter("error")
            return run()
    except (FloatingPointError, Warning) as error:
        raise CheckFailure(f"{what}: {error}: rewrite the formula so that nothing overflows") from error


def _float_buffers(specimen: Specimen) -> dict[str, Any]:
    return {name: buffer for name, buffer in specimen.layer.named_buffers().items() if buffer.value.dtype.kind == "f"}


def _expect_dtype(what: str, array: Array, dtype: str) -> None:
    if array.dtype != dtype:
        hint = (
            ": a float64 array or NumPy scalar got in, use Python numbers or arrays of x.dtype"
            if dtype == "float32"
            else ": is float32 written into the code?"
        )
        raise CheckFailure(f"{what} is {array.dtype} in a {dtype} network{hint}")
