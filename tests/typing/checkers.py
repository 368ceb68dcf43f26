"""README, docs and examples under mypy and pyright, as a user types them. ``make lint`` runs this file.

mypy is as strict as can be, except that it does not ask for annotations of a reader's own functions.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parent.parent.parent
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^# (\w+)\.py\n")  # how a block begins that is a file of its own
UNANNOTATED = ("untyped-defs", "incomplete-defs", "untyped-calls", "untyped-globals", "redefinition")
CONFIGURATION = """
[mypy]
strict = true
[mypy-matplotlib.*,onnxruntime.*,pandas.*,scipy.*,skl2onnx.*,sklearn.*]
ignore_missing_imports = true
[mypy-deepbp.*]
follow_imports = silent
"""


@frozen
class Finding:
    """What a type checker says about a line."""

    checker: str
    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.checker}: {self.message}"


def mypy(folder: Path, *flags: str) -> list[Finding]:
    """The errors of ``mypy --strict`` in the files of a folder."""
    config = folder / "mypy.ini"
    config.write_text(CONFIGURATION)
    options = ("--config-file", str(config), "--cache-dir", str(ROOT / ".mypy_cache" / "pages"), "--no-pretty")
    command = [sys.executable, "-m", "mypy", *options, *flags, "."]
    environment = os.environ | {"MYPYPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    found = re.findall(r"^(.+?):(\d+): error: (.*)$", done.stdout, re.MULTILINE)
    if done.returncode > 1 or (done.returncode == 1 and not found):
        raise RuntimeError(f"mypy failed:\n{done.stdout}{done.stderr}")
    return [Finding("mypy", Path(file).name, int(line), message) for file, line, message in found]


def pyright(folder: Path) -> list[Finding]:
    """The errors of pyright, in its standard mode, in the files of a folder."""
    settings = {"extraPaths": [str(ROOT)], "typeCheckingMode": "standard", "reportRedeclaration": False}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "-p", str(folder), "--pythonpath", sys.executable, "--outputjson"]
    environment = os.environ | {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}  # such as that there is a newer version
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode > 1:
        raise RuntimeError(f"pyright failed:\n{done.stdout}{done.stderr}")
    report = json.loads(done.stdout)
    if report["summary"]["filesAnalyzed"] != len(list(folder.glob("*.py"))):
        raise RuntimeError(f"pyright: expected all files of {folder}, analyzed {report['summary']}")
    return [
        Finding("pyright", Path(one["file"]).name, one["range"]["start"]["line"] + 1, one["message"].splitlines()[0])
        for one in report["generalDiagnostics"]
        if one["severity"] == "error"
    ]


def modules_of(page: Path) -> dict[str, str]:
    """The Python blocks of a page as one module, on the lines where they stand; those that are files of their own."""
    text = page.read_text(encoding="utf-8")
    lines = [""] * text.count("\n")
    modules: dict[str, str] = {}
    for block in BLOCK.finditer(text):
        if (file := FILE.match(block["code"])) is not None:
            modules[file[1]] = block["code"]
            continue
        start = text[: block.start("code")].count("\n")
        code = block["code"].splitlines()
        lines[start : start + len(code)] = code
    if any(lines):
        modules[f"{page.stem.lower()}_page"] = "\n".join(lines) + "\n"
    return modules


def sources() -> dict[str, str]:
    """The source of all pages and examples, by the name of a module."""
    modules: dict[str, str] = {}
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        modules |= modules_of(page)
    for example in sorted((ROOT / "examples").glob("*.py")):
        modules[f"{example.stem}_example"] = example.read_text(encoding="utf-8")
    return modules


def main() -> int:
    """Check all pages and examples; the exit status is 1 if there is any error."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for stem, source in sources().items():
            (folder / f"{stem}.py").write_text(source, encoding="utf-8")
        findings = [*mypy(folder, *(f"--allow-{what}" for what in UNANNOTATED)), *pyright(folder)]
    print(*findings, f"pages and examples: {len(sources())} files, {len(findings)} errors", sep="\n")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
