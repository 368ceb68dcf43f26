"""Shares of a gradient for some rows alone."""

import re
from typing import Any

import numpy as np
import pytest

from deepbp.errors import ContractError
from deepbp.parameters import Parameter, ParameterVector


def table(*shape: int, dtype: str = "float64") -> Parameter:
    return Parameter(np.ones(shape, dtype))


def test_shares_go_to_their_rows_and_those_of_one_row_add_up() -> None:
    p = table(4, 2)
    p.accumulate_rows(np.array([2, 0, 2, 2]), np.array([[1.0, 2], [3, 4], [10, 20], [100, 200]]))
    np.testing.assert_array_equal(p.grad, [[3, 4], [0, 0], [111, 222], [0, 0]])
    p.accumulate_rows(np.array([1]), np.array([[5.0, 6]]))
    np.testing.assert_array_equal(p.grad, [[3, 4], [5, 6], [111, 222], [0, 0]])


@pytest.mark.parametrize("in_vector", [False, True])
def test_rows_of_an_earlier_step_are_forgotten(in_vector: bool) -> None:
    p = table(3, 2)
    if in_vector:
        ParameterVector([p, table(2)])
    p.accumulate_rows(np.array([0]), np.full((1, 2), np.nan))
    p.clear_grad()
    p.accumulate_rows(np.array([2]), np.ones((1, 2)))
    np.testing.assert_array_equal(p.grad, [[0, 0], [0, 0], [1, 1]])


def test_it_adds_to_shares_of_the_whole() -> None:
    p = table(3, 1)
    p.accumulate(np.full((3, 1), 10.0))
    p.accumulate_rows(np.array([1, 1], np.uint8), np.ones((2, 1)))
    np.testing.assert_array_equal(p.grad, [[10], [12], [10]])


@pytest.mark.parametrize("shape", [(3,), (3, 2, 2)])
def test_rows_may_be_numbers_or_have_several_axes(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    p, rows = table(*shape), np.array([1, 0, 1, 1])
    shares = rng.normal(size=(4, *shape[1:]))
    p.accumulate_rows(rows, shares)
    expected = np.zeros(shape)
    for row, share in zip(rows, shares, strict=True):
        expected[row] += share
    np.testing.assert_array_max_ulp(p.grad, expected, maxulp=4)


def test_the_number_type_stays() -> None:
    p = table(2, 1, dtype="float32")
    p.accumulate_rows(np.array([1]), np.array([[0.1]]))
    assert p.grad.dtype == np.float32


def test_no_rows_and_frozen_rows_add_nothing() -> None:
    p = table(2, 3)
    p.accumulate_rows(np.zeros(0, np.intp), np.zeros((0, 3)))
    np.testing.assert_array_equal(p.grad, np.zeros((2, 3)))
    p.freeze()
    p.accumulate_rows(np.array([1]), np.ones((1, 3)))
    np.testing.assert_array_equal(p.grad, np.zeros((2, 3)))


def test_rows_of_an_array_in_fortran_order() -> None:
    p = Parameter(np.asfortranarray(np.zeros((3, 4))))
    for _ in range(2):
        p.accumulate_rows(np.array([2, 0, 2]), np.arange(12.0).reshape(3, 4))
    np.testing.assert_array_equal(p.grad, 2 * np.array([[4, 5, 6, 7], [0, 0, 0, 0], [8, 10, 12, 14]]))


GOOD = np.array([0, 1])


@pytest.mark.parametrize(
    ("rows", "gradient", "message"),
    [
        (GOOD, np.ones((2, 4)), "expected N whole numbers and ('N', 3), got (2,) and (2, 4)"),
        (GOOD, np.ones((3, 3)), "expected N whole numbers and ('N', 3), got (2,) and (3, 3)"),
        (GOOD, np.ones((2, 1)), "expected N whole numbers and ('N', 3), got (2,) and (2, 1)"),
        (GOOD[None], np.ones((1, 3)), "expected N whole numbers and ('N', 3), got (1, 2) and (1, 3)"),
        (np.array([0.0, 1.0]), np.ones((2, 3)), "expected N whole numbers"),
        (np.array([True, False]), np.ones((2, 3)), "expected N whole numbers"),
        ([0, 1], np.ones((2, 3)), "expected N whole numbers and ('N', 3), got [0, 1] and (2, 3)"),
        (GOOD, None, "expected N whole numbers and ('N', 3), got (2,) and None"),
        (np.array([0, 5]), np.ones((2, 3)), "expected rows from 0 to 4, got 0 to 5"),
        (np.array([-1, 2]), np.ones((2, 3)), "expected rows from 0 to 4, got -1 to 2"),
        (GOOD, np.array([["a"] * 3] * 2), "expected float64, got <U1"),
        (GOOD, np.ones((2, 3), complex), "expected float64, got complex128"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_told(rows: Any, gradient: Any, message: str) -> None:
    p = table(5, 3)
    with pytest.raises(ContractError, match=re.escape(f"gradient: {message}")):
        p.accumulate_rows(rows, gradient)
    np.testing.assert_array_equal(p.grad, np.zeros((5, 3)))


def test_a_single_number_has_no_rows() -> None:
    with pytest.raises(ContractError, match="gradient: expected N whole numbers"):
        table().accumulate_rows(GOOD, np.ones(2))
