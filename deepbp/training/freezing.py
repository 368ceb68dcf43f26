"""Freezing and unfreezing during a training: the optimizer's state follows the parameters that it belongs to."""

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any, Self, TypeAlias
from weakref import WeakSet

import numpy as np
from attrs import define, field

from deepbp.errors import FileFormatError
from deepbp.optimizers import Optimizer, State
from deepbp.optimizers.optimizer import Descent, Names
from deepbp.parameters import Parameter, ParameterVector
from deepbp.training.position import count
from deepbp.typing import Array, Shape

Kept: TypeAlias = dict[str, dict[str, Any]]
"""The parts of a state that belong to frozen parameters: arrays by key, by the parameter's name, and the step."""


def follow(
    optimizer: Optimizer, names: Names, shapes: Sequence[Shape], state: State, kept: Kept, parameters: ParameterVector
) -> tuple[State, Kept]:
    """The state for these parameters, made from that of the parameters ``names``, and what is kept of frozen ones.

    A parameter keeps its part of the state, also while it is frozen. One that was always frozen starts with an empty
    part. Neither has made the steps in between: ``late`` is the number of steps that the state counts and each
    parameter has not made, as in PyTorch, where each parameter has a counter of its own. Without it, Adam would divide
    an empty mean square by a bias correction of 1, and its first updates would be six times too long.
    """
    step = int(state["step"])
    held: Kept = {name: {"step": step} for name in names}
    for key, name, part in _parts(optimizer, names, shapes, state):
        held[name][key] = part.copy()
    for prefix, _, own_names, _ in optimizer._sections(names, shapes):
        for key, value in state.items():  # numbers that change with t, such as NAdam's product
            if key.startswith(prefix) and key != "step" and "@" not in key and not isinstance(value, np.ndarray):
                for name in own_names:
                    held[name][key] = state.get(key + _mark(held[name].get(f"{prefix}late")), value)
    kept = {**kept, **held}
    new = optimizer._restart(parameters)
    new |= {key: value for key, value in state.items() if not isinstance(value, np.ndarray)}
    for prefix, leaf, own_names, own_shapes in optimizer._sections(parameters.names, parameters.shapes):
        late = np.zeros(sum(map(prod, own_shapes)), np.int64)
        if isinstance(leaf, Descent) and leaf._counts:
            missed = {name: step - kept[name]["step"] if name in kept else step for name in own_names}
            for name, place in _places(own_names, own_shapes):
                late[place] = kept.get(name, {}).get(f"{prefix}late", 0) + missed[name]
                for key, value in kept.get(name, {}).items():
                    if key.startswith(prefix) and key != "step" and not isinstance(value, np.ndarray):
                        new.setdefault(key + _mark(late[place]), value)
        if late.any():
            new[f"{prefix}late"] = late
    for key, name, part in _parts(optimizer, parameters.names, parameters.shapes, new):
        if not key.endswith("late") and key in kept.get(name, {}):
            part[...] = kept[name][key]
    return new, {name: part for name, part in kept.items() if name not in parameters.names}


def _parts(
    optimizer: Optimizer, names: Names, shapes: Sequence[Shape], state: Mapping[str, Any]
) -> Iterator[tuple[str, str, Array]]:
    """The part of each array of a state that belongs to each parameter: key, parameter, a view."""
    for prefix, _, own_names, own_shapes in optimizer._sections(names, shapes):
        for key, value in state.items():
            fits = isinstance(value, np.ndarray) and value.shape == (sum(map(prod, own_shapes)),)
            if fits and key.startswith(prefix):
                for name, place in _places(own_names, own_shapes):
                    yield key, name, value[place]


def _mark(late: Array | None) -> str:
    """What the key of a number ends with, for parameters that have made so many steps less than the state counts."""
    return f"@{late[0]}" if late is not None and late.any() else ""


def _places(names: Names, shapes: Sequence[Shape]) -> Iterator[tuple[str, slice]]:
    start = 0
    for name, shape in zip(names, shapes, strict=True):
        yield name, slice(start, start + prod(shape))
        start += prod(shape)


def plain(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state without what is added to it where parameters have missed steps."""
    return {key: value for key, value in state.items() if not key.endswith("late") and "@" not in key}


def check_kept(
    optimizer: Optimizer,
    names: Names,
    shapes: Sequence[Shape],
    state: Mapping[str, Any],
    kept: Any,
    named: Mapping[str, Parameter],
) -> None:
    """Raise FileFormatError for a stored state whose additions, or parts of frozen parameters, make no sense."""
    for key, name, part in _parts(optimizer, names, shapes, state):
        _check_finite(key, name, part)
    sizes = {prefix: sum(map(prod, own)) for prefix, _, _, own in optimizer._sections(names, shapes)}
    step = count(state["step"])
    for key, value in state.items():
        if key.endswith("late"):
            fits = isinstance(value, np.ndarray) and value.dtype == np.int64
            if not fits or value.shape != (sizes.get(key[:-4]),) or not ((value >= 0) & (value <= step)).all():
                raise FileFormatError(f"expected the steps that parameters have missed, got {value!r:.100}")
        elif "@" in key and type(value) is not float:
            raise FileFormatError(f"expected a number of the optimizer's state, got {value!r:.100}")
    if not isinstance(kept, dict) or not kept.keys() <= named.keys():
        raise FileFormatError(f"expected the optimizer's state of frozen parameters, got {kept!r:.100}")
    for name, parts in kept.items():
        if not 0 <= count(parts["step"]) <= step:
            raise FileFormatError(f"expected a step up to {step}, got {parts['step']}")
        for key, value in parts.items():
            if isinstance(value, np.ndarray):
                dtype = np.int64 if key.endswith("late") else named[name].value.dtype
                if value.shape != (named[name].value.size,) or value.dtype != dtype:
                    raise FileFormatError(f"expected {named[name].value.size} numbers, got {value!r:.100}")
                _check_finite(key, name, value)
            elif type(value) not in (int, float):
                raise FileFormatError(f"expected a number of the optimizer's state, got {value!r:.100}")


def _check_finite(key: str, name: str, part: Array) -> None:
    if not np.isfinite(part).all():
        raise FileFormatError(
            f"the optimizer's {key} of {name} is not finite: an update had overflowed before the file was written, and "
            "these weights would not be trained any more: load the weights alone, net.load_weights(path)"
        )


@define(eq=False)
class Snapshot:
    """A copy of the trainable parameters, the buffers, and the states of the generators that layers draw from."""

    values: Any  # (P,) the parameters end to end; None in a snapshot for the rollback of a step
    buffers: list[Array]
    generators: list[Any] = field(factory=list)
    parameters: tuple[Parameter, ...] = ()

    def extend(self, parameters: Sequence[Parameter]) -> None:
        """Add parameters that were frozen when the snapshot was taken, and so have not changed since."""
        added = [parameter for parameter in parameters if parameter not in self.parameters]
        self.values = np.concatenate([self.values, *(parameter.value.reshape(-1) for parameter in added)])
        self.parameters += tuple(added)

    def current(self) -> Array:
        """(P,) the values that these parameters have now."""
        return np.concatenate([parameter.value.reshape(-1) for parameter in self.parameters])

    def describe(self, name: str) -> dict[str, Any]:
        """The snapshot as part of a callback's state."""
        return {name: self.values, f"{name}_buffers": self.buffers}


class Snapshots(WeakSet[Snapshot]):
    """The snapshots that callbacks hold."""

    def __reduce__(self) -> tuple[type[Self], tuple[list[Snapshot]]]:
        return type(self), (list(self),)  # weak references cannot be pickled
