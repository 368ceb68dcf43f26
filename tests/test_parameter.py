"""Parameters: accumulated gradients, and all of a network's parameters as one vector."""

import pickle
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest

from deepbp.errors import ConfigurationError, ContractError, ShapeError
from deepbp.parameters import Buffer, Parameter, ParameterVector


def three() -> list[Parameter]:
    """A vector, a matrix and a cube: 2 + 6 + 4 numbers."""
    return [Parameter(np.array([1.0, 2])), Parameter(np.full((2, 3), 3.0)), Parameter(np.full((1, 2, 2), 4.0))]


class TestGradient:
    def test_reads_as_zeros_before_anything_is_accumulated(self) -> None:
        np.testing.assert_array_equal(Parameter(np.ones((2, 3))).grad, np.zeros((2, 3)))

    def test_shares_add_up(self) -> None:
        p = Parameter(np.ones(2))
        p.accumulate(np.array([1.0, 2]))
        p.accumulate(np.array([10.0, 20]))
        np.testing.assert_array_equal(p.grad, [11, 22])

    def test_first_share_is_copied(self) -> None:
        p, share = Parameter(np.ones(2)), np.array([1.0, 2])
        p.accumulate(share)
        p.accumulate(share)
        np.testing.assert_array_equal(share, [1, 2])

    def test_clear_forgets_even_nan(self) -> None:
        p = Parameter(np.ones(2))
        p.accumulate(np.array([np.nan, np.inf]))
        p.clear_grad()
        np.testing.assert_array_equal(p.grad, [0, 0])
        p.accumulate(np.array([np.nan, np.inf]))
        p.clear_grad()
        p.accumulate(np.array([1.0, 2]))
        np.testing.assert_array_equal(p.grad, [1, 2])

    def test_a_share_after_reading_the_zeros_adds(self) -> None:
        p = Parameter(np.ones(2))
        held = p.grad
        p.accumulate(np.array([1.0, 2]))
        p.accumulate(np.array([1.0, 2]))
        np.testing.assert_array_equal(held, [2, 4])

    def test_accumulate_product_is_accumulate_of_the_product(self, rng: np.random.Generator) -> None:
        one, other = Parameter(np.ones((3, 4))), Parameter(np.ones((3, 4)))
        for _ in range(3):
            a, b = rng.normal(size=(5, 3)), rng.normal(size=(5, 4))
            one.accumulate_product(a.T, b)
            other.accumulate(a.T @ b)
            np.testing.assert_array_max_ulp(one.grad, other.grad, maxulp=4)

    def test_accumulate_product_of_a_vector_and_a_matrix(self, rng: np.random.Generator) -> None:
        p, delta = Parameter(np.ones(4)), rng.normal(size=(5, 4))
        p.accumulate_product(np.ones(5), delta)
        np.testing.assert_allclose(p.grad, delta.sum(axis=0), rtol=1e-14)

    def test_accumulate_product_of_another_dtype(self, rng: np.random.Generator) -> None:
        p, a, b = Parameter(np.ones((3, 4), np.float32)), rng.normal(size=(3, 2)), rng.normal(size=(2, 4))
        p.accumulate_product(a, b)
        assert p.grad.dtype == np.float32
        np.testing.assert_array_equal(p.grad, (a @ b).astype(np.float32))

    @pytest.mark.parametrize("vector", [False, True])
    @pytest.mark.parametrize(
        ("shape", "message"),
        [
            ((5, 3, 4), r"gradient has shape \(5, 3, 4\), expected \(3, 4\): sum over the batch \(axis 0\)"),
            ((4, 3), r"gradient has shape \(4, 3\), expected \(3, 4\): it is transposed"),
            ((1, 4), r"gradient has shape \(1, 4\), expected \(3, 4\)$"),
            ((), r"gradient has shape \(\), expected \(3, 4\)$"),
        ],
    )
    def test_another_shape_is_refused_not_broadcast(self, shape: tuple[int, ...], message: str, vector: bool) -> None:
        p = Parameter(np.ones((3, 4)))
        if vector:
            ParameterVector([p]).clear_grads()
        with pytest.raises(ContractError, match=message):
            p.accumulate(np.ones(shape))

    def test_a_product_of_another_shape_is_refused(self) -> None:
        p = Parameter(np.ones((3, 4)))
        with pytest.raises(ContractError, match=r"shape \(4, 3\), expected \(3, 4\): it is transposed"):
            p.accumulate_product(np.ones((4, 5)), np.ones((5, 3)))
        with pytest.raises(ContractError, match=r"the product of \(3, 5\) and \(6, 4\) does not exist"):
            p.accumulate_product(np.ones((3, 5)), np.ones((6, 4)))
        np.testing.assert_array_equal(p.grad, np.zeros((3, 4)))


class TestValue:
    @pytest.mark.parametrize("kind", [Parameter, Buffer])
    def test_assigning_writes_through(self, kind: Callable[[np.ndarray], Parameter | Buffer]) -> None:
        array = np.zeros((2, 2), np.float32)
        held = kind(array)
        held.value = np.array([[1.0, 2], [3, 4]])
        assert held.value is array
        np.testing.assert_array_equal(array, [[1, 2], [3, 4]])

    @pytest.mark.parametrize("kind", [Parameter, Buffer])
    @pytest.mark.parametrize("shape", [(), (2,), (4,), (1, 2, 2)])
    def test_assigning_another_shape_is_refused(
        self, kind: Callable[[np.ndarray], Parameter | Buffer], shape: tuple[int, ...]
    ) -> None:
        held = kind(np.zeros((2, 2)))
        with pytest.raises(ShapeError, match=r"expected a value of shape \(2, 2\), got \("):
            held.value = np.ones(shape)
        np.testing.assert_array_equal(held.value, np.zeros((2, 2)))

    def test_repr_says_shape_and_dtype(self) -> None:
        assert repr(Parameter(np.ones((2, 3), np.float32))) == "Parameter(shape=(2, 3), dtype=float32)"


class TestVector:
    def test_matrices_lie_first_and_keep_their_values(self) -> None:
        parameters = three()
        vector = ParameterVector(parameters)
        np.testing.assert_array_equal(vector.values, [3] * 6 + [4] * 4 + [1, 2])
        assert vector.matrices == slice(0, 10)
        assert vector.parameters == (parameters[1], parameters[2], parameters[0])

    def test_parameters_are_views_both_ways(self) -> None:
        parameters = three()
        vector = ParameterVector(parameters)
        vector.values += 10
        np.testing.assert_array_equal(parameters[0].value, [11, 12])
        parameters[1].value = np.arange(6.0).reshape(2, 3)
        np.testing.assert_array_equal(vector.values[:6], np.arange(6))
        parameters[0].accumulate(np.array([5.0, 6]))
        np.testing.assert_array_equal(vector.grads, [0] * 10 + [5, 6])
        vector.grads[:] *= 2
        np.testing.assert_array_equal(parameters[0].grad, [10, 12])

    def test_gradients_from_before_are_kept(self) -> None:
        parameters = three()
        parameters[0].accumulate(np.array([5.0, 6]))
        np.testing.assert_array_equal(ParameterVector(parameters).grads, [0] * 10 + [5, 6])
        parameters[0].accumulate(np.array([5.0, 6]))
        np.testing.assert_array_equal(parameters[0].grad, [10, 12])

    def test_clear_makes_first_shares_overwrite_and_the_rest_zero(self) -> None:
        parameters = three()
        vector = ParameterVector(parameters)
        vector.grads[:] = np.nan
        vector.clear_grads()
        parameters[1].accumulate_product(np.ones((2, 1)), np.ones((1, 3)))
        parameters[1].accumulate(np.ones((2, 3)))
        np.testing.assert_array_equal(vector.grads, [2] * 6 + [0] * 6)

    def test_one_that_is_listed_twice_counts_once(self) -> None:
        parameters = three()
        assert ParameterVector(parameters * 2).values.size == 12

    def test_mixed_dtypes_are_refused(self) -> None:
        with pytest.raises(ConfigurationError, match=r"expected one dtype, got \['float32', 'float64'\]"):
            ParameterVector([Parameter(np.ones(2)), Parameter(np.ones(2, np.float32))])

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_keeps_the_dtype(self, dtype: type[np.floating]) -> None:
        vector = ParameterVector([Parameter(np.ones(2, dtype))])
        assert vector.values.dtype == vector.grads.dtype == dtype

    def test_of_reuses_the_vector_they_lie_in(self) -> None:
        parameters = three()
        vector = ParameterVector.of(parameters)
        assert ParameterVector.of(parameters) is vector
        assert ParameterVector.of(reversed(parameters)) is vector
        assert ParameterVector.of(parameters[:2]) is not vector

    @pytest.mark.parametrize("position", [0, 2])
    def test_a_parameter_that_adopts_an_array_leaves_the_vector(self, position: int) -> None:
        parameters = three()
        vector = ParameterVector(parameters)
        parameters[position].adopt(np.zeros(7))
        assert not vector.is_current()
        assert ParameterVector.of(parameters) is not vector

    def test_a_second_vector_takes_over(self) -> None:
        parameters = three()
        first = ParameterVector(parameters)
        second = ParameterVector(parameters[:1])
        assert second.is_current()
        assert not first.is_current()
        second.values[:] = 7
        np.testing.assert_array_equal(parameters[0].value, [7, 7])
        np.testing.assert_array_equal(first.values[-2:], [1, 2])
        third = ParameterVector.of(parameters)
        assert third not in (first, second)
        np.testing.assert_array_equal(third.values[-2:], [7, 7])

    def test_clearing_an_old_vector_does_not_touch_parameters_that_left_it(self) -> None:
        parameters = three()
        old = ParameterVector(parameters)
        ParameterVector(parameters[:1])
        parameters[0].accumulate(np.array([5.0, 6]))
        old.clear_grads()
        np.testing.assert_array_equal(parameters[0].grad, [5, 6])

    def test_no_parameters_at_all(self) -> None:
        vector = ParameterVector([])
        assert vector.values.shape == vector.grads.shape == (0,)


@pytest.mark.parametrize("copy", [deepcopy, lambda p: pickle.loads(pickle.dumps(p))], ids=["deepcopy", "pickle"])
class TestCopies:
    def test_a_copy_stands_alone(self, copy: Callable[[Parameter], Parameter]) -> None:
        parameters = three()
        vector = ParameterVector(parameters)
        parameters[0].accumulate(np.array([5.0, 6]))
        twin = copy(parameters[0])
        np.testing.assert_array_equal(twin.grad, [5, 6])
        twin.value = np.array([8.0, 9])
        twin.accumulate(np.array([1.0, 1]))
        np.testing.assert_array_equal(vector.values[-2:], [1, 2])
        np.testing.assert_array_equal(vector.grads[-2:], [5, 6])
        vector.clear_grads()
        np.testing.assert_array_equal(twin.grad, [6, 7])
        assert ParameterVector.of([twin]).values.size == 2

    def test_a_cleared_gradient_is_not_copied(self, copy: Callable[[Parameter], Parameter]) -> None:
        p = Parameter(np.ones(2))
        p.accumulate(np.array([np.nan, 1]))
        p.clear_grad()
        twin = copy(p)
        twin.accumulate(np.array([1.0, 2]))
        np.testing.assert_array_equal(twin.grad, [1, 2])


class TestAccumulateSum:
    def test_it_is_accumulate_of_the_sum(self, rng: np.random.Generator) -> None:
        rows, one, other = rng.normal(size=(5, 3)), Parameter(np.zeros(3)), Parameter(np.zeros(3))
        for _ in range(2):  # written the first time, added the second
            one.accumulate_sum(rows)
            other.accumulate(rows.sum(axis=0))
        np.testing.assert_allclose(one.grad, other.grad, rtol=1e-14)

    @pytest.mark.parametrize(
        "rows", [np.ones(3), np.ones((2, 4)), np.ones((2, 2, 3)), [[1.0, 2.0, 3.0]], None], ids=str
    )
    def test_other_shapes_are_refused(self, rows: Any) -> None:
        for frozen in (False, True):
            bias = Parameter(np.zeros(3))
            bias.frozen = frozen
            with pytest.raises(ContractError, match=r"gradient: expected rows of shape \('N', 3\), got "):
                bias.accumulate_sum(rows)

    def test_another_dtype(self) -> None:
        bias = Parameter(np.zeros(3, "float32"))
        with pytest.raises(ContractError, match="expected float32, got complex128"):
            bias.accumulate_sum(np.ones((2, 3), complex))
        bias.accumulate_sum(np.ones((2, 3)))
        assert bias.grad.tolist() == [2, 2, 2]
