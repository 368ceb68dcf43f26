"""Attack the compiled kernels for images: random convolutions and poolings between pages that cannot be touched.

    python tests/attacks/images.py --calls 2000 --seed 0

All arrays, results included, begin or end at a page without access, so that a read or write outside of an array ends
the process. The results must be those of the NumPy form. The exit code is 0 if nothing was found.
"""

import argparse
import mmap
from typing import Any

import numpy as np
from kernels import Guarded, arrange

from deepbp.kernels import numba_convolution as fused
from deepbp.kernels import numba_pooling, numba_winograd
from deepbp.kernels import numpy_convolution as plain
from deepbp.typing import Array


def guarded(count: int) -> Guarded:
    """Memory for so many bytes."""
    return Guarded(count // mmap.PAGESIZE + 1)


class GuardedNumPy:
    """NumPy, whose new arrays lie between guarded pages."""

    def __init__(self, at_end: bool) -> None:
        self.at_end = at_end

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        count = int(np.prod(shape)) * np.dtype(dtype).itemsize
        made: Array = guarded(count)(count, self.at_end).view(dtype).reshape(shape)
        return made

    def zeros(self, shape: Any, dtype: Any) -> Array:
        made = self.empty(shape if isinstance(shape, tuple) else (shape,), dtype)
        made[...] = 0
        return made


def draw(rng: np.random.Generator) -> tuple[str, list[Any]]:
    """A kernel and its arguments."""

    def one(*choices: Any) -> Any:
        return choices[int(rng.integers(len(choices)))]

    def pair(*choices: int) -> tuple[int, int]:
        return one(*choices), one(*choices)

    dtype = one("f4", "f8")
    size, stride, dilation = pair(1, 2, 3), pair(1, 2, 3), pair(1, 1, 2)
    height, width = ((k - 1) * d + 1 + one(0, 1, 2, 5, 17) for k, d in zip(size, dilation, strict=True))
    groups = one(1, 1, 1, 2, 3)
    inputs, outputs = one(1, 2, 3, 5, 8, 16, 17), one(1, 2, 5, 8, 15, 16, 17, 31, 32, 33, 47)
    if one(True, False, False):
        groups, inputs, outputs = one(2, 3, 8, 16, 17, 33), 1, 1
    elif one(True, False, False):  # Winograd's form
        groups, inputs, outputs, size, stride, dilation = 1, one(32, 33, 47), one(32, 40, 65), (3, 3), (1, 1), (1, 1)
        height, width = one(4, 6, 12), one(4, 8, 5)
    x = rng.normal(size=(one(0, 1, 1, 2), height, width, groups * inputs)).astype(dtype)
    name = one("correlate", "correlate_weights", "max_pool", "max_pool_backward")
    if name.startswith("max"):
        pads = tuple((one(0, k - 1), one(0, k // 2)) for k in size)
        y, winner = plain.max_pool(x, size, stride, pads)  # type: ignore[arg-type]
        if name == "max_pool":
            return name, [x, size, stride, pads, one(True, False)]
        winner = rng.integers(0, 256, winner.shape).astype(np.uint8) if one(True, False) else winner
        return name, [winner, rng.normal(size=y.shape).astype(dtype), x.shape, size, stride, pads]
    places = plain.windows(x, size, stride, dilation).shape[:3]
    if name == "correlate_weights":
        delta = rng.normal(size=(*places, groups * outputs)).astype(dtype)
        return name, [x, delta, size, stride, dilation, groups]
    weight = rng.normal(size=(*size, inputs, groups * outputs)).astype(dtype)
    bias = one(None, rng.normal(size=groups * outputs).astype(dtype))
    return name, [x, weight, bias, stride, dilation, groups]


def attack(calls: int, seed: int) -> int:
    """Make random calls; returns how many gave other results than the NumPy form."""
    found, modules = 0, (fused, numba_pooling, numba_winograd)
    for number in range(calls):
        rng = np.random.default_rng((seed, number))
        name, arguments = draw(rng)
        expected = getattr(plain, name)(*arguments)
        getattr(fused, name)(*arguments)  # compiles it with NumPy itself
        at_end = bool(rng.integers(2))
        inside = [
            arrange(guarded(one.nbytes), one, "C", at_end) if isinstance(one, np.ndarray) else one for one in arguments
        ]
        for module in modules:
            vars(module)["np"] = GuardedNumPy(at_end)
        try:
            made = getattr(fused, name)(*inside)
        finally:
            for module in modules:
                vars(module)["np"] = np
        for one, other in zip(
            *((each if isinstance(each, tuple) else (each,)) for each in (made, expected)), strict=True
        ):
            size = 1e-4 if one.dtype == np.float32 else 1e-11
            if one.shape != other.shape or not np.allclose(
                one, other, rtol=size, atol=size * np.abs(other).max(initial=1)
            ):
                found += 1
                print(f"call {number}: {name}: {[getattr(a, 'shape', a) for a in arguments]}", flush=True)
    print(f"images: {calls} calls, seed {seed}: {found} found", flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    return 1 if attack(arguments.calls, arguments.seed) else 0


if __name__ == "__main__":
    raise SystemExit(main())
