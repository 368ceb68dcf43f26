"""How the file of a training of the current format version was made: ``python make_training_files.py``.

Files of older versions stay as they are: a new version gets a file of its own.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from deepbp import Sequential, Trainer
from deepbp.files.network import TRAINING_VERSION as VERSION
from deepbp.layers import BatchNorm, Dense, Dropout, Tanh
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.optimizers import Adam
from deepbp.training import Accuracy, Callback, EarlyStopping

FOLDER = Path(__file__).parent
FIT: dict[str, Any] = {"epochs": 4, "batch_size": 16, "validation_split": 0.25}
LEFT = 7  # updates: in the middle of the second epoch


class Leave(Callback):
    """Stores the training in the middle."""

    def on_step_end(self, trainer: Trainer, loss: float) -> None:
        if trainer.steps == LEFT:
            trainer.save(FOLDER / f"training_{VERSION}.npz")


def make_trainer() -> Trainer:
    """With everything that a file must hold."""
    layers = [Dense(6), BatchNorm(), Tanh(), Dropout(0.2), Dense(3)]
    net = Sequential(layers, input_shape=4, rng=3, dtype="float64")
    callbacks = [EarlyStopping("val_loss", patience=3), Leave()]
    return Trainer(net, SoftmaxCrossEntropy(), Adam(0.01), metrics=[Accuracy()], callbacks=callbacks, rng=5)


def data() -> tuple[Any, Any]:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(80, 4))
    return x, (x[:, 0] > 0) + (x[:, 1] > 0).astype(int)


if __name__ == "__main__":
    history = make_trainer().fit(*data(), **FIT)
    (FOLDER / f"training_{VERSION}.json").write_text(json.dumps(history, indent=1))
