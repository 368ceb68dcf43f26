"""Attack the kernels: random arguments for every public kernel, in memory between pages that cannot be touched.

    python tests/attacks/kernels.py --seconds 60 --seed 0
    python tests/attacks/kernels.py --calls 100000

Both forms of a kernel must return the same numbers, or raise the same error with the same text. The compiled form gets
arrays that end, or begin, at a page without access: a read or write outside of an array ends the process, and the call
that did it is reported. The exit code is 0 if nothing was found.
"""

import argparse
import ctypes
import mmap
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from inspect import signature
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from deepbp.kernels import numba_kernels as fused
from deepbp.kernels import numpy_kernels as plain
from deepbp.typing import Array

Choose = Callable[[Sequence[Any]], Any]
Memory = Callable[[int, bool], Any]
MATRICES = ("add_bias", "add_rows", "cross_entropy_residual", "softmax_cross_entropy")  # and those whose names begin so
VECTORS = ("ada", "amsgrad", "clip", "lion", "rmsprop", "sgd")
GATES = {"rnn": 1, "gru": 3, "lstm": 4}
NUMBERS = {"momentum": 0.9, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "rho": 0.9}
FLOATS = ("f4", "f8") * 6
ODD_DTYPES = (">f4", ">f8", "f2", "g", "i8", "i4", "u1", "u8", "?", "c8")
LAYOUTS = ("C",) * 6 + ("F", "strided", "reversed", "read-only", "unaligned")
QUICK = (("f8",), ("C", "read-only", "unaligned"))
ODD_VALUES: tuple[Any, ...] = (None, 1.5, [1.0, 2.0], "x", np.float32(2))
ODD_SHARES: tuple[Any, ...] = (1, np.float32(0.5), 0.0, True)  # others cancel all digits
ODD_NUMBERS: tuple[Any, ...] = (1, 10**30, np.float32(0.5), 0.0, -1.0, True)


class Guarded:
    """Memory between two pages without access."""

    def __init__(self, pages: int = 24) -> None:
        size = mmap.PAGESIZE
        self._map = mmap.mmap(-1, (pages + 2) * size)
        whole = np.frombuffer(self._map, np.uint8)
        self._inside = whole[size:-size]
        libc = ctypes.CDLL(None, use_errno=True)
        for page in (whole[:size], whole[-size:]):
            assert libc.mprotect(ctypes.c_void_p(page.ctypes.data), ctypes.c_size_t(size), 0) == 0

    def __call__(self, count: int, at_end: bool) -> Any:
        return self._inside[len(self._inside) - count :] if at_end else self._inside[:count]


def ordinary_memory(count: int, at_end: bool) -> Any:
    return np.empty(count + 64, np.uint8)[:count]  # NumPy's memory is aligned


def arrange(memory: Memory, values: Any, layout: str, at_end: bool) -> Any:
    """A copy of an array in the given memory and layout."""
    dtype, shape, size = values.dtype, values.shape, values.nbytes
    if layout == "unaligned":
        block = memory(size + 1, True)
        array = block[:size].view(dtype).reshape(shape)  # one byte before the end, where an aligned array ends
    elif layout == "strided" and shape:
        wide = (*shape[:-1], 2 * shape[-1])
        array = memory(2 * size, at_end).view(dtype).reshape(wide)[..., int(at_end) :: 2]
    elif layout == "F":
        array = memory(size, at_end).view(dtype).reshape(shape[::-1]).T
    else:
        array = memory(size, at_end).view(dtype).reshape(shape)
        if layout == "reversed" and shape:
            array = array[::-1]
    array[...] = values
    array.flags.writeable = layout != "read-only"
    return array


def draw_call(
    choose: Choose, dtypes: Sequence[str] = FLOATS, layouts: Sequence[str] = LAYOUTS, odd: int = 12
) -> tuple[str, list[Any]]:
    """A kernel and its arguments: a list of (values, layout, at_end) for arrays, of (value,) for others.

    One in ``odd`` of the shapes, dtypes, layouts and numbers is not what the kernel expects.
    """
    often = tuple(range(odd))
    name = choose(plain.__all__)
    if name.startswith(MATRICES):
        shape: tuple[int, ...] = (choose((0, 1, 2, 3, 7, 33)), choose((0, 1, 2, 3, 10)))
    elif name.startswith(VECTORS):
        shape = (choose((0, 1, 5, 100, 3000)),)
    else:
        shape = choose(((3,), (4, 3), (1, 1), (0, 4), (3, 0), (17, 5), (2, 3, 5), (64, 33), ()))
    sizes: dict[str, Any] = _sizes_of_sequences(choose, name) if name.startswith((*GATES, "attention")) else {}
    dtype, layout, is_same = choose(dtypes), choose(layouts), choose(often) > 0
    arguments: list[Any] = []
    for parameter in signature(getattr(plain, name)).parameters.values():
        if parameter.annotation is bool:
            arguments.append((choose((True, False)),))
        elif parameter.annotation is int:
            arguments.append((sizes[parameter.name] if choose(often) else choose((0, 1, 3)),))
        elif parameter.annotation is float:
            usual = NUMBERS.get(parameter.name, 0.5)
            others = ODD_SHARES if parameter.name in NUMBERS else ODD_NUMBERS
            arguments.append((choose((*(usual,) * odd, *others)),))
        elif parameter.annotation is not Array and choose((True, False)):
            arguments.append((None,))
        elif choose(range(40)) == 0:
            arguments.append((choose(ODD_VALUES),))
        else:
            known = sizes or {"bias": shape[-1:], "labels": shape[:1], "weight": shape[:1]}
            own = known.get(parameter.name, shape)
            if choose(often) == 0:
                own = choose((own[::-1], own[:-1], (*own, 1), (*own, 2), (1,), tuple(n + 1 for n in own), own[1:]))
            kind = choose(ODD_DTYPES) if choose(often) == 0 else dtype
            if parameter.name in ("labels", "lengths"):
                kind = choose(("i4", "u8", "u1", "f4", ">i8")) if choose(often) == 0 else "i8"
            arguments.append(
                (
                    _values(choose, parameter.name, own, kind, sizes.get("keys") or (shape[-1] if shape else 1), odd),
                    layout if is_same else choose(layouts),
                    choose((True, False)),
                )
            )
    return name, arguments


def _sizes_of_sequences(choose: Choose, name: str) -> dict[str, Any]:
    """The shapes of the arrays of a recurrence or of attention, and its whole numbers, by the names of parameters."""
    batch, steps = choose((0, 1, 2, 3, 7, 14)), choose((0, 1, 2, 5))
    if name.startswith("attention"):
        heads, keys, steps = choose((1, 2, 3)), choose((1, 4, 50)), choose((0, 1, 5, 50))
        width = heads * choose((1, 3, 8, 17))
        found: dict[str, Any] = {"width": width, "heads": heads, "lengths": (batch,), "keys": keys}
        found |= {"q": (batch, steps, width + choose((0, 2))), "kv": (batch, keys, 2 * width + choose((0, 1)))}
        found |= {"y": (batch, steps, width), "delta": (batch, steps, width), "logs": (batch, heads, steps)}
        return found | {"dq": found["q"], "dkv": found["kv"]}
    units = choose((1, 2, 5, 16, 17, 33))
    wide = GATES[name.partition("_")[0]] * units
    found = dict.fromkeys(("z", "gates", "dz", "dp"), (batch, steps, wide))
    found |= dict.fromkeys(("h", "c"), (batch, steps + 1, units)) | dict.fromkeys(("dh", "dc"), (batch, units))
    found |= dict.fromkeys(("delta", "product"), (batch, steps, units))
    sums = wide + units if name == "gru_backward" else wide
    return found | {"recurrent": (units, wide), "hidden_bias": (units,), "db": (sums,)}


def _values(choose: Choose, name: str, shape: tuple[int, ...], dtype: str, classes: int, odd: int) -> Any:
    rng = np.random.default_rng(choose(range(1000)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of negative numbers as unsigned ones
        if name in ("labels", "lengths"):
            labels = rng.integers(0, max(classes, 1) + (name == "lengths"), shape)
            if labels.size and choose(range(odd)) == 0:
                labels[(*(0 for _ in shape),)] = choose((-1, classes, 40, 2**40, -(2**62)))
            return labels.astype(dtype)
        values = rng.normal(0, 3, shape)
        if name == "square":
            values = np.abs(values)
        if name == "recurrent":  # larger ones multiply roundings from step to step
            values = values / (3 * max(shape[:1], default=1) or 1)
        return values.astype(dtype)


def run(function: Callable[..., Any], arguments: list[Any], memories: Sequence[Memory]) -> Any:
    """What a call returns, with its arguments after the call, or the class and the text of what it raises."""
    made = [
        arrange(memory, *argument) if len(argument) == 3 else argument[0]
        for argument, memory in zip(arguments, memories, strict=False)
    ]
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of complex numbers as real ones
            result = function(*made)
    except Exception as error:
        return type(error).__name__, str(error)
    return result, [value.copy() if isinstance(value, np.ndarray) else value for value in made]


UNITS = {"lstm_backward": 4096}
"""How many units in the last place of the largest number two forms may differ by, if other than 64: 1 − tanh² c loses
digits where c is large, in both."""


def difference(one: Any, other: Any, units: int = 64) -> str:
    """How two outcomes differ; an empty text if they do not."""
    if type(one) is not type(other):
        return f"{one!r} and {other!r}"
    if isinstance(one, tuple | list):
        if len(one) != len(other):
            return f"{one!r} and {other!r}"
        return f"{one!r} and {other!r}" if any(map(difference, one, other, repeat(units))) else ""
    if isinstance(one, np.ndarray):
        if one.dtype != other.dtype or one.shape != other.shape:
            return f"{one.dtype} {one.shape} and {other.dtype} {other.shape}"
        if one.dtype.kind not in "fc":
            return "" if np.array_equal(one, other) else f"{one!r} and {other!r}"
        size = np.abs(other[np.isfinite(other)]).max(initial=1)
        is_close = np.isclose(one, other, rtol=0, atol=float(units * np.finfo(other.dtype).eps * size), equal_nan=True)
        return "" if is_close.all() else f"{one!r} and {other!r}"
    if isinstance(one, float):
        return "" if np.isclose(one, other, rtol=1e-4, atol=1e-4, equal_nan=True) else f"{one!r} and {other!r}"
    return "" if one is other or one == other else f"{one!r} and {other!r}"


def check(name: str, arguments: list[Any], memories: Sequence[Memory]) -> str:
    """Call both forms; returns how they differ."""
    expected = run(getattr(plain, name), arguments, [ordinary_memory] * len(arguments))
    return difference(run(getattr(fused, name), arguments, memories), expected, UNITS.get(name, 64))


def attack(seed: int, first: int, calls: int, seconds: float, progress: Any, quick: bool = False) -> int:
    """Make calls number ``first`` and following; returns how many differ. ``progress`` holds the current number.

    With ``quick``, fewer kinds of arrays are drawn, so that fewer kernels are compiled.
    """
    memories = [Guarded(400) for _ in range(12)]
    end, found = time.monotonic() + seconds, 0
    for number in range(first, first + calls):
        if time.monotonic() > end:
            break
        progress[0] = number
        kinds = QUICK if quick else (FLOATS, LAYOUTS)
        name, arguments = draw_call(_chooser(np.random.default_rng((seed, number))), *kinds)
        if text := check(name, arguments, memories):
            found += 1
            print(f"call {number}: {name}: {_describe(arguments)}: {text[:600]}", flush=True)
    print(f"kernels: calls {first} to {progress[0]}, seed {seed}: {found} found", flush=True)
    return found


def _chooser(rng: np.random.Generator) -> Choose:
    return lambda options: options[int(rng.integers(len(options)))]


def _describe(arguments: list[Any]) -> str:
    return ", ".join(
        f"{one[0].dtype.str}{one[0].shape} {one[1]}" if len(one) == 3 else repr(one[0]) for one in arguments
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=10**9)
    parser.add_argument("--seconds", type=float, default=10**9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first call, to repeat one")
    parser.add_argument("--quick", action="store_true", help="fewer dtypes and layouts")
    parser.add_argument("--progress", type=Path, help=argparse.SUPPRESS)  # of the process that attacks
    given = parser.parse_args()
    if given.calls == given.seconds == 10**9:
        given.calls = 100_000
    if given.progress is not None:
        progress = np.memmap(given.progress, np.int64, "r+")
        return int(attack(given.seed, given.first, given.calls, given.seconds, progress, given.quick) > 0)
    with tempfile.NamedTemporaryFile() as file:
        file.write(bytes(8))
        file.flush()
        code = subprocess.run([sys.executable, "-X", "faulthandler", *sys.argv, "--progress", file.name]).returncode
        if code < 0:
            number = int(np.fromfile(file.name, np.int64)[0])
            print(f"call {number} ended the process: repeat it with --seed {given.seed} --first {number} --calls 1")
    return abs(code)


if __name__ == "__main__":
    raise SystemExit(main())
