"""Random formulas of the language: derived gradients are central differences, and those that SymPy derives."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from deepbp.errors import ConfigurationError
from deepbp.formulas.compiled import compiled, derive_formula
from deepbp.formulas.language import evaluate

X, P = "x", "p"
LEAVES = st.sampled_from([X, X, P, "0.5", "2", "c"])
SMOOTH = ("tanh", "sigmoid", "sin", "cos", "erf")


def grown(inner: st.SearchStrategy[str], rows: bool) -> st.SearchStrategy[str]:
    """Larger expressions: bounded where they could overflow, and with positive denominators."""
    pairs = st.tuples(inner, inner)
    kinds = [
        pairs.map(lambda p: f"({p[0]} + {p[1]})"),
        pairs.map(lambda p: f"({p[0]} - {p[1]})"),
        pairs.map(lambda p: f"{p[0]} * {p[1]}"),
        pairs.map(lambda p: f"{p[0]} / (1 + ({p[1]})**2)"),
        st.tuples(st.sampled_from(SMOOTH), inner).map(lambda p: f"{p[0]}({p[1]})"),
        inner.map(lambda u: f"exp(-({u})**2)"),
        inner.map(lambda u: f"log(1 + ({u})**2)"),
        inner.map(lambda u: f"log(1 + exp({u}))"),
        inner.map(lambda u: f"1 / (1 + exp(-({u})))"),
        inner.map(lambda u: f"sqrt(2 + ({u})**2)"),
        st.tuples(inner, st.sampled_from([2, 3])).map(lambda p: f"({p[0]})**{p[1]}"),
    ]
    if rows:
        kinds += [
            pairs.map(lambda p: f"maximum({p[0]}, {p[1]})"),
            inner.map(lambda u: f"abs({u})"),
            inner.map(lambda u: f"minimum({u}, 0.3)"),
            inner.map(lambda u: f"softmax(x + {u})"),
            inner.map(lambda u: f"row_sum(x * {u})"),
            inner.map(lambda u: f"row_mean(x + {u})"),
            inner.map(lambda u: f"(x - row_mean(x + {u}))"),
            inner.map(lambda u: f"1 / sqrt(1 + row_variance(x + {u}))"),
            inner.map(lambda u: f"log(row_sum(exp(x + {u})))"),
            inner.map(lambda u: f"feature_mean(x * {u})"),
        ]
    return st.one_of(kinds)


EXPRESSIONS = st.recursive(LEAVES, lambda inner: grown(inner, rows=True), max_leaves=7)
ELEMENTWISE = st.recursive(LEAVES, lambda inner: grown(inner, rows=False), max_leaves=6)
SHAPES = {"p": (3,)}
VALUES = {"p": np.array([0.7, -0.4, 1.3]), "c": 0.8}


def check(expression: str) -> None:
    """Both the derived texts and the compiled passes, along a random direction."""
    formula = f"{expression} + 0.1 * x * p"  # so that both have an influence
    try:
        derived = derive_formula(formula, (3,), SHAPES, {"c": 0.8})
    except ConfigurationError as error:  # x - x leaves a number where an array is needed
        if "cancel" not in str(error):
            raise
        reject()
    names: dict[str, Any] = dict(derived.values.names)
    names["y"] = evaluate(formula, names)
    passes = compiled(formula, (3,), (("p", (3,)),), (("c", 0.8),))
    y, saved = passes.forward(names["x"], names["p"], 0.8)
    np.testing.assert_allclose(y, names["y"], rtol=1e-9, atol=1e-11)
    gradients = dict(zip(("x", "p"), passes.backward(saved, names["delta"], names["p"], 0.8), strict=True))
    rng, h = np.random.default_rng(5), 1e-6
    for name, gradient in gradients.items():
        np.testing.assert_allclose(evaluate(derived.text(name), names), gradient, rtol=1e-8, atol=1e-9)
        way = rng.standard_normal(names[name].shape)
        up, down = (
            float((names["delta"] * evaluate(formula, {**names, name: names[name] + sign * h * way})).sum())
            for sign in (1, -1)
        )
        scale = 1 + np.abs(names["delta"] * y).sum() + np.abs(gradient).max()
        assert abs((up - down) / (2 * h) - float((gradient * way).sum())) < 1e-6 * scale, (expression, name)


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
@given(EXPRESSIONS)
def test_random_formulas(expression: str) -> None:
    check(expression)


@pytest.mark.long
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(EXPRESSIONS)
def test_many_random_formulas(expression: str) -> None:
    check(expression)


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
@given(ELEMENTWISE)
def test_sympy_agrees(expression: str) -> None:
    sympy = pytest.importorskip("sympy")
    x, p, c = sympy.symbols("x p c", real=True)
    functions = {name: getattr(sympy, name) for name in ("tanh", "sin", "cos", "erf", "exp", "log", "sqrt")}
    functions["sigmoid"] = lambda u: 1 / (1 + sympy.exp(-u))
    formula = f"{expression} + 0.1 * x * p"
    slope = sympy.diff(eval(formula, {**functions, "x": x, "p": p, "c": c}), x)
    derived = derive_formula(formula, (3,), SHAPES, {"c": 0.8})
    names: dict[str, Any] = dict(derived.values.names)
    got = evaluate(derived.text("x"), {**names, "delta": np.ones_like(names["x"])})
    for place in ((0, 0), (1, 1), (2, 2)):
        expected = slope.subs({x: names["x"][place], p: names["p"][place[1]], c: 0.8}).evalf(30)
        assert got[place] == pytest.approx(float(expected), rel=1e-8, abs=1e-9)
