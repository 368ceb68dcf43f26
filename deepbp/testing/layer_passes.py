"""Checks of a layer's forward and backward pass."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from deepbp.errors import DeepBPError
from deepbp.layers.layer import check_class
from deepbp.testing.check import CheckFailure
from deepbp.testing.comparisons import expect_same
from deepbp.testing.layer_case import LayerCase, Pass, Specimen
from deepbp.typing import Array


def class_keeps_the_rules(case: LayerCase) -> None:
    """An attrs class, ``@define(eq=False)``."""
    for layer in (case.prototype, *case.prototype.named_layers().values()):
        try:
            check_class(layer)
        except DeepBPError as error:
            raise CheckFailure(str(error)) from None


def forward_runs(case: LayerCase) -> None:
    """Build and forward run, and forward returns the pair (output, saved), with numbers in the output."""
    output = _forward(case.build(), case.x())[0]
    if not np.isfinite(output).all():
        place = [int(i) for i in np.argwhere(~np.isfinite(output))[0]]
        raise CheckFailure(
            f"forward: expected finite numbers for ordinary inputs, got {output[tuple(place)]} at output{place}: "
            "inputs=... says what the layer takes, if that is not any number"
        )


def output_shape_as_built(case: LayerCase) -> None:
    """The output has the shape that build promised."""
    specimen, x = case.build(), case.x()
    output = _forward(specimen, x)[0]
    expected = (len(x), *specimen.output_shape)
    if output.shape != expected:
        raise CheckFailure(
            f"build promised samples of shape {specimen.output_shape}, so an output of shape {expected} for "
            f"{len(x)} samples; forward returned shape {output.shape}: return the output's shape from build"
        )


def backward_runs(case: LayerCase) -> None:
    """Backward runs and returns the error signal, of the input's shape."""
    specimen, x = case.build(), case.x()
    _, saved = specimen.layer.forward(x)
    moved: Any = specimen.layer.backward(saved, specimen.delta(x, case.rng(10)))
    if not isinstance(moved, np.ndarray):
        raise CheckFailure(
            f"backward: expected the error signal moved one layer back, an array of the input's shape {x.shape}, "
            f"returned {moved!r}{': is a return missing?' if moved is None else ''}"
        )
    if moved.shape != x.shape:
        fix = ": it is transposed" if moved.shape == x.shape[::-1] else ""
        raise CheckFailure(
            f"backward: expected the error signal to have the input's shape {x.shape}, returned {moved.shape}{fix}"
        )


def _forward(specimen: Specimen, x: Array) -> tuple[Array, Any]:
    pair: Any = specimen.layer.forward(x)
    if type(pair) is not tuple or len(pair) != 2:
        got = f"an array of shape {pair.shape}" if isinstance(pair, np.ndarray) else repr(pair)
        raise CheckFailure(
            f"forward: expected the pair (output, saved), returned {got}: write `return y, saved`, "
            "with what backward needs in saved"
        )
    if not isinstance(pair[0], np.ndarray):
        raise CheckFailure(f"forward: expected an array as output, returned {pair[0]!r}")
    return pair


def predict_equals_forward(case: LayerCase) -> None:
    """For layers that are neither random nor hold buffers."""
    specimen, x = case.build(), case.x()
    predicted = specimen.predict(x)
    if specimen.is_plain(x):
        output = specimen.forward(x)
        expect_same(predicted, output, "predict gives something else than forward, and nothing in the layer is random")


def predict_is_repeatable(case: LayerCase) -> None:
    """Twice the same, without touching buffers or random generators."""
    specimen, x = case.build(), case.x()
    buffers = {name: buffer.value.copy() for name, buffer in specimen.layer.named_buffers().items()}
    once, twice = specimen.predict(x).copy(), specimen.predict(x).copy()
    expect_same(twice, once, "predict gives something else the second time: inference must not be random", 0.0)
    expect_same(specimen.layer.predict(x.copy()), once, "predict gives something else than infer", 0.0)
    for name, buffer in specimen.layer.named_buffers().items():
        if not np.array_equal(buffer.value, buffers[name], equal_nan=True):
            raise CheckFailure(f"predict changed the buffer `{name}`: only the training pass may")


def batch_of_one(case: LayerCase) -> None:
    """A single sample."""
    _runs(case, 1)


def batch_of_many(case: LayerCase) -> None:
    """More samples than any other axis is long."""
    _runs(case, 130)


def batch_of_none(case: LayerCase) -> None:
    """No samples at all: empty results, and gradients of zero unless there is a penalty."""
    priced = case.prototype.has_penalty()  # weights cost what they cost without any samples
    for name, gradient in _runs(case, 0).items():
        if np.any(gradient) and not priced:
            raise CheckFailure(f"∂L/∂{name}: a batch of no samples gave a gradient that is not zero")


def batched_equals_one_by_one(case: LayerCase) -> None:
    """A sample's result does not depend on the others in its batch: in predict always, in training unless the layer
    has buffers, which is how one that looks at the whole batch keeps its averages, or is random.
    """
    specimen, x = case.build(), case.x()
    hint = "was an axis taken for another, or a mean taken over the batch?"
    together = specimen.predict(x).copy()
    alone = np.concatenate([specimen.predict(row[None]).copy() for row in x])
    expect_same(together, alone, f"predict: a batch gives something else than its samples one by one: {hint}")
    if not specimen.is_plain(x):
        return
    whole = specimen.forward(x).copy()
    rows = np.concatenate([specimen.forward(row[None]).copy() for row in x])
    expect_same(whole, rows, f"forward: a batch gives something else than its samples one by one: {hint}")


def any_memory_layout(case: LayerCase) -> None:
    """Fortran-ordered, strided and reversed arrays give what contiguous ones do."""
    specimen, x = case.build(), case.x()
    delta = specimen.delta(x, case.rng(10))
    predicted = specimen.predict(x).copy()
    expected = specimen.run(x, delta)
    for (name, laid_x), again, laid_delta in zip(_layouts(x), _layouts(x), _layouts(delta), strict=True):
        specimen.start_again()
        output, saved = specimen.layer.forward(laid_x)
        got = Pass(output.copy(), specimen.layer.backward(saved, laid_delta[1]), specimen.gradients())
        message = f"changes for {name} arrays: reshape, ravel and views must not assume a layout"
        expect_same(got.output, expected.output, f"the output {message}")
        expect_same(got.moved, expected.moved, f"∂L/∂x {message}")
        for parameter, gradient in got.gradients.items():
            expect_same(gradient, expected.gradients[parameter], f"∂L/∂{parameter} {message}")
        specimen.start_again()
        expect_same(specimen.layer.infer(again[1]), predicted, f"predict {message}")


def _layouts(array: Array) -> Iterator[tuple[str, Array]]:
    """The same numbers, laid out differently."""
    yield "Fortran-ordered", np.array(array, order="F")
    spread = np.zeros(tuple(2 * size for size in array.shape), array.dtype)
    view = spread[tuple(slice(None, None, 2) for _ in array.shape)]
    view[...] = array
    yield "strided", view
    yield "reversed", array[::-1].copy()[::-1]


def _runs(case: LayerCase, rows: int) -> dict[str, Array]:
    """All passes run over this many samples and give results of the right shape and without NaN; the gradients."""
    specimen, x = case.build(), case.x(rows)
    run = specimen.run(x, specimen.delta(x, case.rng(10)))
    specimen.start_again()
    expected = (rows, *specimen.output_shape)
    results = (
        ("forward", run.output, expected),
        ("backward", run.moved, x.shape),
        ("predict", specimen.predict(x), expected),
    )
    for name, array, shape in results:
        if array.shape != shape:
            raise CheckFailure(f"{name}: a batch of {rows} gave shape {array.shape}, expected {shape}")
        if not np.isfinite(array).all():
            raise CheckFailure(f"{name}: a batch of {rows} gave numbers that are not finite")
    return run.gradients


_SOURCE = "draw from builder.rng, the network's generator, which build receives"


def same_seed_same_parameters(case: LayerCase) -> None:
    """Two networks with the same seed start alike."""
    one, other = (case.build(move=False).layer for _ in range(2))
    for name, parameter in one.named_parameters().items():
        message = f"parameter `{name}` starts differently in two networks of the same seed: {_SOURCE}"
        expect_same(other.named_parameters()[name].value, parameter.value, message, 0.0)


def same_seed_same_passes(case: LayerCase) -> None:
    """Random layers repeat with the network's seed, and differ with another one."""
    x = case.x()
    runs: dict[int, list[Array]] = {}
    values: dict[str, Array] = {}
    for seed in (0, 0, 1):
        layer = case.build(seed=seed).layer
        for name, parameter in layer.named_parameters().items():  # what is drawn in passes alone is in question here
            parameter.value = values.setdefault(name, parameter.value.copy())
        outputs = [layer.forward(x.copy())[0].copy() for _ in range(2)]
        if seed in runs:
            for one, again in zip(runs[seed], outputs, strict=True):
                message = f"forward gives something else in two networks of the same seed: {_SOURCE}"
                expect_same(again, one, message, 0.0)
        runs[seed] = outputs
    is_random = not np.array_equal(runs[0][0], runs[0][1])
    if is_random and all(map(np.array_equal, runs[0], runs[1])):
        raise CheckFailure(f"forward is random, and the same for every seed of the network: {_SOURCE}")


def no_global_randomness(case: LayerCase) -> None:
    """NumPy's hidden global generator is neither read nor seeded."""
    before: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    specimen, x = case.build(), case.x()
    specimen.run(x, specimen.delta(x, case.rng(10)))
    specimen.predict(x)
    after: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    if before["state"]["pos"] != after["state"]["pos"] or not np.array_equal(
        before["state"]["key"], after["state"]["key"]
    ):
        raise CheckFailure(f"numpy.random's global generator was used, so no seed gives the same run twice: {_SOURCE}")


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
