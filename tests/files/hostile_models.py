"""Hostile descriptions of networks."""

import copy
from collections.abc import Iterator
from typing import Any

from hostile_archives import CONTENTS, text_with
from hostile_texts import JUNK

MODEL: dict[str, Any] = CONTENTS["description"]


def each(kind: str, *values: Any) -> list[dict[str, Any]]:
    return [{kind: value} for value in values]


NO_INITIALIZERS: list[dict[str, Any]] = [
    *each("object", 2, 4, 99, -1, 1.0, True, None),
    *each("tuple", 1, {}, "ab", [1]),
    *each("dict", {}, [1], ["ab"], [[1]], [[[], 1]], [[1, 2]]),
    *each("number", 1, "1", [], "nan"),
    *each("ufunc", "system", "load", [], "sin", "__class__"),
    *each("function", "system", 0, []),
    *each("array", "0.weight", 0, []),
    *each("parameter", "0.weight", "none", []),
    *each("buffer", "0.weight", "none", []),
    *({"class": name, "member": "a"} for name in JUNK),
    *({"class": name, "member": "a"} for name in ("Enum", "Dense", "Zeros")),
    {"object": 0, "more": 0},
    {"member": "a"},
    {"eval": "1"},
    {"": 0},
]


def models() -> Iterator[tuple[str, bytes]]:
    """Invalid values of every key."""
    for key in MODEL:
        yield f"a model without {key}", _model({k: v for k, v in MODEL.items() if k != key})
        for junk in JUNK:
            if type(junk) is not type(MODEL[key]) or (junk != MODEL[key] and key not in ("deepbp", "frozen", "ties")):
                yield f"{key}: {junk!r}", _model({**MODEL, key: junk})
    yield "a key that nobody knows", _model({**MODEL, "run": "rm"})
    yield "a newer model", _model({**MODEL, "version": 2})
    yield "a training", _model({**MODEL, "kind": "training"})
    for shape in ([10**18], [3, 10**9], [0], [-3], [3.0], ["3"], [2], [True], [1] * 60):
        yield f"input_shape {shape!r:.20}", _model({**MODEL, "input_shape": shape})
    for name in ("float16", "float64", "int32", "object", "f,f", "float32 "):
        yield f"dtype {name}", _model({**MODEL, "dtype": name})
    for names in (["0.weight", "0.weight"], ["0"], [1], [None], ["0.weight", "none"]):
        yield f"frozen {names}", _model({**MODEL, "frozen": names})
    for tied in ({"0.bias": "0.weight"}, {"0.weight": "0.weight"}, {"a": "b"}, {"0.bias": 1}, {"1.weight": "0.weight"}):
        yield f"ties {tied}", _model({**MODEL, "ties": tied})


def objects() -> Iterator[tuple[str, bytes]]:
    """Objects that are not what their classes take; of the good one, object 2 is Dense(2), 4 the network."""
    for name in (
        "Builder",
        "Formula",
        "Trainer",
        "Layer",
        "Initializer",
        "Penalty",
        "Parameter",
        "os.system",
        "eval",
        "_",
    ):
        yield f"class {name}", _with(2, "class", name)
        yield f"custom class {name}", _with(2, "custom", True, class_=name)
    for name in ("deepbp.layers.Dense", "dense", "Dense()", "SGD", "MeanSquaredError", "CSVLog", "Snapshot", "Enum"):
        yield f"class {name}", _with(2, "class", name)
    for junk in JUNK:
        yield f"an object: {junk!r}", _objects([*MODEL["objects"][:2], junk, *MODEL["objects"][3:]])
        yield f"a class: {junk!r}", _with(2, "class", junk)
        yield f"custom: {junk!r}", _with(2, "custom", junk, class_="Dense0")
        if junk != {}:
            yield f"arguments: {junk!r}", _with(3, "arguments", junk)
        yield f"layers: {junk!r}", _with(4, "arguments", {"layers": junk})
        yield f"units: {junk!r}", _argument(2, "units", junk)
        yield f"use_bias: {junk!r}", _argument(2, "use_bias", junk) if junk is not True else _argument(2, "use_bias", 1)
        if junk != {"object": 0}:
            yield f"weight_init: {junk!r}", _argument(2, "weight_init", junk)
        yield f"an argument nobody knows: {junk!r}", _argument(2, "more", junk)
    for units in (0, -2, 2.5, "2", 3, 10**9, 2**31, 10**30, 1e300, {"number": "inf"}, [2], {"tuple": [2]}):
        yield f"units {units!r}", _argument(2, "units", units)
    for value in NO_INITIALIZERS:
        yield f"weight_init {value}", _argument(2, "weight_init", value)
    yield "an input_shape for which the network was not built", _argument(4, "input_shape", {"tuple": [4]})
    yield "units of much text", _argument(2, "units", "x" * 10**6)
    yield "no objects", _objects([])
    yield "no network", _objects(MODEL["objects"][:-1])
    yield "a network alone", _objects(MODEL["objects"][-1:])
    yield "an enumeration as object", _objects([{"class": "Enum", "arguments": {}}, *MODEL["objects"][1:]])
    yield "laughter", _objects(list(_laughter(60)))
    yield "depth", _objects(list(_depth(1000)))
    yield "many layers", _objects([*MODEL["objects"][:4], *_many(55_000)])
    for times in (10**12, 60_000, 2**63, 10**50):
        yield f"{times:.0e} repeats", _objects(_repeated(times, False))
        yield f"{times:.0e} shared repeats", _objects(_repeated(times, True))
    yield "many repeats of a large layer", _objects(_repeated(1000, False))


def work() -> Iterator[tuple[str, bytes]]:
    """Small files that took seconds, minutes, or all memory to load; and functions whose look-up imported modules."""
    yield "a sequence repeated", _objects([*MODEL["objects"][:4], *_chains(1, "Sequential"), *_repeats(4, 16_000)])
    yield "chains repeated", _objects([*MODEL["objects"][:4], *_chains(80), *_repeats(83, 500)])
    yield "fewer chains repeated", _objects([*MODEL["objects"][:4], *_chains(80), *_repeats(83, 50)])
    yield "a layer often in many chains", _objects([*MODEL["objects"][:4], *_chains(85, times=49_000)])
    yield "many branches", _objects([_entry("Parallel", branches=[None] * 190_000)])
    yield "many layers without use", _objects([MODEL["objects"][3]] * 20_000)
    yield "many axes", _model({**MODEL, "input_shape": [1] * 90_000})
    yield "a shape of many large sizes", _objects([_entry("Reshape", shape={"tuple": [10**58] * 20_000})])
    wider = [_entry("Parallel", branches=[None] * 100)] * 5
    yield "wide samples", _objects([*wider, _entry("Sequential", layers=[{"object": i} for i in range(5)])])
    yield "keys that collide", _argument(2, "units", {"dict": [[i * (2**61 - 1), 0] for i in range(30_000)]})
    for name in ("testing", "f2py", "matlib", "random", "divmod", "matmul", "modf", "add"):
        activation = _entry("Activation", f={"ufunc": name}, f_prime={"ufunc": "cos"})
        yield f"function {name}", _objects([activation, _entry("Sequential", layers=[{"object": 0}])])
    yield "a name that clears the screen", _with(2, "class", "\x1b[2J\x1b]0;title\x07")
    yield "a name that cannot be printed", _with(2, "class", "\ud800")
    yield "a key that cannot be printed", _model({**MODEL, "\ud800\x1b[2J": 1})


def _entry(cls: str, **arguments: Any) -> dict[str, Any]:
    return {"class": cls, "arguments": arguments}


def _chains(levels: int, cls: str = "Chain", times: int = 1) -> Iterator[Any]:
    """Around object 3, from object 4 on."""
    for i in range(levels):
        yield _entry(cls, layers=[{"object": 3 + i}] * (times if i == 0 else 1))


def _repeats(position: int, times: int) -> list[Any]:
    repeat = _entry("Repeat", layer={"object": position}, times=times)
    return [repeat, _entry("Sequential", layers=[{"object": position + 1}])]


def _laughter(times: int) -> Iterator[Any]:
    yield {"class": "Tanh", "arguments": {}}
    for i in range(times):
        yield {"class": "Chain", "arguments": {"layers": [{"object": i}, {"object": i}]}}
    yield {"class": "Sequential", "arguments": {"layers": [{"object": times}]}}


def _depth(levels: int) -> Iterator[Any]:
    yield {"class": "Tanh", "arguments": {}}
    for i in range(levels):
        yield {"class": "Sequential", "arguments": {"layers": [{"object": i}]}}


def _many(count: int) -> Iterator[Any]:
    yield {"class": "Sequential", "arguments": {"layers": [{"object": 3}] * count}}


def _repeated(times: int, share: bool) -> list[Any]:
    repeat = {"class": "Repeat", "arguments": {"layer": {"object": 2}, "times": times, "share": share}}
    network = {"class": "Sequential", "arguments": {"layers": [{"object": 2}, {"object": 4}]}}
    return [*MODEL["objects"][:4], repeat, network]


def _model(model: dict[str, Any]) -> bytes:
    return text_with(description=model)


def _objects(objects: list[Any]) -> bytes:
    return _model({**MODEL, "objects": objects})


def _with(position: int, key: str, value: Any, class_: str | None = None) -> bytes:
    objects = copy.deepcopy(MODEL["objects"])
    objects[position][key] = value
    objects[position]["class"] = objects[position]["class"] if class_ is None else class_
    return _objects(objects)


def _argument(position: int, name: str, value: Any) -> bytes:
    objects = copy.deepcopy(MODEL["objects"])
    objects[position]["arguments"][name] = value
    return _objects(objects)
