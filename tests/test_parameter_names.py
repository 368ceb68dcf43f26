"""A vector of parameters knows the names under which they were given."""

from typing import Any

import numpy as np
import pytest

from deepbp import Sequential, Trainer
from deepbp.errors import ArgumentTypeError
from deepbp.layers import Dense
from deepbp.losses import MeanSquaredError
from deepbp.optimizers import SGD
from deepbp.parameters import Parameter, ParameterVector


def three() -> dict[str, Parameter]:
    return {"bias": Parameter(np.ones(2)), "weight": Parameter(np.ones((2, 2))), "scale": Parameter(np.ones(()))}


def test_names_and_shapes_follow_the_parameters() -> None:
    named = three()
    vector = ParameterVector(named)
    assert vector.names == ("weight", "bias", "scale")
    assert vector.shapes == ((2, 2), (2,), ())
    assert vector.parameters == tuple(named[name] for name in vector.names)
    assert ParameterVector(named.values()).names == ("", "", "")


def test_one_that_comes_twice_keeps_its_first_name() -> None:
    parameter = Parameter(np.ones(2))
    assert ParameterVector({"a": parameter, "b": parameter}).names == ("a",)


def test_of_gives_the_vector_that_has_these_names() -> None:
    named = three()
    vector = ParameterVector.of(named)
    assert ParameterVector.of(dict(reversed(named.items()))) is vector
    assert ParameterVector.of(iter(named.values())) is vector  # whoever gives no names is content with any
    other = ParameterVector.of({f"0.{name}": parameter for name, parameter in named.items()})
    assert other.names == ("0.weight", "0.bias", "0.scale")
    assert other.is_current()
    assert not vector.is_current()
    assert ParameterVector.of(iter(list(named.values())[:2])).values.size == 6


@pytest.mark.parametrize("bad", [{"a": None}, {"a": np.ones(2)}, {3: Parameter(np.ones(2))}, 5, None, [1]])
def test_what_is_no_parameter_is_refused(bad: Any) -> None:
    for make in (ParameterVector, ParameterVector.of):
        with pytest.raises(ArgumentTypeError, match=r"^parameters: expected Parameters in a list, or by name, got "):
            make(bad)


def test_a_trainer_names_what_it_trains() -> None:
    net = Sequential([Dense(2), Sequential([Dense(1)])], input_shape=3, rng=0)
    assert Trainer(net, MeanSquaredError(), SGD(0.1)).parameters.names == (
        "0.weight",
        "1.0.weight",
        "0.bias",
        "1.0.bias",
    )
    net[0].freeze()
    assert list(net.named_trainable_parameters()) == ["1.0.weight", "1.0.bias"]
    assert Trainer(net, MeanSquaredError(), SGD(0.1)).parameters.names == ("1.0.weight", "1.0.bias")
