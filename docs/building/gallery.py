"""Writes docs/gallery.md and its pictures: ``python docs/building/gallery.py`` after a change of an example.

The page is made of the docstrings of the examples, and the pictures are what they draw, reduced. Both are committed: a
code host shows them as well as the site, and building the site does not take the minutes that all examples take.
"""

import ast
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"
WIDTH = 800  # pixels
GROUPS = {
    "Backpropagation": [
        "two_layer_notes",
        "explain_two_layers",
        "xor",
        "deep_sigmoid",
        "vanishing_signal",
        "residual_depth",
    ],
    "Images": ["digits", "digits_cnn", "autoencoder"],
    "Text and sequences": ["characters", "embeddings", "mnist1d", "sunspots"],
    "Numbers": ["regression_diabetes", "regression_quantiles", "curve_fitting"],
    "Many processes": ["digits_processes"],
    "Layers of your own": ["custom_layer", "layer_template"],
}
OPENING = """# Gallery

Each example is a script of one screen or two, which runs from a copy of the repository: `python examples/digits.py`. It
fails if it does not reach the result that it claims. The scripts need the extra `examples`; those with a picture write
it to `output/`.
"""


def section(name: str) -> str:
    """The entry of an example: its docstring, its picture, and a link to the script."""
    text = ast.get_docstring(ast.parse((ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8"))) or ""
    first = text.partition("\n\n")[0].rstrip(".:").replace("\n", " ")
    lines = [f"### {name.replace('_', ' ').capitalize()}", "", text.replace("``", "`"), ""]
    if (PICTURES / f"{name}.png").exists():
        lines += [f"![{first}](pictures/{name}.png)", ""]
    return "\n".join([*lines, f"[examples/{name}.py](../examples/{name}.py)", ""])


def page() -> str:
    """The text of gallery.md."""
    parts = [OPENING]
    for group, names in GROUPS.items():
        parts += [f"## {group}\n", *map(section, names)]
    return "\n".join(parts)


def draw(name: str) -> None:
    """Run an example, and store its picture, if it draws one, with few colours and at most WIDTH pixels wide."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "examples" / f"{name}.py"
        script.parent.mkdir()
        shutil.copy(ROOT / "examples" / script.name, script)
        subprocess.run([sys.executable, script], check=True, stdout=subprocess.DEVNULL)
        for file in Path(folder).glob("output/*.png"):
            image = Image.open(file).convert("RGB")
            height = round(image.height * WIDTH / image.width)
            small = image.resize((WIDTH, height), Image.Resampling.LANCZOS) if image.width > WIDTH else image
            small.quantize(64, dither=Image.Dither.NONE).save(PICTURES / file.name, optimize=True)


def main() -> None:
    """Draw the pictures of the examples named on the command line, or of all; write the page."""
    PICTURES.mkdir(exist_ok=True)
    for name in sys.argv[1:] or [name for names in GROUPS.values() for name in names]:
        draw(name)
    (ROOT / "docs" / "gallery.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
