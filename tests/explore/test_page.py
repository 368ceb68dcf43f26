"""The page as a file: complete in itself, well formed, with every layer and every number, and safely written."""

import re
from html import unescape
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from explored import PLAYED, X, Y, write_pages

from deepbp import Sequential
from deepbp.derivation.explore.figures import figure, number
from deepbp.errors import ArgumentTypeError, DeepBPError
from deepbp.layers import Dense, Dropout, GaussianNoise, Sigmoid
from deepbp.losses import IgnoreMissing, MeanSquaredError, SumSquaredError

VOID = {"meta", "link", "input", "line", "path", "rect", "polygon"}


class Outline(HTMLParser):
    """Checks that every element is closed where it should be, and collects names, attributes and texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.texts.setdefault(self.open[-1], []).append(data.strip())


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_pages(tmp_path_factory.mktemp("pages"))


@pytest.fixture
def net() -> Sequential:
    return Sequential([Dense(4), Sigmoid(), Dense(1), Sigmoid()], input_shape=3, rng=0, dtype="float64")


@pytest.mark.parametrize("name", PLAYED)
def test_page_is_complete_in_itself(name: str, pages: dict[str, Path]) -> None:
    page = pages[name].read_text(encoding="utf-8")
    outline = Outline(page)
    assert "://" not in page
    assert "@import" not in page
    assert "url(" not in page
    sources = {attrs.get("src") or attrs.get("href") for _, attrs in outline.elements} - {None}
    assert sources == {"data:,"}  # an empty icon, so that none is asked for
    policy = next(attrs["content"] for _, attrs in outline.elements if "http-equiv" in attrs)
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    computes = '<script type="application/json" id="memory">' in page
    assert page.count("<script>") == page.count("</script>") - computes == 1
    assert computes == (name in ("small", "branched"))  # the others are too large, and a black box


@pytest.mark.parametrize("name", PLAYED)
def test_stages_are_played_in_order_and_every_column_has_its_panel(name: str, pages: dict[str, Path]) -> None:
    outline = Outline(pages[name].read_text(encoding="utf-8"))
    halves = {int(attrs["data-stage"] or -1): attrs for _, attrs in outline.elements if "data-stage" in attrs}
    assert sorted(halves) == list(range(len(halves)))
    directions = [str(halves[stage]["class"]) for stage in sorted(halves)]
    layers = (len(halves) - 4) // 2
    assert directions == ["half forward"] * (layers + 2) + ["half backward"] * (layers + 1) + ["half "]
    columns = [
        sorted(
            int(attrs["data-column"] or -1) for tag, attrs in outline.elements if tag == one and "data-column" in attrs
        )
        for one in ("button", "article")
    ]
    assert columns == [list(range(layers + 2))] * 2
    slider = next(attrs for _, attrs in outline.elements if attrs.get("type") == "range")
    assert slider["max"] == str(len(halves) - 1)


def test_every_layer_is_named_with_its_place_and_its_configuration(pages: dict[str, Path]) -> None:
    headings = Outline(pages["large"].read_text(encoding="utf-8")).texts["h2"]
    assert headings == [
        "The input",
        "Layer 0: Flatten()",
        "Layer 1.0: Dense(64)",
        "Layer 1.1: ReLU()",
        "Layer 1.2: Dense(32)",
        "Layer 1.3: Tanh()",
        *(f"Layer {place}: {layer}" for place, layer in enumerate(["Dense(10)", "ReLU()"] * 2 + ["Dense(10)"], 2)),
        "The loss: SoftmaxCrossEntropy()",
        "The update",
    ]


def test_the_numbers_are_those_of_the_step(net: Sequential, pages: dict[str, Path]) -> None:
    """All of them, in the order of the stages of a panel, to the digits that are shown."""
    trace = net.trace(X, Y, SumSquaredError())
    page = pages["small"].read_text(encoding="utf-8")
    panel = re.search(r"<h2>Layer 2: .*?</article>", page, re.DOTALL)
    assert panel is not None
    shown = [float(text.replace("−", "-")) for text in re.findall(r"<td[^>]*>(.*?)</td>", panel[0])]
    step, layer = trace[2], net.layers[2]
    assert isinstance(layer, Dense)
    assert layer.bias is not None
    forward = [step.input, layer.weight.value, layer.bias.value, step.output]
    backward = [step.delta, step.gradients["weight"], step.gradients["bias"], step.delta_input]
    expected = np.concatenate([array.ravel() for array in (*forward, *backward)])
    assert len(shown) == len(expected)
    np.testing.assert_allclose(shown, expected, rtol=0, atol=5e-5)


def test_weights_are_those_of_the_step_though_the_network_learns_later(net: Sequential) -> None:
    from deepbp.derivation.explore import page

    trace = net.trace(X, Y, SumSquaredError())
    before = page(trace)
    for parameter in net.parameters():
        parameter.value = parameter.value + 1
    assert page(trace) == before


def test_without_parameters_there_is_no_update(tmp_path: Path) -> None:
    path = Sequential([Sigmoid()], input_shape=3).explore(X, X, SumSquaredError(), path=tmp_path / "step.html")
    headings = Outline(path.read_text(encoding="utf-8")).texts["h2"]
    assert headings == ["The input", "Layer 0: Sigmoid()", "The loss: SumSquaredError()"]


def test_a_name_does_not_become_a_part_of_the_page(pages: dict[str, Path]) -> None:
    page = pages["unusual"].read_text(encoding="utf-8")
    assert "<b>" not in page
    assert "Layer 1: Secret('</script><b>&')" in unescape(page)
    assert "it is a black box" in page


def test_an_old_file_stays_when_writing_fails(net: Sequential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "step.html"
    assert net.explore(X, Y, SumSquaredError(), path=path) == path
    old = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        net.explore(X, Y, SumSquaredError(), path=path)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_that_is_none_and_data_that_do_not_fit_are_refused(net: Sequential, tmp_path: Path) -> None:
    with pytest.raises(ArgumentTypeError, match="path: expected a file name, got 3"):
        net.explore(X, Y, SumSquaredError(), path=3)  # type: ignore[arg-type]
    with pytest.raises(DeepBPError, match="y: "):
        net.explore(X, np.hstack([Y, Y]), SumSquaredError(), path=tmp_path / "step.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "scale", "text"),
    [
        (0.0, None, "0.0000"),
        (0.0, 1e-8, "0"),
        (-0.25, None, "−0.2500"),
        (1e-5, 0.5, "0.0000"),
        (1e-5, None, "1.000 · 10⁻⁵"),
        (123456.0, None, "1.235 · 10⁵"),
        (float("inf"), None, "∞"),
        (float("-inf"), None, "−∞"),
        (float("nan"), None, "NaN"),
    ],
)
def test_a_number_is_written_as_people_read_it(value: float, scale: float | None, text: str) -> None:
    assert number(value, scale) == text


def cells(page: str) -> list[str]:
    return re.findall(r"<td[^>]*>(.*?)</td>", page)


def test_small_arrays_are_shown_in_full_and_large_ones_in_summary() -> None:
    assert cells(figure("", "W", np.array([[1, -2], [0, 4]]))) == ["1", "−2", "0", "4"]
    assert cells(figure("", "W", np.array([[0.5, np.nan], [np.inf, 1e-9]]))) == ["0.5000", "NaN", "∞", "0.0000"]
    assert cells(figure("", "y", np.array([3, 1]))) == ["3", "1"]
    tall, flat = figure("", "y", np.array([3, 1])), figure("", "b", np.array([3, 1]), samples=False)
    assert (tall.count("<tr>"), flat.count("<tr>")) == (2, 1)
    assert cells(figure("", "a", np.arange(16.0).reshape(2, 2, 2, 2))) == list(map(str, range(16)))
    assert cells(figure("", "W", np.arange(8.0).reshape(2, 1, 2, 2), samples=False)) == list(map(str, range(8)))
    values = np.zeros((11, 4))
    values[0, :2] = 3, -4
    assert cells(figure("", "W", values)) == ["−4.0000", "−0.0227", "3.0000", "5.0000", "95%"]
    assert "11 × 4" in figure("", "W", values)


def luminance(colour: str) -> float:
    """Source: Web Content Accessibility Guidelines 2.2, relative luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_can_be_told_apart_in_the_light_and_in_the_dark() -> None:
    """At least 4.5 to 1 for text, as the guidelines ask."""
    style = files("deepbp.derivation.explore").joinpath("style.css").read_text(encoding="utf-8")
    schemes = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", scheme))
        for ink in ("ink", "quiet", "forward", "backward"):
            for ground in ("page", "card"):
                dark, light = sorted(luminance(colours[one]) for one in (ink, ground))
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, ground, colours)


def test_what_a_page_computes_without_is_said(tmp_path: Path) -> None:
    random = Sequential([Dense(2), Dropout(0.5), GaussianNoise(0.1)], input_shape=3, rng=0)
    page = random.explore(X, np.ones((4, 2)), MeanSquaredError(), path=tmp_path / "a.html").read_text(encoding="utf-8")
    assert "What Dropout and GaussianNoise drew at random stays as it is, also in further steps." in page
    targets = np.array([[1.0, np.nan]] * 4)
    plain = Sequential([Dense(2)], input_shape=3, rng=0)
    loss = IgnoreMissing(MeanSquaredError())
    page = plain.explore(X, targets, loss, path=tmp_path / "b.html").read_text(encoding="utf-8")
    assert "targets are missing, which the loss leaves out" in page
    weighted = plain.explore(X, np.ones((4, 2)), MeanSquaredError(), [1, 2, 3, 4], path=tmp_path / "c.html")
    page = weighted.read_text(encoding="utf-8")
    assert "Each sample’s share of the loss is multiplied by the sample’s weight." in page
    assert 'data-name="weights of the samples"' in page
