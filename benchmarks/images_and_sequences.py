"""Training steps of convolutions, recurrent layers and attention: deepbp beside PyTorch and JAX, on one core.

All contenders run in one process, pinned to one core, block by block in turn; the time is the processor time of the
process, so that others on the machine disturb it little. Prints the median time of deepbp, and the median ratios of the
others to it: above 1 is slower than deepbp. The memory that deepbp keeps (see ``doctor``) serves PyTorch, too.

A run of all workloads writes the tables of ``docs/speed_of_images_and_sequences.md``, and keeps the last run on each
other processor. Needs PyTorch, and JAX for its columns.

    python -m benchmarks.images_and_sequences                            all workloads
    python -m benchmarks.images_and_sequences --only LSTM --seconds 10   some, and writes nothing
    python -m benchmarks.images_and_sequences --stored                   writes the tables again
"""

import argparse
import os
import platform
import sys
from datetime import date
from functools import partial
from importlib.util import find_spec
from statistics import median
from time import process_time
from typing import Any

from benchmarks import layer_steps as made
from benchmarks.layer_steps import RNG, SAME, VALID, WORDS, Plan, Step
from benchmarks.measure import version
from benchmarks.speed_tables import stored_runs, write
from deepbp.doctor import examine

ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
BLOCK = 0.05  # seconds of each contender in a round
VERSIONS = ("numpy", "numba", "torch", "jax")

IMAGES: dict[str, tuple[tuple[int, ...], Plan]] = {
    "digits 8×8, conv16-conv32, batch 32": (
        (32, 8, 8, 1),
        [("conv", 16, 3, SAME), ("relu",), ("pool",), ("conv", 32, 3, SAME), ("relu",), ("pool",), ("dense", 10)],
    ),
    "28×28, conv16-conv32, batch 64": (
        (64, 28, 28, 1),
        [("conv", 16, 3, SAME), ("relu",), ("pool",), ("conv", 32, 3, SAME), ("relu",), ("pool",), ("dense", 10)],
    ),
    "LeNet-5, batch 64": (
        (64, 28, 28, 1),
        [
            *(("conv", 6, 5, SAME), ("relu",), ("pool",), ("conv", 16, 5, VALID), ("relu",), ("pool",)),
            *(("dense", 120), ("relu",), ("dense", 84), ("relu",), ("dense", 10)),
        ],
    ),
    "32×32×3, conv32-32-64-64, batch 64": (
        (64, 32, 32, 3),
        [
            *(("conv", 32, 3, SAME), ("relu",), ("conv", 32, 3, SAME), ("relu",), ("pool",)),
            *(("conv", 64, 3, SAME), ("relu",), ("conv", 64, 3, SAME), ("relu",), ("pool",)),
            *(("dense", 128), ("relu",), ("dense", 10)),
        ],
    ),
}
# batch, steps, features, and units or heads
SEQUENCES: dict[str, tuple[str, int, int, int, int]] = {
    "LSTM, batch 32, T 16, 8 to 32": ("LSTM", 32, 16, 8, 32),
    "LSTM, batch 64, T 32, 32 to 64": ("LSTM", 64, 32, 32, 64),
    "LSTM, batch 32, T 64, 64 to 128": ("LSTM", 32, 64, 64, 128),
    "GRU, batch 32, T 16, 8 to 32": ("GRU", 32, 16, 8, 32),
    "GRU, batch 64, T 64, 64 to 128": ("GRU", 64, 64, 64, 128),
    "SimpleRNN, batch 64, T 64, 64 to 128": ("RNN", 64, 64, 64, 128),
    "attention, batch 32, T 64, F 64, 4 heads": ("attention", 32, 64, 64, 4),
    "attention, batch 16, T 256, F 256, 8 heads": ("attention", 16, 256, 256, 8),
}
# the shape of the inputs
OTHERS: dict[str, tuple[str, tuple[int, ...]]] = {
    "LayerNorm, (32, 64, 128)": ("LayerNorm", (32, 64, 128)),
    "BatchNorm, (64, 14, 14, 32)": ("BatchNorm", (64, 14, 14, 32)),
    "Embedding backward, 64 × 256 words, 64 features": ("Embedding", (64, 256, 64)),
}


def peers_of(name: str) -> tuple[Step, dict[str, Any]]:
    """The step of deepbp, and functions that prepare those of the others."""
    if name in IMAGES:
        shape, plan = IMAGES[name]
        x, y = RNG.normal(size=shape).astype("f4"), RNG.integers(0, 10, shape[0])
        step = partial(made.images_of_pytorch, plan, x, y)
        peers: dict[str, Any] = {"PyTorch": partial(step, False), "PyTorch channels_last": partial(step, True)}
        return made.images_of_deepbp(shape, plan, x, y), {**peers, "JAX jit": partial(made.images_of_jax, plan, x, y)}
    if name in SEQUENCES:
        kind, batch, length, features, size = SEQUENCES[name]
        x = RNG.normal(size=(batch, length, features)).astype("f4")
        delta = RNG.normal(size=(batch, length, features if kind == "attention" else size)).astype("f4")
        given = kind, size, x, delta
        peers = {"PyTorch": partial(made.sequences_of_pytorch, *given)}
        if kind == "attention":
            peers["PyTorch SDPA"] = partial(made.sequences_of_pytorch, *given, by_hand=True)
        return made.sequences_of_deepbp(*given), {**peers, "JAX jit": partial(made.sequences_of_jax, *given)}
    kind, shape = OTHERS[name]
    delta = RNG.normal(size=shape).astype("f4")
    if kind == "Embedding":
        words = RNG.integers(0, WORDS, shape[:2])
        return made.embedding_of_deepbp(words, delta), {"PyTorch": partial(made.embedding_of_pytorch, words, delta)}
    x = RNG.normal(size=shape).astype("f4")
    step = partial(made.normalization_of_pytorch, kind, x, delta)
    last = {"PyTorch channels_last": partial(step, True)} if kind == "BatchNorm" else {}
    return made.normalization_of_deepbp(kind, x, delta), {"PyTorch": step, **last}


def contenders(name: str) -> dict[str, Step]:
    """The steps of all libraries that are installed, deepbp first."""
    own, peers = peers_of(name)
    installed = {peer: find_spec("jax" if peer.startswith("JAX") else "torch") for peer in peers}
    return {"deepbp": own, **{peer: prepare() for peer, prepare in peers.items() if installed[peer]}}


def seconds(step: Step, calls: int) -> float:
    """The processor time of a step, the mean of a block."""
    start = process_time()
    for _ in range(calls):
        step()
    return (process_time() - start) / calls


def measure(steps: dict[str, Step], budget: float) -> tuple[float, dict[str, float], int]:
    """The median time of the first contender, the median ratios of the others to it, and the number of rounds."""
    for step in steps.values():
        seconds(step, 3)  # compiles, and fills caches
    calls = {name: max(1, int(BLOCK / max(seconds(step, 2), 1e-6))) for name, step in steps.items()}
    rounds: list[dict[str, float]] = []
    end = process_time() + budget
    while process_time() < end or len(rounds) < 5:
        rounds.append({name: seconds(step, calls[name]) for name, step in steps.items()})
    first, *others = steps
    ratios = {name: median(one[name] / one[first] for one in rounds) for name in others}
    return median(one[first] for one in rounds), ratios, len(rounds)


def named(processor: str, features: list[str]) -> str:
    """The name of a processor with its widest vectors: those of a cloud have one name for several generations."""
    return ", ".join([processor, *features[:1]]).replace("AVX512F", "AVX-512")


def run_of(steps: dict[str, Any], seconds: float) -> dict[str, Any]:
    """What is stored of a run."""
    found = examine()
    machine = {
        "processor": named(found.processor, found.features),
        "cores": str(os.cpu_count()),
        "system": platform.system(),
    }
    versions = {"python": platform.python_version(), **{name: version(name) for name in VERSIONS}}
    return {
        "date": date.today().isoformat(),
        "machine": machine,
        "versions": versions,
        "seconds": seconds,
        "steps": steps,
    }


def main() -> None:
    """Print a row for each workload, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="workloads whose names contain this; writes nothing")
    parser.add_argument("--seconds", type=float, default=8, help="processor time of each workload")
    parser.add_argument("--stored", action="store_true", help="write the tables of the runs that are stored")
    options = parser.parse_args()
    if options.stored:
        write(stored_runs())
        return
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):  # libraries read them at their import
        again = [sys.executable, "-m", "benchmarks.images_and_sequences", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, **ONE_THREAD})
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    steps: dict[str, Any] = {}
    for name in [one for one in (*IMAGES, *SEQUENCES, *OTHERS) if options.only in one]:
        own, ratios, rounds = measure(contenders(name), options.seconds)
        steps[name] = {"microseconds": round(own * 1e6, 1), "ratios": {k: round(r, 3) for k, r in ratios.items()}}
        told = "  ".join(f"{peer} {ratio:.2f}" for peer, ratio in ratios.items())
        print(f"{name:44} {own * 1e6:8.0f} µs  {told}  ({rounds} rounds)", flush=True)
    if not options.only:
        run = run_of(steps, options.seconds)
        others = [one for one in stored_runs() if one["machine"]["processor"] != run["machine"]["processor"]]
        write([run, *others])


if __name__ == "__main__":
    main()
