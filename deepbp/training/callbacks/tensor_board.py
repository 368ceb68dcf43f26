"""The history as event files, for TensorBoard to draw while it is made."""

import os
import socket
import warnings
from collections.abc import Mapping
from time import time
from typing import TYPE_CHECKING

from attrs import define, field

from deepbp.errors import ConfigurationError
from deepbp.errors.validators import instance_of
from deepbp.training.callback import Callback
from deepbp.training.callbacks import event_file

if TYPE_CHECKING:
    from deepbp.training.trainer import Trainer


@define(eq=False)
class TensorBoard(Callback):
    """Each column of the history over the epochs, and the learning rate of each epoch's last step.

    ``tensorboard --logdir FOLDER`` draws them; writing them needs nothing that deepbp does not have. Columns named
    ``val_…`` lie in the folder ``validation``, the others in ``training``, so that both are lines of one picture. A
    training that goes on hides what an earlier run wrote about the same epochs. Give each training its own folder:
    ``runs/first``, ``runs/second``, and ``--logdir runs`` shows them side by side.

    A folder that cannot be made is an error before the first epoch. Files that cannot be written later on are a
    warning, and training goes on.

    Args:
        folder: of the event files; it is made, and may hold those of earlier runs.
    """

    folder: str | os.PathLike[str] = field(validator=instance_of(str, os.PathLike))
    _files: dict[str, str] = field(init=False, factory=dict, repr=False)  # of this fit, by the part that they hold
    _failed: bool = field(init=False, default=False, repr=False)

    def on_fit_start(self, trainer: "Trainer") -> None:
        self._files, self._failed = {}, False
        try:
            os.makedirs(self.folder, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"TensorBoard: folder: expected one that can be made, got {error}") from None

    def on_epoch_end(self, trainer: "Trainer", row: Mapping[str, float]) -> None:
        training = {name: value for name, value in row.items() if not name.startswith("val_")}
        validation = {name.removeprefix("val_"): value for name, value in row.items() if name.startswith("val_")}
        training["learning_rate"] = trainer.optimizer.rate(trainer.steps - 1)
        try:
            self._append("training", trainer.epoch, training)
            if validation:
                self._append("validation", trainer.epoch, validation)
        except OSError as error:
            if not self._failed:  # say it once
                warnings.warn(f"TensorBoard: {error}: training goes on, and each epoch tries again", stacklevel=2)
            self._failed = True

    def _append(self, part: str, epoch: int, values: Mapping[str, float]) -> None:
        begins = part not in self._files
        if begins:
            os.makedirs(os.path.join(self.folder, part), exist_ok=True)
            name = f"events.out.tfevents.{time():.6f}.{socket.gethostname()}"  # TensorBoard reads them in this order
            self._files[part] = os.path.join(self.folder, part, name)
        event_file.append(self._files[part], epoch, values, begins=begins)
