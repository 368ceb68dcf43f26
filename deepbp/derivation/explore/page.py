"""The self-contained HTML page: drawing, controls, and a panel of formulas and numbers for each step."""

import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

from deepbp.derivation.explore.drawing import draw
from deepbp.derivation.explore.panels import panels
from deepbp.derivation.steps import OperationStep, PenaltyStep, Step
from deepbp.derivation.trace import Trace
from deepbp.storage.atomic import whole_file


def page(trace: Trace) -> str:
    """Render the page. It loads nothing from outside; without JavaScript, it shows all panels at once."""
    every, letters = panels(trace), [one.step for one in trace.steps]
    layers = sum(not isinstance(step, OperationStep | PenaltyStep) for step in letters)
    return Template(_part("page.html")).substitute(
        style=_part("style.css"),
        script=_part("script.js"),
        drawing=draw(trace),
        columns=len(trace) + 2,
        buttons="".join(panel.to_button() for panel in every if panel.column is not None),
        panels="\n".join(panel.to_html() for panel in every),
        last=max(half.stage for panel in every for half in panel.halves),
        samples="1 sample" if len(trace.data) == 1 else f"{len(trace.data):,} samples",
        more=_more(letters),
        layers="1 layer" if layers == 1 else f"{layers:,} layers",
    )


def write_page(trace: Trace, path: str | os.PathLike[str]) -> Path:
    """Write the page to a file, atomically: an older file is replaced only by a complete page."""
    with whole_file(path) as file:
        file.write(page(trace))
    return Path(path)


def _more(steps: Sequence[Step]) -> str:
    """Notes on the notation of branches and penalties, if there are any."""
    words = ""
    if any(isinstance(step, OperationStep) for step in steps):
        words += "\nSquare brackets set columns side by side. A line over the drawing leads past what lies between."
    if any(isinstance(step, PenaltyStep) for step in steps):
        words += "\nP is a penalty, which is added to the loss; B counts the samples."
    return words


def _part(name: str) -> str:
    return files("deepbp.derivation.explore").joinpath(name).read_text(encoding="utf-8")
