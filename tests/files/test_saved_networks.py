"""A loaded network predicts the same bytes as the saved one, and has the same configuration."""

from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest
from custom_layers import Beside, Direction, Everything, Slope, Twos, twice, two
from networks import X, small, values
from stored import stored

import deepbp
from deepbp import Parameter, Sequential
from deepbp.errors import ArgumentTypeError, ConfigurationError, ContractError, FileFormatError, NotBuiltError
from deepbp.initializers import Initializer
from deepbp.layers import Activation, Chain, Dense, Repeat, Residual, Tanh, TiedDense
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD, Adam
from deepbp.typing import Array, Shape

ENDINGS = [".npz", ".safetensors"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_trained_network_goes_on_as_it_would_have(tmp_path: Path, ending: str) -> None:
    network = small()
    network.fit(X, X[:, :2], loss=MeanSquaredError(), optimizer=Adam(), epochs=3)
    other = stored(network, tmp_path, ending)
    histories = [
        one.fit(X, X[:, :2], loss=MeanSquaredError(), optimizer=SGD(0.1), epochs=2, rng=3) for one in (network, other)
    ]
    assert histories[0] == histories[1]
    assert values(network) == values(other)


def test_reading_draws_no_first_values(tmp_path: Path) -> None:
    class Refuses(Initializer):
        def __call__(self, shape: Shape, rng: np.random.Generator, dtype: Any) -> Array:
            assert allowed, "drawn when it was read"
            return np.ones(shape, dtype)

    allowed = True
    network = Sequential([Dense(3, weight_init=Refuses()), Sequential([Dense(2)], input_shape=3)], input_shape=2, rng=5)
    path = network.save(tmp_path / "network.npz")
    allowed = False
    other = deepbp.load(path, custom=[Refuses])
    for generator in (other.generator, other[1].generator):
        assert isinstance(generator, np.random.Generator)
    assert other.generator.random() == np.random.default_rng(5).random()


def test_what_is_shared_is_one_again(tmp_path: Path) -> None:
    shared, encoder = Dense(3), Dense(2)
    layers = [shared, Chain([Tanh(), shared]), Repeat(Dense(3), 3, share=True), encoder, TiedDense(encoder)]
    network = Sequential(layers, input_shape=3, rng=0)
    other = stored(network, tmp_path)
    assert other[0] is other[1].layers[1]
    assert len(other.parameters()) == len(network.parameters()) == 2 + 2 + 2 + 1
    assert other[4].weight is other[3].weight


def test_weights_that_were_tied_by_hand_are_tied_again(tmp_path: Path) -> None:
    network: Any = Sequential([Dense(3), Residual([Dense(3), Tanh()]), Everything([1])], input_shape=3, rng=0)
    network[1].body.layers[0].weight = network[0].weight
    network[2].scale = network[0].bias
    other: Any = stored(network, tmp_path, custom=[Everything])
    assert list(other.named_parameters()) == ["0.weight", "0.bias", "1.body.0.bias"]
    assert other[1].body.layers[0].weight is other[0].weight
    assert other[2].scale is other[0].bias


def test_a_parameter_may_be_an_argument(tmp_path: Path) -> None:
    own = Parameter(np.array([1.0, 2.0, 3.0], "float32"))
    other: Any = stored(Sequential([Beside(own), Dense(3), Beside(own)], input_shape=3), tmp_path, custom=[Beside])
    assert other[0].scale is other[2].scale
    tied = Dense(3)
    network = Sequential([tied], input_shape=3)
    assert tied.bias is not None
    other = stored(Sequential([network, Beside(tied.bias)], input_shape=3), tmp_path, custom=[Beside])
    assert other[1].scale is other[0][0].bias


def test_buffers_and_what_is_frozen_come_back(tmp_path: Path) -> None:
    network = Sequential([Everything(1), Dense(2), Dense(2)], input_shape=3, rng=0)
    network[1].freeze()
    network.fit(X, X[:, :2], loss=MeanSquaredError(), optimizer=SGD(0.01))
    other: Any = stored(network, tmp_path, custom=[Everything])
    assert other[0].count.value == network.named_buffers()["0.count"].value > 0
    assert [name for name, one in other.named_parameters().items() if one.frozen] == ["1.weight", "1.bias"]


def test_a_sequence_of_many_layers_is_no_burden(tmp_path: Path) -> None:
    network = Sequential([Dense(1) if i % 2 else Tanh() for i in range(2000)], input_shape=1, rng=0)
    assert stored(network, tmp_path).predict([[1.0]]).shape == (1, 1)


def test_other_things_that_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(NotBuiltError, match="its sizes are not known yet: give input_shape"):
        Sequential([Dense(3)]).save(tmp_path / "network.npz")
    with pytest.raises(ArgumentTypeError, match=r"network: expected a Sequential, got Dense\(3\): put it in one"):
        deepbp.files.save(Dense(3), tmp_path / "network.npz")  # type: ignore[call-overload]
    for name in ("network", "network.pkl", "network.h5"):
        with pytest.raises(ConfigurationError, match=r"path: expected a name that ends in .npz or .safetensors, got"):
            small().save(tmp_path / name)
    with pytest.raises(ArgumentTypeError, match="path: expected a file name, got 3"):
        small().save(3)  # type: ignore[call-overload]
    with pytest.raises(FileNotFoundError, match="nothing was written"):
        small().save(tmp_path / "no" / "network.npz")
    itself: Any = Everything([])
    itself.argument.append(itself)
    with pytest.raises(
        ContractError, match=r"Everything: expected layers inside it, got one that it is inside of itself"
    ):
        Sequential([itself], input_shape=3)
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_could_not_be_read_again_is_not_saved(tmp_path: Path) -> None:
    changed: Any = Sequential([Dense(3)], input_shape=3)
    changed[0].units = 4
    beside = Dense(2)
    Sequential([beside], input_shape=3)
    for network, message in (
        (changed, r"the architecture cannot be built: layer 0, Dense\(4\): needs an array of shape \(3, 4\)"),
        (Sequential([TiedDense(beside)], input_shape=2), "is not built yet, so there are no weights to share"),
    ):
        with pytest.raises(ConfigurationError, match=f"^network: it could not be read again: .*{message}"):
            network.save(tmp_path / "network.npz")
    assert list(tmp_path.iterdir()) == []


def test_classes_are_asked_for_in_the_line_to_write(tmp_path: Path) -> None:
    path = Sequential([Everything(Direction.UP), Activation(twice, two)], input_shape=3).save(tmp_path / "network.npz")
    line = "load(path, custom=[Everything, Direction, twice, two])"
    for custom, missing in (([], "Everything, Direction, twice, two"), ([Direction, Everything, two], "twice")):
        with pytest.raises(FileFormatError) as caught:
            deepbp.load(path, custom=custom)
        assert str(caught.value) == f"{path}: {missing} did not come with deepbp: hand in all that did not, {line}"
    deepbp.load(path, custom=[Direction, Everything, twice, two, Slope])
    with pytest.raises(FileFormatError, match="object 1: custom: expected a class 'Everything', got <function"):
        deepbp.load(path, custom=[Direction, renamed(twice, "Everything"), twice, two])
    with pytest.raises(FileFormatError, match="custom: expected a function 'twice', got <class"):
        deepbp.load(path, custom=[Direction, Everything, type("twice", (), {}), two])
    with pytest.raises(ArgumentTypeError, match=r"custom: expected a list of classes, such as \[MyLayer\], got <class"):
        deepbp.load(path, custom=Everything)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="custom: two are called Direction, and a file knows them by name"):
        deepbp.load(path, custom=[Direction, type("Direction", (), {})])


def renamed(function: Any, name: str) -> Any:
    copied = FunctionType(function.__code__, {}, name)
    assert copied.__name__ == name
    return copied


def test_a_class_of_a_name_that_deepbp_has_is_another_class(tmp_path: Path) -> None:
    class Zeros(Twos):
        pass

    network = Sequential([Dense(3, weight_init=Zeros())], input_shape=3)
    path = network.save(tmp_path / "network.npz")
    with pytest.raises(FileFormatError, match=r"Zeros did not come with deepbp: .* load\(path, custom=\[Zeros\]\)$"):
        deepbp.load(path)
    other: Any = stored(network, tmp_path, custom=[Zeros])
    assert type(other[0].weight_init) is Zeros
    assert type(other[0].bias_init) is deepbp.initializers.Zeros
