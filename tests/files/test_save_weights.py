"""Weights alone: files of them in three conventions, and arrays in the place of a file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.errors import ConfigurationError, DataTypeError, FileFormatError
from deepbp.files import load, read_archive, weights_for
from deepbp.layers import GRU, BatchNorm, Conv2D, Dense, Flatten, Maxout, ReLU
from deepbp.typing import Array


def network(seed: int) -> Sequential:
    layers = [Conv2D(3, 2), BatchNorm(), ReLU(), Flatten(), Dense(4)]
    net = Sequential(layers, input_shape=(4, 3, 2), rng=seed)
    net.layers[1].running_mean.value = np.full(3, float(seed))
    return net


X = np.random.default_rng(0).normal(size=(2, 4, 3, 2)).astype("float32")


@pytest.mark.parametrize("convention", ["deepbp", "pytorch", "keras"])
@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_what_is_saved_is_loaded(tmp_path: Path, convention: Any, ending: str) -> None:
    one, other = network(1), network(2)
    path = one.save_weights(tmp_path / f"weights.{ending}", convention=convention)
    assert other.load_weights(path, convention=convention).complete
    assert (one.predict(X) == other.predict(X)).all()


def test_the_arrays_are_those_of_pytorch(tmp_path: Path) -> None:
    tensors = pytest.importorskip("safetensors.numpy")
    net = network(1)
    found = tensors.load_file(net.save_weights(tmp_path / "weights.safetensors", convention="pytorch"))
    assert {name: array.shape for name, array in found.items()} == {
        "0.weight": (3, 2, 2, 2),
        "0.bias": (3,),
        "1.weight": (3,),
        "1.bias": (3,),
        "1.running_mean": (3,),
        "1.running_var": (3,),
        "4.weight": (4, 18),
        "4.bias": (4,),
    }
    np.testing.assert_array_equal(found["0.weight"], net.layers[0].weight.value.transpose(3, 2, 0, 1))


def test_names_of_columns_are_kept(tmp_path: Path) -> None:
    net, other = (Sequential([Dense(1)], input_shape=2, rng=seed) for seed in (0, 1))
    net.columns = ["a", "b"]
    other.load_weights(net.save_weights(tmp_path / "weights.npz"))
    assert other.columns == ("a", "b")


def test_a_file_of_weights_is_no_network(tmp_path: Path) -> None:
    path = network(1).save_weights(tmp_path / "weights.npz")
    assert set(read_archive(path)[1]) == set(network(1).named_parameters()) | set(network(1).named_buffers())
    with pytest.raises(FileFormatError):
        load(path)


def test_refusals(tmp_path: Path) -> None:
    net = Sequential([Maxout(2)], input_shape=3, rng=0)
    with pytest.raises(ConfigurationError, match=r"PyTorch has no module for Maxout\(2\)"):
        net.save_weights(tmp_path / "weights.npz", convention="pytorch")
    with pytest.raises(ConfigurationError, match="convention: expected"):
        net.save_weights(tmp_path / "weights.npz", convention="tensorflow")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


class Tensor:
    """As much of a tensor of PyTorch as is needed, which is on another device."""

    dtype = "torch.float32"

    def __init__(self, array: Array, steps: tuple[str, ...] = ()) -> None:
        self.array, self.steps = array, steps

    def detach(self) -> "Tensor":
        return Tensor(self.array, (*self.steps, "detach"))

    def cpu(self) -> "Tensor":
        return Tensor(self.array, (*self.steps, "cpu"))

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        assert self.steps == ("detach", "cpu"), "PyTorch refuses other tensors"
        return self.array


def test_a_state_dict_in_the_place_of_a_file() -> None:
    one, other = network(1), network(2)
    state = {f"model.{name}": Tensor(array) for name, array in weights_for(one, "pytorch").items()}
    state["model.1.num_batches_tracked"] = Tensor(np.array(3))
    assert other.load_weights(state, convention="pytorch").complete
    assert (one.predict(X) == other.predict(X)).all()
    again = network(3)
    again.load_weights({name: part.value for name, part in one.named_members() if hasattr(part, "value")})
    assert (one.predict(X) == again.predict(X)).all()


def test_the_weights_of_a_keras_model_in_the_place_of_a_file() -> None:
    one, other = (Sequential([GRU(3), Dense(2)], input_shape=(5, 2), rng=seed) for seed in (1, 2))
    assert other.load_weights([*weights_for(one, "keras").values()], convention="keras").complete
    assert (one.predict(np.ones((1, 5, 2))) == other.predict(np.ones((1, 5, 2)))).all()


def test_other_arrays_are_refused_in_words() -> None:
    net = Sequential([Dense(2)], input_shape=3, rng=0)
    before = net.predict(np.ones((1, 3)))
    with pytest.raises(ConfigurationError, match=r"^the arrays: expected what this network has: 1 loaded; 1 missing"):
        net.load_weights({"0.weight": np.ones((3, 2))})
    with pytest.raises(DataTypeError, match=r"array '0\.weight': expected numbers, got object"):
        net.load_weights({"0.weight": None, "0.bias": np.ones(2)})
    assert (net.predict(np.ones((1, 3))) == before).all()
