"""Where a training stands, as a file has it, and back."""

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from deepbp.errors import ConfigurationError, FileFormatError
from deepbp.training.evaluation import Meter
from deepbp.training.position import Position, generator_at

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
