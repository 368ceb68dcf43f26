"""Convolutions and poolings against the cases of ONNX, with images whose channels come first there."""

import importlib
from typing import Any

import numpy as np
import pytest

from deepbp import Sequential
from deepbp.layers import AveragePool1D, AveragePool2D, Conv2D, GlobalAveragePool, GlobalMaxPool, MaxPool1D, MaxPool2D

node: Any = pytest.importorskip("onnx.backend.test.case.node")
MODULES = ("conv", "maxpool", "averagepool", "globalaveragepool", "globalmaxpool")
POOLS: dict[str, tuple[Any, Any]] = {"MaxPool": (MaxPool1D, MaxPool2D), "AveragePool": (AveragePool1D, AveragePool2D)}
WORDS = {b"SAME_UPPER": "same", b"VALID": "valid"}


def cases() -> dict[str, Any]:
    """The cases of these modules by name; importing one collects its cases."""
    for name in MODULES:
        importlib.import_module(f"onnx.backend.test.case.node.{name}")
    found = {case.name: case for case in node._NodeTestCases if len(case.model.graph.node) == 1}
    return {name: case for name, case in found.items() if layer_of(case) is not None}


def layer_of(case: Any) -> Any:
    """The layer that computes what the case's node does; None where there is none."""
    one = case.model.graph.node[0]
    given: dict[str, Any] = {a.name: list(a.ints) or a.s or a.i for a in one.attribute}
    axes = case.data_sets[0][0][0].ndim - 2
    if one.op_type in ("GlobalAveragePool", "GlobalMaxPool"):
        return {"GlobalAveragePool": GlobalAveragePool, "GlobalMaxPool": GlobalMaxPool}[one.op_type]()
    pads = given.get("pads", [0] * 2 * axes)
    padding: Any = tuple(zip(pads[:axes], pads[axes:], strict=True))
    if "auto_pad" in given:
        padding = WORDS.get(given["auto_pad"])
    known = {"kernel_shape", "pads", "strides", "auto_pad", "count_include_pad", "storage_order"}
    unlike = given.keys() - known or any(map(given.get, ("count_include_pad", "storage_order", "ceil_mode")))
    if padding is None or unlike or len(case.data_sets[0][1]) > 1 or axes > 2:
        return None
    size, stride = tuple(given["kernel_shape"]), tuple(given.get("strides", [1] * axes))
    if one.op_type == "Conv":
        filters = case.data_sets[0][0][1].shape[0]
        return Conv2D(filters, size, stride=stride, padding=padding, use_bias=False) if axes == 2 else None
    if axes == 1:
        size, stride, padding = size[0], stride[0], padding if isinstance(padding, str) else padding[0]
    return POOLS[one.op_type][axes - 1](size, stride=stride, padding=padding)


CASES = cases()


def test_there_are_cases() -> None:
    kinds = [case.model.graph.node[0].op_type for case in CASES.values()]
    assert min(map(kinds.count, ("Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"))) >= 2


@pytest.mark.parametrize("name", CASES)
def test_a_case_of_onnx(name: str) -> None:
    case = CASES[name]
    (x, *weights), (expected, *_) = case.data_sets[0]
    if x.dtype.kind != "f":
        x, expected = x.astype(np.float32), expected.astype(np.float32)
    images = np.moveaxis(x, 1, -1)
    net = Sequential([layer_of(case)], input_shape=images.shape[1:], rng=0)
    for parameter, weight in zip(net.parameters(), weights, strict=True):
        parameter.value = weight.transpose(2, 3, 1, 0)
    y = net.predict(images)
    if y.ndim < expected.ndim:
        expected = expected.reshape(expected.shape[:2])
    np.testing.assert_allclose(np.moveaxis(y, -1, 1), expected, rtol=1e-5, atol=1e-6)
