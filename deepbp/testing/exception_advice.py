"""Advice on exceptions that a user's class raises: which rule the failing expression breaks, and what to write."""

import ast
import dis
import linecache
from types import FrameType, TracebackType
from typing import Any

import numpy as np

from deepbp.layers import Layer
from deepbp.losses import Loss
from deepbp.optimizers import Optimizer
from deepbp.parameters import Parameter

__tracebackhide__ = True  # pytest shows no frames of this module


def advice(error: BaseException, traceback: TracebackType) -> str:
    """Return advice on an exception, given its traceback entry in the user's code; "" if no rule explains it."""
    code, place = traceback.tb_frame.f_code, traceback.tb_lasti
    expression = _failing_expression(traceback)
    if isinstance(error, AttributeError) and isinstance(expression, ast.Attribute):
        stores = dis.opname[code.co_code[place]] == "STORE_ATTR"
        return (_of_assignment if stores else _of_reading)(expression, traceback.tb_frame)
    if isinstance(error, TypeError | ValueError) and expression is not None:
        return _of_operands(expression, traceback.tb_frame)
    return ""


def _failing_expression(traceback: TracebackType) -> ast.expr | None:
    """Return the expression at which the frame failed, or the target of the failed assignment."""
    code = traceback.tb_frame.f_code
    first, last, start, end = list(code.co_positions())[traceback.tb_lasti // 2]
    if first is None or last is None or start is None or end is None:
        return None
    lines = [linecache.getline(code.co_filename, line).encode() for line in range(first, last + 1)]
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][start:]
    try:
        return ast.parse(f"({b''.join(lines).decode()})", mode="eval").body
    except (SyntaxError, ValueError):
        return None


def _of_assignment(target: ast.Attribute, frame: FrameType) -> str:
    holder, name, method = ast.unparse(target.value), target.attr, frame.f_code.co_name
    if name == "grad":
        return f"a gradient is added, never assigned: write `{holder}.accumulate(...)`, once for each pass"
    owner = _value(target.value, frame)
    if isinstance(owner, Layer):
        if method == "build":
            return f"declare the field in the class: `{name}: Parameter = field(init=False)`"
        return (
            "no pass keeps a result on self, where another pass would overwrite it: return what backward needs from "
            "forward, as in `return y, saved`"
        )
    if isinstance(owner, Loss):
        return "a loss keeps no result on self: return what backward needs from forward, in saved"
    if isinstance(owner, Optimizer):
        return "an optimizer keeps nothing on self: keep what the next step needs in `state`, which start returns"
    return ""


def _of_reading(read: ast.Attribute, frame: FrameType) -> str:
    if isinstance(_value(read.value, frame), Layer | Loss) and frame.f_code.co_name.startswith("backward"):
        return f"if forward computes `{read.attr}`, forward must return it in saved: nothing is kept on self"
    return ""


def _of_operands(expression: ast.expr, frame: FrameType) -> str:
    """Advice on a product whose shapes do not fit, and on a parameter where its array belongs."""
    operands = _operands(expression)
    for operand in operands:
        if isinstance(_value(operand, frame), Parameter):
            name = ast.unparse(operand)
            return f"`{name}` is a parameter, and its array is `{name}.value`"
    is_product = isinstance(expression, ast.BinOp) and isinstance(expression.op, ast.MatMult)
    if isinstance(expression, ast.Call):
        is_product = ast.unparse(expression.func).rpartition(".")[2] in ("matmul", "dot")
    values = [_value(operand, frame) for operand in operands]
    if not is_product or len(values) != 2 or not all(isinstance(v, np.ndarray) and v.ndim == 2 for v in values):
        return ""
    (left, right), (one, other) = values, map(ast.unparse, operands)
    if left.shape[1] == right.shape[0]:
        return ""
    fitting = []
    if left.shape[1] == right.shape[1]:
        fitting.append(f"`{one} @ {_transposed(other)}`, of shape {(left.shape[0], right.shape[0])}")
    if left.shape[0] == right.shape[0]:
        fitting.append(f"`{_transposed(one)} @ {other}`, of shape {(left.shape[1], right.shape[1])}")
    text = (
        f"`{one}` has shape {left.shape} and `{other}` {right.shape}: in a matrix product, the columns of the first, "
        f"{left.shape[1]}, must be as many as the rows of the second, {right.shape[0]}"
    )
    return f"{text}; was a transpose forgotten? These fit: {', and '.join(fitting)}" if fitting else text


def _transposed(text: str) -> str:
    return text.removesuffix(".T") if text.endswith(".T") else f"{text}.T"


def _operands(expression: ast.expr) -> list[ast.expr]:
    if isinstance(expression, ast.BinOp):
        return [expression.left, expression.right]
    return list(expression.args) if isinstance(expression, ast.Call) else []


def _value(expression: ast.expr, frame: FrameType) -> Any:
    """Return the value of a name or of its attributes; None for what would run more of the user's code."""
    if isinstance(expression, ast.Name):
        return frame.f_locals.get(expression.id, frame.f_globals.get(expression.id))
    if isinstance(expression, ast.Attribute):
        return getattr(_value(expression.value, frame), expression.attr, None)
    return None
