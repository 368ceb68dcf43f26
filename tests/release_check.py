"""What must be right before a release; ``make release-check`` runs this file.

Builds the sdist, and from it the wheel. ``twine check --strict`` reads both. The wheel is installed into an empty
environment, which runs the README's first block; the sdist is unpacked, and some of its tests run there.
"""

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
from email import message_from_string
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
TESTS = ("test_package.py", "test_readme.py", "test_packaging.py", "layers/test_dense.py", "test_floors.py")


def run(*command: str | Path, folder: Path = ROOT, path: Path | None = None) -> str:
    """Run a command, with its output shown if it fails; ``path`` is where Python looks for modules first."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        environment |= {"PYTHONPATH": str(path), "DEEPBP_KERNELS": "numpy"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n")
        raise SystemExit(f"failed: {' '.join(map(str, command))}")
    return done.stdout


def build(folder: Path) -> tuple[Path, Path]:
    """Build both, and check what an index page would show."""
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        page = message_from_string(archive.read(name).decode())
    links = re.findall(r"\]\((?!https?:|#)[^)]*\)", str(page.get_payload()))
    if links or not page["Author"]:
        raise SystemExit(f"the index page: expected an author and no relative links, got {page['Author']!r}, {links}")
    return wheel, sdist


def check_wheel(wheel: Path, folder: Path) -> None:
    """Install it where nothing else is, and run the README's first block."""
    venv.create(folder / "empty", with_pip=True)
    python = folder / "empty" / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel)
    block = BLOCK.search((ROOT / "README.md").read_text(encoding="utf-8"))
    assert block is not None
    printed = run(python, "-c", block[1], folder=folder)
    if printed != block[2]:
        raise SystemExit(f"the README's first block: expected\n{block[2]}\ngot\n{printed}")


def check_sdist(sdist: Path, folder: Path) -> None:
    """Unpack it, and run some of its tests, with no other copy of deepbp in sight."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    unpacked = folder / sdist.name.removesuffix(".tar.gz")
    tests = [f"tests/{name}" for name in TESTS]
    run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, folder=unpacked, path=unpacked)


def main() -> None:
    """Build, and check each file."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wheel, sdist = build(folder)
        print(f"built and checked by twine: {wheel.name}, {sdist.name}")
        check_wheel(wheel, folder)
        print("the wheel runs the README's first block in an empty environment")
        check_sdist(sdist, folder)
        print(f"the sdist passes {', '.join(TESTS)}")


if __name__ == "__main__":
    main()
