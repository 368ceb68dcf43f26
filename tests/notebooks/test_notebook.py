"""A notebook that is run by a real kernel and stored: each object shows itself, and nothing else is printed."""

import os
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).parent.parent.parent
CELLS = {
    "network": """
import numpy as np
from deepbp import Sequential
from deepbp.layers import Dense, Standardize, Tanh
from deepbp.losses import SoftmaxCrossEntropy
from deepbp.metrics import Accuracy
from deepbp.optimizers import Adam
from deepbp.training import SignalMonitor, cross_validate, learning_rate_range_test

rng = np.random.default_rng(0)
x = rng.normal(size=(200, 2))
y = np.where(x[:, 0] * x[:, 1] > 0, "same", "other")
net = Sequential([Standardize(), Dense(8), Tanh(), Dense(2)], input_shape=2, rng=0)
net""",
    "fit": """
monitor = SignalMonitor(x[:50], y[:50])
options = {"loss": SoftmaxCrossEntropy(), "metrics": [Accuracy()], "optimizer": Adam(0.03), "epochs": 5}
net.fit(x, y, validation_split=0.2, callbacks=[monitor], **options)""",
    "summary": "net.summary()",
    "report": "monitor.report()",
    "range": "learning_rate_range_test(net, x, y, SoftmaxCrossEntropy(), Adam(), steps=20, rng=0)",
    "scores": """
def network():
    return Sequential([Dense(4), Tanh(), Dense(2)], rng=0)
cross_validate(network, x, y, folds=3, rng=0, progress=False, **options)""",
    "explore": "net.explore(x[:3], y[:3], SoftmaxCrossEntropy())",
    "derivation": "net.derivation(SoftmaxCrossEntropy())",
    "steps": 'net.fit(x, y, progress="steps", **(options | {"epochs": 2}));',
}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """The stored outputs of each cell."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code.strip()) for code in CELLS.values()])
    path, python_path = folder / "stored.ipynb", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", python_path)
        patch.setenv("IPYTHONDIR", str(folder))
        patch.setenv("OPENBLAS_NUM_THREADS", "1")
        nbclient.NotebookClient(
            notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": folder}}
        ).execute()
    nbformat.write(notebook, path)
    stored = nbformat.read(path, as_version=4)
    return dict(zip(CELLS, (cell.outputs for cell in stored.cells), strict=True))


def test_nothing_is_printed_and_every_cell_shows_a_page(outputs: dict[str, list[Any]]) -> None:
    for name, found in outputs.items():
        assert [one.text for one in found if one.output_type == "stream"] == [], name
        assert found, name
        assert all("text/html" in one.data and "text/plain" in one.data for one in found), name
        assert sum(len(one.data["text/plain"]) for one in found) < 5000, name


def test_a_stored_fit_shows_the_last_epoch_and_the_curves(outputs: dict[str, list[Any]]) -> None:
    bar, history = outputs["fit"]
    assert "5/5 epochs" in bar.data["text/html"]
    assert "5/5 epochs" in bar.data["text/plain"]
    assert '<progress max="5" value="5"' in bar.data["text/html"]
    numbers = bar.data["text/plain"].partition(" s  ")[2].split("  ")
    assert [number.partition("=")[0] for number in numbers] == ["val_loss", "val_accuracy", "loss", "accuracy"]
    assert history.data["text/html"].count("<svg") == 2
    (bar,) = outputs["steps"]
    assert "2/2 epochs" in bar.data["text/html"]
    assert "samples" not in bar.data["text/html"]


def test_pages_hold_what_they_show(outputs: dict[str, list[Any]]) -> None:
    pages = {name: found[-1].data["text/html"] for name, found in outputs.items()}
    assert pages["network"] == pages["summary"]
    assert "<td" in pages["summary"]
    assert "Parameters: 42 (168 bytes)" in pages["summary"]
    assert pages["report"].startswith("<pre")
    assert "Signals of 4 layers" in pages["report"]
    assert "\\n" not in outputs["report"][0].data["text/plain"]
    assert "<svg" in pages["range"]
    assert outputs["range"][0].data["text/plain"].startswith("RangeTest(20 rates from 1e-06 to 10, suggestion=")
    assert pages["scores"].count("<th ") == 6  # a name, mean, ±, three folds
    assert outputs["scores"][0].data["text/plain"].startswith("Scores(3 folds, loss=")
    assert pages["explore"].startswith("<iframe srcdoc=")
    assert "step.html" in outputs["explore"][0].data["text/plain"]
    assert "<math" in pages["derivation"]
