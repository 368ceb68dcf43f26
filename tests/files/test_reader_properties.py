"""Properties: what is written is read back, and any file is refused or a network."""

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from built_files import NETWORKS, build_archive, build_tensors, text_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import deepbp
from deepbp.errors import ConfigurationError, FileFormatError
from deepbp.files import read_archive, write_archive
from deepbp.storage.json_codec import DTYPES
from deepbp.storage.safetensors_format import open_tensors, write_tensors

some = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
FOLDER = Path(tempfile.mkdtemp())
TEXTS = [text_of(network) for network in NETWORKS]
GOOD = [
    (make(text), ending)
    for text in TEXTS
    for make, ending in ((build_archive, ".npz"), (build_tensors, ".safetensors"))
]

numbers = st.one_of(st.integers(-(10**50), 10**50), st.floats(allow_nan=False, allow_infinity=False))
plain = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)
array = arrays(st.sampled_from([np.dtype(name) for name in DTYPES]), array_shapes(min_dims=0, min_side=0, max_side=4))


@some
@given(
    description=st.dictionaries(st.text(max_size=5), plain, max_size=3),
    held=st.dictionaries(st.text(max_size=5), array, max_size=3),
)
def test_what_is_written_comes_back(description: dict[str, Any], held: dict[str, Any]) -> None:
    with contextlib.suppress(ConfigurationError):  # for some names
        write_archive(FOLDER / "a.npz", description, held)
        write_tensors(FOLDER / "a.safetensors", description, held)
        found, read = read_archive(FOLDER / "a.npz")
        with open_tensors(FOLDER / "a.safetensors") as stored:
            others = {name: stored.array(name) for name in stored.specs}
        for what in (read, others):
            assert list(what) == list(held)
            for name, one in held.items():
                assert (what[name].dtype, what[name].shape) == (one.dtype, one.shape)
                assert what[name].tobytes() == one.tobytes()
        assert found == stored.description == description
        assert json.dumps(found) == json.dumps(description)


def read(content: bytes, ending: str) -> None:
    """It is refused, or a network."""
    path = FOLDER / f"read{ending}"
    path.write_bytes(content)
    with contextlib.suppress(FileFormatError):
        assert isinstance(deepbp.load(path), deepbp.Sequential)


@settings(some, max_examples=300)
@given(
    good=st.sampled_from(GOOD),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=4)), max_size=3),
    cut=st.floats(0, 1),
)
def test_bytes_that_are_changed(good: tuple[bytes, str], changes: list[tuple[float, bytes]], cut: float) -> None:
    content, ending = good
    for place, new in changes:
        at = int(place * len(content))
        content = content[:at] + new + content[at + len(new) :]
    read(content[: round(cut * len(content))] if cut < 0.3 else content, ending)


@settings(some, max_examples=300)
@given(
    text=st.sampled_from(TEXTS),
    data=st.data(),
    value=plain,
    make=st.sampled_from([(build_archive, ".npz"), (build_tensors, ".safetensors")]),
)
def test_descriptions_that_are_changed(text: bytes, data: st.DataObject, value: Any, make: Any) -> None:
    tree = json.loads(text)
    places = list(_places(tree))
    holder, key = data.draw(st.sampled_from(places))
    other, its_key = data.draw(st.sampled_from(places))
    holder[key] = data.draw(st.sampled_from([value, other[its_key]]))
    with contextlib.suppress(ValueError):  # a value inside itself
        read(make[0](json.dumps(tree, separators=(",", ":")).encode()), make[1])


def _places(tree: Any) -> Any:
    for key, value in enumerate(tree) if isinstance(tree, list) else tree.items():
        yield tree, key
        if isinstance(value, list | dict):
            yield from _places(value)
