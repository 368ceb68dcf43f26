"""Names are imported when they are first used: from one home, in any order, and no others with them."""

import ast
import pickle
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_floors import SOURCES

import deepbp
from deepbp import Sequential
from deepbp._config import LazyPackage
from deepbp.layers import L2, Dense, Flatten, Layer, Parallel, Penalized, Tanh
from deepbp.losses import IgnoreMissing, MeanSquaredError
from deepbp.optimizers import SGD

LAZY: dict[str, Any] = {name: import_module(name) for name, source in SOURCES.items() if "    homes={" in source}
HELD_BY_PICKLES = {"Built", "Sublayer", "_Identity"}  # have a home in their package, but are not public
OLD_HOMES = {"deepbp.training": {"callbacks", "metrics"}}
TRAINING = """
import numpy as np
from deepbp import Sequential
from deepbp.layers import Dense, ReLU
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.optimizers import Adam
net = Sequential([Dense(4), ReLU(), Dense(2)], input_shape=3, rng=0)
net.fit(np.eye(3), [0, 1, 0], loss=SoftmaxCrossEntropy(), optimizer=Adam(), progress=False)
"""


def run(code: str, *arguments: str) -> list[str]:
    """The lines that a new process prints."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.split("\n")[:-1]


def checked_imports(package: str) -> Iterator[tuple[str, str]]:
    """The names that a package imports for type checkers, each with the module that it comes from."""
    for block in ast.parse(SOURCES[package]).body:
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
            for statement in block.body:
                assert isinstance(statement, ast.ImportFrom)
                module = str(statement.module)
                every = [alias.name for alias in statement.names]
                for name in import_module(module).__all__ if every == ["*"] else every:
                    yield name, module


def test_there_are_lazy_packages() -> None:
    rooms = "callbacks files layers layers.activations losses metrics optimizers training"
    assert list(LAZY) == [f"deepbp.{room}" for room in rooms.split()]
    assert all(isinstance(module, LazyPackage) for module in LAZY.values())


@pytest.mark.parametrize("package", LAZY)
def test_type_checkers_see_the_names_that_are_imported_on_first_use(package: str) -> None:
    module = LAZY[package]
    assert module._homes.items() - {("load", "deepbp.sequential")} == set(checked_imports(package))
    eager = {name for name in module.__all__ if name not in module._homes}
    assert eager <= vars(import_module(package)).keys()
    assert module._homes.keys() - set(module.__all__) - HELD_BY_PICKLES == OLD_HOMES.get(package, set())
    assert set(module.__all__) <= set(dir(module))


def test_the_package_itself_agrees_with_its_type() -> None:
    homes = {name: f"deepbp.{home}" for name, home in deepbp._HOMES.items()}
    modules = {name: "deepbp" for name in deepbp.__all__ if name not in homes}
    assert homes | modules == dict(checked_imports("deepbp"))


def test_each_module_can_be_the_first_and_its_classes_have_the_public_path() -> None:
    """All in one process, which forgets deepbp in between."""
    homes: dict[str, dict[str, str]] = {}
    for package, module in LAZY.items():
        for name, home in module._homes.items():
            if home.startswith(f"{package}."):
                homes.setdefault(home, {})[name] = module._public
    code = f"""
import sys
from importlib import import_module
for home, publics in {homes}.items():
    for name in [name for name in sys.modules if name.partition(".")[0] == "deepbp"]:
        del sys.modules[name]
    module = import_module(home)
    for name, public in publics.items():
        found = getattr(module, name)
        assert getattr(import_module(public), name) is found, (home, name)
        assert getattr(found, "__qualname__", None) != name or found.__module__ == public, (home, name)
    print(home)
"""
    assert len(homes) > 50
    assert run(code) == list(homes)


def test_a_small_training_imports_the_modules_of_its_own_classes_alone() -> None:
    loaded = run(f"{TRAINING}\nimport sys\nprint(*[name for name in sys.modules if name.startswith('deepbp.')])")[0]
    rooms = ["callbacks", "derivation", "files", "layers", "losses", "metrics", "optimizers", "storage", "summary"]
    assert {name.removeprefix("deepbp.") for name in loaded.split() if name.split(".")[1] in rooms} == {
        "layers",
        "layers.activations",
        "layers.activations.rectifiers",
        "layers.boundary",
        "layers.chain",
        "layers.dense",
        "layers.embedding",
        "layers.inner_graph",
        "layers.layer",
        "layers.masking",
        "layers.merging",
        "losses",
        "losses.cross_entropies",
        "losses.loss",
        "losses.targets",
        "metrics",
        "metrics.metric",
        "optimizers",
        "optimizers.adam",
        "optimizers.optimizer",
        "storage",
    }


def test_a_new_process_finds_the_classes_of_files_and_pickles(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(5, 4, 3))
    layers: list[Layer] = [Flatten(), Parallel([Dense(2), None]), Tanh(), Penalized(Dense(2), weights=L2(0.1))]
    net = Sequential(layers, input_shape=(4, 3), rng=0)
    net.fit(x, x[:, 0, :2], loss=IgnoreMissing(MeanSquaredError()), optimizer=SGD(0.1), progress=False)
    np.save(tmp_path / "x.npy", x)
    net.save(tmp_path / "net.npz")
    (tmp_path / "net.pickle").write_bytes(pickle.dumps(net))
    for path, load in (("net.npz", "deepbp.load(path)"), ("net.pickle", "pickle.loads(path.read_bytes())")):
        code = f"""
import pathlib, pickle, sys, deepbp, numpy as np
path = pathlib.Path(sys.argv[1])
net = {load}
print(net.predict(np.load(path.with_name("x.npy"))).tolist(), net.loss)
"""
        assert run(code, str(tmp_path / path)) == [f"{net.predict(x).tolist()} {net.loss}"]


def test_all_names_at_once_and_each_by_its_package() -> None:
    assert run("from deepbp.layers import *; print(Dense, Tanh, Formula.__module__)") == [
        f"{Dense} {Tanh} deepbp.layers"
    ]
    assert run("import deepbp; print(deepbp.optimizers.schedules.Cosine, deepbp.training.metrics.Accuracy)") == [
        "<class 'deepbp.optimizers.schedules.Cosine'> <class 'deepbp.metrics.Accuracy'>"
    ]
    assert run("from deepbp.optimizers.schedules import Cosine; import deepbp; print(deepbp.optimizers.SGD)") == [
        "<class 'deepbp.optimizers.SGD'>"
    ]
