"""The source of a complete class for a formula: a layer, a loss or a penalty, ready to paste."""

import re
from collections.abc import Iterable, Mapping
from textwrap import wrap

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
    if "(Loss)" in code:
        lines += ["from deepbp.layers import LossFormula", "from deepbp.losses import Loss"]
    return lines


def _without_strings(code: str) -> str:
    return re.sub(r'"[^"\n]*"', "", code)
