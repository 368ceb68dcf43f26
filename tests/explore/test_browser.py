"""The page as a reader meets it, in a real browser: seen, clicked, played, reached by keys, and read aloud."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Browser, started
from explored import PLAYED, READ, X, Y, write_pages

from deepbp import Sequential
from deepbp.layers import Dense, Sigmoid
from deepbp.losses import SumSquaredError

# The width and height of an element in em of its own font: no installed font changes these by much.
EM = """(element) => {
  const box = element.getBoundingClientRect(), em = parseFloat(getComputedStyle(element).fontSize);
  return [box.width / em, box.height / em];
}"""
STAGES = 12  # of the small network: the input, four layers and the loss; the loss and four layers; the update


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_pages(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    yield from started(tmp_path_factory.mktemp("profile"))


WITHIN = """[...document.querySelectorAll("body *")].filter((element) => {
  const box = element.getBoundingClientRect();
  return box.width && box.right > innerWidth + 1 && !element.closest(".scroll, .matrix, .equation, .math, .values");
}).map((element) => element.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("name", PLAYED | READ)
def test_page_opens_without_a_word_on_the_console_and_fits(
    browser: Browser, pages: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    browser.open(pages[name], width, prefers_color_scheme=scheme)
    assert browser.console() == []
    assert browser.run("performance.getEntriesByType('resource').length") == 0  # nothing else was asked for
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(WITHIN) == []
    background = browser.run("getComputedStyle(document.body).backgroundColor")
    lightness = sum(map(int, background[background.index("(") + 1 : -1].split(", ")[:3]))
    assert (lightness > 600) == (scheme == "light")


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("name", PLAYED)
def test_at_every_stage_formulas_are_set_and_nothing_overlaps(
    browser: Browser, pages: dict[str, Path], name: str, width: int
) -> None:
    browser.open(pages[name], width)
    stages = browser.run("document.querySelectorAll('[data-stage]').length")
    for stage in range(stages):
        browser.run(
            """(() => { const slider = document.getElementById("stage");
          slider.value = a; slider.dispatchEvent(new Event("input")); })()""",
            stage,
        )
        shown = browser.run(
            f"[...document.querySelectorAll('.panel math')].filter((m) => m.checkVisibility()).map({EM})"
        )
        assert shown
        assert all(wide > 0.2 and high > 0.3 for wide, high in shown), stage  # the smallest is a lone letter, as of x
        assert browser.run("document.documentElement.scrollWidth") <= width
        cut = """[...document.querySelectorAll(".equation, .matrix")].filter((box) =>
          box.scrollHeight > box.clientHeight + 0.1 * parseFloat(getComputedStyle(box).fontSize))
          .map((box) => box.textContent)"""
        assert browser.run(cut) == [], stage
        overlapping = """[...document.querySelectorAll(".panel:not([hidden]) :is(h2, h3, .equation, figure)")]
          .map((one) => one.getBoundingClientRect()).filter((one, i, all) => all.some((other, j) => i < j
            && one.left < other.right - 1 && other.left < one.right - 1
            && one.top < other.bottom - 1 && other.top < one.bottom - 1)).length"""
        assert browser.run(overlapping) == 0, stage
    assert browser.console() == []


def test_stretched_fractions_and_raised_numbers_are_set_as_mathematics(
    browser: Browser, pages: dict[str, Path]
) -> None:
    browser.open(pages["small"])
    browser.press_button("Layer 1: Sigmoid()")
    edges = """[...document.querySelector(a).children].map((part) =>
      part.getBoundingClientRect()[b] / parseFloat(getComputedStyle(part.parentElement).fontSize))"""
    numerator, denominator = browser.run(edges, ".panel:not([hidden]) mfrac", "top")
    assert numerator < denominator - 0.4
    base, exponent = browser.run(edges, ".panel:not([hidden]) msup", "bottom")
    assert exponent < base - 0.15


def test_a_click_on_a_layer_shows_its_formula_with_the_numbers_of_this_step(
    browser: Browser, pages: dict[str, Path]
) -> None:
    net = Sequential([Dense(4), Sigmoid(), Dense(1), Sigmoid()], input_shape=3, rng=0, dtype="float64")
    step = net.trace(X, Y, SumSquaredError())[2]
    browser.open(pages["small"])
    browser.press_button("Layer 2: Dense(1)")
    shown = "[...document.querySelectorAll('.panel')].filter((panel) => panel.offsetHeight)"
    assert browser.run(f"{shown}.map((panel) => panel.querySelector('h2').textContent)") == ["Layer 2: Dense(1)"]
    formulas = browser.run(f"[...{shown}[0].querySelectorAll('.equation')].map((e) => e.textContent)")
    assert formulas == ["z2=a1W2+b2", "∂L∂W2=a1⊤δ2", "∂L∂b2=∑iδ2", "∂L∂a1=δ2W2⊤"]
    figure = f"[...{shown}[0].querySelectorAll('figure')].find((figure) => figure.textContent.startsWith(a)).innerText"
    for letter, array in (("z2", step.output), ("δ2", step.delta), ("∂L∂W2", step.gradients["weight"])):
        text = browser.run(figure, letter).replace("−", "-")
        assert [f"{value:.4f}" for value in array.ravel()] == text.split()[-array.size :]
    assert browser.status == "4 of 12. Forward: layer 2, Dense, makes z², of shape (1,)"


def test_a_click_on_the_drawing_shows_the_layer_too(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["small"])
    browser.run(
        "document.querySelector('svg .signal[data-column=\"3\"] circle').dispatchEvent("
        "new MouseEvent('click', {bubbles: true}))"
    )
    assert browser.status.startswith("4 of 12. Forward: layer 2")


def test_on_the_way_back_a_click_shows_the_way_back(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["small"])
    browser.press_button("The loss: SumSquaredError()")
    browser.press_button("Forward")
    assert browser.status == "7 of 12. Backward: the error signal starts with ∂L/∂a³"
    browser.press_button("Layer 0: Dense(4)")
    assert (
        browser.status
        == "11 of 12. Backward: layer 0, Dense, takes δ⁰ and passes back ∂L/∂x; it finds ∂L/∂W⁰ and ∂L/∂b⁰"
    )


def test_buttons_go_through_all_stages_and_back(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["small"])
    disabled = "['reset', 'back', 'play', 'forward'].filter((id) => document.getElementById(id).disabled)"
    assert browser.run(disabled) == ["reset", "back"]
    seen = [browser.status]
    for _ in range(STAGES - 1):
        browser.press_button("Forward")
        seen.append(browser.status)
    assert len(set(seen)) == STAGES
    assert seen[-1].startswith("12 of 12. The update")
    assert browser.run(disabled) == ["forward"]
    assert browser.focused == "Back"  # the focus does not stay on a button that cannot be pressed
    browser.press_button("Back")
    assert browser.status == seen[-2]
    browser.press_button("Reset")
    assert browser.status == seen[0]
    assert browser.focused == "Forward"


def test_the_signal_is_drawn_as_far_as_it_has_come(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["small"])
    marked = """[...document.querySelectorAll("svg .signal")].filter((signal) => signal.classList.contains(a))
      .map((signal) => signal.dataset.column)"""
    arrow = """[...document.querySelectorAll("svg .arrow")].filter((a) => getComputedStyle(a).display !== "none")
      .map((a) => [a.closest("g").dataset.column, a.classList[1]])"""
    browser.press_button("Layer 1: Sigmoid()")
    assert browser.run(marked, "forward") == ["0", "1", "2"]
    assert browser.run(marked, "backward") == []
    assert browser.run(arrow) == [["2", "there"]]
    browser.press_button("The loss: SumSquaredError()")
    browser.press_button("Forward")
    browser.press_button("Layer 1: Sigmoid()")
    assert browser.run(marked, "forward") == ["0", "1", "2", "3", "4", "5"]
    assert browser.run(marked, "backward") == ["1", "2", "3", "4"]
    assert browser.run(arrow) == [["2", "back"]]


def test_play_goes_to_the_end_and_can_be_paused(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["small"])
    browser.run("(() => { window.tick = null; window.setInterval = (f) => { window.tick = f; return 1; }; })()")
    label = "document.getElementById('play').textContent"
    browser.press_button("Play")
    assert browser.run(label) == "Pause"
    assert browser.status.startswith("2 of 12")
    browser.press_button("Pause")
    assert browser.run(label) == "Play"
    browser.press_button("Play")
    for _ in range(STAGES - 3):
        browser.run("window.tick()")
    assert browser.status.startswith("12 of 12")
    assert browser.run(label) == "Play"  # it has stopped by itself
    browser.press_button("Play")
    assert browser.status.startswith("1 of 12")  # and begins again


def test_everything_can_be_reached_and_used_by_keys(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["small"])
    browser.press("\ue004")  # Tab
    assert browser.focused == "Play"  # Reset and Back cannot be pressed yet
    names = []
    for _ in range(9):
        browser.press("\ue004")
        names.append(browser.focused)
        assert browser.run("getComputedStyle(document.activeElement).outlineStyle") != "none", names[-1]
    assert names[:3] == ["Forward", "Stage of the step", "The network"]
    assert names[3:] == [
        "The input",
        *("Layer 0: Dense(4)", "Layer 1: Sigmoid()", "Layer 2: Dense(1)", "Layer 3: Sigmoid()"),
        "The loss: SumSquaredError()",
    ]
    browser.press("\ue008\ue004")  # Shift and Tab
    browser.press("\ue007")  # Enter
    assert browser.status.startswith("5 of 12")
    browser.press("\ue008\ue004")
    browser.press(" ")
    assert browser.status.startswith("4 of 12")
    browser.press("\ue014", "\ue014")  # to the right, twice
    assert browser.status.startswith("6 of 12")
    browser.press("\ue012")  # to the left
    assert browser.status.startswith("5 of 12")
    browser.press("\ue010")  # End
    assert browser.status.startswith("12 of 12")
    browser.press("\ue011")  # Home
    assert browser.status.startswith("1 of 12")


def test_the_slider_is_moved_by_its_own_keys_one_stage_at_a_time(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["small"])
    browser.run("document.getElementById('stage').focus()")
    browser.press("\ue014", "\ue014")
    assert browser.status.startswith("3 of 12")
    assert browser.run("document.getElementById('stage').getAttribute('aria-valuetext')") == browser.status


@pytest.mark.parametrize("name", PLAYED)
def test_everything_has_a_name_for_a_screen_reader(browser: Browser, pages: dict[str, Path], name: str) -> None:
    browser.open(pages[name])
    named: list[tuple[str, str]] = []
    for _ in range(100):  # the tree is made behind the page's back, on a busy machine a while later
        nodes = [node for node in browser.command("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
        named = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes]
        if ("button", "The input") in named:
            break
        time.sleep(0.1)
    fields = ["textbox"] * (name in ("small", "branched"))  # of the learning rate, and of numbers
    for role in ("button", "slider", "region", "group", "image", "heading", *fields):
        names = [text for kind, text in named if kind == role]
        assert names, role
        assert all(names), role
    assert len([role for role, _ in named if role == "status"]) == 1
    assert len([role for role, _ in named if role in ("math", "MathMLMath")]) > 5
    assert ("button", "The input") in named
    current = browser.run("[...document.querySelectorAll('[aria-current=step]')].map((b) => b.ariaLabel)")
    assert current == ["The input"]


def test_nothing_moves_by_itself_where_that_is_not_wanted(browser: Browser, pages: dict[str, Path]) -> None:
    longest = """Math.max(...[...document.querySelectorAll("*")].map((element) =>
      parseFloat(getComputedStyle(element).transitionDuration)))"""
    browser.open(pages["small"])
    assert browser.run(longest) > 0
    browser.open(pages["small"], prefers_reduced_motion="reduce")
    assert browser.run(longest) == 0


def test_without_a_script_all_panels_can_be_read(browser: Browser, pages: dict[str, Path]) -> None:
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(pages["small"], 400)
        assert browser.run("[...document.querySelectorAll('.panel')].filter((panel) => panel.offsetHeight).length") == 7
        assert (
            browser.run("[...document.querySelectorAll('button, input')].filter((one) => one.offsetHeight).length") == 0
        )
        assert browser.run("document.documentElement.scrollWidth") <= 400
    finally:
        browser.command("Emulation.setScriptExecutionDisabled", value=False)
