"""The source of a complete class for a formula: a layer, a loss or a penalty, ready to paste."""

import re
from collections.abc import Iterable, Mapping
from textwrap import wrap

from deepbp.errors import ConfigurationError
from deepbp.formulas.algebra import ONE, Call, Name, Node, Number, call, multiply, power, split
from deepbp.formulas.derive import Derived
from deepbp.formulas.source import Passes
from deepbp.typing import Shape

_KERNELS = ("erf", "sigmoid", "softmax")
WIDTH = 112


def layer_class(
    name: str,
    expression: str,
    printed: str,
    derived: Derived,
    input_shape: Shape,
    shapes: Mapping[str, Shape],
    initializers: Mapping[str, str],
    constants: Mapping[str, float],
) -> str:
    """The source of a layer that passes ``check_layer``: its formula, and both passes as they were derived."""
    names = {one: f"self.{one}.value" for one in shapes} | {one: f"self.{one}" for one in constants}
    passes = Passes.of(derived, ("x", *shapes), names)
    output_shape = derived.values.shape(derived.forward)[1:]
    lines = ["@define(eq=False)", f"class {name}(Layer):", f'    """y = {printed}, derived from this formula."""', ""]
    lines += [*_formula(expression, derived, shapes), ""]
    lines += [f"    {one}: float = {value!r}" for one, value in constants.items()]
    lines += [f"    {one}: Parameter = field(init=False)" for one in shapes]
    lines += [""] * bool(shapes or constants)
    if shapes or output_shape != input_shape:
        lines.append("    def build(self, input_shape, builder):")
        for one, shape in shapes.items():
            lines.append(f"        self.{one} = builder.parameter({_shape(shape, input_shape)}, {initializers[one]})")
        lines += [f"        return {_shape(output_shape, input_shape)}", ""]
    saved = ", ".join(passes.saved) if passes.saved else "x"
    lines += ["    def forward(self, x):", *_indented(passes.forward), f"        return y, {_tuple(saved)}", ""]
    lines.append("    def backward(self, saved, delta):")
    lines += [f"        {saved} = saved"] * bool(passes.saved)
    lines += _indented(passes.backward)
    for one in shapes:
        gradient = passes.gradients[one]
        lines += _indented([f"self.{one}.accumulate({gradient})  # ∂L/∂{one}"])
    lines += _indented([f"return {passes.gradients['x']}  # ∂L/∂x"])
    code = "\n".join(lines)
    return "\n".join([*_imports(code), "", "", code, ""])


def penalty_class(name: str, expression: str, printed: str, derived: Derived, constants: Mapping[str, float]) -> str:
    """The source of a penalty: its formula, and one method that returns value and gradient."""
    passes = Passes.of(derived, ("w",), {one: f"self.{one}" for one in constants})
    value = passes.forward[-1].removeprefix("y = ")
    lines = ["@frozen", f"class {name}(Penalty):", f'    """P = {printed}, derived from this formula."""', ""]
    lines += _stated("PenaltyFormula", expression, derived.text("w"))
    lines += ["", *(f"    {one}: float = {number!r}" for one, number in constants.items())] if constants else []
    lines += ["", "    def __call__(self, w):", *_indented((*passes.forward[:-1], *passes.backward))]
    lines += [f"        return float({value}), {passes.gradients['w']}  # P, ∂P/∂w"]
    code = "\n".join(lines)
    return "\n".join([*_imports(code), "", "", code, ""])


def loss_class(name: str, expression: str, printed: str, derived: Derived, constants: Mapping[str, float]) -> str:
    """The source of a loss that is a mean, Σ t / n or Σ t / rows: its formula, its terms t, and their slopes."""
    count, terms = _mean_of(derived.forward)
    values = dict(derived.values.names)
    inner = Derived.of(call("total", terms), ("prediction",), values, upstream=ONE)
    names = {one: f"self.{one}" for one in constants} | {"classes": "prediction.shape[-1]"}
    passes = Passes.of(inner, ("prediction",), names)
    value = Passes.of(Derived.of(terms, (), values), (), names).forward
    written = value[-1].removeprefix("y = ")
    if count == "rows" and derived.values.shape(terms) == derived.values.shape(Name("prediction")):
        written = f"({written}).sum(axis=-1)"
    lines = ["@frozen", f"class {name}(MeanLoss):", f'    """L = {printed}, derived from this formula."""', ""]
    lines += _stated("LossFormula", expression, derived.text("prediction"))
    lines += ["", *(f"    {one}: float = {number!r}" for one, number in constants.items())] if constants else []
    lines += ["", "    def terms(self, prediction, target):", *_indented((*value[:-1], f"t = {written}"))]
    lines += _indented((*passes.backward, f"return t, {passes.gradients['prediction']}  # t, ∂t/∂prediction"))
    code = "\n".join(lines)
    return "\n".join([*_imports(code), "", "", code, ""])


def _mean_of(forward: Node) -> tuple[str, Node]:
    """The count that a loss divides by, and its terms."""
    for count in ("n", "rows"):
        whole = multiply(forward, Name(count))
        coefficient, factors = split(whole)
        totals = [base for base, exponent in factors if exponent == ONE and isinstance(base, Call)]
        totals = [base for base in totals if base.function == "total"]
        if len(totals) == 1 and Name(count) not in dict(factors):
            (inside,) = totals[0].arguments
            others = (pair for pair in factors if pair[0] != totals[0])
            return count, multiply(Number(coefficient), *(power(*pair) for pair in others), inside)
    raise ConfigurationError("source: expected a loss that is a mean, total(...) / n or total(...) / rows")


def _stated(kind: str, expression: str, gradient: str) -> list[str]:
    return [f"    formula = {kind}(", *_string(expression.strip(), ""), *_string(gradient, ""), "    )"]


def _formula(expression: str, derived: Derived, shapes: Iterable[str]) -> list[str]:
    lines = ["    formula = Formula(", *_string(expression.strip(), "")]
    lines += _string(derived.text("x"), "backward=")
    gradients = [line for one in shapes for line in _string(derived.text(one), f'"{one}": ', 12)]
    if gradients:
        lines += ["        gradients={", *gradients, "        },"]
    return [*lines, "    )"]


def _string(text: str, start: str, indent: int = 8) -> list[str]:
    """A string as an argument, in several lines if it is long."""
    text = " ".join(text.split())
    blank = " " * indent
    if len(text) + len(start) + indent < WIDTH:
        return [f'{blank}{start}"{text}",']
    parts = wrap(text, WIDTH - indent - 8, break_long_words=False, break_on_hyphens=False)
    return [
        f"{blank}{start}(" if start else f"{blank}(",
        *(f'{blank}    "{part}{"" if part is parts[-1] else " "}"' for part in parts),
        f"{blank}),",
    ]


def _shape(shape: Shape, input_shape: Shape) -> str:
    """A shape as source, in terms of the shape of the input."""
    if shape == input_shape:
        return "input_shape"
    if shape and shape == input_shape[-1:]:
        return "input_shape[-1:]"
    if input_shape and len(shape) == len(input_shape) and shape[:-1] == input_shape[:-1] and len(shape) > 1:
        return f"(*input_shape[:-1], {shape[-1]})"
    if len(shape) == 2 and input_shape and shape[0] == input_shape[-1]:
        return f"(input_shape[-1], {shape[1]})"
    return repr(shape)


def _tuple(saved: str) -> str:
    return f"({saved})" if "," in saved else saved


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"        {line}" for line in lines]


def _imports(code: str) -> list[str]:
    """The imports that the code needs."""
    lines = []
    if "math." in code:
        lines.append("import math")
    if "np." in code:
        lines.append("import numpy as np")
    lines = [*lines[:1], *([""] if len(lines) == 2 else []), *lines[1:]]
    fields = "define, field" if "field(" in code else "define"
    lines.append(f"from attrs import {fields}" if "@define" in code else "from attrs import frozen")
    lines.append("")
    used = [kernel for kernel in _KERNELS if re.search(rf"(?<![.\w\"]){kernel}\(", _without_strings(code))]
    if "Parameter" in code:
        lines.append("from deepbp import Parameter")
    if "FUNCTIONS[" in code:
        lines.append("from deepbp.formulas.language import FUNCTIONS")
    found = sorted(set(re.findall(r"builder\.parameter\(.*, (\w+)\(", code)))
    if found:
        lines.append(f"from deepbp.initializers import {', '.join(found)}")
    if used:
        lines.append(f"from deepbp.kernels import {', '.join(used)}")
    if "(Layer)" in code:
        lines.append("from deepbp.layers import Formula, Layer")
    if "(Penalty)" in code:
        lines.append("from deepbp.layers import Penalty, PenaltyFormula")
    if "(MeanLoss)" in code:
        lines += ["from deepbp.layers import LossFormula", "from deepbp.losses.loss import MeanLoss"]
    return lines


def _without_strings(code: str) -> str:
    return re.sub(r'"[^"\n]*"', "", code)
