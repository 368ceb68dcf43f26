"""Derived gradients: equal to the stated ones of every built-in class, and to central differences of other formulas."""

from typing import Any

import numpy as np
import pytest
from formula_cases import CASES, Case

from deepbp import Sequential
from deepbp.derivation import derive
from deepbp.errors import ConfigurationError
from deepbp.formulas.compiled import derive_formula
from deepbp.formulas.derive import Derived
from deepbp.formulas.formula_text import read, written
from deepbp.formulas.identities import Identity, plain, recognized_identities
from deepbp.formulas.language import evaluate
from deepbp.formulas.simplify import factored
from deepbp.formulas.values import Values, agree
from deepbp.initializers import Initializer
from deepbp.layers import FormulaLayer
from deepbp.testing import check_layer
from deepbp.testing.gradients import numeric_gradient


def layer(case: Case) -> FormulaLayer:
    formula, names, shapes = case
    return FormulaLayer(formula, names=names, shapes=shapes)


def shapes_of(case: Case) -> dict[str, Any]:
    _, names, shapes = case
    return {name: shapes.get(name, (4,)) for name, value in names.items() if isinstance(value, Initializer)}


def derived_of(case: Case) -> Derived:
    constants = {name: value for name, value in case[1].items() if not isinstance(value, Initializer)}
    return derive_formula(case[0], (4,), shapes_of(case), constants)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_gradients_are_central_differences_of_the_stated_formula(case: Case) -> None:
    derived, values = derived_of(case), {}
    values.update(derived.values.names)
    for name in derived.gradients:
        held = np.array(values[name])

        def loss(moved: Any, name: str = name) -> float:
            return float((values["delta"] * evaluate(case[0], {**values, name: moved})).sum())

        expected = numeric_gradient(loss, held)
        got = evaluate(derived.text(name), values)
        assert got.shape == held.shape
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-7 * (1 + np.abs(expected).max()))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_the_written_class_passes_the_conformance_checks(case: Case) -> None:
    formula, names, _ = case
    constants = {name: value for name, value in names.items() if not isinstance(value, Initializer)}
    source = derive(formula, shapes_of(case), constants=constants).source("Written")
    exec(source, globals())  # at the top level of a module, as pickle needs it
    check_layer(globals()["Written"](), 4)


def test_identities_hold_for_other_numbers_too() -> None:
    for identity in recognized_identities():
        values = Values({"u": np.random.default_rng(7).uniform(-3, 3, (4, 6))})
        assert agree(values.of(identity.left), values.of(identity.right), 1e-12), written(plain(identity.left))


def test_a_wrong_identity_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="differ"):
        Identity.of("1 / (1 + exp(u))", "sigmoid(u)", "wrong")


@pytest.mark.parametrize("formula", ["exp(-x**2)", "1 / (1 + exp(-x))", "log(1 + exp(x))", "tanh(x)", "x * sigmoid(x)"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_of_ten_thousand_neither_overflow_nor_lose_the_gradient(formula: str, dtype: str) -> None:
    net = Sequential([FormulaLayer(formula)], input_shape=2, rng=0, dtype=dtype)
    x = np.array([[1e4, -1e4], [0.5, -0.5]], dtype=dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y, saved = net.forward(x)
        back = net.backward(saved, np.ones_like(y))
    assert np.isfinite([y, back]).all()
    exact = {"log(1 + exp(x))": [1, 0], "x * sigmoid(x)": [1, 0]}.get(formula, [0, 0])
    np.testing.assert_array_equal(back[0], exact)


def test_small_gradients_keep_their_digits() -> None:
    """σ(−40) is 4e-18: 1 − e^(−y) would be 0."""
    net = Sequential([FormulaLayer("log(1 + exp(x))")], input_shape=1, rng=0, dtype="float64")
    y, saved = net.forward(np.array([[-40.0]]))
    assert net.backward(saved, np.ones((1, 1)))[0, 0] == pytest.approx(np.exp(-40.0), rel=1e-12)
    assert y[0, 0] == pytest.approx(np.exp(-40.0), rel=1e-12)
    source = derive("total(log(1 + exp(prediction)) - target * prediction) / n").source()
    assert "return t, sigmoid(prediction) - target" in source


def test_nothing_but_the_language_is_read() -> None:
    for text in (
        "x.__class__",
        "(lambda: x)()",
        "[x]",
        "x if x else x",
        "'a'",
        "x[0]",
        "exp(*x)",
        "abs(x, key=x)",
        "9**9**9",
    ):
        with pytest.raises(ConfigurationError, match="formula: "):
            read(text)


def test_a_formula_is_bounded() -> None:
    """The time of a derivation, and so of opening a file that holds a formula, is bounded."""
    for text, message in (
        ("+".join(["x"] * 3000), "4000 characters"),
        ("-" * 70 + "x", "60 levels"),
        ("(" * 6 + "*".join(f"((x+{k})*(x-{k}))" for k in range(30)) + ")" * 6, "100 operations"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            read(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2 * a + 2 * b", "2 * (a + b)"),
        ("d * a + d * b * c", "d * (a + b * c)"),
        ("a / r - b / r**3", "(a - b / r**2) / r"),
        ("1 - a / (1 + a)", "1 / (1 + a)"),
    ],
)
def test_common_factors_are_collected(text: str, expected: str) -> None:
    found = factored(read(text))
    assert written(found) == expected
    values = Values({name: np.random.default_rng(3).uniform(1, 2, 5) for name in "abcdr"})
    assert agree(values.of(found), values.of(read(text)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a - b - (a - b)", "0"),
        ("x * x * x / x", "x**2"),
        ("-(a - b)", "b - a"),
        ("2 * a + 3 * a", "5 * a"),
        ("1 / (2 * x) * 2", "1 / x"),
        ("sqrt(x**2)", "sqrt(x**2)"),
        ("sqrt(v)**2", "v"),
        ("(2 * x)**3", "8 * x**3"),
        ("1 / 2 * sqrt(2)", "1 / sqrt(2)"),
        ("0.1 * x + 0.2 * x", "3 * x / 10"),
        ("x**gamma / x", "x**(gamma - 1)"),
        ("exp(x) / exp(x)", "1"),
        ("(x @ w).T", "w.T @ x.T"),
        ("(x > 0) * (x > 0)", "x > 0"),
    ],
)
def test_the_normal_form(text: str, expected: str) -> None:
    assert written(read(text)) == expected
