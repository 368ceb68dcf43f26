"""``python -m deepbp check``: reports on the classes in a file, and messages for invalid commands."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import ROOT

from deepbp.cli import COMMANDS, main

FILE = """
import numpy as np
from attrs import define, frozen
from deepbp import losses, optimizers, initializers
from deepbp.layers import Dense, Layer
from helper import LIMIT


@define(eq=False)
class Right(Layer):
    def forward(self, x):
        return x * LIMIT, None

    def backward(self, saved, delta):
        return delta * LIMIT


@define(eq=False)
class Negative(Right):
    def backward(self, saved, delta):
        return -delta * LIMIT


@define(eq=False)
class NeedsFactor(Layer):
    factor: float

    def forward(self, x):
        return x * self.factor, None

    def backward(self, saved, delta):
        return delta * self.factor


@define(eq=False)
class Log(Layer):
    def forward(self, x):
        return np.log(x), x

    def backward(self, x, delta):
        return delta / x


def above_zero(rng, shape):
    return rng.uniform(0.5, 2, shape)


def column(rng, shape):
    return rng.normal(size=shape[:1])[:, None]


class NoBackward(Layer):
    def forward(self, x):
        return x, None


@frozen
class Uphill(optimizers.Optimizer):
    learning_rate: float = 0.1

    def step(self, parameters, state):
        parameters.values += self.rate(state["step"]) * parameters.grads
        state["step"] += 1


class Thing:
    pass


made = Dense(4)
squared = losses.SumSquaredError()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "mine.py").write_text(FILE, encoding="utf-8")
    (tmp_path / "helper.py").write_text("LIMIT = 2.0\n", encoding="utf-8")
    (tmp_path / "broken.py").write_text("import deepbp\n\nraise RuntimeError('half done')\n", encoding="utf-8")
    (tmp_path / "typo.py").write_text("def f(:\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(("checked_", "helper")):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("words", "subject"),
    [
        (["mine.py:Right", "--input-shape", "5"], "Right() on samples of shape (5,)"),
        (["mine.py:Right", "--input-shape", "3,2,2"], "Right() on samples of shape (3, 2, 2)"),
        (["mine.py:Right", "--input-shape", "(3, 2)"], "Right() on samples of shape (3, 2)"),
        (["mine.py:NeedsFactor(1.5)", "--input-shape", "3"], "NeedsFactor(1.5) on samples of shape (3,)"),
        (["mine.py:NeedsFactor", "--arguments", "factor=2.5", "--input-shape", "3"], "NeedsFactor(2.5) on samples"),
        (["mine.py:made", "--input-shape", "3"], "Dense(4) on samples of shape (3,)"),
        (["mine.py:Log", "--input-shape", "3", "--inputs", "above_zero"], "Log() on samples of shape (3,)"),
        (["mine.py:squared", "--output-shape", "2"], "SumSquaredError() on outputs of shape (2,)"),
        (
            ["mine.py:losses.Quantile((0.1, 0.9))", "--output-shape", "2", "--targets", "column"],
            "Quantile(quantiles=(0.1, 0.9)) on outputs of shape (2,)",
        ),
        (["mine.py:losses.Poisson", "--predictions", "above_zero", "--targets", "above_zero"], "Poisson()"),
        (["mine.py:losses.MeanSquaredError"], "MeanSquaredError() on outputs of shape (3,)"),
        (["mine.py:optimizers.SGD(0.1, momentum=0.9)", "--seed", "3"], "SGD(0.1, momentum=0.9"),
        (["mine.py:initializers.HeNormal"], "HeNormal()"),
    ],
    ids=lambda words: words[0] if isinstance(words, list) else "",
)
def test_a_correct_class(words: list[str], subject: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", *words]) == 0
    printed, complaints = capsys.readouterr()
    first, *lines = printed.splitlines()
    assert first.startswith(subject)
    marks = [line for line in lines if line.startswith("  ")]
    assert len(marks) >= 8
    assert all(line.startswith("  ✓ ") for line in marks)
    assert lines[-1] == f"right: all {len(marks)} checks passed"
    assert complaints == ""


def test_a_wrong_class(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "mine.py:Negative", "--input-shape", "5"]) == 1
    printed = capsys.readouterr().out
    assert "\n  ✗ input_gradient\n" in printed
    assert "\n  ✓ forward_runs\n" in printed
    verdict = printed.partition("checks failed\n")[2]
    assert "is the negative of the numeric gradient" in verdict
    assert "right" not in printed


def test_a_wrong_optimizer(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "mine.py:Uphill"]) == 1
    assert "the parameters move along the gradient" in capsys.readouterr().out


def test_skipped_checks_are_marked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "mine.py:Log", "--input-shape", "3"]) == 1  # normal numbers, of which many are below zero
    printed = capsys.readouterr().out
    assert "\n  ✗ forward_runs\n" in printed
    assert "\n  · input_gradient\n" in printed
    assert "make sense only when these pass, and were not run" in printed


def test_another_seed_draws_other_numbers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verdicts = []
    for seed in ("0", "0", "1"):
        main(["check", "mine.py:Negative", "--input-shape", "5", "--seed", seed])
        verdicts.append(capsys.readouterr().out)
    assert verdicts[0] == verdicts[1] != verdicts[2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mine.py"], "expected FILE.py:CLASS, such as my_layer.py:Swish, got 'mine.py'"),
        (["nowhere.py:Right"], "there is no file nowhere.py in "),
        (["typo.py:Right"], "typo.py: importing it raises SyntaxError: invalid syntax (typo.py, line 1)"),
        (["broken.py:Right"], "broken.py: importing it raises RuntimeError: half done (broken.py, line 3)"),
        (["mine.py:Rigth"], "mine.py has no 'Rigth': did you mean Right?"),
        (["mine.py:Xyz"], "mine.py has no 'Xyz': it has Right, Negative, NeedsFactor, Log, NoBackward, Uphill"),
        (["mine.py:Right("], "Right( raises SyntaxError"),
        (["mine.py:Thing"], "Thing: expected a layer, a loss, an optimizer or an initializer, got <"),
        (["mine.py:np.pi"], "np.pi: expected a layer, a loss, an optimizer or an initializer, got 3.14"),
        (["mine.py:NoBackward"], "NoBackward: has no backward, which its contract asks for"),
        (["mine.py:NeedsFactor"], "missing a required argument: 'factor': write mine.py:'NeedsFactor(...)'"),
        (
            ["mine.py:NeedsFactor", "--arguments", "1, 2"],
            "expected at most 1 argument by position (factor), got 2: write NeedsFactor(1)",
        ),
        (["mine.py:Dense(0)"], "Dense(0) raises ConfigurationError: Dense: units: expected a whole number of at least"),
        (["mine.py:Right"], "Right(): on samples of which shape? add --input-shape 5"),
        (["mine.py:squared", "--input-shape", "3"], "--input-shape and --inputs are for layers; SumSquaredError("),
        (["mine.py:made", "--output-shape", "3"], "--output-shape is for losses; Dense(4) is none"),
        (["mine.py:Log", "--input-shape", "3", "--inputs", "below"], "mine.py has no 'below'"),
        (["mine.py:made", "--input-shape", "3", "--targets", "column"], "--targets is for losses; Dense(4) is none"),
        (["mine.py:squared", "--targets", "3"], "--targets: expected a function (rng, shape) -> array, got 3"),
        (
            ["mine.py:Log", "--input-shape", "3", "--inputs", "3"],
            "--inputs: expected a function (rng, shape) -> array, got 3",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_invalid_commands(words: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", *words]) == 2
    printed, complaint = capsys.readouterr()
    assert complaint.startswith("python -m deepbp check: ")
    assert message in complaint
    assert complaint.count("\n") == 1
    assert printed == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: command"),
        (["chekc"], "invalid choice: 'chekc'"),
        (["check"], "the following arguments are required: FILE:CLASS"),
        (["check", "mine.py:Right", "--input-shape", "x"], "expected sizes such as 5 or 3,8,8, got 'x'"),
        (["check", "mine.py:Right", "--input-shape", "3,0"], "expected sizes such as 5 or 3,8,8, got '3,0'"),
        (["check", "mine.py:Right", "--input-shape", ""], "expected sizes such as 5 or 3,8,8, got ''"),
        (["check", "mine.py:Right", "--seed", "-1"], "expected a whole number of at least 0, got '-1'"),
        (["check", "mine.py:Right", "--seed", "1.5"], "expected a whole number of at least 0, got '1.5'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    assert message in capsys.readouterr().err


def test_every_command_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    printed = capsys.readouterr().out
    assert "check" in COMMANDS
    assert [name for name in COMMANDS if name not in printed] == []


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_from_any_folder_and_on_any_terminal(encoding: str, folder: Path) -> None:
    """The template, named by a path from somewhere else; a terminal without marks shows words."""
    template = str(ROOT / "examples" / "layer_template.py")
    done = subprocess.run(
        [sys.executable, "-m", "deepbp", "check", f"{template}:MyLayer", "--input-shape", "5"],
        cwd=folder.parent,
        env={"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("MyLayer() on samples of shape (5,)\n")
    assert f"  {'✓' if encoding == 'utf-8' else 'ok'} input_gradient\n" in done.stdout


def test_a_file_named_like_a_standard_module_does_not_replace_it(folder: Path) -> None:
    import random

    (folder / "random.py").write_text("from deepbp.layers import Sigmoid\n", encoding="utf-8")
    assert main(["check", "random.py:Sigmoid", "--input-shape", "2"]) == 0
    assert sys.modules["random"] is random
