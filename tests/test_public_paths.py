"""Every public name knows the path by which users import it, so that pickles outlive moves between files."""

import copy
import inspect
import pickle
import pickletools
import subprocess
import sys
from functools import reduce
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from test_docstrings import MODULES, OBJECTS

import deepbp
from deepbp import Buffer, Parameter, ParameterVector, Sequential
from deepbp.callbacks import EarlyStopping, ReduceOnPlateau, SignalMonitor, WeightAverage
from deepbp.initializers import HeNormal
from deepbp.layers import L2, Activation, BatchNorm, Dense, Dropout, Parallel, Penalized, PReLU, Residual, Sigmoid
from deepbp.losses import MeanSquaredError, OnOutputs, SumOfLosses
from deepbp.metrics import F1, Accuracy
from deepbp.optimizers import SGD, Adam, Grouped
from deepbp.optimizers.schedules import Cosine, Warmup

NETWORK = Sequential(
    [
        Dense(4, weight_init=HeNormal()),
        BatchNorm(),
        Residual([Dense(4), Dropout(0.5)]),
        Parallel([None, PReLU()]),
        Penalized(Dense(4), weights=L2(0.1)),
        Activation(np.sin, np.cos),
    ],
    input_shape=3,
    rng=0,
)
PICKLED = [
    NETWORK,
    NETWORK.fit(np.eye(3), np.eye(3, NETWORK.shapes[-1][0]), loss=MeanSquaredError(), optimizer=SGD(0.1)),
    SumOfLosses([OnOutputs(MeanSquaredError(), 0, 2)]),
    Grouped({"*.bias": SGD(Warmup(5, Cosine(0.1, 100))), "*": Adam()}),
    F1("macro"),
    EarlyStopping(),
    ReduceOnPlateau(),
    WeightAverage(),
    SignalMonitor(np.eye(3), np.eye(3)),
    ParameterVector([Parameter(np.ones((2, 3)))]),
    Buffer(np.ones(2)),
    deepbp.errors.ShapeError("x: expected {}, got {}", 1, 2),
]


@pytest.mark.parametrize("name", OBJECTS)
def test_a_public_name_is_found_where_it_says(name: str) -> None:
    found = OBJECTS[name]
    assert found.__module__ in MODULES
    assert reduce(getattr, found.__qualname__.split("."), import_module(found.__module__)) is found
    assert pickle.loads(pickle.dumps(found)) is found
    assert copy.deepcopy(found) is found


@pytest.mark.parametrize("value", PICKLED, ids=lambda value: type(value).__name__)
def test_pickles_name_public_paths_only(value: Any) -> None:
    """In protocol 2, which has one operation for all names of classes and functions."""
    data = pickle.dumps(value, protocol=2)
    named = [
        str(argument).split(" ")[0]
        for operation, argument, _ in pickletools.genops(data)
        if argument is not None and operation.name == "GLOBAL"
    ]
    assert {room for room in named if room.startswith("deepbp")} - set(MODULES) == set()
    assert type(pickle.loads(data)) is type(value)


def test_paths_do_not_depend_on_the_order_of_imports() -> None:
    modules = ["callbacks", "metrics", "testing", "losses.distances"]
    names = ["training.SignalMonitor", "training.Callback", "metrics.Accuracy", "losses.MeanSquaredError"]
    names += ["layers.Formula", "files.read_archive", "Trainer", "Sequential"]
    code = f"""
import sys
from functools import reduce
for first in sys.argv[1:]:
    for name in [name for name in sys.modules if name.partition(".")[0] == "deepbp"]:
        del sys.modules[name]
    deepbp = __import__(f"deepbp.{{first}}")
    print(*(reduce(getattr, name.split("."), deepbp).__module__ for name in {names}))
"""
    done = subprocess.run([sys.executable, "-c", code, *modules], check=True, capture_output=True, text=True)
    expected: list[Any] = [reduce(getattr, name.split("."), deepbp) for name in names]
    assert done.stdout.splitlines() == [" ".join(value.__module__ for value in expected)] * len(modules)


def test_files_of_classes_are_paths_too() -> None:
    """Those of older pickles, and of programs that import from a file."""
    for name in (
        "layers.dense.Dense",
        "losses.distances.MeanSquaredError",
        "parameters.Parameter",
        "training.Accuracy",
    ):
        module, _, own = name.rpartition(".")
        old = getattr(import_module(f"deepbp.{module}"), own)
        assert old is getattr(import_module(old.__module__), own)


def test_source_of_methods_and_functions_is_found() -> None:
    assert "return" in inspect.getsource(Dense.forward)
    assert "def confusion_matrix" in inspect.getsource(deepbp.metrics.confusion_matrix)
    with pytest.raises(OSError, match=r"class|source"):  # what the docstring of ``publish`` calls the price
        inspect.getsource(Sigmoid)
    assert repr(Accuracy) == "<class 'deepbp.metrics.Accuracy'>"
