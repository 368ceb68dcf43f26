"""A network and its training step, written out as a NumPy script without deepbp."""

import ast
import re
from collections.abc import Iterator, Sequence
from math import prod
from textwrap import indent
from typing import Any, TypeAlias

import numpy as np
from attrs import define, field

from deepbp.derivation.expressions import names_in, with_values
from deepbp.derivation.notes import Neurons, as_in_the_notes
from deepbp.derivation.steps import OperationStep, PenaltyStep, Step, is_plain_descent, steps
from deepbp.errors import ArgumentTypeError, ConfigurationError, shown
from deepbp.formulas.algebra import Name as Variable
from deepbp.formulas.algebra import Node, inner_first, replaced
from deepbp.formulas.compiled import sample_size
from deepbp.formulas.derive import Derived
from deepbp.formulas.formula_text import read, unparsed, written
from deepbp.formulas.source import Passes
from deepbp.layers import Dense, Layer, ReLU, Sigmoid, Softmax, Tanh
from deepbp.losses import Loss, MeanSquaredError, SumSquaredError
from deepbp.losses.targets import ClassTargetLoss
from deepbp.optimizers import Optimizer
from deepbp.parameters import Buffer
from deepbp.testing.comparisons import values_of_fields

LARGEST = 500  # numbers of a parameter that are written out; more are read from a file

HELPERS = {
    "sigmoid": """def sigmoid(z):
    e = np.exp(-np.abs(z))  # never overflows
    return np.where(z < 0, e, 1) / (1 + e)""",
    "softmax": """def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)""",
    "erf": """def erf(x):
    return np.vectorize(math.erf, otypes=[x.dtype])(x)""",
    "row_sum": """def row_sum(a):
    return a.dot(np.ones(a.shape[-1], a.dtype))[..., None]""",
    "row_mean": """def row_mean(a):
    return row_sum(a) / a.shape[-1]""",
    "row_variance": """def row_variance(a):
    centred = a - row_mean(a)
    return row_mean(centred * centred)""",
    "softplus": """def softplus(u):
    return np.maximum(u, 0) + np.log1p(np.exp(-np.abs(u)))""",
    "feature_sum": """def feature_sum(a):
    rows = a.reshape(-1, a.shape[-1])
    return np.ones(len(rows), a.dtype).dot(rows)""",
    "batch_sum": """def batch_sum(a):
    return np.ones(len(a), a.dtype).dot(a.reshape(len(a), -1)).reshape(a.shape[1:])""",
    "sigmoid_derivative": """def sigmoid_derivative(a):
    return a * (1 - a)  # of σ, written with its output""",
    "tanh_derivative": """def tanh_derivative(a):
    return 1 - a * a  # of tanh, written with its output""",
}
"""Functions that a script defines where it needs them, each with those that it calls before it."""

_WORDS = {name: f"{name}(a)" for name in ("row_sum", "row_mean", "row_variance", "softplus")}
_WORDS |= {name: f"{name}(a)" for name in ("feature_sum", "batch_sum")}

Lines: TypeAlias = list[str]


@define
class _Script:
    """A script in the making: the letters of signals and parameters, and the lines of both passes."""

    steps: Sequence[Step]
    dtype: str
    forward: Lines = field(factory=list)
    backward: list[tuple[Lines, dict[str, str], Lines]] = field(factory=list)  # of each step, around its gradients
    parameters: dict[str, tuple[str, Any]] = field(factory=dict)  # by name: its path, and the array

    def add(self, step: Step) -> None:
        """Write the lines of one step."""
        x, y = _name(step.input), _name(step.output)
        before, after = _signal(step.input), _signal(step.output)
        own = {name: f"{name}{_number(symbol)}" for name, symbol in step.parameters.items()}
        for name, letter in own.items():
            self.parameters.setdefault(letter, (f"{step.place}.{name}".lstrip("."), step.held[name].value))
        forward, backward, gradients = _written(step, x, y, after, own)
        self.forward += [*forward[:-1], f"{forward[-1]}  # layer {step.place}, {step.kind}"]
        remark = f"  # back through layer {step.place}, {step.kind}"
        passed = [] if step.input == self.steps[0].input else [f"{before} = {backward[-1]}{remark}"]
        self.backward.append((backward[:-1], {own[name]: text for name, text in gradients.items()}, passed))

    def backward_lines(self) -> Iterator[str]:
        """The statements of the backward pass; a parameter that is used twice gets the sum of its gradients."""
        met: set[str] = set()
        for opening, gradients, passed in reversed(self.backward):
            yield from opening if gradients or passed else []
            for name, text in gradients.items():
                yield f"grad_{name} {'+=' if name in met else '='} {text}"
                met.add(name)
            yield from passed


def _name(symbol: Any) -> str:
    return f"{symbol.letter}{_number(symbol)}"


def _number(symbol: Any) -> str:
    return re.sub(r"\W+", "_", symbol.number).strip("_")


def _signal(symbol: Any) -> str:
    return f"delta{_number(symbol)}" if symbol.letter == "z" else f"grad_{_name(symbol)}"


def _written(step: Step, x: str, y: str, delta: str, own: dict[str, str]) -> tuple[Lines, Lines, dict[str, str]]:
    """The statements of forward; those of backward with the gradient of x as the last; the parameter gradients."""
    layer = step.layer
    match layer:
        case Dense() if len(step.input_shape) == 1:
            bias = f" + {own['bias']}" if "bias" in own else ""
            gradients = {"weight": f"np.dot({x}.T, {delta})"}
            if bias:
                gradients["bias"] = f"np.dot(np.ones(len({delta}), {delta}.dtype), {delta})  # the sum over the samples"
            return [f"{y} = np.dot({x}, {own['weight']}){bias}"], [f"np.dot({delta}, {own['weight']}.T)"], gradients
        case Sigmoid():
            return [f"{y} = sigmoid({x})"], [f"{delta} * {y} * (1 - {y})"], {}
        case Tanh():
            return [f"{y} = np.tanh({x})"], [f"{delta} * (1 - {y} * {y})"], {}
        case ReLU():
            return [f"{y} = np.maximum({x}, 0)"], [f"{delta} * ({y} > 0)"], {}
        case Softmax():
            return [f"{y} = softmax({x})"], [f"{y} * ({delta} - ({delta} * {y}).sum(axis=-1, keepdims=True))"], {}
    return _from_formula(step, x, y, delta, own)


def _from_formula(step: Step, x: str, y: str, delta: str, own: dict[str, str]) -> tuple[Lines, Lines, dict[str, str]]:
    """The statements that are derived from the layer's formula."""
    formula = step.formula
    layer = step.layer
    differs = bool(step.condition) or layer.surrogate_gradient or bool(layer.named_buffers())
    if formula is None or differs or formula.saved or "applied(" in formula.forward:
        fix = ": write the script of the others, net[1:].script(loss, optimizer)" if step.place == "0" else ""
        raise ConfigurationError(
            f"script: layer {step.place}, {step.layer}: expected a layer that does the same in each pass and states "
            f"its formula{fix}"
        )
    held = values_of_fields(step.layer)
    shapes = {name: parameter.value.shape for name, parameter in step.held.items()}
    rng, size = np.random.default_rng(0), sample_size({"x": step.input_shape, **shapes})
    values: dict[str, Any] = {name: value for name, value in held.items() if not isinstance(value, Buffer)}
    values |= {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    values |= {"x": rng.standard_normal((size, *step.input_shape))}
    values |= {"input_shape": (size, *step.input_shape), "output_shape": (size, *step.output_shape)}
    derived = Derived.of(read(formula.forward), ("x", *shapes), values)
    used = {node.name for node in inner_first(derived.forward) if isinstance(node, Variable)}
    constants = {name: repr(held[name]) for name in used if isinstance(held.get(name), int | float)}
    shape_names = {"input_shape": f"{x}.shape", "output_shape": f"(len({x}), {_sizes(step.output_shape)})"}
    passes = Passes.of(derived, ("x", *shapes), {**own, **constants, **shape_names}, _WORDS)
    renamed = {"x": x, "y": y, "delta": delta}
    renamed |= {
        name: f"{name}_{step.place.replace('.', '_')}" for name in _assigned((*passes.forward, *passes.backward))
    }
    forward = [_renamed(line, renamed) for line in passes.forward]
    backward = [_renamed(line, renamed) for line in (*passes.backward, passes.gradients["x"])]
    return forward, backward, {name: _renamed(passes.gradients[name], renamed) for name in shapes}


def _sizes(shape: Sequence[int]) -> str:
    return "".join(f"{n}, " for n in shape).rstrip(" ") if len(shape) == 1 else ", ".join(map(str, shape))


def _assigned(lines: Sequence[str]) -> list[str]:
    return [name for line in lines if (name := line.partition(" = ")[0]) != "y"]


def _renamed(line: str, names: dict[str, str]) -> str:
    tree = ast.parse(line)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
    return ast.unparse(tree).replace(" ** ", "**")


def script(network: Layer[Any], loss: Loss[Any], optimizer: Optimizer) -> str:
    """Write out a built network as a NumPy script: its weights, and a function of one training step.

    Raises:
        ConfigurationError: for branches, penalties, random layers, and what states no formula.
    """
    if not isinstance(loss, Loss):
        raise ArgumentTypeError(f"loss: expected an instance such as SumSquaredError(), got {shown(loss)}")
    if not isinstance(optimizer, Optimizer):
        raise ArgumentTypeError(f"optimizer: expected an instance such as SGD(0.1), got {shown(optimizer)}")
    listed = steps(network)
    for step in listed:
        if isinstance(step, OperationStep | PenaltyStep):
            raise ConfigurationError(f"script: expected a chain of layers, got {step.layer}")
    assert network.built is not None
    dtype = network.built.dtype.name
    notes = isinstance(loss, SumSquaredError) and is_plain_descent(optimizer)
    if notes and (layers := _notes_layers(listed)) is not None:
        return _as_the_notes_write(layers, listed, loss, optimizer, dtype)
    made = _Script(listed, dtype)
    for step in listed:
        made.add(step)
    prediction, start = _name(listed[-1].output), _signal(listed[-1].output)
    value, gradient = _loss_lines(loss, prediction, start)
    body = [
        f"x = np.asarray(x, {dtype!r})",
        _target(loss, listed, dtype),
        *made.forward,
        *value,
        *gradient,
        *made.backward_lines(),
        *_update_lines(made, optimizer),
        "return float(loss)",
    ]
    changed = [*made.parameters, *_state(made, optimizer)]
    predict = ["x = np.asarray(x, " + repr(dtype) + ")", *made.forward, f"return {prediction}"]
    return _page(made.parameters, dtype, changed, body, predict, listed, _state(made, optimizer))


def _target(loss: Loss[Any], listed: Sequence[Step], dtype: str) -> str:
    shape = listed[-1].output_shape
    if not isinstance(loss, ClassTargetLoss):
        return f"y = np.asarray(y, {dtype!r})"
    return f"y = np.asarray(y, {dtype!r}) if np.ndim(y) > {len(shape)} else np.eye({shape[-1]}, dtype={dtype!r})[y]"


def _loss_lines(loss: Loss[Any], prediction: str, start: str) -> tuple[Lines, Lines]:
    """The statements of the loss, and of its gradient, with which the backward pass starts."""
    remark = f"  # from the loss, {loss}"
    if isinstance(loss, SumSquaredError):
        scale = "" if loss.scale == 1 else f"{loss.scale!r} * "
        value = f"loss = {scale}np.sum(({prediction} - y)**2)"
        return [value], [f"{start} = {2 * float(loss.scale)!r} * ({prediction} - y){remark}"]
    if isinstance(loss, MeanSquaredError):
        value = f"loss = np.mean(({prediction} - y)**2)"
        return [value], [f"{start} = 2 / {prediction}.size * ({prediction} - y){remark}"]
    formula = loss.stated_formula()
    if formula is None:
        raise ConfigurationError(f"script: {loss}: expected a loss that states its formula")
    if "columns" in names_in(formula.value):
        raise ConfigurationError(f"script: {loss}: expected a loss of all outputs, got one of some columns")
    counts = {"n": f"{prediction}.size", "rows": f"{prediction}.size // {prediction}.shape[-1]"}
    counts |= {"classes": f"{prediction}.shape[-1]", "prediction": prediction, "target": "y"}
    held = {n: np.asarray(v) if isinstance(v, tuple) else v for n, v in values_of_fields(loss).items()}
    rng = np.random.default_rng(0)
    values: dict[str, Any] = {"prediction": rng.uniform(0.1, 0.9, (5, 3)), "target": rng.uniform(0.1, 0.9, (5, 3))}
    values = {**held, **values, "n": 15, "rows": 5, "classes": 3}
    names = {n: f"np.array({v.tolist()!r})" for n, v in held.items() if isinstance(v, np.ndarray)} | counts
    made = []
    for expression, name in ((formula.value, "loss"), (formula.delta, start)):
        derived = Derived.of(read(unparsed(with_values(expression, loss))), (), values)
        *opening, last = Passes.of(derived, (), names, _WORDS).forward
        made.append([*opening, f"{name} = {last.removeprefix('y = ')}{remark}"])
    return made[0], made[1]


def _state(made: _Script, optimizer: Optimizer) -> dict[str, str]:
    """The names of the optimizer's arrays, with their first values."""
    formula = optimizer.stated_formula()
    if formula is None:
        raise ConfigurationError(f"script: {optimizer}: expected an optimizer that states its formula")
    kept = {name for name, expression in formula.assignments if name != "w" and name in names_in(expression)}
    found = {
        f"{name}_{parameter}": f"np.zeros_like({parameter})" for parameter in made.parameters for name in sorted(kept)
    }
    return found | ({"t": "0"} if any("t" in names_in(e) for _, e in formula.assignments) else {})


def _update_lines(made: _Script, optimizer: Optimizer) -> Iterator[str]:
    """The update, with all gradients computed before the first weight changes."""
    rate = getattr(optimizer, "learning_rate", 1.0)
    if callable(rate):
        raise ConfigurationError(f"script: {optimizer}: expected a learning rate that is a number, not a schedule")
    formula = optimizer.stated_formula()
    assert formula is not None
    if any("t" in names_in(expression) for _, expression in formula.assignments):
        yield "t += 1"
    for parameter in made.parameters:
        decays = made.parameters[parameter][1].ndim > 1
        for name, expression in formula.assignments:
            plain = expression if decays or "weight_decay" not in expression else _undecayed(expression)
            tree = with_values(plain, optimizer)
            names = {"w": parameter, "g": f"grad_{parameter}", "rate": repr(float(rate))}
            names |= {one: f"{one}_{parameter}" for one, _ in formula.assignments if one != "w"}
            text = _renamed(unparsed(tree), names)
            target = parameter if name == "w" else f"{name}_{parameter}"
            yield f"{target} = {_in_numpy(text)}"


def _undecayed(expression: str) -> str:
    """Weight decay is for parameters of two or more dimensions only."""
    node: Node = replaced(read(expression), {Variable("weight_decay"): read("0")})
    return written(node)


def _in_numpy(text: str) -> str:
    """The functions of the language in NumPy's words."""
    for name in ("sqrt", "maximum", "minimum", "abs", "sign", "exp", "log"):
        text = re.sub(rf"(?<![.\w]){name}\(", f"np.{name}(", text)
    return text


def _page(
    parameters: dict[str, tuple[str, Any]],
    dtype: str,
    changed: Sequence[str],
    body: Lines,
    predict: Lines,
    listed: Sequence[Step],
    state: dict[str, str],
) -> str:
    sizes = " → ".join(
        str(prod(shape)) for shape in (listed[0].input_shape, *(s.output_shape for s in listed if s.held))
    )
    weights = [_weights(name, path, value, dtype) for name, (path, value) in parameters.items()]
    lines = [f"{name} = {value}" for name, value in state.items()]
    text = "\n".join([*body, *predict])
    helpers = [source for name, source in HELPERS.items() if f"{name}(" in text]
    for name, source in HELPERS.items():  # what the helpers call
        if any(f" {name}(" in helper for helper in helpers) and source not in helpers:
            helpers.insert(0, source)
    step = [f"global {', '.join(changed)}", *body] if changed else body
    parts = [
        f'"""A network {sizes}, and one step of its training."""',
        "\n".join([*(["import math", ""] if "math." in "\n".join([text, *helpers]) else []), "import numpy as np"]),
        "\n".join([*weights, *lines]),
        *(f"\n{helper}" for helper in helpers),
        "\ndef step(x, y):\n"
        + indent("\n".join(['"""Train on a batch; return the loss before the update."""', *step]), "    "),
        "\ndef predict(x):\n" + indent("\n".join(['"""The outputs of the network."""', *predict]), "    "),
    ]
    return "\n\n".join(parts) + "\n"


def _weights(name: str, path: str, value: Any, dtype: str) -> str:
    if value.size > LARGEST:
        return (
            f"# numpy.savez('weights.npz', **{{name: p.value for name, p in net.named_parameters().items()}})\n"
            f"{name} = np.load('weights.npz')[{path!r}]  # {value.shape}"
        )
    rows = value.tolist()
    if value.ndim < 2:
        return f"{name} = np.array({rows!r}, {dtype!r})"
    inside = ",\n".join(f"    {row!r}" for row in rows)
    return f"{name} = np.array([\n{inside},\n], {dtype!r})  # {value.shape}"


def _notes_layers(listed: Sequence[Step]) -> list[Neurons] | None:
    """The layers, if they are those of the notes: weights without biases, and a sigmoid, tanh, or nothing."""
    layers = as_in_the_notes(listed)
    if layers is None or any("bias" in neurons.weighted.held for neurons in layers):
        return None
    known = all(one.activation is None or type(one.activation.layer) in _FUNCTIONS for one in layers)
    return layers if known else None


def _as_the_notes_write(
    layers: Sequence[Neurons], listed: Sequence[Step], loss: Any, optimizer: Any, dtype: str
) -> str:
    """The notes' script: layer1, weights1, and changes d₂, d₁ that are added."""
    parameters: dict[str, tuple[str, Any]] = {}
    forward, backward, update = ["layer0 = np.asarray(x, " + repr(dtype) + ")"], Lines(), Lines()
    for k, neurons in enumerate(layers, start=1):
        path = f"{neurons.weighted.place}.weight".lstrip(".")
        parameters[f"weights{k}"] = (path, neurons.weighted.held["weight"].value)
        forward.append(f"layer{k} = {_activation(neurons.activation, f'np.dot(layer{k - 1}, weights{k})')}")
    n = len(layers)
    factor = 2 * float(loss.scale)
    error = f"{factor:g} * (y - layer{n})" if factor.is_integer() else f"{factor!r} * (y - layer{n})"
    for k in range(n, 0, -1):
        source = error if k == n else f"np.dot(error{k + 1}, weights{k + 1}.T)"
        slope = _slope(layers[k - 1].activation, f"layer{k}")
        words = "the difference, times the slope" if k == n else "moved by one layer"
        backward.append(f"error{k} = {source}{slope}  # {words}")
    rate = float(optimizer.learning_rate)
    for k in range(n, 0, -1):
        backward.append(f"d{k} = np.dot(layer{k - 1}.T, error{k})")
        update.append(f"weights{k} = weights{k} + " + (f"d{k}" if rate == 1 else f"d{k} * {rate!r}"))
    value = f"np.sum((y - layer{n})**2)" if loss.scale == 1 else f"{loss.scale!r} * np.sum((y - layer{n})**2)"
    body = [f"y = np.asarray(y, {dtype!r})", *forward, f"loss = {value}", *backward, *update, "return float(loss)"]
    return _page(parameters, dtype, [*parameters], body, [*forward, f"return layer{n}"], listed, {})


def _activation(step: Step | None, inside: str) -> str:
    if step is None:
        return inside
    return f"{_FUNCTIONS[type(step.layer)][0]}({inside})"


def _slope(step: Step | None, layer: str) -> str:
    return "" if step is None else _FUNCTIONS[type(step.layer)][1].format(layer)


_FUNCTIONS: dict[type, tuple[str, str]] = {
    Sigmoid: ("sigmoid", " * {0} * (1 - {0})"),
    Tanh: ("np.tanh", " * (1 - {0} * {0})"),
}
