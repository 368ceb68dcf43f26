"""Documents as files, and LaTeX as PDF by way of one of TeX's programs."""

import shutil
import subprocess
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory

from deepbp.errors import ConfigurationError
from deepbp.storage.atomic import whole_file

PROGRAMS = ("pdflatex", "lualatex", "xelatex", "tectonic")
SECONDS = 120  # that a program may take


def save(path: str | PathLike[str], formats: Mapping[str, Callable[[], str | bytes]]) -> Path:
    """Write a file in the format that its ending names; an older file is replaced as a whole."""
    path = Path(path)
    make = formats.get(path.suffix.lower())
    if make is None:
        *others, last = formats
        listed = f"{', '.join(others)} or {last}"
        raise ConfigurationError(f"save: expected a file {listed}, got {path.suffix or str(path)!r}")
    content = make()
    data = content if isinstance(content, bytes) else content.encode()
    with whole_file(path, binary=True) as file:
        file.write(data)
    return path


def as_pdf(source: str) -> bytes:
    """Typeset LaTeX with the first program of TeX that is found; nothing in the source may run a command."""
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        raise ConfigurationError(
            f"save: a PDF needs one of {', '.join(PROGRAMS)}, and none is installed: install TeX Live or tectonic, or "
            "save a .html file and print it from a browser"
        )
    with TemporaryDirectory() as folder:
        Path(folder, "page.tex").write_text(source, encoding="utf-8")
        options = [] if Path(program).stem == "tectonic" else ["-interaction=nonstopmode", "-no-shell-escape"]
        done = subprocess.run(
            [program, *options, "page.tex"], cwd=folder, capture_output=True, timeout=SECONDS, check=False
        )
        result = Path(folder, "page.pdf")
        if done.returncode or not result.is_file():
            lines = [line for line in done.stdout.decode(errors="replace").splitlines() if line.startswith("!")]
            raise ConfigurationError(f"save: {Path(program).name} failed: {'; '.join(lines[:3]) or 'see its log'}")
        return result.read_bytes()
