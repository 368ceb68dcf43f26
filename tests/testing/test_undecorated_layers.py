"""Layers whose class lacks ``@define(eq=False)`` go through all checks; the decorator is one finding among others."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import define, field
from right_layers import Scale, Square

import deepbp
from deepbp.initializers import Ones
from deepbp.layers import Builder, Dense, Layer
from deepbp.parameters import Parameter
from deepbp.testing import CheckFailure, check_layer
from deepbp.typing import Array, Shape


class Undecorated(Square):
    pass


@define
class WithEquality(Scale):
    factor: float = 0.5


class WithFields(Layer[Array]):
    slope: float = 0.3
    order: list[int] = field(factory=list)
    gain: Parameter = field(init=False)

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.gain = builder.parameter(input_shape, Ones())
        return input_shape

    def forward(self, x: Array) -> tuple[Array, Array]:
        return x * self.gain.value * self.slope, x

    def backward(self, x: Array, delta: Array) -> Array:
        self.gain.accumulate((x * delta * self.slope).sum(axis=0))
        moved: Array = delta * self.gain.value * self.slope
        return moved


class WithConstructor(Layer[Array]):
    """A plain class as written without attrs: nothing is declared."""

    def __init__(self, slope: float, power: int = 1) -> None:
        self.slope, self.power, self.log = slope, power, ["made"]

    def build(self, input_shape: Shape, builder: Builder) -> Shape:
        self.gain = builder.parameter(input_shape, Ones())
        return input_shape

    def forward(self, x: Array) -> tuple[Array, Array]:
        return x * self.gain.value * self.slope, x

    def backward(self, x: Array, delta: Array) -> Array:
        self.gain.accumulate((x * delta * self.slope).sum(axis=0))
        moved: Array = delta * self.gain.value * self.slope
        return moved


@dataclass
class AsDataclass(Square):
    factor: float = 0.5


class WrongSign(WithConstructor):
    def backward(self, x: Array, delta: Array) -> Array:
        return -super().backward(x, delta)


class KeepsItsOutput(Dense):
    def forward(self, x: Array) -> tuple[Array, Array]:
        y, saved = super().forward(x)
        self.y = y
        return y, saved


def failures(layer: Layer[Any]) -> dict[str, str]:
    """The failed checks and their messages."""
    with pytest.raises(CheckFailure) as caught:
        check_layer(layer, (3,))
    head, *blocks = str(caught.value).split("\n\n  ")
    assert "of 39 checks failed" in head, head
    return {name: text for block in blocks for name, _, text in [block.partition("\n")]}


RIGHT = [Undecorated(), WithEquality(), WithFields(), WithConstructor(0.4), AsDataclass()]


@pytest.mark.parametrize("layer", RIGHT, ids=lambda layer: type(layer).__name__)
def test_the_missing_decorator_is_the_only_finding_of_a_right_layer(layer: Layer[Any]) -> None:
    found = failures(layer)
    assert list(found) == ["class_keeps_the_rules"]
    assert "@define(eq=False)" in found["class_keeps_the_rules"]
    assert "The other checks ran on an equivalent class that has the decorator." in found["class_keeps_the_rules"]


def test_attributes_without_declaration_are_named() -> None:
    text = failures(WithConstructor(0.4))["class_keeps_the_rules"]
    fields = "`slope: ...`, `power: ...`, `log: ... = field(init=False)`, `gain: ... = field(init=False)`"
    assert text.endswith(f"as fields: {fields}")


def test_the_gradient_is_looked_at() -> None:
    found = failures(WrongSign(0.4))
    assert list(found) == ["class_keeps_the_rules", "input_gradient"]
    assert "is the negative of the numeric gradient" in found["input_gradient"]


def test_a_result_kept_on_an_undecorated_layer_is_found() -> None:
    text = failures(KeepsItsOutput(3))["nothing_kept_on_the_layer"]
    assert "forward kept `y` on the layer: return what backward needs, in saved" in text


def test_the_given_layer_is_not_modified() -> None:
    layer = WithConstructor(0.4)
    failures(layer)
    assert sorted(vars(layer)) == ["log", "power", "slope"]
    assert layer.log == ["made"]


def test_a_right_max_pooling_passes() -> None:
    """No network sends a batch of no samples, so the maximum of nothing is no mistake."""

    @define(eq=False)
    class Largest(Layer[Array]):
        def build(self, input_shape: Shape, builder: Builder) -> Shape:
            return input_shape[:-1]

        def forward(self, x: Array) -> tuple[Array, Array]:
            np.max(x)  # fails for an empty array
            return x.max(axis=-1), x

        def backward(self, x: Array, delta: Array) -> Array:
            first = np.zeros_like(x)
            np.put_along_axis(first, x.argmax(axis=-1)[..., None], delta[..., None], axis=-1)
            return first

    Largest.__qualname__ = "Largest"
    globals()["Largest"] = Largest  # so that it can be pickled
    check_layer(Largest(), (2, 3))


def test_pytest_shows_no_frames_of_the_checks(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        "from attrs import define\n"
        "from deepbp.layers import ReLU\n"
        "from deepbp.testing import check_layer\n"
        "@define(eq=False)\n"
        "class Wrong(ReLU):\n"
        "    def backward(self, saved, delta):\n"
        "        raise KeyError('mine')\n"
        "def test_wrong():\n"
        "    check_layer(Wrong(), 4)\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "test_mine.py"]
    here = os.environ | {"PYTHONPATH": str(Path(deepbp.__file__).parents[1]), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    text = subprocess.run(command, cwd=tmp_path, env=here, capture_output=True, text=True, timeout=120).stdout
    assert "backward raised KeyError: 'mine'" in text
    assert "test_mine.py:9" in text
    assert "deepbp/testing" not in text
    assert len(text.splitlines()) < 40
