"""One layer, many passes: what backward needs comes from ``saved``, never from the layer."""

from typing import Any

import attrs
import numpy as np

from deepbp.parameter import Buffer, Parameter
from deepbp.testing.arrays import arrays_in, expect_same
from deepbp.testing.check import CheckFailure
from deepbp.testing.layers.case import LayerCase, Specimen
from deepbp.typing import Array

_STALE = "backward uses something that was kept on the layer: return it from forward, in saved"


def forward_twice_then_backward_of_the_first(case: LayerCase) -> None:
    """A pass over other inputs, such as validation, may run between forward and backward."""
    specimen, first, second = case.build(), case.x(), case.x(stream=1)
    delta = specimen.delta(first, case.rng(10))
    alone = specimen.run(first, delta)
    specimen.start_again()
    _, saved = specimen.layer.forward(first.copy())
    specimen.layer.forward(second)
    specimen.predict(case.x(stream=2))
    moved = specimen.layer.backward(saved, delta.copy())
    expect_same(moved, alone.moved, f"∂L/∂x changes when another forward ran before backward: {_STALE}")
    for name, gradient in specimen.gradients().items():
        message = f"∂L/∂{name} changes when another forward ran before backward: {_STALE}"
        expect_same(gradient, alone.gradients[name], message)


def interleaved_uses(case: LayerCase) -> None:
    """Two forwards, of batches of different sizes, then their backwards in the same order."""
    specimen, xs = case.build(), (case.x(), case.x(case.rows + 1, stream=1))
    deltas = [specimen.delta(x, case.rng(10 + i)) for i, x in enumerate(xs)]

    def moved_signals(order: tuple[int, ...]) -> list[Array]:
        specimen.start_again()
        saved = [specimen.layer.forward(x.copy())[1] for x in xs]
        moved = {i: specimen.layer.backward(saved[i], deltas[i].copy()).copy() for i in order}
        return [moved[i] for i in (0, 1)]

    try:
        one_after_the_other, nested = moved_signals((0, 1)), moved_signals((1, 0))
    except (ValueError, IndexError) as error:
        raise CheckFailure(f"two forwards, then two backwards: {error}: {_STALE}") from error
    for one, other in zip(one_after_the_other, nested, strict=True):
        expect_same(one, other, f"∂L/∂x depends on which of two passes goes backward first: {_STALE}")


def nothing_kept_on_the_layer(case: LayerCase) -> None:
    """Forward, backward and predict leave the layer's fields as they are, but for gradients, buffers, generators."""
    specimen, x = case.build(), case.x()
    before = _fields(specimen)
    _, saved = specimen.layer.forward(x)
    expected = _fields(specimen)
    for name, value in before.items():
        if not _alike(value, expected[name]):
            raise CheckFailure(f"forward changed the layer's field `{name}`: return what backward needs, in saved")
    specimen.layer.backward(saved, specimen.delta(x, case.rng(10)))
    specimen.predict(x)
    after = _fields(specimen)
    for name, value in before.items():
        if not _alike(value, after[name]):
            raise CheckFailure(f"backward or predict changed the layer's field `{name}`: passes leave a layer as it is")


def parameters_stay(case: LayerCase) -> None:
    """Only an optimizer changes parameters."""
    specimen, x = case.build(), case.x()
    before = {name: parameter.value.copy() for name, parameter in specimen.layer.named_parameters().items()}
    specimen.run(x, specimen.delta(x, case.rng(10)))
    specimen.predict(x)
    for name, parameter in specimen.layer.named_parameters().items():
        if not np.array_equal(parameter.value, before[name]):
            raise CheckFailure(f"a pass changed the parameter `{name}`: backward accumulates, the optimizer updates")


def every_parameter_is_found(case: LayerCase) -> None:
    """A network finds what lies in a layer's fields and in lists there, and nothing deeper."""
    specimen = case.build()
    found = {id(member) for member in specimen.layer.parameters()}
    found |= {id(member) for member in specimen.layer.named_buffers().values()}
    for layer in (specimen.layer, *specimen.layer.named_layers().values()):
        for attribute in attrs.fields(type(layer)):
            for member in _members_in(getattr(layer, attribute.name, None)):
                if id(member) not in found:
                    raise CheckFailure(
                        f"the field `{attribute.name}` of {type(layer).__name__} holds a {type(member).__name__} that "
                        "a network does not find, and so neither trains nor saves: keep it in a field of its own, "
                        "or directly in a list or dict"
                    )


def _fields(specimen: Specimen) -> dict[str, Any]:
    """What the fields hold, arrays copied."""
    held = {}
    layers = {"": specimen.layer, **{f"{name}.": layer for name, layer in specimen.layer.named_layers().items()}}
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
