"""The options of a call of ``fit``: validation, and the data that they select."""

from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any

import attrs
import numpy as np
from attrs import frozen

from deepbp._config import without_addresses
from deepbp._validation import require_built
from deepbp.errors import ArgumentTypeError, ConfigurationError, DeepBPError, FileFormatError, shown
from deepbp.errors.validators import whole
from deepbp.layers import Layer
from deepbp.losses import Loss
from deepbp.losses.targets import class_labels
from deepbp.training.data import Data, Source, as_source
from deepbp.training.lazy import Blocks, Items, is_mapping
from deepbp.training.progress import ProgressLike
from deepbp.training.streams import Stream
from deepbp.typing import Array, ArrayLike


@frozen(kw_only=True, eq=False)
class FitOptions:
    """The options of ``Trainer.fit``, which documents them, and of ``Sequential.fit``: validated here."""

    epochs: int = 1
    batch_size: int | None = 32
    shuffle: bool = True
    validation_data: Any = None
    validation_split: float = 0.0
    sample_weight: ArrayLike | None = None
    class_weight: Mapping[int, float] | Mapping[str, float] | str | None = None
    steps_per_epoch: int | None = None
    prefetch: int = 0
    progress: ProgressLike = None
    validation_steps: int | None = None
    validation_every: int = 1
    stratify: bool = False

    def __attrs_post_init__(self) -> None:
        check_batch_size(self.batch_size)
        for name in ("shuffle", "stratify"):
            if not isinstance(flag := getattr(self, name), bool | np.bool):
                raise ArgumentTypeError(f"{name}: expected True or False, got {shown(flag)}")
        split: Any = self.validation_split
        if not isinstance(split, Real) or not 0 <= float(split) < 1:
            raise ConfigurationError(f"validation_split: expected at least 0 and below 1, got {shown(split)}")
        words = isinstance(self.progress, str) and self.progress in ("steps", "text")
        if not (words or self.progress is None or isinstance(self.progress, bool)):
            raise ArgumentTypeError(
                f"progress: expected True, False, None, 'steps' or 'text', got {shown(self.progress)}"
            )
        if self.stratify and not self.validation_split:
            raise ConfigurationError("stratify: is for validation_split=..., which is 0")
        whole("epochs", self.epochs, least=0)
        whole("prefetch", self.prefetch, least=0)
        whole("validation_every", self.validation_every)
        for name in ("steps_per_epoch", "validation_steps"):
            if (steps := getattr(self, name)) is not None:
                whole(name, steps)
        if self.validation_every > 1 and self.validation_data is None and not self.validation_split:
            raise ConfigurationError("validation_every: there is nothing to validate on: give validation_data=...")

    def sources(
        self,
        model: Layer[Any],
        loss: Loss[Any],
        x: Any,
        y: Any,
        learns: bool,
        rng: np.random.Generator,
        part: Callable[[int], slice] = slice,
    ) -> tuple[Source, Source | None]:
        """The training data, and the validation data, which may be a share of them that ``rng`` draws.

        ``learns`` is whether the model remembers the names of columns; ``part`` is one process's share of n rows.
        """
        source = as_source(
            model,
            loss,
            x,
            y,
            self.sample_weight,
            class_weight=self.class_weight,
            steps_per_epoch=self.steps_per_epoch,
            learns=learns,
            part=part,
        )
        if self.validation_data is None and not self.validation_split:
            return source, None
        validation = self._validation_data(model, loss, part)
        if not self.validation_split:
            return source, validation
        if validation is not None:
            raise ConfigurationError("give validation_data or validation_split, not both")
        if isinstance(source, Stream):
            raise ConfigurationError("validation_split: is for arrays and data sets; give a stream its validation_data")
        classes = self._classes(source, model, loss) if self.stratify else None
        return source.split(self.validation_split, rng if self.shuffle else None, classes)

    def _classes(self, source: Data | Items | Blocks, model: Layer[Any], loss: Loss[Any]) -> Array:
        """The class of each sample, for a stratified split: all targets are read."""
        if isinstance(source, Items):
            raise ConfigurationError("stratify: is for arrays of targets; give a data set its validation_data")
        built = require_built(model, model.built)
        y = source.y
        if isinstance(source, Blocks):
            y = loss.prepare_target(np.asarray(y[:]), built.output_shape, built.dtype)
        return class_labels(y, built.output_shape, "stratify")

    def _validation_data(self, model: Layer[Any], loss: Loss[Any], part: Callable[[int], slice]) -> Source | None:
        given = self.validation_data
        if given is None:
            return None
        pair = isinstance(given, list | tuple)
        if len(given) not in (2, 3) if pair else isinstance(given, str | Data) or _is_array(given):
            raise ArgumentTypeError(f"validation_data: expected (x, y) or (x, y, sample_weight), got {shown(given)}")
        may_be_endless = callable(given) or (isinstance(given, Iterable) and iter(given) is given)
        if may_be_endless and self.validation_steps is None and self.steps_per_epoch is not None:
            raise ConfigurationError(
                "validation_steps: expected the number of batches of a validation stream, as for training, got "
                f"None: give validation_steps=..., such as {self.steps_per_epoch}"
            )
        try:
            arrays = given if pair else (given,)
            return as_source(model, loss, *arrays, steps_per_epoch=self.validation_steps, part=part)
        except DeepBPError as error:
            raise error.placed("validation_data") from None


def _is_array(data: Any) -> bool:
    return hasattr(data, "__array__") and not is_mapping(data)


def check_batch_size(batch_size: int | None) -> None:
    """Validate a batch size: a whole number of at least 1, or None for all samples at once."""
    if batch_size is None:
        return
    if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer):
        raise ArgumentTypeError(
            f"batch_size: expected a whole number, or None for a full batch, got {shown(batch_size)}"
        )
    if batch_size < 1:
        raise ConfigurationError(f"batch_size: expected at least 1, or None for a full batch, got {batch_size}")


def settings_text(optimizer: Any, others: Mapping[str, Any]) -> dict[str, str]:
    """The settings that change the numbers of a training, as text, besides the loss and the call of ``fit``."""
    fields = attrs.fields(type(optimizer)) if attrs.has(type(optimizer)) else ()
    given = {field.name: getattr(optimizer, field.name) for field in fields if field.init}
    return {name: without_addresses(repr(value)) for name, value in {**given, **others}.items()}


def changed_settings(own: Mapping[str, str], stored: Any) -> str:
    """The settings that differ from those of a file, ``name: old → new``. Raises FileFormatError for other objects."""
    if not isinstance(stored, dict) or not all(isinstance(value, str) for value in stored.values()):
        raise FileFormatError(f"expected the settings of a training, got {stored!r:.200}")
    changed = [name for name, value in own.items() if stored.get(name, value) != value]
    return ", ".join(f"{name}: {stored[name]:.100} → {own[name]:.100}" for name in changed)
