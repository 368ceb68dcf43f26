"""All plots draw into given axes, work without a screen, and import matplotlib only on use."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deepbp import Sequential, plots
from deepbp.errors import ArgumentTypeError, ConfigurationError
from deepbp.layers import Dense, Tanh
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.optimizers import SGD
from deepbp.plots import canvas
from deepbp.training import SignalMonitor, learning_rate_range_test

pytestmark = pytest.mark.usefixtures("no_screen")

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(30, 2)), RNG.integers(0, 3, 30)
NET = Sequential([Dense(4), Tanh(), Dense(3)], input_shape=2, rng=0)
MONITOR = SignalMonitor(X, Y)
HISTORY = NET.fit(X, Y, loss=SoftmaxCrossEntropy(), optimizer=SGD(0.1), epochs=3, callbacks=[MONITOR])
RANGE_TEST = learning_rate_range_test(NET, X, Y, SoftmaxCrossEntropy(), SGD(0.1), steps=20)

PICTURES: dict[str, Callable[..., Axes]] = {
    "learning_curves": lambda ax=None: plots.learning_curves(HISTORY, ax=ax),
    "learning_rates": lambda ax=None: plots.learning_rates(RANGE_TEST, ax=ax),
    "network_diagram": lambda ax=None: plots.network_diagram(NET, ax=ax),
    "signal": lambda ax=None: plots.signal(MONITOR, "gradients", ax=ax),
    "decision_boundary": lambda ax=None: plots.decision_boundary(NET, X, Y, ax=ax),
    "weight_images": lambda ax=None: plots.weight_images(NET[0], (2, 1), ax=ax),
    "attention_map": lambda ax=None: plots.attention_map(np.eye(3), "abc", ax=ax),
    "roc_curve": lambda ax=None: plots.roc_curve(NET.predict(X), Y, ax=ax),
    "precision_recall_curve": lambda ax=None: plots.precision_recall_curve(NET.predict(X), Y, ax=ax),
    "calibration": lambda ax=None: plots.calibration(NET.predict_proba(X), Y, ax=ax),
    "confusion_matrix": lambda ax=None: plots.confusion_matrix(NET.predict(X), Y, ax=ax),
}


def test_every_plot_is_tested() -> None:
    assert {*PICTURES, "signals", "worst_samples", "BoundaryAnimation"} == set(plots.__all__)


@pytest.mark.parametrize("name", PICTURES)
def test_a_plot_without_axes_creates_a_figure(name: str) -> None:
    first, second = PICTURES[name](), PICTURES[name]()
    assert first.figure is not second.figure
    assert len(pyplot.get_fignums()) == 2


@pytest.mark.parametrize("name", PICTURES)
def test_a_plot_draws_into_the_given_axes(name: str) -> None:
    ax = Figure().subplots()
    before = len(ax.get_children())
    assert PICTURES[name](ax=ax) is ax
    assert len(ax.get_children()) > before
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("ax", [0, "ax", pyplot, Figure()])
def test_other_objects_than_axes_raise(name: str, ax: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="ax: expected matplotlib Axes, or None for a new figure, got "):
        PICTURES[name](ax=ax)


@pytest.mark.parametrize("name", [*PICTURES, "signals"])
def test_without_matplotlib_the_fix_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canvas, "find_spec", lambda module: None)
    with pytest.raises(ConfigurationError, match=r"matplotlib is not installed: pip install 'deepbp\[plots\]'"):
        plots.signals(MONITOR) if name == "signals" else PICTURES[name]()


def test_a_script_without_a_screen_saves_a_plot_and_imports_matplotlib_only_then(tmp_path: Path) -> None:
    script = """
import sys
from deepbp import plots
assert "matplotlib" not in sys.modules
ax = plots.confusion_matrix([0, 1], [0, 1])
ax.figure.savefig(sys.argv[1])
"""
    picture = tmp_path / "picture.png"
    command = [sys.executable, "-W", "error", "-c", script, str(picture)]
    environment = {"PATH": "/usr/bin", "HOME": str(tmp_path)}  # neither DISPLAY nor MPLBACKEND
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
