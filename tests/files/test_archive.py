"""An archive is read back as it was written, and other programs can open it."""

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from built_files import build_zip

from deepbp.errors import ArgumentTypeError, ConfigurationError, DataTypeError, FileFormatError
from deepbp.files import read_archive, write_archive
from deepbp.storage.contents import Spec, contents_text
from deepbp.storage.json_codec import DTYPES
from deepbp.storage.npz_format import open_archive
from deepbp.storage.safetensors_format import open_tensors, write_tensors

DESCRIPTION = {"epoch": 3, "name": "ü", "rate": 0.1, "seed": 2**128 - 1, "none": None, "list": [True, [], {"": ""}]}
ARRAYS: dict[str, Any] = {
    "0.weight": np.random.default_rng(0).normal(size=(3, 4)).astype("float32"),
    "a number": np.array(-3),
    "no rows": np.zeros((0, 3)),
    "columns first": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "every second": np.arange(10)[::2],
    "optimizer/ü": np.arange(3, dtype=">i2"),
    "not finite": np.array([np.nan, -np.inf, -0.0, 5e-324]),
    **{f"dtype {dtype}": np.array([0, 1, 1], dtype) for dtype in DTYPES},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_archive(tmp_path / "a.npz", DESCRIPTION, ARRAYS)
    return tmp_path / "a.npz"


def test_what_is_written_comes_back(path: Path) -> None:
    description, arrays = read_archive(path)
    assert description == DESCRIPTION
    assert list(arrays) == list(ARRAYS)
    for name, array in arrays.items():
        assert array.dtype == ARRAYS[name].dtype.newbyteorder("="), name
        assert array.shape == ARRAYS[name].shape, name
        assert array.tobytes() == ARRAYS[name].astype(array.dtype).tobytes(), name
        assert array.flags.writeable
        assert array.flags.c_contiguous


@pytest.mark.parametrize("change", ["a byte", "the end"])
def test_a_file_that_changes_while_it_is_read(path: Path, change: str) -> None:
    with open_archive(path) as archive, open(path, "r+b") as file:
        if change == "a byte":
            file.seek(path.read_bytes().index(ARRAYS["0.weight"].tobytes()))
            file.write(b"\xff")
        else:
            file.truncate(path.read_bytes().index(ARRAYS["0.weight"].tobytes()) + 40)
        file.flush()
        with pytest.raises(FileFormatError, match=r"member '0.weight.npy': it changed while it was read"):
            archive.array("0.weight")


@pytest.mark.parametrize("size", [0, 4, 100, -1])
def test_tensors_that_become_shorter_while_they_are_read(tmp_path: Path, size: int) -> None:
    """A file that is mapped into memory would kill the process."""
    path = tmp_path / "a.safetensors"
    write_tensors(path, {}, {"a": np.ones(100_000), "b": np.ones(100_000)})
    with open_tensors(path) as stored:
        os.truncate(path, path.stat().st_size + size if size < 0 else size)
        with pytest.raises(FileFormatError, match=r"^the file became shorter while it was read"):
            stored.array("b")


def test_the_library_reads_what_is_written_as_safetensors(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    write_tensors(tmp_path / "a.safetensors", DESCRIPTION, ARRAYS)
    found = safetensors.load_file(tmp_path / "a.safetensors")
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array, strict=array.dtype.isnative)
    content = (tmp_path / "a.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    assert size % 8 == 0
    for name, entry in header.items():
        assert name == "__metadata__" or entry["data_offsets"][0] % ARRAYS[name].dtype.itemsize == 0


def test_what_the_library_writes_can_be_read(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    native = {name: np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))) for name, array in ARRAYS.items()}
    safetensors.save_file(native, tmp_path / "a.safetensors", {"format": "pt"})
    with open_tensors(tmp_path / "a.safetensors") as stored:
        assert stored.description is None
        assert stored.specs.keys() == native.keys()
        for name, array in native.items():
            np.testing.assert_array_equal(stored.array(name).reshape(array.shape), array)


def test_what_is_written_as_safetensors_comes_back(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a.safetensors", DESCRIPTION, ARRAYS)
    with open_tensors(tmp_path / "a.safetensors") as stored:
        assert stored.description == DESCRIPTION
        for name, array in ARRAYS.items():
            assert stored.array(name).dtype == array.dtype.newbyteorder("=")
            np.testing.assert_array_equal(stored.array(name), array, strict=array.dtype.isnative)


def test_truth_values_are_0_or_1(tmp_path: Path) -> None:
    """Others would be true here and false there."""
    header, text = Spec("bool", (2,)).header(), contents_text({}, {"a": Spec("bool", (2,))})
    for numbers, right in ((b"\0\1", True), (b"\0\2", False)):
        (tmp_path / "a.npz").write_bytes(build_zip([("description.json", text), ("a.npy", header + numbers)]))
        if right:
            assert read_archive(tmp_path / "a.npz")[1]["a"].tolist() == [False, True]
        else:
            with pytest.raises(
                FileFormatError, match=r"a.npz: array 'a': expected truth values, got a byte that is nei"
            ):
                read_archive(tmp_path / "a.npz")


def test_the_same_content_is_the_same_bytes(path: Path, tmp_path: Path) -> None:
    write_archive(tmp_path / "b.npz", *read_archive(path))
    assert (tmp_path / "b.npz").read_bytes() == path.read_bytes()


def test_numpy_and_zipfile_can_open_it(path: Path) -> None:
    with np.load(path, allow_pickle=False) as file:
        assert file.files == ["description.json", *ARRAYS]
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(file[name], array)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None


def test_brackets_and_commas_in_text_are_no_values(tmp_path: Path) -> None:
    description = {"text": '[{,"\\' * 100_000}
    write_archive(tmp_path / "a.npz", description, {})
    assert read_archive(tmp_path / "a.npz") == (description, {})
    write_tensors(tmp_path / "a.safetensors", description, {})
    with open_tensors(tmp_path / "a.safetensors") as stored:
        assert stored.description == description
    with pytest.raises(
        ConfigurationError, match=r"^description: with its arrays, expected a description of at most 4,194"
    ):
        write_tensors(tmp_path / "a.safetensors", {"text": '"' * 2_000_000}, {})


@pytest.mark.parametrize("shape", [(), (1,), (3, 4), (2, 3, 4), (0,), (10**5,)])
def test_the_header_of_an_array_says_to_numpy_what_it_is(shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, "float32")
    written = io.BytesIO(Spec.of("a", array).header() + bytes(array.nbytes))
    np.testing.assert_array_equal(np.load(written), array)
    assert written.getbuffer().nbytes % 64 == array.nbytes % 64


def test_there_may_be_no_arrays_and_nothing_to_say(tmp_path: Path) -> None:
    write_archive(tmp_path / "a.npz", {}, {})
    assert read_archive(tmp_path / "a.npz") == ({}, {})


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        (np.array([{}]), DataTypeError, "array 'a': expected numbers, got object: a file holds no other arrays"),
        (np.array(["a"]), DataTypeError, "array 'a': expected numbers, got <U1"),
        (np.zeros(2, "f4,i4"), DataTypeError, "array 'a': expected numbers, got "),
        (np.zeros(2, "M8[s]"), DataTypeError, "array 'a': expected numbers, got datetime64"),
        (np.zeros(2, complex), DataTypeError, "array 'a': expected numbers, got complex128"),
        (np.zeros(2, np.longdouble), DataTypeError, "array 'a': expected numbers, got float128"),
        ([1, 2], ArgumentTypeError, "array 'a': expected an array, got [1, 2]"),
        (np.zeros((1,) * 33), ConfigurationError, "array 'a': expected at most 32 axes, got 33"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, array: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        write_archive(tmp_path / "a.npz", {}, {"a": array})
    assert str(caught.value).startswith(message)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["", "/a", "../a", "a/../b", "a//b", "a/", "a\\b", "C:a", "a\nb", "\ud800", 3, "a" * 1001]
)
def test_names_that_no_file_should_have_are_refused(tmp_path: Path, name: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected a name of"):
        write_archive(tmp_path / "a.npz", {}, {name: np.zeros(1)})


@pytest.mark.parametrize(
    "description",
    [{"a": (1, 2)}, {1: 2}, {"a": float("nan")}, {"a": np.float32(1)}, {"a": {1, 2}}, {"a": print}, [1], None],
    ids=str,
)
def test_a_description_that_would_not_come_back_is_refused(tmp_path: Path, description: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=r"^description: expected"):
        write_archive(tmp_path / "a.npz", description, {})


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"a": "x" * 2**22}, "description: expected a description of at most 4,194,304 bytes, got 4,194,"),
        ({"a": [0] * 200_001}, "description: expected a description of at most 200,000 values"),
        ({"a": 10**61}, "description: expected whole numbers of at most 60 digits, got 1000"),
    ],
)
def test_what_could_not_be_read_again_is_not_written(tmp_path: Path, description: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{message}"):
        write_archive(tmp_path / "a.npz", description, {})
    assert list(tmp_path.iterdir()) == []


def test_a_limit_is_kept_and_can_be_raised(path: Path) -> None:
    size = path.stat().st_size
    read_archive(path, limit=size)
    with pytest.raises(
        FileFormatError, match=rf"a.npz: expected at most 100 bytes, got {size:,}: pass limit={size} to"
    ):
        read_archive(path, limit=100)
    with pytest.raises(ArgumentTypeError, match="limit: expected a number of bytes, got '1 GB'"):
        read_archive(path, limit="1 GB")  # type: ignore[arg-type]
