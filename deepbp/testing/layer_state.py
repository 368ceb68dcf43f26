"""Checks that a layer keeps no hidden state, modifies no array, and can be copied and pickled."""

from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import numpy as np

from deepbp.layers import Layer
from deepbp.parameters import Buffer, Parameter
from deepbp.testing import configuration
from deepbp.testing.check import CheckFailure, describe_exception
from deepbp.testing.comparisons import arrays_in, copies, expect_same, read_only, unchanged
from deepbp.testing.layer_case import BuiltLayer, LayerCase, Passes
from deepbp.typing import Array

__tracebackhide__ = True  # pytest shows no frames of this module

_STALE = "backward uses something that was kept on the layer: return it from forward, in saved"


def forward_twice_then_backward_of_the_first(case: LayerCase) -> None:
    """Another forward pass, such as validation, may run between ``forward`` and ``backward``."""
    built, first, second = case.build(), case.x(), case.x(stream=1)
    delta = built.delta(first, case.rng(10))
    alone = built.run(first, delta)
    built.reset()
    _, saved = built.passes.forward(first.copy())
    built.passes.forward(second)
    built.predict(case.x(stream=2))
    grad_input = built.passes.backward(saved, delta.copy())
    expect_same(grad_input, alone.grad_input, f"∂L/∂x changes when another forward ran before backward: {_STALE}")
    for name, gradient in built.gradients().items():
        message = f"∂L/∂{name} changes when another forward ran before backward: {_STALE}"
        expect_same(gradient, alone.gradients[name], message)


def interleaved_uses(case: LayerCase) -> None:
    """Two forward passes with different batch sizes may be followed by their backward passes in any order."""
    built, xs = case.build(), (case.x(), case.x(case.rows + 1, stream=1))
    deltas = [built.delta(x, case.rng(10 + i)) for i, x in enumerate(xs)]

    def input_gradients(order: tuple[int, ...]) -> list[Array]:
        built.reset()
        saved = [built.passes.forward(x.copy())[1] for x in xs]
        grad_input = {i: built.passes.backward(saved[i], deltas[i].copy()).copy() for i in order}
        return [grad_input[i] for i in (0, 1)]

    try:
        one_after_the_other, nested = input_gradients((0, 1)), input_gradients((1, 0))
    except (ValueError, IndexError) as error:
        raise CheckFailure(f"two forwards, then two backwards: {error}: {_STALE}") from error
    for one, other in zip(one_after_the_other, nested, strict=True):
        expect_same(one, other, f"∂L/∂x depends on which of two passes goes backward first: {_STALE}")


def nothing_kept_on_the_layer(case: LayerCase) -> None:
    """The passes change no field of the layer, except gradients, buffers and random generators."""
    built, x = case.build(), case.x()
    before = _fields(built)
    _, saved = built.passes.forward(x)
    for name in vars(built.layer).keys() - before.keys() if hasattr(built.layer, "__dict__") else ():
        raise CheckFailure(f"forward kept `{name}` on the layer: return what backward needs, in saved")
    expected = _fields(built)
    for name, value in before.items():
        if not _alike(value, expected[name]):
            raise CheckFailure(f"forward changed the layer's field `{name}`: return what backward needs, in saved")
    built.passes.backward(saved, built.delta(x, case.rng(10)))
    built.predict(x)
    after = _fields(built)
    for name, value in before.items():
        if not _alike(value, after[name]):
            raise CheckFailure(f"backward or predict changed the layer's field `{name}`: passes leave a layer as it is")


def parameters_stay(case: LayerCase) -> None:
    """The passes change no parameter; only an optimizer does."""
    built, x = case.build(), case.x()
    before = {name: parameter.value.copy() for name, parameter in built.layer.named_parameters().items()}
    built.run(x, built.delta(x, case.rng(10)))
    built.predict(x)
    for name, parameter in built.layer.named_parameters().items():
        if not np.array_equal(parameter.value, before[name]):
            raise CheckFailure(f"a pass changed the parameter `{name}`: backward accumulates, the optimizer updates")


def every_parameter_is_found(case: LayerCase) -> None:
    """Every parameter and buffer is in a field, or in a list or dict in a field, where a network finds it."""
    built = case.build()
    found = {id(member) for member in built.layer.parameters()}
    found |= {id(member) for member in built.layer.named_buffers().values()}
    for layer in (built.layer, *built.layer.named_layers().values()):
        for attribute in attrs.fields(type(layer)):
            for member in _members_in(getattr(layer, attribute.name, None)):
                if id(member) not in found:
                    raise CheckFailure(
                        f"the field `{attribute.name}` of {type(layer).__name__} holds a {type(member).__name__} that "
                        "a network does not find, and so neither trains nor saves: keep it in a field of its own, "
                        "or directly in a list or dict"
                    )


def _fields(built: BuiltLayer) -> dict[str, Any]:
    """Return the values of all fields, by name, each with copies of its arrays."""
    held = {}
    layers = {"": built.layer, **{f"{name}.": layer for name, layer in built.layer.named_layers().items()}}
    for prefix, layer in layers.items():
        for attribute in attrs.fields(type(layer)):
            value = getattr(layer, attribute.name, None)
            if not isinstance(value, Parameter | Buffer | np.random.Generator):
                held[prefix + attribute.name] = (value, [array.copy() for array in arrays_in(value)])
    return held


def _alike(one: Any, other: Any) -> bool:
    (value, arrays), (now, arrays_now) = one, other
    if len(arrays) != len(arrays_now) or not all(map(np.array_equal, arrays, arrays_now)):
        return False
    return value is now or bool(arrays) or (type(value) is type(now) and value == now)


def _members_in(value: Any, depth: int = 0) -> list[Parameter | Buffer]:
    if isinstance(value, Parameter | Buffer):
        return [value]
    if depth < 4:
        if isinstance(value, dict):
            value = list(value.values())
        elif attrs.has(type(value)) and type(value).__module__.partition(".")[0] != "deepbp":
            value = [getattr(value, attribute.name, None) for attribute in attrs.fields(type(value))]
        if isinstance(value, list | tuple | set):
            return [member for item in value for member in _members_in(item, depth + 1)]
    return []


def input_stays(case: LayerCase) -> None:
    """``forward`` and ``predict`` do not modify x."""
    built = case.build()
    for name, call in (("forward", built.passes.forward), ("predict", built.predict)):
        x = case.x()
        before = x.copy()
        call(x)
        if not np.array_equal(x, before):
            raise CheckFailure(f"{name} wrote into its input: x belongs to the caller, make a new array")
        message = f"{name} writes into its input: x belongs to the caller, make a new array"
        _without_writing(message, x, partial(call, x))


def delta_stays(case: LayerCase) -> None:
    """``backward`` and ``backward_parameters`` do not modify delta."""
    built, x = case.build(), case.x()
    delta = built.delta(x, case.rng(10))
    message = "into delta, the error signal it received: make a new array"
    for method in (built.passes.backward, built.passes.backward_parameters):
        given = delta.copy()
        method(built.passes.forward(x)[1], given)
        if not np.array_equal(given, delta):
            raise CheckFailure(f"{method.__name__} wrote {message}")
        saved = built.passes.forward(x)[1]
        _without_writing(f"{method.__name__} writes {message}", given, partial(method, saved, given))


def saved_stays(case: LayerCase) -> None:
    """Neither ``backward`` nor a later ``forward`` modifies the saved values."""
    built, x = case.build(), case.x()
    delta = built.delta(x, case.rng(10))
    _, saved = built.passes.forward(x)
    before = copies(saved)
    built.passes.forward(case.x(stream=1))
    if not unchanged(saved, before):
        raise CheckFailure("a second forward overwrote what the first one saved: return new arrays each time")
    built.passes.backward(saved, delta.copy())
    if not unchanged(saved, before):
        raise CheckFailure("backward wrote into saved: another layer may hold the same array, make a new one")
    _, saved = built.passes.forward(x.copy())
    message = "backward writes into saved: another layer may hold the same array, make a new one"
    _without_writing(message, saved, lambda: built.passes.backward(saved, delta.copy()))


def results_stay(case: LayerCase) -> None:
    """Later passes do not modify arrays that earlier passes returned."""
    built, x = case.build(), case.x()
    delta = built.delta(x, case.rng(10))
    output, saved = built.passes.forward(x)
    first = output.copy()
    grad_input = built.passes.backward(saved, delta)
    if not np.array_equal(output, first):
        raise CheckFailure("backward wrote into the output that forward had handed out: make a new array")
    second = grad_input.copy()
    predicted = built.predict(x)
    third = predicted.copy()
    built.passes.backward(built.passes.forward(case.x(stream=1))[1], built.delta(x, case.rng(12)))
    built.predict(case.x(stream=2))
    for name, array, before in (
        ("an output that forward had handed out", output, first),
        ("an error signal that backward had handed out", grad_input, second),
        ("an output that predict had handed out", predicted, third),
    ):
        if not np.array_equal(array, before):
            raise CheckFailure(f"a later pass wrote into {name}: return new arrays each time")


def results_are_not_parameters(case: LayerCase) -> None:
    """Returned arrays share no memory with a parameter's value or gradient, which the next step changes."""
    built, x = case.build(), case.x()
    output, saved = built.passes.forward(x)
    grad_input = built.passes.backward(saved, built.delta(x, case.rng(10)))
    for name, parameter in built.layer.named_parameters().items():
        for what, result in (("the output", output), ("the error signal", grad_input)):
            for array in arrays_in([parameter.value, parameter.grad]):
                if np.shares_memory(result, array):
                    raise CheckFailure(f"{what} shares its memory with the parameter `{name}`: return a copy")


def _without_writing(message: str, arrays: Any, call: Callable[[], object]) -> None:
    """Call with read-only arrays, and replace NumPy's error by the message."""
    try:
        with read_only(arrays):
            call()
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        line = describe_exception(error).partition("\n")[2]
        raise CheckFailure(f"{message}\n{line}".rstrip()) from error


def repr_can_be_pasted_back(case: LayerCase) -> None:
    """``repr`` is an evaluable constructor call, before and after ``build``."""
    configuration.expect_repr_can_be_pasted_back(case.prototype)
    configuration.expect_repr_can_be_pasted_back(case.build().layer)


def configuration_rebuilds(case: LayerCase) -> None:
    """The fields hold the constructor's arguments, and ``build`` does not change them."""
    configuration.expect_configuration_rebuilds(case.unbuilt())
    configuration.expect_same(case.build().layer, case.prototype, "build changed the configuration")


def deep_copy(case: LayerCase) -> None:
    """A deep copy gives the same results, and shares no parameter or buffer."""
    _expect_copy(case, configuration.deep_copied, "a deep copy")


def pickling(case: LayerCase) -> None:
    """The unpickled layer gives the same results."""
    if not configuration.holds_functions(case.prototype):
        _expect_copy(case, configuration.pickled, "a pickled layer")


def _expect_copy(case: LayerCase, make: Callable[[Any], Any], what: str) -> None:
    make(case.prototype)
    original, x = case.build().layer, case.x()
    made: Layer[Any] = make(original)
    expect_same(
        Passes(made).predict(x), Passes(original).predict(x), f"{what} predicts something else than the original", 0.0
    )
    output, expected = Passes(made).forward(x)[0], Passes(original).forward(x)[0]
    expect_same(output, expected, f"{what} goes forward to something else", 0.0)
    theirs: dict[str, Parameter | Buffer] = {**made.named_parameters(), **made.named_buffers()}
    ours: dict[str, Parameter | Buffer] = {**original.named_parameters(), **original.named_buffers()}
    for name, member in ours.items():
        if name not in theirs:
            raise CheckFailure(f"{what} lacks `{name}`")
        if np.shares_memory(member.value, theirs[name].value):
            raise CheckFailure(f"{what} shares `{name}` with the original: training one changes both")
