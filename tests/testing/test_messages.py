"""Data in the place of another argument: a message names their kind and shape, on one line, and no numbers."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from every_builtin import BUILTIN_INITIALIZERS, BUILTIN_LAYERS, BUILTIN_LOSSES, BUILTIN_OPTIMIZERS

from deepbp import Sequential, Trainer, callbacks, derive, kernels, load, metrics, processes, training
from deepbp.errors import DeepBPError
from deepbp.layers import Dense, configuration
from deepbp.losses import MeanSquaredError, sample_weights
from deepbp.optimizers import SGD, schedules
from deepbp.parameters import ParameterVector
from deepbp.testing import check_gradient, check_layer, check_loss, check_optimizer, numeric_gradient
from deepbp.typing import Array

X = np.arange(1000.0).reshape(-1, 2)
Y = X[:, :1]
LOSS = MeanSquaredError()


def net() -> Sequential:
    return Sequential([Dense(1)], input_shape=2, rng=0)


def trainer() -> Trainer:
    return Trainer(net(), LOSS, SGD(0.1))


# Each call works as it stands; the tests replace one argument after another by data.
CALLS: list[tuple[Callable[..., Any], dict[str, Any]]] = [
    (Sequential, {"layers": [Dense(1)], "input_shape": 2, "rng": 0, "dtype": "float32"}),
    (
        lambda **options: net().fit(X / 1000, Y / 1000, **options),
        {"loss": LOSS, "optimizer": SGD(0.1), "epochs": 1, "batch_size": 100, "shuffle": True, "metrics": []}
        | {"callbacks": [], "clip_norm": 1.0, "clip_value": 1.0, "accumulate": 1, "non_finite": "raise", "rng": 0}
        | {"prefetch": 0, "progress": False, "validation_split": 0.5, "validation_every": 1, "stratify": False}
        | {"class_weight": None, "steps_per_epoch": None, "validation_steps": None, "processes": None},
    ),
    (lambda **options: net().evaluate(X, Y, **options), {"loss": LOSS, "metrics": [], "batch_size": 9, "steps": None}),
    (lambda **options: net().predict(X, **options), {"batch_size": 9}),
    (lambda **options: net().trace(X[:2], Y[:2], **options), {"loss": LOSS, "optimizer": SGD(0.1)}),
    (lambda **options: net().derivation(**options), {"loss": LOSS, "optimizer": SGD(0.1)}),
    (lambda **options: net().script(**options), {"loss": LOSS, "optimizer": SGD(0.1)}),
    (lambda name: net().parameter(name), {"name": "0.weight"}),
    (lambda position: net()[position], {"position": 0}),
    (lambda path: net().save(path), {"path": "net.npz"}),
    (lambda **options: net().load_weights({}, **options), {"strict": False, "names": {}, "convention": "deepbp"}),
    (lambda classes: setattr(net(), "classes", classes), {"classes": None}),
    (lambda loss: setattr(net(), "loss", loss), {"loss": None}),
    (Trainer, {"model": net(), "loss": LOSS, "optimizer": SGD(0.1), "metrics": [], "callbacks": [], "rng": 0}),
    (training.k_fold, {"samples": 500, "folds": 2, "rng": 0}),
    (
        training.cross_validate,
        {"make_network": net, "x": X, "y": Y, "loss": LOSS, "folds": 2, "rng": 0, "optimizer": SGD(0.1)},
    ),
    (
        training.learning_rate_range_test,
        {"model": net(), "x": X, "y": Y, "loss": LOSS, "optimizer": SGD(0.1), "steps": 10, "rng": 0, "batch_size": 9}
        | {"low": 1e-8, "high": 1e-7},
    ),
    (training.Objective, {"model": net(), "loss": LOSS, "x": X, "y": Y}),
    (training.pad_sequences, {"sequences": [[1], [2, 3]], "value": 0, "length": 3}),
    (training.Scores(loss=[1.0]).mean, {"name": "loss"}),
    (training.History().best, {"name": "loss", "mode": "min"}),
    (metrics.confusion_matrix, {"prediction": [0, 1], "target": [0, 1], "threshold": 0.5, "loss": None}),
    (metrics.check_metrics, {"metrics": []}),
    (partial(sample_weights, output_shape=(2,)), {"class_weight": "balanced", "target": np.array([0, 1])}),
    (ParameterVector.of, {"parameters": net().parameters()}),
    (check_layer, {"layer": Dense(1), "input_shape": 2}),
    (check_loss, {"loss": LOSS}),
    (check_optimizer, {"optimizer": SGD(0.1)}),
    (numeric_gradient, {"f": lambda x: float(x.sum()), "x": np.ones(2)}),
    (check_gradient, {"f": lambda x: float(x.sum()), "gradient": np.ones_like, "x": np.ones(2)}),
    (derive, {"formula": "x * x", "parameters": []}),
    (kernels.use, {"form": "numpy"}),
    (load, {"path": b"", "custom": [], "limit": 9}),
    (processes.Processes, {"comm": None}),
    (schedules.Cosine(0.1, 10), {"step": 1}),
    (callbacks.EarlyStopping, {"monitor": "loss", "patience": 3, "mode": "min"}),
    (callbacks.ModelCheckpoint, {"path": "run.npz", "every_steps": 3}),
]
BUILTINS = [row[0] for row in (*BUILTIN_LAYERS, *BUILTIN_LOSSES)] + BUILTIN_OPTIMIZERS + BUILTIN_INITIALIZERS
KINDS: dict[Any, Any] = {type(one): one for one in BUILTINS}


def problems(call: Callable[..., Any], arguments: dict[str, Any], data: Any) -> list[str]:
    """The messages that are long, or have several lines."""
    found = []
    for name in arguments:
        try:
            result = call(**{**arguments, name: data})
            list(result) if call is training.k_fold else None
        except DeepBPError as error:
            message = str(error)
            if "\n" in message or len(message) > 400:
                found.append(f"{name}: {message:.300}")
        except Exception:  # of Python itself, or NumPy
            pass
    return found


def as_frame(array: Array) -> Any:
    return pytest.importorskip("pandas").DataFrame(array, columns=["height", "weight"])


DATA = [("array", lambda: X), ("list", X.tolist), ("frame", partial(as_frame, X))]
data = pytest.mark.parametrize("make", [make for _, make in DATA], ids=[name for name, _ in DATA])


@data
def test_functions_name_data_by_their_shape(make: Callable[[], Any], tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    given = make()
    assert [line for call, arguments in CALLS for line in problems(call, arguments, given)] == []


@data
def test_constructors_name_data_by_their_shape(make: Callable[[], Any]) -> None:
    given = make()
    made = [(kind, line) for kind, one in KINDS.items() for line in problems(kind, configuration(one), given)]
    assert made == []
