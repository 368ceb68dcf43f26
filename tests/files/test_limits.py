"""Every limit of a file, from both sides: the largest that is allowed comes back, and one more is an error."""

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from built_files import build_archive, build_tensors, build_zip

from deepbp import Sequential
from deepbp.errors import ArgumentTypeError, ConfigurationError, FileFormatError
from deepbp.files import load, read_archive, save, write_archive
from deepbp.files import objects as of_objects
from deepbp.files.network import MOST_NUMBERS
from deepbp.layers import Chain, Dense, Parallel, Repeat, Reshape, Sigmoid, Split
from deepbp.storage import LIMIT
from deepbp.storage import json_codec as of_text
from deepbp.storage.contents import CHUNK, LONGEST_NAME, MOST_ARRAYS, MOST_AXES, Spec, contents_text
from deepbp.storage.json_codec import from_json, to_json
from deepbp.storage.safetensors_format import open_tensors, write_tensors
from deepbp.training.position import count

NO_NUMBERS = np.zeros(0, "int8")


def test_the_limits_are_those_that_the_documentation_states() -> None:
    """A limit that is changed by mistake would move the tests below along."""
    assert (of_objects.DEEPEST, of_objects.MOST_OBJECTS) == (100, 50_000)
    assert (of_objects.MOST_PARTS, of_objects.MOST_WORK, MOST_NUMBERS) == (10_000, 50_000, 2**31)
    assert of_text.MOST_OTHER_KEYS == 1000
    assert (of_text.LONGEST, of_text.MOST_VALUES) == (4 * 2**20, 200_000)
    assert (of_text.DEEPEST, of_text.LONGEST_NUMBER) == (100, 60)
    assert (LONGEST_NAME, MOST_AXES, MOST_ARRAYS, LIMIT) == (1000, 32, 20_000, 4 * 2**30)


def nested(depth: int) -> Sequential:
    """So many objects, each within the next."""
    network = Sequential([Sigmoid()])
    for _ in range(depth - 3):
        network = Sequential([network])
    return Sequential([network], input_shape=2)


def unrolled(objects: int) -> Sequential:
    """So many objects, counted as often as they run: 9 for each time that the outer Repeat runs, and the others."""
    times, others = divmod(objects - 1, 9)
    inner = Repeat(Repeat(Sigmoid(), 4, share=True), times, share=True)
    return Sequential([inner, *[Sigmoid() for _ in range(others)]], input_shape=2)


def wide(objects: int) -> Sequential:
    """So many objects to build."""
    return Sequential([Sigmoid() for _ in range(objects - 1)], input_shape=2)


def copied(objects: int) -> Sequential:
    """So many objects to build: a Repeat counts each copy of what is inside twice, and its 1000 times once more."""
    others = objects - 1 - (1 + 2) * (2 * 1000 - 1) - 1000
    return Sequential([Repeat(Chain([Sigmoid()]), 1000), *[Sigmoid() for _ in range(others)]], input_shape=2)


def wide_and_deep(work: int) -> Sequential:
    """So many objects times their depth: 1000 layers in 40 chains, the chains, and others, each at a depth of 2."""
    chain = Chain([Sigmoid() for _ in range(1000)])
    for _ in range(39):
        chain = Chain([chain])
    others = (work - 1000 * 42 - sum(range(2, 42)) - 1) // 2
    return Sequential([chain, *[Sigmoid() for _ in range(others)]], input_shape=2)


def refused(path: Path, error: type[Exception], message: str, **options: Any) -> None:
    with pytest.raises(error, match=message):
        read_archive(path, **options)


def both_formats(text: bytes, folder: Path) -> tuple[Path, Path]:
    archive, tensors = folder / "a.npz", folder / "a.safetensors"
    archive.write_bytes(build_archive(text))
    tensors.write_bytes(build_tensors(text))
    return archive, tensors


def description_of(path: Path) -> Any:
    if path.suffix == ".npz":
        return read_archive(path)[0]
    with open_tensors(path) as file:
        return file.description


@pytest.mark.parametrize(
    ("make", "most", "message"),
    [
        (unrolled, 50_000, "expected at most 50,000 layers and their parts, got 50,001"),
        (wide, 10_000, "expected at most 10,000 layers and their parts to build, got 10,001"),
        (copied, 10_000, "expected at most 10,000 layers and their parts to build, got 10,001"),
        (wide_and_deep, 50_000, "expected at most 50,000 layers and parts times their depth, got 50,001"),
    ],
    ids=["objects", "built", "copied", "times depth"],
)
def test_layers_within_layers(tmp_path: Path, make: Any, most: int, message: str) -> None:
    save(make(most), tmp_path / "a.npz")
    assert isinstance(load(tmp_path / "a.npz"), Sequential)
    with pytest.raises(ConfigurationError, match=rf"^network: it could not be read again: object \d+: {message}"):
        save(make(most + 1), tmp_path / "b.npz")


def text_of_length(size: int) -> bytes:
    return contents_text({"a": "x" * (size - len(contents_text({"a": ""}, {})))}, {})


def test_length_of_a_description(tmp_path: Path) -> None:
    text = text_of_length(4 * 2**20)
    assert len(text) == 4 * 2**20
    (tmp_path / "a.npz").write_bytes(build_zip([("description.json", text)]))
    description, _ = read_archive(tmp_path / "a.npz")
    write_archive(tmp_path / "b.npz", description, {})
    assert (tmp_path / "b.npz").read_bytes() == (tmp_path / "a.npz").read_bytes()
    description["a"] += "x"
    with pytest.raises(ConfigurationError, match=r"^description: expected a description of at most 4,194,304 bytes"):
        write_archive(tmp_path / "b.npz", description, {})
    (tmp_path / "a.npz").write_bytes(build_zip([("description.json", text.replace(b'"x', b'"xx'))]))
    refused(tmp_path / "a.npz", FileFormatError, "expected at most 4,194,304 bytes, got 4,194,305")


def test_length_of_a_header_of_tensors(tmp_path: Path) -> None:
    """Written as deepbp writes it, and padded with the spaces that JSON allows."""
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"a": 1}, {})
    header = path.read_bytes()[8:]
    for size, right in ((4 * 2**20, True), (4 * 2**20 + 1, False)):
        path.write_bytes(size.to_bytes(8, "little") + header.ljust(size))
        if right:
            assert description_of(path) == {"a": 1}
        else:
            with pytest.raises(FileFormatError, match="expected a header of at most 4,194,304 bytes, got 4,194,305"):
                description_of(path)


def lists(values: int) -> Any:
    """A description of so many values in a file: those of the contents around it, and of this one."""
    around = contents_text({"a": [0]}, {})
    marks = sum(around.count(mark) for mark in (b"[", b"{", b","))
    return {"a": [0] * (values - marks + 1)}


def levels(depth: int) -> Any:
    description: Any = 0
    for _ in range(depth - 2):  # two are around it
        description = [description]
    return {"a": description}


@pytest.mark.parametrize(
    ("make", "most", "message"),
    [
        (lists, 200_000, "expected a description of at most 200,000 values"),
        (levels, 100, "expected a description of at most 100 levels"),
    ],
)
def test_values_and_levels_of_a_description(tmp_path: Path, make: Any, most: int, message: str) -> None:
    write_archive(tmp_path / "a.npz", make(most), {})
    assert read_archive(tmp_path / "a.npz")[0] == make(most)
    with pytest.raises(ConfigurationError, match=message):
        write_archive(tmp_path / "a.npz", make(most + 1), {})
    contents = {"archive": 1, "description": make(most + 1), "arrays": {}}
    (tmp_path / "a.npz").write_bytes(build_archive(json.dumps(contents, separators=(",", ":")).encode()))
    refused(tmp_path / "a.npz", FileFormatError, message)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ("1" * 60, "expected whole numbers of at most 60 digits"),
        ("-" + "1" * 59, "expected whole numbers of at most 60 digits"),
        ("0." + "1" * 58, "expected finite numbers"),
    ],
    ids=["whole", "negative", "fraction"],
)
def test_digits_of_a_number(tmp_path: Path, number: str, message: str) -> None:
    text = contents_text({"a": 0}, {})
    for path in both_formats(text.replace(b'"a":0', f'"a":{number}'.encode()), tmp_path):
        assert description_of(path) == {"a": json.loads(number)}
    for path in both_formats(text.replace(b'"a":0', f'"a":{number}1'.encode()), tmp_path):
        with pytest.raises(FileFormatError, match=message):
            description_of(path)


def test_length_of_a_name_and_number_of_axes(tmp_path: Path) -> None:
    longest = {"a" * 1000: np.zeros(1), "b": np.zeros((1,) * 32)}
    write_archive(tmp_path / "a.npz", {}, longest)
    assert [(name, array.ndim) for name, array in read_archive(tmp_path / "a.npz")[1].items()] == [
        ("a" * 1000, 1),
        ("b", 32),
    ]
    write_tensors(tmp_path / "a.safetensors", {}, longest)
    assert description_of(tmp_path / "a.safetensors") == {}
    for write, path in ((write_archive, tmp_path / "b.npz"), (write_tensors, tmp_path / "b.safetensors")):
        with pytest.raises(ConfigurationError, match="expected a name of 1 to 1000 characters"):
            write(path, {}, {"a" * 1001: np.zeros(1)})
    spec = Spec("int8", (0,))
    text = contents_text({}, {"a" * 1001: spec})
    (tmp_path / "b.npz").write_bytes(build_zip([("description.json", text), ("a" * 1001 + ".npy", spec.header())]))
    refused(tmp_path / "b.npz", FileFormatError, "arrays: expected a name of 1 to 1000 characters")
    text = contents_text({}, {"b": Spec("float64", (1,) * 33)})
    (tmp_path / "a.npz").write_bytes(build_zip([("description.json", text), ("b.npy", b"")]))
    refused(tmp_path / "a.npz", FileFormatError, "array 'b': expected a shape of at most 32 axes")
    with pytest.raises(ConfigurationError, match="expected at most 32 axes, got 33"):
        write_archive(tmp_path / "b.npz", {}, {"b": np.zeros((1,) * 33)})


@pytest.mark.parametrize("size", [2**63 - 1, 2**63])
def test_size_of_an_axis(tmp_path: Path, size: int) -> None:
    """The larger is no size of an array at all; the smaller is more than the file has."""
    message = (
        "array 'b': its 9,223,372,036,854,775,807 bytes are more than the file has"
        if size < 2**63
        else "expected sizes that are whole numbers of at least 0"
    )
    text = contents_text({}, {"b": Spec("int8", (size,))})
    (tmp_path / "a.npz").write_bytes(build_zip([("description.json", text), ("b.npy", b"")]))
    refused(tmp_path / "a.npz", FileFormatError, message)


def test_number_of_arrays(tmp_path: Path) -> None:
    arrays = {f"{i}": NO_NUMBERS for i in range(20_001)}
    with pytest.raises(ConfigurationError, match="arrays: expected at most 20,000, got 20,001"):
        write_archive(tmp_path / "a.npz", {}, arrays)
    assert not os.listdir(tmp_path)
    spec = Spec("int8", (0,))
    text, header = contents_text({}, dict.fromkeys(arrays, spec)), spec.header()
    (tmp_path / "b.npz").write_bytes(build_zip([("description.json", text), *((f"{i}.npy", header) for i in arrays)]))
    refused(tmp_path / "b.npz", FileFormatError, "description.json: arrays: expected at most 20,000, got 20,001")
    del arrays["20000"]
    write_archive(tmp_path / "a.npz", {}, arrays)
    assert len(read_archive(tmp_path / "a.npz")[1]) == 20_000


def test_long_names_of_many_arrays(tmp_path: Path) -> None:
    """The description limits their length, and so the size of the directory: here it takes more than 4 MiB."""
    arrays = {f"{i:04d}".ljust(928, "x"): NO_NUMBERS for i in range(4400)}
    write_archive(tmp_path / "a.npz", {}, arrays)
    assert list(read_archive(tmp_path / "a.npz")[1]) == list(arrays)
    with pytest.raises(ConfigurationError, match="expected a description of at most 4,194,304 bytes"):
        write_archive(tmp_path / "b.npz", {}, {**arrays, **{f"y{i}".ljust(999, "x"): NO_NUMBERS for i in range(100)}})


def test_size_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_archive(path, {"a": 1}, {})
    size = path.stat().st_size
    assert read_archive(path, limit=size) == ({"a": 1}, {})
    message = re.escape(f"expected at most {size - 1} bytes, got {size}: pass limit={size} to read it")
    refused(path, FileFormatError, message, limit=size - 1)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (4 * 2**30, "expected an archive of deepbp, whose first member is description.json"),
        (4 * 2**30 + 1, "expected at most 4,294,967,296 bytes, got"),
    ],
    ids=["4 GiB", "one byte more"],
)
def test_size_of_the_file_unless_given(tmp_path: Path, size: int, message: str) -> None:
    """Most of it is a hole, which takes no room on the disk."""
    with open(tmp_path / "a.npz", "wb") as file:
        file.write(b"PK\3\4")
        file.truncate(size)
    refused(tmp_path / "a.npz", FileFormatError, message)


@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize("pieces", [1, 2])
def test_members_that_end_near_the_border_of_a_piece(tmp_path: Path, pieces: int, more: int) -> None:
    """A checksum is taken piece by piece; of 128 bytes of header, too."""
    header = len(Spec("uint8", (pieces * CHUNK,)).header())
    numbers = np.random.default_rng(0).integers(0, 256, pieces * CHUNK - header + more).astype("uint8")
    path = tmp_path / "a.npz"
    write_archive(path, {}, {"a": numbers})
    np.testing.assert_array_equal(read_archive(path)[1]["a"], numbers)
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(numbers.tobytes()) + numbers.size - 1] ^= 1
    path.write_bytes(damaged)
    refused(path, FileFormatError, "member 'a.npy': its checksum is wrong")


def test_largest_counter() -> None:
    assert [count(0), count(2**63 - 1)] == [0, 2**63 - 1]
    for value in (-1, 2**63, 1.0, True):
        with pytest.raises(FileFormatError, match="expected a count, got"):
            count(value)


def test_longest_key_that_names_an_array() -> None:
    """A longer one stands in the name as its place."""
    arrays: dict[str, Any] = {}
    to_json({"k" * 60: np.zeros(1), "k" * 61: np.zeros(1)}, "state", arrays)
    assert list(arrays) == ["state/" + "k" * 60, "state/#1"]


def test_a_network_at_the_limits_runs(tmp_path: Path) -> None:
    network = Sequential([nested(89), Dense(1)], input_shape=2, rng=0)
    save(network, tmp_path / "a.npz")
    x = np.ones((1, 2), "float32")
    np.testing.assert_array_equal(load(tmp_path / "a.npz").predict(x), network.predict(x))


def test_numbers_per_sample_between_layers(tmp_path: Path) -> None:
    """They are counted, not allocated."""
    doubled = [Parallel([None, None]) for _ in range(30)]
    network = Sequential([*doubled, Parallel([None, None])], input_shape=1)
    assert load(network.save(tmp_path / "a.npz")).shapes[-1] == (2**31,)
    network = Sequential([*doubled, Parallel([None, None, None])], input_shape=1)
    message = "expected at most 2,147,483,648 numbers per sample between layers, got 3,221,225,472"
    with pytest.raises(ConfigurationError, match=message):
        save(network, tmp_path / "b.npz")


def test_keys_that_are_no_text() -> None:
    """A file could choose numbers of the same hash, as multiples of 2**61 - 1 are, which a dict compares one by one."""
    keys = [*range(1000), *map(str, range(5000))]
    stored = to_json(dict.fromkeys(keys, 0), "state", {})
    assert from_json(stored, {}) == dict.fromkeys(keys, 0)
    keys.append(1000)
    stored["dict"].append([1000, 0])
    with pytest.raises(FileFormatError, match="expected at most 1,000 keys that are no text"):
        from_json(stored, {})
    with pytest.raises(ArgumentTypeError, match="state: expected at most 1,000 keys that are no text, got 1,001"):
        to_json(dict.fromkeys(keys, 0), "state", {})


def test_axes_and_sizes_of_samples(tmp_path: Path) -> None:
    shape = (1,) * 31 + (2**31,)
    network = Sequential([Reshape((*shape[:-1], -1))], input_shape=shape)
    assert load(network.save(tmp_path / "a.npz")).input_shape == shape
    with pytest.raises(ConfigurationError, match="input_shape: expected at most 32 axes, got 33"):
        Sequential([Sigmoid()], input_shape=(1, *shape))
    with pytest.raises(ConfigurationError, match="Reshape: expected at most 32 axes, got 33"):
        Reshape((1, *shape))
    with pytest.raises(ConfigurationError, match=r"input_shape: expected sizes below 2\*\*63, got 9223372036854775808"):
        Sequential([Sigmoid()], input_shape=2**63)
    with pytest.raises(ConfigurationError, match=r"shape: expected sizes below 2\*\*63"):
        Sequential([Dense(10**30)], input_shape=2)
    network = Sequential([Split([Sigmoid() for _ in range(40)], sizes=(1,) * 40)], input_shape=40)  # sizes, no shape
    assert load(network.save(tmp_path / "b.npz")).input_shape == (40,)
