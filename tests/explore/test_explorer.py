"""The page of a small network in a browser: numbers are changed, steps taken, and the page saved as it is then."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import Browser, started
from explored import X, Y, branched_net, write_large

from deepbp import Sequential, Trainer
from deepbp.layers import GRU, Conv2D, Dense, Flatten, Sigmoid
from deepbp.losses import SoftmaxCrossEntropy, SumSquaredError
from deepbp.optimizers import SGD

TABLE = """[...document.querySelectorAll(`figure[data-name="${a}"]`)][0]"""
NUMBERS = f"[...{TABLE}.querySelectorAll('td')].map((cell) => Number(cell.dataset.value))"
CHANGE = f"""(() => {{
  const field = {TABLE}.querySelectorAll("input")[b];
  field.focus(); field.value = c; field.dispatchEvent(new Event("change")); field.blur();
}})()"""
TAKEN = "document.getElementById('taken').textContent"


def net() -> Sequential:
    layers = [Dense(4, use_bias=False), Sigmoid(), Dense(1, use_bias=False), Sigmoid()]
    return Sequential(layers, input_shape=3, rng=1, dtype="float64")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    yield from started(tmp_path_factory.mktemp("profile"))


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Path:
    path = net().explore(X, Y, SumSquaredError(), path=tmp_path / "step.html", optimizer=SGD(0.5))
    browser.open(path)
    return path


def numbers(browser: Browser, name: str) -> list[float]:
    found: list[float] = browser.run(NUMBERS, name)
    return found


def change(browser: Browser, name: str, place: int, text: str) -> None:
    browser.run(CHANGE, name, place, text)


def test_a_changed_weight_changes_all_numbers(browser: Browser, page: Path) -> None:
    change(browser, "W⁰", 5, "-1.25")
    changed = net()
    first = changed.layers[0]
    assert isinstance(first, Dense)
    weight = first.weight.value.copy()
    weight[1, 1] = -1.25
    first.weight.value = weight
    trace = changed.trace(X, Y, SumSquaredError(), optimizer=SGD(0.5))
    names = {
        "z⁰": trace[0].output,
        "a³": trace[3].output,
        "δ⁰": trace[0].delta,
        "d₂": -0.5 * trace.gradients["2.weight"],
    }
    for name, array in {**names, "W⁰ after": trace.updated["0.weight"], "L": np.asarray(trace.loss)}.items():
        np.testing.assert_allclose(numbers(browser, name), array.ravel(), rtol=1e-11, atol=1e-14)
    loss = f"{trace.loss:.4f}"
    assert browser.run(TAKEN) == f"No step taken yet. L = {loss}."
    browser.press_button("The loss: SumSquaredError()")
    assert browser.status.endswith(f"SumSquaredError, is {loss}")
    assert browser.run("document.querySelector('.layers [data-loss]').textContent") == loss
    line = 'document.querySelector(\'svg [data-weight="W⁰"] line[data-at="5"]\')'
    assert browser.run(f"{line}.getAttribute('class')") == "negative"
    assert browser.console() == []


def test_steps_are_those_of_training(browser: Browser, page: Path) -> None:
    change(browser, "x", 1, "0.5")
    change(browser, "y", 0, "1")
    browser.run("(() => { rate.value = '0.25'; rate.dispatchEvent(new Event('change')); })()")
    browser.press_button("Take the step")
    assert browser.run(TAKEN).startswith("1 step taken. L = ")
    browser.press_button("Take 100 steps")
    x, y = X.copy(), Y.copy()
    x[0, 1], y[0, 0] = 0.5, 1
    trained = net()
    trainer = Trainer(trained, SumSquaredError(), SGD(0.25))
    for _ in range(101):
        trainer.step(x, y)
    for name, place in {"W⁰": "0.weight", "W²": "2.weight"}.items():
        right = trained.named_parameters()[place].value.ravel()
        np.testing.assert_allclose(numbers(browser, name), right, rtol=1e-9)
    assert browser.run("document.getElementById('curve').getBoundingClientRect().width") == 200
    label = browser.run("document.getElementById('curve').getAttribute('aria-label')")
    assert label.startswith("The loss over 101 steps, from ")
    browser.press_button("Start over")
    assert browser.run(TAKEN).startswith("No step taken yet.")
    assert browser.run("document.getElementById('curve').getBoundingClientRect().width") == 0
    np.testing.assert_array_equal(numbers(browser, "x"), X.ravel())


def test_all_digits_are_shown_on_demand(browser: Browser, page: Path) -> None:
    trace = net().trace(X, Y, SumSquaredError())
    browser.press_button("Layer 2: Dense(1, use_bias=False)")
    shown = f"{TABLE}.querySelector('td').innerText"
    short, exact = f"{trace[2].output[0, 0]:.4f}", repr(float(trace[2].output[0, 0]))
    assert browser.run(shown, "z²").replace("−", "-") == short
    browser.press_button("All digits")
    assert browser.run("document.getElementById('digits').getAttribute('aria-pressed')") == "true"
    assert browser.run(shown, "z²").replace("−", "-")[:14] == exact[:14]
    browser.press_button("All digits")
    assert browser.run(shown, "z²").replace("−", "-") == short


def test_what_is_no_number_is_refused_in_words(browser: Browser, page: Path) -> None:
    before = numbers(browser, "z⁰")
    for text in ("", "one", "1e999"):
        change(browser, "W⁰", 0, text)
        assert browser.run(TAKEN).endswith(f"W⁰: expected a number, got {text}.")
    assert browser.run(f"{TABLE}.querySelector('input').getAttribute('aria-invalid')", "W⁰") == "true"
    assert numbers(browser, "z⁰") == before
    change(browser, "W⁰", 0, "−2")
    assert browser.run(f"{TABLE}.querySelector('[aria-invalid]')", "W⁰") is None
    assert numbers(browser, "z⁰") != before


def test_labels_are_whole_numbers_of_classes(browser: Browser, tmp_path: Path) -> None:
    classifier = Sequential([Dense(3)], input_shape=3, rng=0, dtype="float64")
    browser.open(classifier.explore(X, [0, 1, 2, 1], SoftmaxCrossEntropy(), path=tmp_path / "step.html"))
    change(browser, "y", 1, "3")
    assert browser.run(TAKEN).endswith("y: expected labels from 0 to 2, got 3.")
    change(browser, "y", 1, "2")
    trace = classifier.trace(X, [0, 2, 2, 1], SoftmaxCrossEntropy())
    np.testing.assert_allclose(numbers(browser, "δ⁰"), trace[0].delta.ravel(), rtol=1e-11, atol=1e-15)


def test_a_neuron_says_what_it_holds(browser: Browser, page: Path) -> None:
    change(browser, "x", 0, "3")
    circle = browser.driver.find_element("css selector", "svg [data-values='a¹'] circle[data-neuron='2']")
    webdriver: Any = pytest.importorskip("selenium.webdriver")
    webdriver.ActionChains(browser.driver).move_to_element(circle).perform()
    said = browser.run("document.getElementById('neuron').textContent")
    name, value, *_ = said.replace("−", "-").split(": ")
    assert name == "a¹, 2"
    np.testing.assert_allclose(float(value.split()[0]), numbers(browser, "a¹")[2], rtol=1e-3)
    assert "∂L/∂a¹, 2: " in said


def test_the_page_is_saved_with_its_numbers(browser: Browser, page: Path, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    browser.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    change(browser, "W²", 0, "1.5")
    browser.press_button("Take the step")
    kept = {name: numbers(browser, name) for name in ("W²", "z²", "d₁", "L")}
    browser.press_button("Save this page")
    for _ in range(100):
        if (folder / "step.html").exists():
            break
        time.sleep(0.1)
    source = (folder / "step.html").read_text(encoding="utf-8")
    assert source.startswith("<!DOCTYPE html>\n<html")
    assert source.count("<input") == 2  # the fields are made by the script, and were not when the page was written
    browser.open(folder / "step.html")
    assert browser.run(TAKEN).startswith("1 step taken.")
    assert {name: numbers(browser, name) for name in kept} == kept
    assert browser.console() == []


def test_fields_are_reached_by_keys_and_have_names(browser: Browser, page: Path) -> None:
    browser.press_button("Layer 0: Dense(4, use_bias=False)")
    browser.run("document.querySelector('figure[data-name=\"W⁰\"] input').focus()")
    assert browser.focused == "W⁰, row 1, column 1"
    browser.press("\ue004")
    assert browser.focused == "W⁰, row 1, column 2"
    before = browser.status
    browser.press("0.75", "\ue007")  # what the field holds is selected, and the arrows are its own
    browser.press("\ue014")
    assert browser.status == before
    assert numbers(browser, "W⁰")[1] == 0.75


def test_kernels_and_gates_can_be_changed(browser: Browser, tmp_path: Path) -> None:
    images = Sequential([Conv2D(2, 2), Flatten(), Dense(1)], input_shape=(3, 3, 1), rng=0, dtype="float64")
    x, y = np.arange(18.0).reshape(2, 3, 3, 1) / 9, np.ones((2, 1))
    browser.open(images.explore(x, y, SumSquaredError(), path=tmp_path / "images.html"))
    change(browser, "W⁰", 5, "0.5")
    kernels = images.layers[0]
    assert isinstance(kernels, Conv2D)
    changed = kernels.weight.value.copy()
    changed.reshape(-1)[5] = 0.5
    kernels.weight.value = changed
    trace = images.trace(x, y, SumSquaredError())
    np.testing.assert_allclose(numbers(browser, "∂L/∂W⁰"), trace.gradients["0.weight"].ravel(), rtol=1e-11)
    steps = Sequential([GRU(2)], input_shape=(3, 1), rng=0, dtype="float64")
    browser.open(steps.explore(x[:, 0], y * [1, 2], SumSquaredError(), path=tmp_path / "steps.html"))
    browser.press_button("Layer 0: GRU(2)")
    assert "σ(" in browser.run("document.querySelector('.panel:not([hidden]) .forward').textContent")
    assert browser.console() == []


def test_a_large_network_is_played_and_says_why(browser: Browser, tmp_path: Path) -> None:
    write_large(tmp_path / "large.html")
    browser.open(tmp_path / "large.html")
    assert "this network has" in browser.run("document.querySelector('.numbers-controls + p').textContent")
    assert browser.run("document.getElementById('step')") is None
    assert browser.run("document.querySelectorAll('td input').length") == 0


@pytest.mark.parametrize("width", [400, 1400])
def test_branches_lie_in_lanes_and_nothing_leaves_the_page(browser: Browser, tmp_path: Path, width: int) -> None:
    browser.open(branched_net().explore(X, Y, SumSquaredError(), path=tmp_path / "step.html"), width)
    browser.press_button("Take the step")
    assert browser.run("document.documentElement.scrollWidth") <= width
    rows = browser.run(
        "new Set([...document.querySelectorAll('.layers button')].map((b) => b.style.gridRowStart)).size"
    )
    assert rows > 1
    touching = """(() => {
      const all = [...document.querySelectorAll("svg circle")].map((c) => [c.cx.baseVal.value, c.cy.baseVal.value]);
      return all.filter(([x, y], i) => all.some(([u, v], j) => j < i && Math.hypot(u - x, v - y) < 14)).length;
    })()"""
    assert browser.run(touching) == 0
    assert browser.console() == []
