"""Parameter groups, each with its own optimizer."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

import attrs
from attrs import evolve, field, frozen

from deepbp.errors import ArgumentTypeError, ConfigurationError, shown
from deepbp.errors.validators import rate_or_schedule
from deepbp.optimizers.optimizer import LARGE_RATE, Descent, Names, Optimizer, Schedule, State
from deepbp.parameters import Members, ParameterVector, Part
from deepbp.typing import Array, Shape


def _as_groups(groups: Mapping[str, Optimizer]) -> dict[str, Optimizer]:
    example = 'write Grouped({"*.bias": SGD(0.1), "*": Adam()})'
    if not isinstance(groups, Mapping):
        raise ArgumentTypeError(f"Grouped: groups: expected optimizers by pattern, got {shown(groups)}: {example}")
    if not groups:
        raise ConfigurationError(f"Grouped: groups: expected at least one pattern, got none: {example}")
    for pattern, optimizer in groups.items():
        if not isinstance(pattern, str) or not isinstance(optimizer, Optimizer):
            raise ArgumentTypeError(
                f"Grouped: groups: expected a pattern and an optimizer, "
                f"got {shown(pattern)} and {shown(optimizer)}: {example}"
            )
    return dict(groups)


@frozen
class Grouped(Descent):
    """Parameter groups: each parameter uses the optimizer of the first pattern that its name matches.

    Names are the paths of ``named_parameters``, such as ``"0.weight"``; in a pattern, ``*`` stands for any text, ``?``
    for one character, ``[…]`` for one of several. ``start`` raises ``ConfigurationError`` when a parameter matches no
    pattern, or no parameter is left for a pattern.

    Args:
        groups: optimizers, possibly with schedules, by pattern, in the order in which patterns are tried.
        learning_rate: a number, or a callable of the step, that multiplies the rates of all groups.

    >>> import numpy as np
    >>> from deepbp import Parameter, ParameterVector, optimizers
    >>> parameters = ParameterVector({"0.weight": Parameter(np.ones((1, 1))), "0.bias": Parameter(np.ones(1))})
    >>> grouped = optimizers.Grouped({"*.bias": optimizers.SGD(0.5), "*": optimizers.SGD(0.1)})
    >>> parameters.grads[:] = 1.0
    >>> grouped.step(parameters, grouped.start(parameters))
    >>> parameters.values
    array([0.9, 0.5])
    """

    groups: Mapping[str, Optimizer] = field(converter=_as_groups, eq=lambda groups: tuple(groups.items()))
    learning_rate: float | Schedule = field(default=1.0, validator=rate_or_schedule, kw_only=True)

    def start(self, parameters: ParameterVector) -> State:
        """The states of all groups in one: ``"0.mean"`` is that of the first group, with the length of the group."""
        if empty := [pattern for pattern, own in self._members(parameters.names, parameters.shapes) if not own.names]:
            fits = any(fnmatchcase(name, empty[0]) for name in parameters.names)
            why = "earlier patterns take all that it matches" if fits else "no parameter matches"
            raise ConfigurationError(f"Grouped: pattern {empty[0]!r}: {why}: there are {', '.join(parameters.names)}")
        return self._restart(parameters)

    def _restart(self, parameters: ParameterVector) -> State:
        state: State = {"step": 0}
        for place, optimizer, part in self._parts(parameters):
            state |= {f"{place}{name}": value for name, value in optimizer._restart(part).items() if name != "step"}
        return state

    def _sections(self, names: Names, shapes: Sequence[Shape]) -> list[tuple[str, Optimizer, Names, Sequence[Shape]]]:
        found = []
        for place, (optimizer, (_, own)) in enumerate(
            zip(self.groups.values(), self._members(names, shapes), strict=True)
        ):
            inner = optimizer._sections(own.names, own.shapes)
            found += [(f"{place}.{prefix}", leaf, names, shapes) for prefix, leaf, names, shapes in inner]
        return found

    def _may_overflow(self, parameters: ParameterVector, state: State, rate: float) -> bool:
        # All rates are computed, and so validated, before any parameter changes. The test is of all groups at once:
        # after that of a single group, the parameters of others would have changed already.
        step, may = state["step"], False
        for place, optimizer in enumerate(self.groups.values()):
            own_rate = rate * optimizer.rate(step)
            if isinstance(optimizer, Descent):
                own = {"step": step, **_own(state, f"{place}.")}
                test = optimizer._may_overflow
                may |= own_rate > LARGE_RATE or (test is not None and test(parameters, own, own_rate))
        return may

    def _move(self, parameters: ParameterVector, grads: Array, state: State, rate: float) -> None:
        step = state["step"]
        # Each optimizer steps on its part of the vector, with the entries of the state that have its prefix.
        for place, optimizer, part in self._parts(parameters):
            own = {"step": step, **_own(state, place)}
            (optimizer if rate == 1 else _scaled(optimizer, rate, step)).step(part, own)
            part.write_back()
            del own["step"]
            state.update({f"{place}{name}": value for name, value in own.items()})

    def _parts(self, parameters: ParameterVector) -> list[tuple[str, Optimizer, Part]]:
        """The prefix of each group's state, its optimizer, and its parameters."""
        members = self._members(parameters.names, parameters.shapes)
        triples = enumerate(zip(self.groups.values(), members, strict=True))
        # A group has no parameters while all of them are frozen.
        return [(f"{place}.", one, Part(parameters, own)) for place, (one, (_, own)) in triples if own.names]

    def _members(self, names: Names, shapes: Sequence[Shape]) -> list[tuple[str, Members]]:
        return list(zip(self.groups, _members(tuple(self.groups), tuple(names), tuple(shapes)), strict=True))


def _own(state: State, place: str) -> State:
    """The entries of a group, under their own names."""
    return {name[len(place) :]: value for name, value in state.items() if name.startswith(place)}


@lru_cache(maxsize=64)  # the arguments are the same in each step
def _members(patterns: tuple[str, ...], names: tuple[str, ...], shapes: tuple[Shape, ...]) -> list[Members]:
    """The parameters of each pattern. Raises ConfigurationError for a parameter that matches none."""
    if names and not any(names):
        raise ConfigurationError(
            "Grouped: expected parameters with names: ParameterVector({name: parameter}), such as that of a Trainer"
        )
    chosen: dict[str, list[int]] = {pattern: [] for pattern in patterns}
    for position, name in enumerate(names):
        first = next((pattern for pattern in patterns if fnmatchcase(name, pattern)), None)
        if first is None:
            raise ConfigurationError(
                f"Grouped: parameter {name!r} matches none of the patterns {', '.join(map(repr, patterns))}: "
                "end with '*' for all others"
            )
        chosen[first].append(position)
    return [Members.of(names, shapes, positions) for positions in chosen.values()]


def _scaled(optimizer: Optimizer, factor: float, step: int) -> Optimizer:
    """The optimizer with the rate of this step, multiplied by ``factor``."""
    subject: Any = optimizer
    if not attrs.has(type(subject)) or "learning_rate" not in attrs.fields_dict(type(subject)):
        raise ConfigurationError(f"Grouped: learning_rate: {optimizer!r} has no field learning_rate to be multiplied")
    scaled: Optimizer = evolve(subject, learning_rate=factor * optimizer.rate(step))
    return scaled
