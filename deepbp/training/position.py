"""The position of a training within a call of ``fit``, and the state of its random generators."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs
import numpy as np
from attrs import define, field

from deepbp.errors import FileFormatError
from deepbp.layers import Layer
from deepbp.training.evaluation import Meter

CallbackState: TypeAlias = tuple[str, Mapping[str, Any]]
"""The name of a callback's class, and its state."""


@define(eq=False)
class Position:
    """A place within one call of ``fit``, always between two updates.

    Attributes:
        epochs: completed in this call.
        epoch: the number of the current epoch, or of the next one, over all calls.
        batches: those of this epoch that the model has learned from.
        meter: the sums and predictions from which the epoch's loss and metrics are computed.
        fit_start, epoch_start: the state that the row generator had; a generator in this state draws the same rows.
        stopped: whether a callback has asked for the end after this epoch.
        call: the number of samples and the batches they come in, as text.
    """

    epochs: int = 0
    epoch: int = 0
    batches: int = 0
    meter: Meter | None = None
    fit_start: dict[str, Any] = field(factory=dict)
    epoch_start: dict[str, Any] = field(factory=dict)
    stopped: bool = False
    call: str = ""

    @property
    def begun(self) -> bool:
        """Whether it belongs to a call of ``fit`` that is running, or ended within an epoch."""
        return bool(self.fit_start)

    def describe(self) -> dict[str, Any]:
        """The position as dicts, numbers, text and arrays, for a training file."""
        fields = {name: getattr(self, name) for name in _FIELDS}
        return {**fields, "meter": None if self.meter is None else self.meter.state()}

    @classmethod
    def read(cls, stored: Any, generator: np.random.Generator, meter: Meter, built: Any) -> "Position":
        """The position in a file. Raises FileFormatError, or another error, if this training cannot stand there.

        Args:
            stored: what ``describe`` returned.
            generator: the row generator of this training, which is left unchanged.
            meter: an empty one of this training.
            built: what its model was built for.
        """
        if (
            not isinstance(stored, dict)
            or stored.keys() != _FIELDS
            or type(stored["stopped"]) is not bool
            or not isinstance(stored["call"], str)
        ):
            raise FileFormatError(f"expected a position in a training, got {stored!r:.200}")
        for name in ("epochs", "epoch", "batches"):
            count(stored[name])
        generator_at(generator, stored["fit_start"])  # raises for a state that makes no sense
        if stored["batches"] or stored["epoch_start"] != {}:
            generator_at(generator, stored["epoch_start"])
        if stored["meter"] is None:
            return cls(**stored)
        count(stored["meter"]["seen"])
        meter.restore(stored["meter"], built)
        return cls(**{**stored, "meter": meter})


_FIELDS = dict.fromkeys(sorted(attribute.name for attribute in attrs.fields(Position))).keys()


def count(value: Any) -> int:
    """A counter in a file: a whole number of at least 0. Raises FileFormatError for anything else."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise FileFormatError(f"expected a count, got {value!r:.100}")
    return value


def generator_at(generator: np.random.Generator, state: dict[str, Any]) -> np.random.Generator:
    """Another generator of the same kind, in this state. Raises ValueError, or another error, if it is not one."""
    kind: Any = type(generator.bit_generator)
    other = np.random.Generator(kind())
    if not _alike(other.bit_generator.state, state):  # NumPy does not check positions in its tables
        raise ValueError(f"expected the state of a {kind.__name__}")
    other.bit_generator.state = state
    return other


def separate_generator(
    layers: Iterable[Layer[Any]], of_rows: np.random.Generator, of_layers: np.random.Generator | None
) -> np.random.Generator | None:
    """Have these layers draw from ``of_layers`` instead of ``of_rows``; it is made when it is first needed."""
    for layer in layers:
        for attribute in attrs.fields(type(layer)):
            if getattr(layer, attribute.name, None) is of_rows:
                of_layers = of_layers or generator_at(of_rows, dict(of_rows.bit_generator.state))
                setattr(layer, attribute.name, of_layers)
    return of_layers


def seed_for_process(
    generators: Sequence[np.random.Generator],
    states: Sequence[Any],
    sources: Mapping[int, np.random.Generator],
    rank: int,
) -> None:
    """Put the generators of the layers of one of several processes into these states; without any, seed them.

    The seed follows from the rank and from the generator itself, which is then the same in all processes, or from the
    one that ``sources`` has for its id; only the first process keeps its own.
    """
    for position, generator in enumerate(generators):
        source = sources.get(id(generator), generator)
        if len(states) == len(generators):
            generator.bit_generator.state = states[position]
        elif rank > 0 or source is not generator:
            generator.bit_generator.state = seeded_by(source, rank)


def seeded_by(source: np.random.Generator, rank: int) -> Any:
    """The state of a generator that draws other numbers for each rank, and for each state of its source."""
    numbers = generator_at(source, dict(source.bit_generator.state)).integers(0, 2**63, 4)
    kind: Any = type(source.bit_generator)
    return kind(np.random.SeedSequence([*numbers.tolist(), rank])).state


_LARGEST = {"pos": 624, "buffer_pos": 4, "has_uint32": 1}  # of MT19937, of Philox, of all


def _alike(own: Any, other: Any, name: str = "") -> bool:
    if type(other) is not type(own):
        return False
    if isinstance(own, dict):
        return own.keys() == other.keys() and all(_alike(own[key], other[key], key) for key in own)
    if isinstance(own, np.ndarray):
        return bool(own.dtype == other.dtype) and own.shape == other.shape
    return bool(name not in _LARGEST or 0 <= other <= _LARGEST[name])


def callback_states_of(stored: Any) -> list[CallbackState]:
    """The states of callbacks in a file. Raises FileFormatError for anything else."""
    for one in stored:
        if len(one) != 2 or not isinstance(one[0], str) or not isinstance(one[1], dict):
            raise FileFormatError(f"expected the states of callbacks, got {stored!r:.200}")
    return [(name, found) for name, found in stored]
