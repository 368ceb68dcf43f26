"""Checks of a layer's passes: return values, batch sizes, memory layouts, randomness, dtypes, extreme inputs."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from deepbp.errors import DeepBPError, shown
from deepbp.layers.layer import check_class
from deepbp.layers.observed_pass import ObservedPass
from deepbp.testing.check import CheckFailure
from deepbp.testing.comparisons import expect_same
from deepbp.testing.equivalent_class import undeclared_fields
from deepbp.testing.layer_case import BuiltLayer, LayerCase, PassResult
from deepbp.typing import Array

__tracebackhide__ = True  # pytest shows no frames of this module


def class_keeps_the_rules(case: LayerCase) -> None:
    """The class is an attrs class, decorated with ``@define(eq=False)``."""
    for layer in (case.given, *case.given.named_layers().values()):
        try:
            check_class(layer)
        except DeepBPError as error:
            text = str(error)
            if layer is case.given and layer is not case.prototype:
                text += "\nThe other checks ran on an equivalent class that has the decorator."
                if fields := undeclared_fields(layer, case.prototype):
                    text += f"\nDeclare the attributes that __init__ or build sets as fields: {', '.join(fields)}"
            raise CheckFailure(text) from None


def forward_runs(case: LayerCase) -> None:
    """``build`` and ``forward`` run, and ``forward`` returns (output, saved) with a finite output."""
    output = _forward(case.build(), case.x())[0]
    if not np.isfinite(output).all():
        place = [int(i) for i in np.argwhere(~np.isfinite(output))[0]]
        raise CheckFailure(
            f"forward: expected finite numbers for ordinary inputs, got {output[tuple(place)]} at output{place}: "
            "inputs=... says what the layer takes, if that is not any number"
        )


def output_shape_as_built(case: LayerCase) -> None:
    """The output has the shape that ``build`` returned."""
    built, x = case.build(), case.x()
    output = _forward(built, x)[0]
    expected = (len(x), *built.output_shape)
    if output.shape != expected:
        raise CheckFailure(
            f"build promised samples of shape {built.output_shape}, so an output of shape {expected} for "
            f"{len(x)} samples; forward returned shape {output.shape}: return the output's shape from build"
        )


def backward_runs(case: LayerCase) -> None:
    """``backward`` runs and returns an array of the input's shape."""
    built, x = case.build(), case.x()
    _, saved = built.passes.forward(x)
    grad_input: Any = built.passes.backward(saved, built.delta(x, case.rng(10)))
    if not isinstance(grad_input, np.ndarray):
        raise CheckFailure(
            f"backward: expected the error signal moved one layer back, an array of the input's shape {x.shape}, "
            f"returned {shown(grad_input)}{': is a return missing?' if grad_input is None else ''}"
        )
    if grad_input.shape != x.shape:
        fix = ": it is transposed" if grad_input.shape == x.shape[::-1] else ""
        raise CheckFailure(
            f"backward: expected the error signal to have the input's shape {x.shape}, returned {grad_input.shape}{fix}"
        )


def _forward(built: BuiltLayer, x: Array) -> tuple[Array, Any]:
    pair: Any = built.passes.forward(x)
    if type(pair) is not tuple or len(pair) != 2:
        got = f"an array of shape {pair.shape}" if isinstance(pair, np.ndarray) else repr(pair)
        raise CheckFailure(
            f"forward: expected the pair (output, saved), returned {got}: write `return y, saved`, "
            "with what backward needs in saved"
        )
    if not isinstance(pair[0], np.ndarray):
        raise CheckFailure(f"forward: expected an array as output, returned {shown(pair[0])}")
    return pair


def predict_equals_forward(case: LayerCase) -> None:
    """``predict`` equals ``forward`` for layers without randomness and without buffers."""
    built, x = case.build(), case.x()
    predicted = built.predict(x)
    if built.is_plain(x):
        output = built.forward(x)
        expect_same(predicted, output, "predict gives something else than forward, and nothing in the layer is random")


def predict_is_repeatable(case: LayerCase) -> None:
    """``predict`` is deterministic, and changes no buffer."""
    built, x = case.build(), case.x()
    buffers = {name: buffer.value.copy() for name, buffer in built.layer.named_buffers().items()}
    once, twice = built.predict(x).copy(), built.predict(x).copy()
    expect_same(twice, once, "predict gives something else the second time: inference must not be random", 0.0)
    for name, buffer in built.layer.named_buffers().items():
        if not np.array_equal(buffer.value, buffers[name], equal_nan=True):
            raise CheckFailure(f"predict changed the buffer `{name}`: only the training pass may")


def inner_graph(case: LayerCase) -> None:
    """The inner graph of a composite computes the outputs, penalties and gradients of its own passes."""
    built, x = case.build(), case.x()
    try:
        observed = ObservedPass.of(built.layer)
    except DeepBPError as error:
        raise CheckFailure(str(error)) from None
    if observed.nodes[0].layer is built.layer and observed.nodes[0].operation is None:
        return  # no graph
    delta = built.delta(x, case.rng(10))
    expected, (_, penalty) = built.run(x, delta), built.output_and_penalty(x)
    built.reset()
    different = "inner_graph: its nodes, run one after another, give"
    expect_same(observed.forward(x.copy()), expected.output, f"{different} another output than forward")
    expect_same(np.array(observed.penalty()), np.array(penalty), f"{different} another penalty")
    grad_input = observed.backward(delta.copy())
    expect_same(grad_input, expected.grad_input, f"{different} another ∂L/∂x than backward")
    gradients = observed.parameter_gradients()
    for name, parameter in built.layer.named_parameters().items():
        gradient = gradients.get(id(parameter), np.zeros_like(parameter.value))
        expect_same(gradient, expected.gradients[name], f"{different} another ∂L/∂{name} than backward")
    expect_same(observed.predict(x.copy()), built.predict(x), f"{different} other predictions than predict")


def batch_of_one(case: LayerCase) -> None:
    """The layer handles a single sample."""
    _runs(case, 1)


def batch_of_many(case: LayerCase) -> None:
    """The layer handles a batch that is longer than the other axes."""
    _runs(case, 130)


def batched_equals_one_by_one(case: LayerCase) -> None:
    """The result of a sample does not depend on the rest of its batch.

    ``predict`` must always satisfy this, ``forward`` only for layers without buffers (batch statistics) or randomness.
    """
    built, x = case.build(), case.x()
    hint = "was an axis taken for another, or a mean taken over the batch?"
    together = built.predict(x).copy()
    alone = np.concatenate([built.predict(row[None]).copy() for row in x])
    expect_same(together, alone, f"predict: a batch gives something else than its samples one by one: {hint}")
    if not built.is_plain(x):
        return
    whole = built.forward(x).copy()
    rows = np.concatenate([built.forward(row[None]).copy() for row in x])
    expect_same(whole, rows, f"forward: a batch gives something else than its samples one by one: {hint}")


def any_memory_layout(case: LayerCase) -> None:
    """Fortran-ordered, strided and reversed arrays give the results of contiguous ones."""
    built, x = case.build(), case.x()
    delta = built.delta(x, case.rng(10))
    predicted = built.predict(x).copy()
    expected = built.run(x, delta)
    for (name, laid_x), again, laid_delta in zip(_layouts(x), _layouts(x), _layouts(delta), strict=True):
        built.reset()
        output, saved = built.passes.forward(laid_x)
        got = PassResult(output.copy(), built.passes.backward(saved, laid_delta[1]), built.gradients())
        message = f"changes for {name} arrays: reshape, ravel and views must not assume a layout"
        expect_same(got.output, expected.output, f"the output {message}")
        expect_same(got.grad_input, expected.grad_input, f"∂L/∂x {message}")
        for parameter, gradient in got.gradients.items():
            expect_same(gradient, expected.gradients[parameter], f"∂L/∂{parameter} {message}")
        built.reset()
        expect_same(built.passes.predict(again[1]), predicted, f"predict {message}")


def _layouts(array: Array) -> Iterator[tuple[str, Array]]:
    """Yield copies of the array with other memory layouts."""
    yield "Fortran-ordered", np.array(array, order="F")
    spread = np.zeros(tuple(2 * size for size in array.shape), array.dtype)
    view = spread[tuple(slice(None, None, 2) for _ in array.shape)]
    view[...] = array
    yield "strided", view
    yield "reversed", array[::-1].copy()[::-1]


def _runs(case: LayerCase, rows: int) -> None:
    """Run all passes over this many samples, and check shapes and finiteness."""
    built, x = case.build(), case.x(rows)
    run = built.run(x, built.delta(x, case.rng(10)))
    built.reset()
    expected = (rows, *built.output_shape)
    results = (
        ("forward", run.output, expected),
        ("backward", run.grad_input, x.shape),
        ("predict", built.predict(x), expected),
    )
    for name, array, shape in results:
        if array.shape != shape:
            raise CheckFailure(f"{name}: a batch of {rows} gave shape {array.shape}, expected {shape}")
        if not np.isfinite(array).all():
            raise CheckFailure(f"{name}: a batch of {rows} gave numbers that are not finite")


_SOURCE = "draw from builder.rng, the network's generator, which build receives"


def same_seed_same_parameters(case: LayerCase) -> None:
    """Two networks with the same seed have the same initial parameters."""
    one, other = (case.build(move=False).layer for _ in range(2))
    for name, parameter in one.named_parameters().items():
        message = f"parameter `{name}` starts differently in two networks of the same seed: {_SOURCE}"
        expect_same(other.named_parameters()[name].value, parameter.value, message, 0.0)


def same_seed_same_passes(case: LayerCase) -> None:
    """A random layer gives the same outputs for the same seed of the network, and others for another seed."""
    x = case.x()
    runs: dict[int, list[Array]] = {}
    values: dict[str, Array] = {}
    for seed in (0, 0, 1):
        built = case.build(seed=seed)
        # Equal parameters for all seeds, so that only the randomness of the passes can make a difference.
        for name, parameter in built.layer.named_parameters().items():
            parameter.value = values.setdefault(name, parameter.value.copy())
        outputs = [built.passes.forward(x.copy())[0].copy() for _ in range(2)]
        if seed in runs:
            for one, again in zip(runs[seed], outputs, strict=True):
                message = f"forward gives something else in two networks of the same seed: {_SOURCE}"
                expect_same(again, one, message, 0.0)
        runs[seed] = outputs
    is_random = not np.array_equal(runs[0][0], runs[0][1])
    if is_random and all(map(np.array_equal, runs[0], runs[1])):
        raise CheckFailure(f"forward is random, and the same for every seed of the network: {_SOURCE}")


def no_global_randomness(case: LayerCase) -> None:
    """NumPy's global random generator is neither used nor seeded."""
    before: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    built, x = case.build(), case.x()
    built.run(x, built.delta(x, case.rng(10)))
    built.predict(x)
    after: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    if before["state"]["pos"] != after["state"]["pos"] or not np.array_equal(
        before["state"]["key"], after["state"]["key"]
    ):
        raise CheckFailure(f"numpy.random's global generator was used, so no seed gives the same run twice: {_SOURCE}")


DTYPES = ("float32", "float64")


def dtype_is_kept(case: LayerCase) -> None:
    """All arrays of a float32 network are float32, and those of a float64 network are float64."""
    for dtype in DTYPES:
        built, x = case.build(dtype), case.x(dtype=dtype)
        for kind, members in (("parameter", built.layer.named_parameters()), ("buffer", _float_buffers(built))):
            for name, member in members.items():
                _expect_dtype(f"{kind} `{name}`", member.value, dtype)
        output, saved = built.passes.forward(x)
        _expect_dtype("forward's output", output, dtype)
        grad_input = built.passes.backward(saved, built.delta(x, case.rng(10)))
        if x.dtype.kind == "f":
            _expect_dtype("backward's error signal", grad_input, dtype)
        _expect_dtype("predict's output", built.predict(x), dtype)


def float32_agrees_with_float64(case: LayerCase) -> None:
    """Results in float32 agree with those in float64, within the precision of float32."""
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
    expect_same(got.grad_input, expected.grad_input, f"∂L/∂x {message}", 1e-3)
    for name, gradient in got.gradients.items():
        expect_same(gradient, expected.gradients[name], f"∂L/∂{name} {message}", 1e-3)


def extreme_inputs(case: LayerCase) -> None:
    """Inputs of ±1e4, subnormal numbers and zeros cause no warning and no NaN in any pass."""
    for dtype in DTYPES:
        tiny = float(np.finfo(dtype).smallest_subnormal)
        for values in ((1e4, 1e4), (-1e4, -1e4), (1e4, -1e4), (tiny, -tiny), (0.0, 0.0)):
            built = case.build(dtype, move=False)
            x = case.rng(40).choice(values, (case.rows, *case.input_shape)).astype(dtype)
            inputs = " and ".join(dict.fromkeys(f"{value:g}" for value in values))

            def run(built: BuiltLayer = built, x: Array = x) -> dict[str, Array]:
                run = built.run(x, built.delta(x, case.rng(10)))
                return {"forward": run.output, "backward": run.grad_input, "predict": built.predict(x)}

            for name, array in _without_warnings(run, f"inputs of {inputs}, {dtype}").items():
                if np.isnan(array).any():
                    raise CheckFailure(f"{name}: inputs of {inputs}, {dtype}, give NaN")


def _without_warnings(run: Callable[[], dict[str, Array]], what: str) -> dict[str, Array]:
    """Run with overflow, division by zero, invalid operations and warnings as failures; underflow is allowed."""
    try:
        with warnings.catch_warnings(), np.errstate(over="raise", divide="raise", invalid="raise", under="ignore"):
            warnings.simplefilter("error")
            return run()
    except (FloatingPointError, Warning) as error:
        raise CheckFailure(f"{what}: {error}: rewrite the formula so that nothing overflows") from error


def _float_buffers(built: BuiltLayer) -> dict[str, Any]:
    return {name: buffer for name, buffer in built.layer.named_buffers().items() if buffer.value.dtype.kind == "f"}


def _expect_dtype(what: str, array: Array, dtype: str) -> None:
    if array.dtype != dtype:
        hint = (
            ": a float64 array or NumPy scalar got in, use Python numbers or arrays of x.dtype"
            if dtype == "float32"
            else ": is float32 written into the code?"
        )
        raise CheckFailure(f"{what} is {array.dtype} in a {dtype} network{hint}")
