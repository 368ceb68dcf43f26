"""Hundreds of damaged and hostile files: each raises FileFormatError and takes little memory."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from built_files import build_archive, build_tensors
from hostile_archives import GOOD, TEXT, cut_and_bent, headers_of_arrays, members
from hostile_models import models, objects
from hostile_tensors import GOOD_TENSORS, tensors
from hostile_texts import contents, texts

import deepbp
from deepbp.errors import FileFormatError

MOST = 50_000_000  # bytes of memory


ARCHIVES = [*cut_and_bent(), *members(), *headers_of_arrays()]
DESCRIPTIONS = [*texts(), *contents(), *models(), *objects()]
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


@pytest.mark.parametrize(("ending", "content"), [file[1:] for file in FILES], ids=[file[0] for file in FILES])
def test_it_is_refused_with_little_memory(ending: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"file{ending}"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError) as caught:
            deepbp.load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < 1500
    assert peak < MOST


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
        "the architecture cannot be built: layer 0, Dense(1000000000, bias_init=Constant(value=0.5)): needs ",
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
