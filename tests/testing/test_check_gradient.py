"""Gradients of plain functions: right ones pass, and wrong ones are named."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from deepbp.errors import ArgumentTypeError
from deepbp.testing import CheckFailure, check_gradient
from deepbp.typing import Array

X = np.random.default_rng(0).normal(size=(3, 4))
A = np.random.default_rng(1).normal(size=(4, 2))


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


RIGHT: dict[str, tuple[Callable[..., Any], Callable[..., Any], Any]] = {
    "sum of cubes": (lambda x: (x**3).sum(), lambda x: 3 * x**2, X),
    "one number": (lambda x: x**2, lambda x: 2 * x, 3.0),
    "a list of whole numbers": (lambda x: x @ x, lambda x: 2 * x, [1, -2, 3]),
    "float32": (lambda x: (x * x).sum(), lambda x: 2 * x, X.astype(np.float32)),
    "elementwise": (np.tanh, lambda x, delta: delta * (1 - np.tanh(x) ** 2), X),
    "a matrix product": (lambda x: x @ A, lambda x, delta: delta @ A.T, X),
    "another shape": (lambda x: x.sum(axis=0), lambda x, delta: np.broadcast_to(delta, x.shape), X),
    "at a kink": (relu, lambda x, delta: delta * (x > 0), np.array([-1.0, 0.0, 1.0])),
    "nothing": (lambda x: 0.0, np.zeros_like, X),
    "many entries": (lambda x: (x * x).sum(), lambda x: 2 * x, np.linspace(-1, 1, 1000)),
    "no entries": (lambda x: 0.0, lambda x: x, np.zeros(0)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_gradients(name: str) -> None:
    for seed in (None, 1, 2):
        check_gradient(*RIGHT[name], rng=seed)


WRONG: dict[str, tuple[Callable[..., Any], Callable[..., Any], str]] = {
    "sign": (lambda x: (x**3).sum(), lambda x: -3 * x**2, "is the negative of the numeric gradient"),
    "factor": (lambda x: (x * x).sum(), lambda x: x, "is half the numeric gradient: was a factor of 2 forgotten"),
    "mean": (lambda x: (x**3).mean(), lambda x: 3 * x**2, "is 12 times too large: 12 is the number of entries of x"),
    "zero": (np.sin, lambda x, delta: 0 * x, "is zero everywhere"),
    "without delta": (np.sin, lambda x, delta: np.cos(x), "lacks a factor: times delta it would be right"),
    "a factor x": (lambda x: x**2 / 2, lambda x, delta: delta, "lacks a factor: times x it would be right"),
    "a rounded derivative": (np.sin, lambda x, delta: delta * np.cos(x) * (1 + 1e-6), "right to about five digits"),
    "shape": (lambda x: (x**2).sum(), lambda x: x[0], r"the gradient has shape \(4,\), expected \(3, 4\)"),
    "one entry": (lambda x: (x**2).sum(), lambda x: 2 * x + (x == x[2, 1]), r"at \[2, 1\]: .*; 1 of 12 entries differ"),
    "sum of all deltas": (lambda x: x.sum(axis=0), lambda x, delta: np.full_like(x, delta.sum()), "is wrong"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_gradients(name: str) -> None:
    f, gradient, message = WRONG[name]
    with pytest.raises(CheckFailure, match=message):
        check_gradient(f, gradient, X)


def test_x_is_not_modified() -> None:
    x = X.copy()
    check_gradient(*RIGHT["elementwise"][:2], x)
    np.testing.assert_array_equal(x, X)


def test_terms_that_cancel_have_a_magnitude() -> None:
    x = np.full(4, 1e8)
    signs = np.array([1.0, -1.0, 1.0, -1.0])
    check_gradient(lambda x: (signs * np.sqrt(x)).sum(), lambda x: signs / np.sqrt(x) / 2, x, magnitude=4e4)


def test_invalid_arguments() -> None:
    with pytest.raises(ArgumentTypeError, match="check_gradient: expected two functions, got 3 and <"):
        check_gradient(3, abs, X)  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match="x: expected an array of numbers, got 'text'"):
        check_gradient(abs, abs, "text")
