"""The vocabulary: each public class has a row in its section, and each row names an existing class."""

import inspect
import re
from types import ModuleType

import pytest
from pages import ROOT

from deepbp import layers, losses, optimizers, training
from deepbp.layers import Chain, Layer, Penalized, activations, composites, penalized
from deepbp.losses import Loss
from deepbp.optimizers import Optimizer, schedules
from deepbp.training import Callback, Metric, callbacks, metrics

PAGE = (ROOT / "docs" / "vocabulary.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def public(module: ModuleType, base: type) -> set[str]:
    """The names of the classes of this kind that can be used as they are."""
    found = {name: getattr(module, name) for name in module.__all__}
    return {
        name
        for name, kind in found.items()
        if isinstance(kind, type) and issubclass(kind, base) and not inspect.isabstract(kind) and kind is not base
    }


PIECES = {
    "Activations": public(activations, Layer),
    "Composites": (public(composites, Layer) | {Penalized.__name__}),
    "Layers": public(layers, Layer)
    - public(activations, Layer)
    - (public(composites, Layer) | {Penalized.__name__})
    - {Chain.__name__},
    "Penalties": public(layers, penalized.Penalty),
    "Losses": public(losses, Loss),
    "Optimizers": public(optimizers, Optimizer),
    "Learning-rate schedules": public(schedules, schedules.LearningRateSchedule),
    "Metrics": public(metrics, Metric),
    "Callbacks": public(callbacks, Callback),
}


def rows(section: str) -> list[list[str]]:
    """The cells of the section's tables, without headings."""
    lines = [line for line in SECTIONS[section].splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [row for row in cells if not set("".join(row)) <= set("-: ") and row[0].strip("`") != "deepbp"]


@pytest.mark.parametrize("section", PIECES)
def test_every_piece_has_a_row(section: str) -> None:
    assert len(PIECES[section]) >= 3
    named = {name for row in rows(section) for name in re.findall(r"`(\w+)", row[0])}
    assert PIECES[section] - named == set()


@pytest.mark.parametrize("section", PIECES)
def test_every_row_is_complete_and_of_what_exists(section: str) -> None:
    modules = (layers, losses, optimizers, schedules, training, metrics, callbacks, penalized)
    for row in rows(section):
        assert len(row) == 5, row
        assert all(row), row
        names = re.findall(r"`(\w+)", row[0])
        assert names, row
        assert any(hasattr(module, names[0]) for module in modules), row
