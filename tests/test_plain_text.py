"""Texts print on outputs whose encoding lacks the letters of mathematics: in words, and never with an error."""

import ast
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import ROOT

import deepbp
from deepbp import Sequential
from deepbp._plain_text import ERRORS, printable
from deepbp.errors import ShapeError
from deepbp.layers import Dense, Sigmoid
from deepbp.losses import SumSquaredError

PRINTED = """
import numpy as np
from deepbp import Sequential, Trainer, training
from deepbp.callbacks import SignalMonitor
from deepbp.layers import *
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.optimizers import SGD

x, y = np.linspace(-1, 1, 12).reshape(4, 3), np.array([0, 1, 0, 1])


def make():
    layers = [Dense(4), GELU(), Residual([LayerNorm()]), ReLU(), Dense(2)]
    return Sequential(layers, input_shape=3, rng=0, dtype="float64")


net = make()
loss = SoftmaxCrossEntropy()
print(net)
print(net.layers, net.parameters(), Trainer(net, loss, SGD(0.1)), SGD(0.1), loss)
print(net.summary())
print(net.derivation(loss))
trace = net.trace(x, y, loss=loss)
print(trace)
print(trace.explain("0.weight", (1, 2)))
options = {"loss": loss, "optimizer": SGD(0.1), "epochs": 2}
print(training.cross_validate(make, x, y, folds=2, **options))
monitor = SignalMonitor(x, y)
print(net.fit(x, y, callbacks=[monitor], progress=False, **options))
print(monitor.report())
try:
    net.predict(np.ones((3, 5)))
except ValueError as error:
    print(error)
"""


class Output(io.TextIOWrapper):
    """A terminal with an encoding."""

    def __init__(self, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding)

    def text(self) -> str:
        self.flush()
        return str(self.buffer.getvalue(), self.encoding)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("δ₂ = xᵀ (ŷ − y)²", "delta_2 = x^T (y_hat - y)^2"),
        ("x⁻¹ ε⁽ᵏ⁾ W₁₂", "x^-1 epsilon^(k) W_12"),
        ("∂L/∂W → Σᵢ ½ ± …", "dL/dW -> Sum_i 1/2 +/- ..."),
        ("⎡1⎤\n⎣2⎦ ── ✓ ✗", "[1]\n[2] -- ok FAILED"),
        ("Δ λ x̂ 日 \ud800", "Delta lambda x_hat ? ?"),
        ("plain ^^ __ text", "plain ^^ __ text"),
    ],
)
def test_letters_become_words(text: str, plain: str) -> None:
    assert text.encode("ascii", errors=ERRORS).decode() == plain


def test_every_letter_that_the_package_prints_has_a_plain_form() -> None:
    letters = {
        letter
        for file in Path(deepbp.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value
        for letter in node.value
    }
    assert len(letters) > 150
    assert [letter for letter in letters - {"?"} if "?" in letter.encode("ascii", errors=ERRORS).decode()] == []


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "cp437"])
def test_what_is_printed(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    output = Output(encoding)
    monkeypatch.setattr(sys, "stdout", output)
    net = Sequential([Dense(2), Sigmoid()], input_shape=3, rng=0)
    shown: list[Any] = [
        net.summary(),
        net.derivation(SumSquaredError()),
        net.trace(np.ones((2, 3)), np.ones((2, 2)), loss=SumSquaredError()),
        ShapeError("expected ∂L/∂ŷ of shape {}", (3,)),
    ]
    for one in shown:
        print(one)
    text = output.text()
    assert "?" not in text
    assert "_hat of shape (3,)" in text


def test_where_the_encoding_has_all_letters_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Output("utf-8"))
    assert printable("∂L/∂ŷ") == "∂L/∂ŷ"
    monkeypatch.setattr(sys, "stdout", None)  # as of a program without a console
    assert printable("∂L/∂ŷ") == "∂L/∂ŷ"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_program_that_prints_all_it_can(encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PRINTED],
        env={"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding, "DEEPBP_KERNELS": "numpy"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    text = done.stdout.decode(encoding)
    assert "?" not in text
    assert "Parameters: 34 (272 bytes)" in text
