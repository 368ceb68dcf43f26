"""The guide on extending: its code runs section by section, and code and commands print the output shown."""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from pages import BLOCK, ROOT

from deepbp.initializers import Initializer
from deepbp.layers import Layer
from deepbp.losses import Loss
from deepbp.optimizers import Optimizer
from deepbp.training import Callback, Metric

GUIDE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", GUIDE, re.MULTILINE | re.DOTALL))
COMMANDS = re.findall(r"^```console\n\$ python ([^\n]+)\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
KINDS = (Layer, Loss, Optimizer, Initializer, Metric, Callback)
ON_THEIR_OWN = {
    "A layer without parameters": {"ISRU"},
    "A layer with parameters": {"Snake"},
    "A layer with a buffer and randomness": {"ProportionalNoise"},
    "A composite layer": {"ReZero", "Highway"},
    "A loss": {"Charbonnier"},
    "A loss whose targets have another shape": {"GaussianLikelihood"},
    "An optimizer": {"Signum"},
    "An initializer": {"Signs"},
    "A metric": {"LargestError"},
    "A callback": {"StopAtLoss"},
    "Programs": {"Wide"},
}


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module for the code of a page, where pickle finds its classes."""
    module = ModuleType("page_extending")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def run_section(title: str, page: ModuleType) -> None:
    """Run the blocks of a section, and hold what each prints against the guide."""
    blocks = list(BLOCK.finditer(SECTIONS[title]))
    assert len(blocks) == SECTIONS[title].count("```python") > 0
    for block in blocks:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(block["code"], f"docs/extending.md, {title}", "exec"), page.__dict__)
        assert printed.getvalue() == (block["shown"] or "")


def made_in(page: ModuleType) -> set[str]:
    own = [value for value in vars(page).values() if getattr(value, "__module__", "") == page.__name__]
    return {value.__name__ for value in own if isinstance(value, type) and issubclass(value, KINDS)}


@pytest.mark.parametrize("title", ON_THEIR_OWN)
def test_a_section_is_self_contained_and_prints_the_output_shown(title: str, page: ModuleType) -> None:
    run_section(title, page)
    assert made_in(page) == ON_THEIR_OWN[title]


@pytest.mark.parametrize("title", [title for title in ON_THEIR_OWN if "layer" in title.lower()])
def test_a_section_about_layers_checks_its_layers(title: str) -> None:
    for name in ON_THEIR_OWN[title]:
        assert f"check_layer({name}(" in SECTIONS[title]


def test_the_last_sections_use_the_classes_of_the_others(page: ModuleType) -> None:
    for title in ON_THEIR_OWN:
        run_section(title, page)
    run_section("In your own tests", page)
    (mark,) = page.test_my_classes.pytestmark
    checks = list(mark.args[1])
    subjects = {check.subject.partition("(")[0] for check in checks}
    assert subjects == {"ISRU", "Snake", "Charbonnier", "Signum", "Signs", "Log"}
    for check in checks:
        page.test_my_classes(check)
    run_section("Contract violations in a network", page)


def test_every_section_is_run() -> None:
    others = {title for title in SECTIONS if title not in ON_THEIR_OWN}
    assert others == {
        "Three steps to a correct layer",
        "In your own tests",
        "Contract violations in a network",
    }


def as_pattern(shown: str) -> str:
    """What is shown, where a line of … stands for any lines, and the checks may have grown in number."""
    lines = [r"(?:.*\n)*?" if line.strip() == "…" else re.escape(line) + r"\n" for line in shown.splitlines()]
    return re.sub(r"\d+\\ checks", r"\\d+\\ checks", "".join(lines))


@pytest.mark.parametrize(("command", "shown"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_a_command_prints_the_output_shown(command: str, shown: str, tmp_path: Path) -> None:
    for block in BLOCK.finditer(SECTIONS["Three steps to a correct layer"]):
        name = block["code"].partition("\n")[0].removeprefix("# ")
        (tmp_path / name).write_text(block["code"], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, *command.split()], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert re.fullmatch(as_pattern(shown), done.stdout), done.stdout + done.stderr
    assert done.stderr == ""
    assert done.returncode == (1 if "wrong" in command else 0)


def test_the_guide_shows_a_right_and_a_wrong_layer() -> None:
    assert [("✗" in shown, "right: all" in shown) for _, shown in COMMANDS] == [(False, True), (True, False)]
