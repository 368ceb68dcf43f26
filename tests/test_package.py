"""The package from outside: what it offers, what it needs, and what importing it costs."""

import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.resources import files
from pathlib import Path

import pytest

import deepbp

ROOT = Path(__file__).parent.parent

PUBLIC = {
    "deepbp": "Buffer History Parameter ParameterVector Sequential Trainer load",
    "deepbp.files": "WeightsReport load load_weights read_archive save write_archive",
    "deepbp.layers": "Builder Dense Flatten Layer ReLU Reshape Sigmoid Softmax Tanh",
    "deepbp.losses": "BinaryCrossEntropy CrossEntropy Loss MeanSquaredError SigmoidBinaryCrossEntropy "
    "SoftmaxCrossEntropy SumSquaredError",
    "deepbp.optimizers": "SGD Adam AdamW Optimizer",
    "deepbp.training": "Accuracy BinaryAccuracy Callback History MeanAbsoluteError Metric Trainer",
    "deepbp.errors": "ArgumentTypeError ConfigurationError ContractError DataError DataTypeError DeepBPError "
    "NonFiniteError NotBuiltError ShapeError",
    "deepbp.initializers": "Constant GlorotNormal GlorotUniform HeNormal HeUniform Initializer LeCunNormal Normal Ones "
    "Orthogonal Uniform Zeros",
    "deepbp.testing": "check_initializer check_layer check_loss check_optimizer compare_gradients layer_checks "
    "numeric_gradient parametrize_with_checks",
}


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_are_there_and_documented(module: str) -> None:
    for name in PUBLIC[module].split():
        found = getattr(import_module(module), name)
        assert found.__name__ == name
        assert found.__doc__, f"{module}.{name} has no docstring"


@pytest.mark.parametrize("module", ["deepbp", "deepbp.layers", "deepbp.losses", "deepbp.optimizers", "deepbp.training"])
def test_all_lists_what_is_there(module: str) -> None:
    found = import_module(module)
    assert sorted(found.__all__) == sorted(set(found.__all__))
    assert set(PUBLIC[module].split()) <= set(found.__all__)
    for name in found.__all__:
        assert getattr(found, name) is not None


def test_everything_is_reached_from_the_package_itself() -> None:
    code = """
import deepbp
net = deepbp.Sequential([deepbp.layers.Dense(1)], input_shape=1, rng=0)
deepbp.Trainer(net, deepbp.losses.SumSquaredError(), deepbp.optimizers.SGD(0.1)).fit([[1.0]], [[2.0]])
assert issubclass(deepbp.errors.ShapeError, ValueError)
assert isinstance(deepbp.initializers.Zeros(), deepbp.initializers.Initializer)
assert deepbp.training.Accuracy().name == "accuracy"
assert {"Sequential", "layers", "__version__"} <= set(dir(deepbp))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_does_not_exist() -> None:
    with pytest.raises(AttributeError, match=r"^module 'deepbp' has no attribute 'Sequentail'"):
        deepbp.Sequentail  # type: ignore[attr-defined]  # noqa: B018


def test_importing_loads_nothing_that_is_not_needed() -> None:
    """Also not where every part is imported and a network was built and trained without a bar."""
    code = f"""
import sys
import deepbp
assert not [name for name in sys.modules if name.startswith("numpy")], "the version alone needs no NumPy"
import {", ".join(PUBLIC)}
extras = {{"tqdm", "matplotlib", "sklearn", "numba", "pandas", "safetensors", "scipy", "onnx", "torch", "jax"}}
print(sorted(extras & set(sys.modules)))
net = deepbp.Sequential([deepbp.layers.Dense(1), deepbp.layers.Sigmoid()], input_shape=1, rng=0)
net.fit([[1.0]], [[1.0]], loss=deepbp.losses.SumSquaredError(), optimizer=deepbp.optimizers.SGD(0.1), progress=False)
print(sorted({{"tqdm", "matplotlib", "sklearn"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]


def test_types_are_shipped() -> None:
    assert (files("deepbp") / "py.typed").is_file()


def test_core_dependencies_are_three() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = sorted(requirement.split(">=")[0] for requirement in project["dependencies"])
    assert names == ["attrs", "numpy", "tqdm"]
    assert project["requires-python"] == ">=3.11"
