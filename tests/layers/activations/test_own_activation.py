"""An activation made of a function and its derivative."""

import pickle
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.errors import ContractError
from deepbp.layers import Activation, Dense, Tanh
from deepbp.losses import SumSquaredError
from deepbp.testing import CheckFailure, check_layer
from deepbp.typing import Array

Z = np.linspace(-2, 2, 12, dtype=np.float32).reshape(4, 3)


def tanh_prime(z: Array) -> Array:
    return np.asarray(1 - np.tanh(z) ** 2)


def write(z: Array) -> Array:
    z *= 2
    return z


def backward(layer: Activation) -> Array:
    return layer.backward(layer.forward(Z)[1], np.ones_like(Z))


def test_it_is_the_layer_that_has_this_function() -> None:
    own, built_in = Activation(np.tanh, tanh_prime), Tanh()
    check_layer(own, 3)
    y, saved = own.forward(Z)
    np.testing.assert_allclose(y, built_in.predict(Z), rtol=1e-6)  # a compiled tanh rounds in other places
    delta = np.cos(Z)
    np.testing.assert_allclose(
        own.backward(saved, delta), built_in.backward(built_in.forward(Z)[1], delta), rtol=1e-5, atol=1e-7
    )


def test_it_trains_in_a_network() -> None:
    nets = [
        Sequential([Dense(4), activation, Dense(1)], input_shape=3, rng=0)
        for activation in (Activation(np.tanh, tanh_prime), Tanh())
    ]
    one, other = (net.trace(Z, Z[:, :1], SumSquaredError()).gradients for net in nets)
    for name, gradient in one.items():
        np.testing.assert_allclose(gradient, other[name], rtol=1e-4, atol=1e-6)


def test_a_derivative_that_is_none_is_found_out() -> None:
    with pytest.raises(CheckFailure, match="input_gradient"):
        check_layer(Activation(np.tanh, np.cos), 3)


@pytest.mark.parametrize(
    ("function", "got", "fix"),
    [
        (lambda z: 2.0, "2.0", "for a constant, use numpy.full_like"),
        (lambda z: None, "None", "for a constant"),
        (lambda z: z.tolist(), r"\[\[", "for a constant"),
        (lambda z: z.sum(axis=1), r"an array of shape \(4,\)", "it must work number by number"),
        (lambda z: z[:1], r"an array of shape \(1, 3\)", "it must work number by number"),
        (lambda z: z.mean(), "-?[0-9.e-]+|np.float32", "for a constant"),
        (lambda z: z * np.float64(2), "float64", r"use Python's numbers rather than NumPy's, or .astype\(z.dtype\)"),
        (lambda z: np.where(z > 0, 1.0, 0.0), "float64", r"\.astype\(z.dtype\)"),
        (lambda z: z > 0, "bool", r"\.astype\(z.dtype\)"),
    ],
)
def test_a_result_that_does_not_fit_is_refused(function: Any, got: str, fix: str) -> None:
    start = r"expected an array of float32 and shape \(4, 3\), as z is, got .*"
    with pytest.raises(ContractError, match=f"Activation: f: {start}({got}).*{fix}"):
        Activation(function, np.cos).forward(Z)
    with pytest.raises(ContractError, match=f"Activation: f_prime: {start}({got}).*{fix}"):
        backward(Activation(np.sin, function))


@pytest.mark.parametrize("layer", [Activation(write, np.cos), Activation(np.sin, write)])
def test_a_function_that_writes_into_z_is_refused(layer: Activation) -> None:
    before = Z.copy()
    with pytest.raises(ValueError, match="read-only") as caught:
        backward(layer)
    assert "of an Activation, for an array of shape (4, 3) that must not be written into" in caught.value.__notes__[0]
    np.testing.assert_array_equal(Z, before)


def test_the_input_itself_is_not_handed_out() -> None:
    """The identity, and a view: a copy is made of what shares memory with z."""
    for function in (lambda z: z, lambda z: z[:, :]):
        y, _ = Activation(function, np.ones_like).forward(Z)
        np.testing.assert_array_equal(y, Z)
        assert not np.shares_memory(y, Z)
        y += 1  # it can be written into


def test_functions_with_names_can_be_pickled_and_lambdas_cannot() -> None:
    made = pickle.loads(pickle.dumps(Activation(np.tanh, tanh_prime)))
    np.testing.assert_array_equal(made.predict(Z), np.tanh(Z))
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(Activation(lambda z: z, np.ones_like))
