"""The state of a training: rollback of a step, snapshots of the weights, resuming, and checkpoint files."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, Self

import attrs
import numpy as np
from attrs import define, evolve, field

from deepbp import kernels
from deepbp._config import without_addresses
from deepbp.errors import ConfigurationError, ContractError, FileFormatError, shown
from deepbp.layers import Chain, Layer
from deepbp.layers.chain import column_names_of, remember, restore_column_names
from deepbp.losses import Loss
from deepbp.optimizers import Optimizer, State
from deepbp.optimizers.optimizer import refuse_sparse
from deepbp.parameters import Buffer, Parameter, ParameterVector
from deepbp.processes import Processes
from deepbp.training.data import Data
from deepbp.training.evaluation import Meter
from deepbp.training.freezing import Kept, Snapshot, Snapshots, check_kept, follow, plain
from deepbp.training.history import History, stored_columns
from deepbp.training.options import changed_settings, settings_text
from deepbp.training.position import (
    CallbackState,
    Position,
    callback_states_of,
    count,
    generator_at,
    seed_for_process,
    separate_generator,
)
from deepbp.typing import Array

if TYPE_CHECKING:
    from deepbp.storage.atomic import FileLike
    from deepbp.storage.formats import Readable

PARTS = "the model's parameters and buffers"


class Settings(Protocol):
    """The attributes of a ``Trainer`` that the loop reads at each step, because callbacks may replace them."""

    model: Layer[Any]
    loss: Loss[Any]
    optimizer: Optimizer
    metrics: Any  # a sequence of MetricLike; pyright compares attributes with converters to Any alone
    callbacks: Any  # a sequence of Callback
    clip_norm: float | None
    clip_value: float | None
    accumulate: int
    non_finite: str


class Divided(Protocol):
    """What divides batches among threads; see ``Replicas``."""

    threads: int

    def backpropagate(self, trainer: Settings, state: "TrainingState", batch: Data) -> tuple[float, Array] | None: ...

    def evaluate(self, trainer: Settings, batch: Data) -> tuple[float, Array] | None: ...


@define(eq=False)
class TrainingState:
    """Everything that a training changes: captures, restores and describes it.

    A step is a transaction. ``begin`` captures what forward passes change, buffers and random generators, in
    ``before``, and ``rollback`` restores it if the step overflowed or was interrupted before its end, so that the next
    pass over the same batch gives the same numbers. The optimizer's changes to the parameters cannot be rolled back:
    ``consistent`` is False while it makes them, and stays False if that was interrupted.
    """

    model: Layer[Any]
    parameters: ParameterVector  # those that are not frozen
    optimizer_state: State
    generator: np.random.Generator  # draws the rows of batches
    buffers: list[Buffer]
    has_penalty: bool
    history: History = field(factory=History, init=False)
    epoch: int = field(default=0, init=False)
    skipped: int = field(default=0, init=False)
    made_with: tuple[Any, Mapping[str, Any]] = field(default=(None, {}), init=False)  # the trainer's first settings
    penalty: float = field(default=0.0, init=False)  # the share of penalties in the last loss
    position: Position = field(factory=Position, init=False)
    callback_states: Sequence[CallbackState] | None = field(default=None, init=False)  # of a file, until the next fit
    kept: Kept = field(factory=dict, init=False)  # the optimizer's state of frozen parameters
    processes: Processes | None = field(default=None, init=False)  # several, which train together
    replicas: Divided | None = field(default=None, init=False)  # of the model, for threads
    _of_layers: np.random.Generator | None = field(default=None, init=False)  # of this process's layers alone
    _snapshots: Snapshots = field(factory=Snapshots, init=False)
    resumes: bool = field(default=False, init=False)  # whether the last call of fit continued that of a file
    consistent: bool = field(default=True, init=False)
    _frozen: list[Parameter] = field(alias="frozen")
    _generators: list[np.random.Generator] = field(alias="generators")  # those that layers draw from in a pass
    before: Snapshot | None = field(default=None, init=False)  # what rollback restores; a step sets None to commit

    @classmethod
    def of(cls, model: Layer[Any], optimizer: Optimizer, generator: np.random.Generator) -> Self:
        """The state of a training that starts now.

        Raises:
            ConfigurationError: if there is nothing to train.
            ContractError: if the optimizer's state is not a dict.
        """
        inside, has_penalty = model._walk(), model.has_penalty()
        named = {name: one for name, one in inside if isinstance(one, Parameter)}
        trainable = {name: parameter for name, parameter in named.items() if not parameter.frozen}
        generators = list(generators_in(_drawing(model, inside)).values())
        buffers = [one for _, one in inside if isinstance(one, Buffer)]
        frozen = [parameter for parameter in named.values() if parameter.frozen]
        if not trainable:
            refuse_untrainable(model)
        parameters = ParameterVector.of(trainable)
        refuse_sparse(optimizer, parameters)
        state = optimizer.start(parameters)
        if not isinstance(state, dict):
            raise ContractError(f"{optimizer!r}: start: expected a dict, the state, returned {shown(state)}")
        return cls(model, parameters, state, generator, buffers, has_penalty, frozen=frozen, generators=generators)

    def share(self, processes: Processes) -> None:
        """Train with several processes: take the numbers of the first, and separate the generators of the layers.

        Raises ConfigurationError if the processes have models of different sizes.
        """
        self.processes = processes
        sizes = processes.gather(_sizes(self._arrays()))
        if any(other != sizes[0] for other in sizes):
            message = "processes: expected the same model in all, got models of different sizes"
            raise processes._agreed(ConfigurationError(message))
        numbers, rows = processes.of_first(lambda: (self._arrays(), self.generator.bit_generator.state))
        for name, array in self._arrays().items():
            array[...] = numbers[name]
        self.generator.bit_generator.state = rows
        self._separate_generators([])

    def _separate_generators(self, stored: Sequence[Any]) -> None:
        """``stored``: for each process that wrote a file, the states of its generators; of use for as many as then."""
        if self.processes is not None:
            rank, layers = self.processes.rank, _drawing(self.model, self.model._walk())
            self._of_layers = separate_generator(layers.values(), self.generator, self._of_layers)
            self._generators = list(generators_in(layers).values())
            states = stored[rank] if len(stored) == self.processes.size else []
            seed_for_process(self._generators, states, {id(self._of_layers): self.generator}, rank)

    @property
    def steps(self) -> int:
        """The number of updates so far."""
        return int(self.optimizer_state["step"])

    def acquire(self, optimizer: Optimizer) -> None:
        """Put the parameters into this training's vector again, if another trainer has moved them to its own.

        The optimizer's state follows parameters that were frozen or unfrozen; see ``follow``. Raises ConfigurationError
        if the model has other parameters than before, or if all of them are frozen.
        """
        every = self.model.named_parameters().values()
        if {*every} != {*self.parameters.parameters, *self._frozen}:
            raise ConfigurationError("the model's parameters are not those it had: make a new Trainer")
        before, vector = self.parameters, ParameterVector.of(self.model.named_trainable_parameters())
        if not vector.parameters:
            refuse_untrainable(self.model)
        if vector.parameters != before.parameters:
            self.optimizer_state, self.kept = follow(
                optimizer, before.names, before.shapes, self.optimizer_state, self.kept, vector
            )
            for snapshot in self._snapshots:
                snapshot.extend(vector.parameters)
            self._frozen = [parameter for parameter in every if parameter.frozen]
        self.parameters = vector

    def is_outdated(self) -> bool:
        """Whether parameters have moved to another vector, or others are frozen than before."""
        return self.parameters.outdated or (bool(self._frozen) and not all(one.frozen for one in self._frozen))

    def begin(self, optimizer: Optimizer) -> None:
        """Begin a step, or another batch of one; acquire the parameters first if they have moved, or were frozen."""
        if self.is_outdated():
            self.acquire(optimizer)
        if self.before is None and (self.buffers or self._generators):
            states = [generator.bit_generator.state for generator in self._generators]
            self.before = Snapshot(None, [buffer.value.copy() for buffer in self.buffers], states)

    def rollback(self) -> None:
        """Undo what a step changed, unless it was committed."""
        if self.before is not None:
            self.restore(self.before)
            self.before = None

    def capture(self) -> Snapshot:
        """Copy the parameters and buffers."""
        vector = self._vector()
        snapshot = Snapshot(
            vector.values.copy(), [buffer.value.copy() for buffer in self.buffers], parameters=vector.parameters
        )
        self._snapshots.add(snapshot)
        return snapshot

    def restore(self, snapshot: Snapshot) -> None:
        """Write a snapshot into the model. Raises ConfigurationError if it is one of another model."""
        self._check(snapshot)
        if snapshot.values is not None:
            start = 0
            for parameter in snapshot.parameters:
                end = start + parameter.value.size
                parameter.value = snapshot.values[start:end].reshape(parameter.value.shape)
                start = end
        for buffer, value in zip(self.buffers, snapshot.buffers, strict=True):
            buffer.value = value
        if snapshot.generators:
            for generator, state in zip(self._generators, snapshot.generators, strict=True):
                generator.bit_generator.state = state

    def holds(self, snapshot: Snapshot) -> bool:
        """Whether the model's parameters equal those of a snapshot."""
        return snapshot.values is not None and np.array_equal(snapshot.current(), snapshot.values)

    def described_snapshot(self, state: Mapping[str, Any], name: str) -> Snapshot | None:
        """The snapshot under this name in a callback's state, or None; raises as ``restore`` does."""
        if name not in state:
            return None
        found = Snapshot(state[name], list(state[f"{name}_buffers"]), parameters=self._vector().parameters)
        self._check(found)
        self._snapshots.add(found)
        return found

    def _vector(self) -> ParameterVector:
        """The parameters, which another trainer may have moved to a vector of its own."""
        return ParameterVector.of(self.model.trainable_parameters())

    def _check(self, snapshot: Snapshot) -> None:
        values: Any = None if snapshot.values is None else snapshot.current()
        own, stored = [values, *(buffer.value for buffer in self.buffers)], [snapshot.values, *snapshot.buffers]
        if list(map(_size, own)) != list(map(_size, stored)):
            raise ConfigurationError(
                f"callbacks: expected the state of a model of {np.size(own[0])} parameters and {len(own) - 1} buffers, "
                f"got one of {np.size(stored[0])} and {len(stored) - 1}, or of other shapes or types"
            )

    def next_position(self) -> tuple[Position, np.random.Generator]:
        """Where the next call of ``fit`` starts, and the generator for its validation split.

        After a load that is the position in the file, and a generator that draws the same split again.
        """
        self.resumes = self.callback_states is not None and self.position.begun
        if self.resumes:
            return self.position, generator_at(self.generator, self.position.fit_start)
        return Position(epoch=self.epoch, fit_start=dict(self.generator.bit_generator.state)), self.generator

    def save(self, path: "FileLike", settings: Settings) -> None:
        """Write a training file; see ``Trainer.save``.

        Raises:
            ArgumentTypeError: if the state of a callback or an optimizer cannot be serialized.
            ConfigurationError: if the last update was interrupted; for a file name with another ending.
            OSError: if the disk is full, and so on; an old file is then left as it was.
        """
        from deepbp.files.network import save_training

        if not self.consistent:
            raise ConfigurationError("save: the last update was cut off in the middle: load the file stored before it")
        everywhere = self._gathered()
        if self.processes is not None and self.processes.rank > 0:
            return
        save_training(path, self.model, self._arrays(), {**self.describe(settings), **everywhere})

    def _gathered(self) -> dict[str, Any]:
        """What of the description is not the same in all processes: the epoch so far, and generators of layers."""
        if self.processes is None:
            return {}
        drawn = self.processes.gather([one.bit_generator.state for one in self._generators])
        gathered: dict[str, Any] = {"drawn": drawn} if self._generators else {}
        if self.position.begun and (own := self.position.meter) is not None:
            meter = own.merged(self.processes.gather(own.content()))
            gathered["position"] = evolve(self.position, meter=meter).describe()
        return gathered

    def load(self, path: "Readable", settings: Settings) -> None:
        """Read a training file; see ``Trainer.load``."""
        from deepbp.files.network import load_training

        sizes = partial(_check_same, PARTS, _sizes(self._arrays()))
        load_training(path, self.processes, sizes, partial(self._restore, settings))

    def describe(self, settings: Settings) -> dict[str, Any]:
        """All of the state but the model's arrays, as dicts, lists, numbers, text and arrays."""
        callbacks = [(type(callback).__name__, callback.state()) for callback in settings.callbacks]
        return {
            **self._identity(settings),
            "generators": {name: one.bit_generator.state for name, one in self._all_generators().items()},
            "history": {name: np.array(column, float) for name, column in self.history.items()},
            "interrupted": self.history.interrupted,
            "settings": {**settings_text(*self.made_with), "kernels": kernels.current()},
            "epoch": self.epoch,
            "skipped": self.skipped,
            "position": self.position.describe() if self.position.begun else None,
            "callbacks": callbacks if self.callback_states is None else self.callback_states,
            **({"kept": self.kept} if self.kept else {}),
            **column_names_of(self.model),
        }

    def _identity(self, settings: Settings) -> dict[str, Any]:
        """What a trainer must have in common with a file."""
        return {
            "frozen": [name for name, parameter in self.model.named_parameters().items() if parameter.frozen],
            "optimizer": type(settings.optimizer).__name__,
            "optimizer_state": self.optimizer_state,
            "loss": without_addresses(repr(settings.loss)),
        }

    def _restore(self, settings: Settings, state: dict[str, Any], numbers: dict[str, Array]) -> None:
        """Validate all of a file's contents, then restore them: a file is loaded completely, or not at all."""
        generators, own = self._all_generators(), self._identity(settings)
        of_processes = state.get("drawn", []) if self.processes is not None else []
        for one, found in [pair for states in of_processes for pair in zip(self._generators, states, strict=True)]:
            generator_at(one, found)  # raises for a state that makes no sense
        callbacks = callback_states_of(state["callbacks"])
        _check_same(PARTS, _sizes(self._arrays()), _sizes(numbers))
        _check_same("the optimizer", own["optimizer"], state["optimizer"])
        optimizer_state, kept = self._stored_state(settings.optimizer, state)
        _check_same("the loss", own["loss"], state["loss"])
        _check_same("the random generators", list(generators), list(state["generators"]))
        names, stored = [type(one).__name__ for one in settings.callbacks], iter([name for name, _ in callbacks])
        if not all(name in stored for name in names):  # in their order; the call of fit may add others
            _check_same("the callbacks", names, [name for name, _ in callbacks])
        count(state["optimizer_state"].get("step", 0))
        drawn = {name: generator_at(generators[name], found) for name, found in state["generators"].items()}
        columns = stored_columns(state["history"])
        epoch, skipped, interrupted = count(state["epoch"]), count(state["skipped"]), state["interrupted"]
        if type(interrupted) is not bool:
            raise FileFormatError(f"expected whether it was interrupted, got {interrupted!r:.100}")
        position = Position(epoch=epoch)
        if state["position"] is not None:
            meter = Meter(settings.loss, settings.metrics, self.has_penalty)
            position = Position.read(state["position"], self.generator, meter, self.model.built)
            if self.processes is not None and self.processes.rank > 0 and position.meter is not None:
                position.meter = Meter(settings.loss, settings.metrics, self.has_penalty)  # the first has all of it

        now = {**settings_text(*self.made_with), "kernels": kernels.current()}
        if changed := changed_settings(now, state.get("settings", {})):
            warnings.warn(
                f"load: the training continues with other settings than it was stored with: {changed}",
                UserWarning,
                stacklevel=5,
            )

        restore_column_names(self.model, state)
        remember(self.model, loss=settings.loss)

        # Everything is valid: from here on nothing can be refused.
        for name, array in self._arrays().items():
            array[...] = numbers[name]
        for name, generator in generators.items():
            generator.bit_generator.state = drawn[name].bit_generator.state
        self._separate_generators(of_processes)
        self.optimizer_state, self.kept = optimizer_state, kept
        self.history.clear()
        self.history.update(columns)
        self.history.interrupted, self.skipped, self.consistent = interrupted, skipped, True
        self.epoch, self.position, self.callback_states = position.epoch, position, callbacks

    def _stored_state(self, optimizer: Optimizer, stored: Mapping[str, Any]) -> tuple[State, Kept]:
        """The optimizer's state in a file, for the parameters that this trainer trains.

        Whether a parameter is frozen is up to the trainer, not to the file: the state of one that is frozen here is
        kept aside, and one that was frozen in the file starts with an empty state.
        """
        named, frozen, state = self.model.named_parameters(), stored["frozen"], stored["optimizer_state"]
        kept = stored.get("kept", {})
        if not isinstance(frozen, list) or not {*frozen} <= {*named} or len({*frozen}) != len(frozen):
            raise FileFormatError(f"expected names of frozen parameters, got {frozen!r:.200}")
        apart = {name: Parameter(one.value.copy()) for name, one in named.items() if name not in frozen}
        then = ParameterVector(apart)  # the parameters that the file's training trained
        _check_same("the optimizer's state", *(_sizes(plain(one)) for one in (optimizer._restart(then), state)))
        check_kept(optimizer, then.names, then.shapes, state, kept, named)
        self.acquire(optimizer)
        if set(then.names) == set(self.parameters.names):
            return dict(state), dict(kept)
        if stored["position"] is not None:
            warnings.warn(
                f"load: the file resumes a training in which {frozen or 'nothing'} was frozen; this trainer's own "
                f"frozen parameters stay: {[name for name, one in named.items() if one.frozen]}",
                UserWarning,
                stacklevel=6,
            )
        return follow(optimizer, then.names, then.shapes, state, kept, self.parameters)

    def _arrays(self) -> dict[str, Array]:
        """All parameters and buffers of the model."""
        held: dict[str, Parameter | Buffer] = {**self.model.named_parameters(), **self.model.named_buffers()}
        return {name: one.value for name, one in held.items()}

    def _all_generators(self) -> dict[str, np.random.Generator]:
        """The random generators of the training, the model and its layers, each once."""
        inside = generators_in({"": self.model, **self.model.named_layers()}).items()
        apart = (self.generator, self._of_layers)
        return {"trainer": self.generator, **{name: one for name, one in inside if one not in apart}}


def refuse_untrainable(model: Layer[Any]) -> NoReturn:
    """Raise ConfigurationError for a model without parameters that are trained."""
    frozen = " that are not frozen" if model.parameters() else ""
    raise ConfigurationError(f"{type(model).__name__}: has no parameters{frozen}: there is nothing to train")


def generators_in(layers: Mapping[Any, Layer[Any]]) -> dict[str, np.random.Generator]:
    """The random generators that these layers hold, each once, by the path of the layer and the field."""
    found: dict[int, tuple[str, np.random.Generator]] = {}
    for place, layer in layers.items():
        for attribute in attrs.fields(type(layer)):
            value = getattr(layer, attribute.name, None)
            if isinstance(value, np.random.Generator):
                found.setdefault(id(value), (f"{place}.{attribute.name}", value))
    return dict(found.values())


def _drawing(model: Layer[Any], inside: Iterable[tuple[str, Any]]) -> dict[Any, Layer[Any]]:
    """The layers that may draw in a pass: a chain's own generator draws initial values and rows, which no pass does."""
    layers = (one for _, one in [("", model), *inside] if isinstance(one, Layer))
    return dict(enumerate(one for one in layers if not isinstance(one, Chain)))


def _check_same(what: str, own: Any, stored: Any) -> None:
    if own != stored:
        raise ConfigurationError(
            f"load: {what}: the file has {stored!r:.500}, this trainer {own!r:.500}: make the trainer as it was made "
            "for the training that was stored"
        )


def _size(array: Any) -> Any:
    return (array.dtype, array.shape) if isinstance(array, np.ndarray) else None


def _sizes(named: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        for name, value in named.items()
    }
