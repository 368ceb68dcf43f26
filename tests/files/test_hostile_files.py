"""Hundreds of damaged and hostile files: each raises FileFormatError and takes little memory."""

import subprocess
import sys
import traceback
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from built_files import build_archive, build_tensors
from hostile_archives import GOOD, TEXT, cut_and_bent, headers_of_arrays, members
from hostile_models import models, objects, work
from hostile_tensors import GOOD_TENSORS, tensors
from hostile_texts import contents, texts

import deepbp
from deepbp.errors import FileFormatError

MOST = 50_000_000  # bytes of memory
AT_ONCE = 40  # files of a test

ARCHIVES = [*cut_and_bent(), *members(), *headers_of_arrays()]
DESCRIPTIONS = [*texts(), *contents(), *models(), *objects(), *work()]
FILES = [
    *((f"{name} (npz)", ".npz", content) for name, content in ARCHIVES),
    *((f"{name} (npz)", ".npz", build_archive(text)) for name, text in DESCRIPTIONS),
    *((f"{name} (safetensors)", ".safetensors", content) for name, content in tensors()),
    *(
        (f"{name} (safetensors)", ".safetensors", build_tensors(text))
        for name, text in DESCRIPTIONS
        if len(text) < 2000
    ),
]


def test_the_files_around_which_they_are_made_are_right(tmp_path: Path) -> None:
    for name, content in (("good.npz", GOOD), ("good.safetensors", GOOD_TENSORS)):
        (tmp_path / name).write_bytes(content)
        assert deepbp.load(tmp_path / name).predict(np.ones((1, 3))).tolist() == [[0.5, 0.5]]
    assert build_archive(TEXT) == GOOD


def test_there_are_hundreds() -> None:
    assert len({content for _, _, content in FILES}) > 1000


def refusal(path: Path) -> tuple[str, int]:
    """The message of the error, "" if there is none, and the peak of the memory that was allocated."""
    tracemalloc.start()
    try:
        deepbp.load(path)
    except FileFormatError as error:
        return str(error), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return "", 0


@pytest.mark.parametrize("first", range(0, len(FILES), AT_ONCE))
def test_they_are_refused_with_little_memory(first: int, tmp_path: Path) -> None:
    for name, ending, content in FILES[first : first + AT_ONCE]:
        path = tmp_path / f"file{ending}"
        path.write_bytes(content)
        message, peak = refusal(path)
        assert message.startswith(f"{path}: "), name
        assert len(message) < 1500, name
        assert message.isprintable(), name
        assert peak < MOST, name


REASONS = [
    (
        "cut off after 492 bytes",
        "description.json: expected 574 bytes from byte 66 on, got the end of the file: was it cut off?",
    ),
    ("cut off after 1394 bytes", "its directory, at the end, is damaged or cut off, or deepbp did not write the file"),
    ("a byte more", "its directory, at the end, is damaged or cut off, or deepbp did not write the file"),
    ("written by NumPy", "expected an archive of deepbp, whose first member is description.json"),
    (
        "member 1 is called '../../etc/passwd'",
        "member '0.weight.npy': its header is damaged, or deepbp did not write it",
    ),
    ("member 1 claims 7 TiB", "member '0.weight.npy': its header is damaged, or deepbp did not write it"),
    ("member 0 claims 7 TiB", "description.json: expected at most 4,194,304 bytes, got 7,696,581,394,432"),
    (
        "a directory beyond the file",
        "its directory, at the end, is damaged or cut off, or deepbp did not write the file",
    ),
    ("links", "its directory, at the end, is damaged or cut off, or deepbp did not write the file"),
    ("encrypted, as the headers of the members say", "member 'description.json': it is encrypted"),
    (
        "written by zipfile, deflated",
        "member 'description.json': it is compressed (method 8): deepbp stores members as",
    ),
    ("member 2 has another checksum", "member '0.bias.npy': its checksum is wrong: the file is damaged"),
    ("member 1 is missing", "member '0.weight.npy': its header is damaged, or deepbp did not write it"),
    ("shape [1000000000, 1000000", "array '0.weight': its 4,000,000,000,000,000,000 bytes are more than the file has"),
    ("a header of columns first", "member '0.weight.npy': expected float32 of shape (3, 2), as description.json says"),
    ("dtype object", "description.json: array '0.weight': expected a dtype of numbers, got 'object'"),
    ("NaN", "description.json: expected finite numbers, got NaN"),
    ("a number that becomes infinite", "description.json: expected finite numbers, got 1e999"),
    ("deep lists", "description.json: expected a description of at most 100 levels"),
    (
        "a key twice",
        "description.json: expected each key once, got ['kind', 'version', 'deepbp', 'dtype', 'input_shape'",
    ),
    (
        "units 1000000000",
        "the architecture cannot be built: layer 0, Dense(1000000000, bias_init=Constant(0.5)): needs ",
    ),
    (
        "units 2.5",
        "object 2: Dense(units, use_bias, weight_init, bias_init): Dense: units: expected a whole number of at",
    ),
    ("laughter", "object 15: expected at most 50,000 layers and their parts, got 65,535"),
    ("1e+12 repeats", "object 4: expected at most 50,000 layers and their parts, got 4,000,000,000,000"),
    ("a newer model", "the model has version 2, and this deepbp reads versions up to 1: install a newer deepbp"),
    (
        "a training",
        "expected a network, got a training whose model is none that a file can describe: make the trainer anew",
    ),
]


REASONS += [
    ("a sequence repeated", "object 5: expected at most 10,000 layers and their parts to build, got 111,997"),
    ("chains repeated", "object 84: expected at most 10,000 layers and their parts to build, got 8"),
    ("fewer chains repeated", "object 84: expected at most 50,000 layers and parts times their depth, got 3"),
    ("a layer often in many chains", "object 4: expected at most 10,000 layers and their parts to build, got 49,001"),
    ("many branches", "object 0: expected at most 50,000 layers and their parts, got 190,001"),
    ("many layers without use", "object 10000: expected at most 10,000 layers and their parts to build, got 10,001"),
    ("many axes", "the architecture cannot be built: input_shape: expected at most 32 axes, got 90000"),
    ("a shape of many large sizes", "object 0: Reshape(shape): Reshape: expected at most 32 axes, got 20000"),
    ("wide samples", "the architecture cannot be built: layer 4, Parallel((None, None, "),
    ("keys that collide", "object 2: expected at most 1,000 keys that are no text"),
    ("function testing", "object 0: expected ufunc, got 'testing'"),
    ("function random", "object 0: expected ufunc, got 'random'"),
    (
        "function divmod",
        "object 0: Activation(f, f_prime): Activation: f: expected a function of one array",
    ),
    ("function modf", "object 0: Activation(f, f_prime): Activation: f: expected a function of one array"),
    ("a name that clears the screen", r"object 2: deepbp has no class '\x1b[2J\x1b]0;title\x07'"),
]


@pytest.mark.parametrize(("name", "reason"), REASONS, ids=[name for name, _ in REASONS])
def test_it_is_said_what_is_wrong_and_where(name: str, reason: str, tmp_path: Path) -> None:
    (content,) = [content for found, _, content in FILES if found == f"{name} (npz)"][:1]
    (tmp_path / "file.npz").write_bytes(content)
    with pytest.raises(FileFormatError) as caught:
        deepbp.load(tmp_path / "file.npz")
    assert str(caught.value).startswith(f"{tmp_path / 'file.npz'}: {reason}")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("zeros", "expected a safetensors file, got one that claims a header of 0 bytes"),
        ("a long header", "expected a header of at most 4,194,304 bytes, got 5,000,002"),
        ("a deep header", "the file is damaged, or no safetensors file: "),
        ("other numbers", "its checksum is wrong: the file is damaged"),
        ("no description", "expected a network, got arrays that deepbp did not write: build the network, and use"),
    ],
)
def test_it_is_said_what_is_wrong_with_tensors(name: str, reason: str, tmp_path: Path) -> None:
    (content,) = [content for found, _, content in FILES if found == f"{name} (safetensors)"][:1]
    (tmp_path / "file.safetensors").write_bytes(content)
    with pytest.raises(FileFormatError) as caught:
        deepbp.load(tmp_path / "file.safetensors")
    assert str(caught.value).startswith(f"{tmp_path / 'file.safetensors'}: {reason}")


def test_a_file_makes_only_its_layers_imported(tmp_path: Path) -> None:
    """A submodule of NumPy is imported when it is looked up."""
    names = [name for name, _ in work() if name.startswith("function")]
    for i, (_, text) in enumerate(work()):
        (tmp_path / f"{i}.npz").write_bytes(build_archive(text))
    code = f"""
import sys, deepbp
from pathlib import Path
deepbp.Sequential([deepbp.layers.ReLU()], input_shape=2).save({str(tmp_path / "net.npz")!r})
before = {{*sys.modules}}
deepbp.load({str(tmp_path / "net.npz")!r})
for path in Path({str(tmp_path)!r}).glob("[0-9]*.npz"):
    try:
        deepbp.load(path)
    except ValueError:
        continue
    print(path)
print(sorted(name for name in {{*sys.modules}} - before if not name.startswith("deepbp.layers.")))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
    assert len(names) > 5


def test_causes_of_errors_are_short_and_printable(tmp_path: Path) -> None:
    """A traceback shows them, too."""
    for name in ("units of much text", "a key that cannot be printed", "a name that cannot be printed"):
        text = next(text for found, text in DESCRIPTIONS if found == name)
        (tmp_path / "file.npz").write_bytes(build_archive(text))
        with pytest.raises(FileFormatError) as caught:
            deepbp.load(tmp_path / "file.npz")
        shown = "".join(traceback.format_exception(caught.value))
        assert len(shown) < 20_000
        assert shown.replace("\n", "").isprintable()
