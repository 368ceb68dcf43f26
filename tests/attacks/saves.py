"""Attack saving: many processes and threads save to one path, while others read it.

    python tests/attacks/saves.py --seconds 60 --seed 0

Every save must succeed, every read must find a complete file that one of the saves has written, a save that began after
another one ended must win, and nothing may stay behind but the file.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from deepbp.files import read_archive, write_archive

PROCESSES, THREADS = 8, 3  # of each process, two save and one reads


def attack(seconds: float = 60.0, seed: int = 0, most: int = 10_000, processes: int = PROCESSES) -> list[str]:
    """Save ``most`` times or for some seconds, and return what went wrong."""
    finds: list[str] = []
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        path = Path(folder) / "network.npz"
        write_archive(path, {"by": [-1, 0]}, {"numbers": np.zeros(1000)})
        context = multiprocessing.get_context("spawn")
        with context.Pool(processes) as pool:
            share = most // (processes * (THREADS - 1))
            tasks = [(str(path), seconds, seed * processes + i, share) for i in range(processes)]
            results = pool.starmap(_process, tasks)
        saves, reads = (sum(counts) for counts in zip(*(result[0] for result in results), strict=True))
        finds += [find for result in results for find in result[1]]
        last = (-2, 0)
        write_archive(path, {"by": list(last)}, {"numbers": np.full(1000, -2.0)})
        if tuple(read_archive(path)[0]["by"]) != last:
            finds.append("the last save is lost")
        if os.listdir(folder) != [path.name]:
            finds.append(f"left behind: {os.listdir(folder)}")
    print(
        f"saves: {saves:,} of one file by {processes * (THREADS - 1)} threads in {processes} processes, {reads:,} reads"
    )
    return finds


def _process(path: str, seconds: float, seed: int, share: int) -> tuple[tuple[int, int], list[str]]:
    """The saves and the reads of one process."""
    finds: list[str] = []
    saves, reads = [0] * THREADS, [0]
    end, saving = time.monotonic() + seconds, threading.Event()

    def save(thread: int) -> None:
        draw = Random(seed * THREADS + thread)
        while saves[thread] < share and time.monotonic() < end:
            number = saves[thread] + 1
            size = draw.choice((1, 1000, 20_000))
            write_archive(path, {"by": [seed * THREADS + thread, number]}, {"numbers": np.full(size, float(number))})
            saves[thread] = number

    def read() -> None:
        newest: dict[int, int] = {}
        while not saving.is_set():
            description, arrays = read_archive(path)
            by, number = description["by"]
            if (arrays["numbers"] != number).any():
                finds.append(f"a file of other numbers than {number}")
            if number < newest.get(by, 0):
                finds.append(f"thread {by}: an older file, {number}, after a newer one, {newest[by]}")
            newest[by] = number
            reads[0] += 1

    def watched(run: Callable[..., None], *arguments: Any) -> None:
        try:
            run(*arguments)
        except BaseException as error:
            finds.append(f"{run.__name__}: {type(error).__name__}: {error}")

    writers = [threading.Thread(target=watched, args=(save, thread)) for thread in range(THREADS - 1)]
    reader = threading.Thread(target=watched, args=(read,))
    for thread in (*writers, reader):
        thread.start()
    for thread in writers:
        thread.join()
    saving.set()
    reader.join()
    return (sum(saves), reads[0]), finds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    finds = attack(arguments.seconds, arguments.seed)
    print("\n".join(finds[:20]) or "nothing found")
    return bool(finds)


if __name__ == "__main__":
    sys.exit(main())
