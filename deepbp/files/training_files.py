"""Trainings in files."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from deepbp._config import without_addresses
from deepbp.callbacks.callback import CallbackState, states_of
from deepbp.errors import ArgumentTypeError, ConfigurationError, FileFormatError
from deepbp.files.network import TRAINING, TRAINING_VERSION, describe_model
from deepbp.files.objects import FROM_THE_CONFIGURATION
from deepbp.layers import Layer
from deepbp.parameters import Buffer, Parameter
from deepbp.storage.contents import LIMIT, check_version
from deepbp.storage.json_codec import from_json, to_json
from deepbp.storage.npz_format import read_archive, write_archive
from deepbp.training.evaluation import Meter
from deepbp.training.state import Position, generator_at, generators_in, state_of
from deepbp.typing import Array

if TYPE_CHECKING:
    from deepbp.training import Trainer


_NAMES = {attribute.name for attribute in attrs.fields(Position)}


def describe_position(position: Position) -> dict[str, Any]:
    """All that it says."""
    meter = position.meter
    fields = {name: getattr(position, name) for name in sorted(_NAMES)}
    return {**fields, "meter": None if meter is None else meter.state()}


def read_position(trainer: "Trainer", stored: Any) -> Position:
    """The position that was described. Raises FileFormatError, or another error, where it is none of this trainer's."""
    if not isinstance(stored, dict) or stored.keys() != _NAMES:
        raise FileFormatError(f"expected a position in a training, got {stored!r:.200}")
    for name in ("epochs", "epoch", "batches"):
        count(stored[name])
    if type(stored["stopped"]) is not bool or not isinstance(stored["call"], str):
        raise FileFormatError(f"expected a position in a training, got {stored!r:.200}")
    generator_at(trainer.generator, stored["fit_start"])  # what makes no sense is refused
    if stored["batches"] or stored["epoch_start"] != {}:
        generator_at(trainer.generator, stored["epoch_start"])
    meter = None if stored["meter"] is None else _read_meter(trainer, stored["meter"])
    return Position(**{**stored, "meter": meter})


def _read_meter(trainer: "Trainer", stored: dict[str, Any]) -> Meter:
    kept = {"predictions", "targets"} if count(stored["seen"]) and trainer.metrics else set()
    if (stored.keys() - {"total", "seen"} == set()) != (kept == set()):
        raise ConfigurationError(
            "load: the metrics: the file was stored in the middle of an epoch, with metrics or without: "
            "make the trainer as it was made for the training that was stored"
        )
    if stored.keys() != {"total", "seen"} | kept or type(stored["total"]) is not float:
        raise FileFormatError(f"expected the loss and the samples seen so far, got {stored!r:.200}")
    built: Any = trainer.model.built
    if kept:
        prediction, target = stored["predictions"], stored["targets"]
        wanted = (stored["seen"], *built.output_shape)
        if not isinstance(prediction, np.ndarray) or (prediction.dtype, prediction.shape) != (built.dtype, wanted):
            raise FileFormatError(f"expected predictions of shape {wanted}, got {prediction!r:.100}")
        again = trainer.loss.prepare_target(target, built.output_shape, built.dtype)
        if not isinstance(target, np.ndarray) or again.dtype != target.dtype or len(again) != stored["seen"]:
            raise FileFormatError(f"expected {stored['seen']} targets, got {target!r:.100}")
    meter = Meter(trainer.loss, trainer.metrics)
    meter.restore(stored)
    return meter


def count(value: Any) -> int:
    """A whole number of at least 0, as a counter has it."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise FileFormatError(f"expected a count, got {value!r:.100}")
    return value


def save_training(trainer: "Trainer", path: str | os.PathLike[str]) -> None:
    """Write all that the trainer and its model hold.

    Raises:
        ConfigurationError: when the last update was cut off in the middle, by a second Ctrl-C or for want of memory.
        ArgumentTypeError: when the state of a callback or an optimizer holds what a file cannot.
        OSError: when the disk is full, and so on; an old file is then as it was.
    """
    if not trainer.undo.settled:
        raise ConfigurationError("save: the last update was cut off in the middle: load the file stored before it")
    network, arrays = _network(trainer.model)
    state = to_json(_state(trainer), TRAINING, arrays)
    write_archive(path, {"kind": TRAINING, "version": TRAINING_VERSION, "network": network, "training": state}, arrays)


def load_training(trainer: "Trainer", path: str | os.PathLike[str], limit: int = LIMIT) -> None:
    """Give a trainer, made as the one that was stored, the state of that one; see ``Trainer.load``."""
    description, arrays = read_archive(path, limit=limit)
    try:
        _restore(trainer, description, arrays)
    except FileFormatError as error:
        raise error.placed(str(path)) from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise FileFormatError(f"{path}: expected the state of a training, got something else: {error!r}") from error


def _state(trainer: "Trainer") -> dict[str, Any]:
    model, history, position = trainer.model, trainer.history, trainer.position  # the model's arrays stand outside
    callbacks = states_of(trainer.callbacks) if trainer.waiting is None else trainer.waiting
    return {
        "frozen": [name for name, parameter in model.named_parameters().items() if parameter.frozen],
        "optimizer": type(trainer.optimizer).__name__,
        "optimizer_state": trainer.state,
        "loss": without_addresses(repr(trainer.loss)),
        "generators": {name: state_of(generator) for name, generator in _generators(trainer).items()},
        "history": {name: np.array(column, float) for name, column in history.items()},
        "interrupted": history.interrupted,
        "epoch": trainer.epoch,
        "skipped": trainer.skipped,
        "position": describe_position(position) if position.begun else None,
        "callbacks": callbacks,
    }


def _restore(trainer: "Trainer", description: dict[str, Any], arrays: dict[str, Array]) -> None:
    """Everything is looked at before anything is changed."""
    if description.get("kind") != TRAINING:
        raise FileFormatError(f"expected a file of Trainer.save, got one of kind {description.get('kind')!r:.100}")
    check_version(description.get("version"), TRAINING_VERSION, "the training")
    if description.keys() != {"kind", "version", "network", "training"}:
        raise FileFormatError(f"expected a network and a training, got {list(description)!r:.200}")
    state = from_json(description["training"], arrays, description["version"])
    numbers = {name: array for name, array in arrays.items() if not name.startswith(FROM_THE_CONFIGURATION)}
    held, generators = _numbers(trainer.model), _generators(trainer)
    frozen = [name for name, parameter in trainer.model.named_parameters().items() if parameter.frozen]
    callbacks = _callbacks(state["callbacks"])
    _same("the model's parameters and buffers", _sizes(held), _sizes(numbers))
    _same("the frozen parameters", frozen, state["frozen"])
    _same("the optimizer", type(trainer.optimizer).__name__, state["optimizer"])
    _same("the optimizer's state", _sizes(trainer.state), _sizes(state["optimizer_state"]))
    _same("the loss", without_addresses(repr(trainer.loss)), state["loss"])
    _same("the random generators", list(generators), list(state["generators"]))
    _same("the callbacks", [type(one).__name__ for one in trainer.callbacks], [name for name, _ in callbacks])
    count(state["optimizer_state"].get("step", 0))
    drawn = {name: generator_at(generators[name], found) for name, found in state["generators"].items()}
    columns = _columns(state["history"])
    epoch, skipped, interrupted = count(state["epoch"]), count(state["skipped"]), state["interrupted"]
    if type(interrupted) is not bool:
        raise FileFormatError(f"expected whether it was interrupted, got {interrupted!r:.100}")
    position = Position(epoch=epoch) if state["position"] is None else read_position(trainer, state["position"])
    # Nothing has been changed so far, and nothing is refused from here on.
    for name, array in held.items():
        array[...] = numbers[name]
    for name, generator in generators.items():
        generator.bit_generator.state = drawn[name].bit_generator.state
    trainer.state.update(state["optimizer_state"])
    trainer.history.clear()
    trainer.history.update(columns)
    trainer.history.interrupted, trainer.skipped, trainer.undo.settled = interrupted, skipped, True
    trainer.epoch, trainer.position, trainer.waiting = position.epoch, position, callbacks


def _network(model: Layer[Any]) -> tuple[dict[str, Any] | None, dict[str, Array]]:
    """The description by which ``deepbp.load`` makes the network, where it can be described, and its arrays."""
    try:
        return describe_model(model)  # type: ignore[arg-type]  # another layer is refused
    except (ArgumentTypeError, ConfigurationError):
        return None, _numbers(model)


def _callbacks(stored: Any) -> list[CallbackState]:
    for one in stored:
        if len(one) != 2 or not isinstance(one[0], str) or not isinstance(one[1], dict):
            raise FileFormatError(f"expected the states of callbacks, got {stored!r:.200}")
    return [(name, found) for name, found in stored]


def _columns(stored: Mapping[str, Any]) -> dict[str, list[float]]:
    for column in stored.values():
        if not isinstance(column, np.ndarray) or column.ndim != 1 or column.dtype != np.float64:
            raise FileFormatError(f"expected columns of a history, got {column!r:.100}")
    if len({len(column) for column in stored.values()}) > 1:
        raise FileFormatError("expected a history of columns of one length")
    return {name: column.tolist() for name, column in stored.items()}


def _same(what: str, own: Any, stored: Any) -> None:
    if own != stored:
        raise ConfigurationError(
            f"load: {what}: the file has {stored!r:.500}, this trainer {own!r:.500}: make the trainer as it was made "
            "for the training that was stored"
        )


def _sizes(named: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        for name, value in named.items()
    }


def _numbers(model: Layer[Any]) -> dict[str, Array]:
    """All parameters and buffers."""
    held: dict[str, Parameter | Buffer] = {**model.named_parameters(), **model.named_buffers()}
    return {name: one.value for name, one in held.items()}


def _generators(trainer: "Trainer") -> dict[str, np.random.Generator]:
    """The random generators of the trainer, the model and its layers, each once."""
    inside = generators_in(trainer.model).items()
    return {"trainer": trainer.generator, **{name: one for name, one in inside if one is not trainer.generator}}
