"""The state of a training: rollback of a step, and the position in an epoch."""

from typing import Any, Self

import attrs
import numpy as np
from attrs import define, field

from deepbp.errors import ConfigurationError
from deepbp.layers import Chain, Layer
from deepbp.parameters import Buffer
from deepbp.training.data import Source
from deepbp.training.evaluation import Meter
from deepbp.typing import Array


@define(eq=False)
class Undo:
    """Buffers, such as running means, and where the random generators stand from which layers draw.

    From ``note`` to ``done`` an update is under way. Where it overflows, or is cut off, ``take_back`` makes all as it
    was before, so that the next pass over the same batch, by whoever reads the file of the training, is the same. The
    weights cannot be taken back: ``settled`` is False while the optimizer moves them, or when that was cut off.
    """

    buffers: list[Buffer]
    generators: list[np.random.Generator]
    settled: bool = field(default=True, init=False)
    _before: "tuple[list[Array], list[Any]] | None" = field(default=None, init=False)

    @classmethod
    def of(cls, model: Layer[Any]) -> Self:
        """Of a model. The generator that a chain holds draws first values and rows, which no pass does."""
        return cls(list(model.named_buffers().values()), list(generators_in(model, besides=Chain).values()))

    def note(self) -> None:
        """An update begins."""
        if self.buffers or self.generators:
            values = [buffer.value.copy() for buffer in self.buffers]
            self._before = values, [generator.bit_generator.state for generator in self.generators]

    def done(self) -> None:
        """The update was made."""
        self._before = None

    def take_back(self) -> None:
        """Make all as it was, where an update was begun and not made."""
        if self._before is None:
            return
        values, states = self._before
        for buffer, value in zip(self.buffers, values, strict=True):
            buffer.value = value
        for generator, state in zip(self.generators, states, strict=True):
            generator.bit_generator.state = state
        self._before = None


@define(eq=False)
class Position:
    """A place within one call of ``fit``, always between two updates.

    Attributes:
        epochs: completed since the call.
        epoch: the number of the epoch at hand, or of the next one, over all calls.
        batches: of this epoch that the model has learned from.
        meter: what the epoch's loss and metrics are made of so far.
        fit_start, epoch_start: the state that the generator of rows had; a copy in that state draws the same rows.
        stopped: whether a callback has asked for the end.
        call: in words, how many samples come in which batches.
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
        """Whether it is one, in a call that goes on, or was left in the middle."""
        return bool(self.fit_start)

    def take_up(self, source: Source, batch_size: int | None, shuffle: bool) -> None:
        """Go on here with these samples.

        Raises ConfigurationError where an epoch was begun with another number of samples, or other batches of them:
        some samples would come twice, and others not at all.
        """
        samples = "streamed" if source.samples is None else source.samples
        call = f"{samples} samples, batch_size={batch_size}, shuffle={shuffle}"
        if self.batches and call != self.call:
            raise ConfigurationError(
                f"fit: the epoch that was left in the middle had {self.call}, got {call}: go on with the same call"
            )
        self.call = call

    def next(self) -> "Position":
        """The place behind the epoch at hand."""
        return Position(self.epochs + 1, self.epoch + 1, fit_start=self.fit_start, stopped=self.stopped, call=self.call)


def generators_in(model: Layer[Any], besides: type[Layer[Any]] | tuple[()] = ()) -> dict[str, np.random.Generator]:
    """The random generators that layers hold, by the path that leads there, each once; not those of some layers."""
    found: dict[int, tuple[str, np.random.Generator]] = {}
    for place, layer in {"": model, **model.named_layers()}.items():
        for attribute in () if isinstance(layer, besides) else attrs.fields(type(layer)):
            value = getattr(layer, attribute.name, None)
            if isinstance(value, np.random.Generator):
                found.setdefault(id(value), (f"{place}.{attribute.name}", value))
    return dict(found.values())


def state_of(generator: np.random.Generator) -> dict[str, Any]:
    """A copy of a generator's state."""
    return dict(generator.bit_generator.state)


def generator_at(generator: np.random.Generator, state: dict[str, Any]) -> np.random.Generator:
    """Another generator of the same kind, in this state. Raises ValueError, or another error, where it is none."""
    kind: Any = type(generator.bit_generator)
    other = np.random.Generator(kind())
    if not _alike(state_of(other), state):  # NumPy takes whatever it is given for positions in its tables
        raise ValueError(f"expected the state of a {kind.__name__}")
    other.bit_generator.state = state
    return other


_LARGEST = {"pos": 624, "buffer_pos": 4, "has_uint32": 1}  # of MT19937, of Philox, of all


def _alike(own: Any, other: Any, name: str = "") -> bool:
    if type(other) is not type(own):
        return False
    if isinstance(own, dict):
        return own.keys() == other.keys() and all(_alike(own[key], other[key], key) for key in own)
    if isinstance(own, np.ndarray):
        return bool(own.dtype == other.dtype) and own.shape == other.shape
    return bool(name not in _LARGEST or 0 <= other <= _LARGEST[name])
