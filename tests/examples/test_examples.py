"""Every example reaches the result it claims, and fails with a message if it does not."""

import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

EXAMPLES = Path(__file__).parents[2] / "examples"
PICTURES = {
    "autoencoder",
    "characters",
    "deep_sigmoid",
    "digits",
    "digits_cnn",
    "embeddings",
    "mnist1d",
    "residual_depth",
    "sunspots",
    "vanishing_signal",
}
LONG = {"characters", "embeddings", "mnist1d", "digits_processes"}
MISSES = {
    "autoencoder": ("EPOCHS", 1),
    "characters": ("STEPS", 10),
    "curve_fitting": ("ITERATIONS", 1),
    "custom_layer": ("EPOCHS", 1),
    "deep_sigmoid": ("DEPTH", 5),  # too few layers to lose the signal
    "digits": ("EPOCHS", 1),
    "digits_cnn": ("EPOCHS", 1),
    "digits_processes": ("LEAST_ACCURACY", 1.1),
    "embeddings": ("EPOCHS", 1),
    "explain_two_layers": ("LARGEST_DIFFERENCE", -1.0),  # agreement may be exact
    "mnist1d": ("EPOCHS", {"convolution": 1, "GRU": 1}),
    "regression_diabetes": ("EPOCHS", 1),
    "regression_quantiles": ("EPOCHS", 1),
    "residual_depth": ("BLOCKS", 1),  # so few layers that the plain network learns
    "sunspots": ("EPOCHS", 1),
    "two_layer_notes": ("LARGEST_DIFFERENCE", 1e-20),
    "vanishing_signal": ("DEPTH", 2),  # too shallow for the signal to vanish
    "xor": ("EPOCHS", 1),
}


def load(name: str) -> ModuleType:
    spec = spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # where pickle looks for its classes
    spec.loader.exec_module(module)
    return module


def test_every_example_can_fail() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*MISSES, "layer_template"}  # which the command line checks


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long if name in LONG else ()) for name in MISSES]
)
def test_an_example_reaches_its_result(name: str, tmp_path: Path) -> None:
    script = tmp_path / "examples" / f"{name}.py"  # a copy, so that its picture lands in tmp_path
    script.parent.mkdir()
    shutil.copy(EXAMPLES / script.name, script)
    done = subprocess.run([sys.executable, "-W", "error", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "missed" not in done.stdout
    assert done.stderr == ""  # no progress bar in a pipe
    if name in PICTURES:
        picture = tmp_path / "output" / f"{name}.png"
        assert str(picture) in done.stdout
        width, height, ink = look_at(picture)
        assert width >= 1000
        assert height >= 600
        assert 0.01 < ink < 0.5


def look_at(picture: Path) -> tuple[int, int, float]:
    """Width, height, and the share of pixels that are not background."""
    from matplotlib.image import imread

    image = imread(picture)[..., :3]
    return image.shape[1], image.shape[0], float(np.mean((image < 1).any(axis=-1)))


@pytest.mark.parametrize("name", MISSES)
def test_an_example_that_misses_its_result_fails(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "digits_processes":
        pytest.importorskip("mpi4py")
    example = load(name)
    constant, value = MISSES[name]
    monkeypatch.setattr(example, constant, value)
    if name in PICTURES:
        monkeypatch.setattr(example, "PICTURE", tmp_path / "output" / "picture.png")
    assert example.main() == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("missed: ")


def test_the_networks_of_the_two_layer_example_start_from_the_same_changes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert load("two_layer_notes").main() == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "negative gradients" in line)
    assert float(line.split()[-1]) <= 1e-15


def test_the_pages_of_the_two_layer_example_must_hold_the_lines_of_the_notes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = load("explain_two_layers")
    assert example.main() == 0
    printed = capsys.readouterr().out
    for line in example.LINES:
        assert line in printed
    monkeypatch.setattr(example, "LINES", (*example.LINES, "d₂ = layer1ᵀ [2(ŷ − y) · σ′(ŷ)] = −∂L/∂W²"))  # the sign
    assert example.main() == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("missed: the derivation should contain d₂")


def test_shifted_digits_are_moved_by_one_pixel_in_each_direction() -> None:
    digits = load("digits")
    one = np.zeros((1, 8, 8))
    one[0, 3, 4] = 1
    copies, labels = digits.shifted(one.reshape(1, 64), np.array([7]))
    places = {(int(i) // 8, int(i) % 8) for i in copies.argmax(axis=1)}
    assert places == {(3, 4), (2, 4), (4, 4), (3, 3), (3, 5)}
    assert copies.sum() == 5
    assert labels.tolist() == [7] * 5


def test_a_digit_in_the_terminal_is_darker_where_there_is_more_ink() -> None:
    digits = load("digits")
    image = np.zeros((1, 8, 8))
    image[0, 0, :5] = [0, 0.25, 0.5, 0.75, 1]
    lines = digits.as_text(image, ["1, read as 7"]).splitlines()
    assert len(lines) == 9
    assert lines[0].strip() == "1, read as 7"
    assert lines[1] == "  ░░▒▒▓▓██      "


def test_counts_of_words_are_smoothed_as_by_hand() -> None:
    embeddings = load("embeddings")
    x, y = np.array([[0, 0, 5], [0, 0, 5], [0, 0, 5], [0, 0, 8]]), np.array([6, 6, 7, 6])
    counts = embeddings.count(x, y, 1)
    assert counts == {(5,): {6: 2, 7: 1}, (8,): {6: 1}, (): {6: 2, 7: 1}}  # 6 followed two different words
    after_5 = [embeddings.counted(counts, (5,), word, 10) for word in range(10)]
    at_all = (2 - 0.75 + 0.75 * 2 / 10) / 3
    assert after_5[6] == pytest.approx((2 - 0.75 + 0.75 * 2 * at_all) / 3)
    assert after_5[6:8] == pytest.approx([0.65, 0.15])
    assert sum(after_5) == pytest.approx(1.0)
    assert embeddings.counted(counts, (9,), 6, 10) == pytest.approx(at_all)  # never seen before
