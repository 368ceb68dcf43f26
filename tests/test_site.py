"""The site: its pages run, their links resolve, each public name has one page, and it builds without a warning."""

import inspect
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from pages import BLOCK, PAGES, ROOT, dead_links, links_in, printed_and_shown, sections_in
from test_floors import FLOORS

import deepbp
from deepbp import Sequential, kernels
from deepbp.errors import ConfigurationError, DeepBPError
from deepbp.layers import Dense, Softmax
from deepbp.losses import MeanSquaredError, SoftmaxCrossEntropy
from deepbp.optimizers import SGD
from deepbp.plots import weight_images
from deepbp.training.full_batch import need_scipy
from deepbp.typing import Array, ArrayLike

sys.path.insert(0, str(ROOT / "docs"))  # where Sphinx finds it, too
from building import gallery, reference

DOCS = ROOT / "docs"
NEEDS = {
    "cookbook": ("matplotlib", "onnx", "scipy"),
    "coming_from": ("sklearn",),
    "tutorial": ("matplotlib", "pandas", "sklearn"),
}
FOREIGN = re.compile(r"^```py\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OTHER_LIBRARIES = {"PyTorch": "torch", "Keras": "keras", "scikit-learn": "sklearn"}


@pytest.mark.parametrize("name", ["index", "tutorial", "coming_from", "cookbook", "troubleshooting", "house", "citing"])
def test_code_prints_the_output_shown(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in NEEDS.get(name, ()):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)  # where pages may leave files
    for printed, shown in printed_and_shown(DOCS / f"{name}.md", monkeypatch):
        assert printed == (shown or "")


@pytest.mark.parametrize("library", OTHER_LIBRARIES)
def test_code_of_other_libraries_compiles_and_runs_where_they_are_installed(library: str) -> None:
    text = (DOCS / "coming_from.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {library}\n")[2].partition("\n## ")[0]
    programs = [compile(block, library, "exec") for block in FOREIGN.findall(section)]
    assert programs
    data = BLOCK.search(text)
    assert data is not None
    if find_spec(OTHER_LIBRARIES[library]):
        module: dict[str, object] = {}
        for program in (data["code"], *programs):
            exec(program, module)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_resolve(page: Path) -> None:
    assert dead_links(page) == []


def test_a_dead_link_is_noticed(tmp_path: Path) -> None:
    page, other = tmp_path / "page.md", tmp_path / "other.md"
    page.write_text("[a](other.md) [b](other.md#of-x) [c](other.md#of-y) [d](gone.md) ![e](e.png) [f](#f) `[g](h)`")
    other.write_text("# Of `x`\n\n```python\n# Of y\n```\n")
    assert dead_links(page) == ["other.md#of-y", "gone.md", "e.png", "#f"]
    assert sections_in(other.read_text()) == {"of-x"}


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent == DOCS], ids=lambda page: page.stem)
def test_links_stay_on_the_site(page: Path) -> None:
    """Scripts outside of docs/ are offered as downloads; of other pages, the site has none."""
    links = links_in(page.read_text(encoding="utf-8"))
    assert [link for link in links if link.startswith("../") and link.partition("#")[0].endswith(".md")] == []


def test_the_gallery_is_written_from_the_examples() -> None:
    """After a change of an example: ``python docs/building/gallery.py NAME``."""
    examples = {file.stem for file in (ROOT / "examples").glob("*.py")}
    assert Counter(name for names in gallery.GROUPS.values() for name in names) == Counter(examples)
    assert (DOCS / "gallery.md").read_text(encoding="utf-8") == gallery.page()
    drawn = [name for name in examples if "savefig(" in (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8")]
    assert len(drawn) > 5
    for name in drawn:
        assert 1000 < (gallery.PICTURES / f"{name}.png").stat().st_size < 100_000


def test_the_floors_of_the_house_are_those_that_are_enforced() -> None:
    rows = re.findall(r"^\| (\d) \| (.*?) \|", (DOCS / "house.md").read_text(encoding="utf-8"), re.MULTILINE)
    named = [(module, int(floor)) for floor, cell in rows for module in re.findall(r"`deepbp\.(\w+)`", cell)]
    assert len(named) > 20
    assert [(module, floor) for module, floor in named if FLOORS.get(module) != floor] == []


def raised_messages() -> Iterator[str]:
    """The messages that the table of the page on troubleshooting explains, as they are raised."""
    x, loss = np.zeros((4, 2)), MeanSquaredError()
    net = Sequential([Dense(1)], input_shape=2, rng=0)
    named = Sequential([Dense(1)], rng=0)
    named.fit(pytest.importorskip("polars").DataFrame({"a": [0.0], "b": [1.0]}), [[1.0]], loss=loss, optimizer=SGD(0.1))
    for call in (
        lambda: net.predict(x[0]),
        lambda: net.fit(x, np.zeros((4, 3)), loss=loss, optimizer=SGD(0.1)),
        lambda: named.predict(pytest.importorskip("polars").DataFrame({"a": [0.0]})),
        lambda: weight_images(Dense(3)),
        lambda: Sequential([Dense(3), Softmax()], input_shape=2).fit(
            x, np.zeros(4, int), loss=SoftmaxCrossEntropy(), optimizer=SGD(0.1)
        ),
    ):
        with pytest.raises((DeepBPError, UserWarning)) as error:
            call()
        yield str(error.value)
    yield inspect.getsource(need_scipy)  # the package is installed here


def test_messages_on_the_page_are_those_that_are_raised() -> None:
    table = (DOCS / "troubleshooting.md").read_text(encoding="utf-8").partition("| message | meaning |")[2]
    cells = re.findall(r"^\| `(.*?)` \|", table.partition("\n## ")[0], re.MULTILINE)
    raised = list(raised_messages())
    explained = [re.split(r" ?… ?", cell.strip("…")) for cell in cells if not cell.isalpha()]
    assert len(explained) == len(raised)
    for parts in explained:
        assert any(all(part in message for part in parts) for message in raised), parts


def test_the_version_to_cite_is_this_one() -> None:
    assert f"version = {{{deepbp.__version__}}}" in (DOCS / "citing.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pages() -> Iterator[dict[str, str]]:
    before = kernels.current()
    try:
        yield dict(reference.pages())  # which selects the kernels of NumPy, whose signatures can be read
    except ConfigurationError as error:  # of a module whose extra is not installed
        pytest.skip(str(error))
    finally:
        kernels.use("numba" if before == "numba" else "numpy")


def test_every_public_name_has_one_page(pages: dict[str, str]) -> None:
    modules = reference.public_modules()
    names = reference.public_names(modules)
    for module in modules:
        for name in reference.listed(module):
            value = getattr(module, name)
            homes = [one.path for one in names if one.value is value]
            assert value in modules or len(homes) == 1, f"{module.__name__}.{name}"
    assert {f"{name.path}.rst" for name in names} | {f"{m.__name__}.rst" for m in modules} | {"index.rst"} == set(pages)
    assert len(names) > 250


def test_formulas_are_typeset_from_the_formulas(pages: dict[str, str]) -> None:
    dense = pages["deepbp.layers.Dense.rst"]
    assert "<mi>z</mi><mo>=</mo><mrow><mrow><mi>x</mi><mspace width='0.2em'></mspace><mi>W</mi></mrow>" in dense
    assert dense.count("<math") == 4  # z, ∂L/∂x, ∂L/∂W, ∂L/∂b
    squares = pages["deepbp.losses.SumSquaredError.rst"]
    assert squares.count("<math") == 2  # L and ∂L/∂ŷ
    assert squares.count("∑") == 1
    assert "<mo>←</mo>" in pages["deepbp.optimizers.Adam.rst"]
    assert "<mi>λ</mi>" in pages["deepbp.layers.L2.rst"]
    stated = [text for text in pages.values() if "<math" in text]
    assert len(stated) > 80


def test_pages_are_at_home_and_have_members_of_bases_without_a_page(pages: dict[str, str]) -> None:
    assert "deepbp.training.Trainer.rst" in pages
    assert "deepbp.Trainer.rst" not in pages
    assert re.search(r":members: .*\bfit\b.*\bpredict\b.*\bderivation\b", pages["deepbp.Sequential.rst"])
    assert ":members:" not in pages["deepbp.layers.Dense.rst"]
    assert "Also importable as ``deepbp.training.Accuracy``" in pages["deepbp.metrics.Accuracy.rst"]


def test_bars_are_escaped_outside_of_code() -> None:
    lines = ["|x| + ``a | b``", "", ">>> x | y", "|", "", "|z|"]
    reference.escape_docstring(None, "", "", None, None, lines)
    assert lines == [r"\|x\| + ``a | b``", "", ">>> x | y", "|", "", r"\|z\|"]


def test_types_of_arrays_have_their_names_in_signatures() -> None:
    sphinx = pytest.importorskip("sphinx.util.inspect")

    def evaluate(y: ArrayLike | None = None, *, w: ArrayLike) -> Array:
        return np.asarray(y)

    long = sphinx.stringify_signature(inspect.signature(evaluate))
    short, _ = reference.shorten_signature(None, "", "", None, None, long, None)
    assert len(long) > 300
    assert short == "(y: ArrayLike | None = None, *, w: ArrayLike) -> Array"


def test_names_of_code_that_become_links() -> None:
    pytest.importorskip("sphinx")
    from building.links import target_name

    named = ("Dense", "Dense(32)", "layers.Dense.weight", "derive(...)", "check_layer")
    assert [target_name(text) for text in named] == ["Dense", "Dense", "layers.Dense.weight", "derive", "check_layer"]
    assert [target_name(text) for text in ("epochs", "x @ W", "pip install", "a = 1")] == ["", "", "", ""]


def test_the_list_of_pages_marks_the_current_one() -> None:
    from building.navigation import with_current

    item = '<li class="toctree-l{}{}"><a class="reference internal" href="{}.html">{}</a>'
    box = '<input aria-label="open" class="toctree-checkbox" id="1"/>'
    tree = f"""<ul>{item.format(1, "", "a", "A")}</li>{item.format(1, " has-children", "b", "B")}{box}
<ul>{item.format(2, "", "c", "C")}</li>{item.format(2, "", "d", "D")}</li></ul></li></ul>"""
    on_c, on_b = with_current(tree, "c.html"), with_current(tree, "b.html")
    assert on_c.count('<ul class="current">') == 2
    assert '<li class="toctree-l1 current has-children"><a class="reference internal" href="b.html">' in on_c
    assert '<li class="toctree-l2 current current-page"><a class="current reference internal" href="#">C</a>' in on_c
    assert '<li class="toctree-l2"><a class="reference internal" href="d.html">' in on_c
    assert (
        '<li class="toctree-l1 current has-children current-page"><a class="current reference internal" href="#">'
        in on_b
    )
    assert on_b.count("checked") == on_c.count('checked="" class="toctree-checkbox"') == 1
    assert with_current(tree, "a.html").count("checked") == 0
    assert with_current(tree, "elsewhere.html") == tree


def test_dead_links_of_a_built_site_are_found(tmp_path: Path) -> None:
    pytest.importorskip("sphinx")
    from building.links import dead_links

    (tmp_path / "a.html").write_text(
        '<a href="b.html#x"> <a class="c" href="b.html#y"> <img src="p.png"> <a href="#z">'
    )
    (tmp_path / "b.html").write_text('<p id="x"> <a href="https://example.org"> <a href="a.html">')
    assert [line.rpartition(" ")[2] for line in dead_links(tmp_path)] == ["#z", "b.html#y", "p.png"]


@pytest.mark.long
@pytest.mark.usefixtures("pages")  # skips without an extra that the reference needs
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx")
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-d",
        tmp_path / "trees",
        DOCS,
        tmp_path / "site",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "index.html").exists()
    assert "<math" in (tmp_path / "site" / "reference" / "deepbp.layers.Dense.html").read_text(encoding="utf-8")
