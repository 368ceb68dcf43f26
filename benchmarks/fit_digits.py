"""A complete training on the handwritten digits up to the same accuracy, in a separate process."""

import importlib
import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

TARGET, BATCH, RATE, LIMIT = 0.97, 32, 1e-3, 100
os.environ["KERAS_BACKEND"] = "jax"
IMPORTS = {
    "with_deepbp": ["deepbp.sequential"],
    "with_pytorch": ["torch"],
    "with_scikit_learn": ["sklearn.neural_network"],
    "with_keras": ["keras"],
}


def write_data(path: Path) -> None:
    """Write x, y, held-out x and held-out y, the same split for all libraries."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x, held_x, y, held_y = train_test_split(x / 16, y, test_size=0.2, random_state=0, stratify=y)
    np.savez(path, x.astype(np.float32), y, held_x.astype(np.float32), held_y)


def with_deepbp(x: Any, y: Any, held_x: Any, held_y: Any) -> int:
    from deepbp import Sequential
    from deepbp.layers import Dense, ReLU
    from deepbp.losses import SoftmaxCrossEntropy
    from deepbp.optimizers import Adam
    from deepbp.training import Accuracy, Callback

    class StopAtAccuracy(Callback):
        def on_epoch_end(self, trainer: Any, row: Any) -> None:
            if row["val_accuracy"] >= TARGET:
                trainer.stop()

    net = Sequential([Dense(64), ReLU(), Dense(64), ReLU(), Dense(10)], rng=0)
    history = net.fit(
        x,
        y,
        loss=SoftmaxCrossEntropy(),
        optimizer=Adam(RATE),
        epochs=LIMIT,
        batch_size=BATCH,
        validation_data=(held_x, held_y),
        metrics=[Accuracy()],
        callbacks=[StopAtAccuracy()],
    )
    return history.epochs


def with_pytorch(x: Any, y: Any, held_x: Any, held_y: Any) -> int:
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(2)
    sizes = [
        torch.nn.Linear(64, 64),
        torch.nn.ReLU(),
        torch.nn.Linear(64, 64),
        torch.nn.ReLU(),
        torch.nn.Linear(64, 10),
    ]
    model, loss = torch.nn.Sequential(*sizes), torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    xs, ys, held = torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(held_x)
    for epoch in range(1, LIMIT + 1):
        for rows in torch.randperm(len(xs)).split(BATCH):
            optimizer.zero_grad()
            loss(model(xs[rows]), ys[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            if (model(held).argmax(1).numpy() == held_y).mean() >= TARGET:
                return epoch
    return LIMIT


def with_scikit_learn(x: Any, y: Any, held_x: Any, held_y: Any) -> int:
    from sklearn.neural_network import MLPClassifier

    warnings.filterwarnings("ignore")
    model = MLPClassifier((64, 64), alpha=0, batch_size=BATCH, learning_rate_init=RATE, random_state=0)
    for epoch in range(1, LIMIT + 1):
        rows = np.random.default_rng(epoch).permutation(len(x))
        model.partial_fit(x[rows], y[rows], classes=np.arange(10))
        if model.score(held_x, held_y) >= TARGET:
            return epoch
    return LIMIT


def with_keras(x: Any, y: Any, held_x: Any, held_y: Any) -> int:
    import keras

    class StopAtAccuracy(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = logs["val_accuracy"] >= TARGET

    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense
    model = keras.Sequential([keras.Input((64,)), dense(64, "relu"), dense(64, "relu"), dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(RATE), loss, metrics=["accuracy"])
    history = model.fit(x, y, BATCH, LIMIT, verbose=0, validation_data=(held_x, held_y), callbacks=[StopAtAccuracy()])
    return len(history.history["loss"])


def main() -> None:
    """Print the seconds of the training, without the imports, and its epochs; the caller times the whole process."""
    with np.load(sys.argv[2]) as stored:
        arrays = [stored[name] for name in stored]
    for name in IMPORTS[sys.argv[1]]:
        importlib.import_module(name)
    start = time.perf_counter()
    epochs = globals()[sys.argv[1]](*arrays)
    print(json.dumps({"seconds": time.perf_counter() - start, "epochs": epochs}))


if __name__ == "__main__":
    main()
