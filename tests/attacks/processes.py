"""Attack trainings on several processes: kill one of them at any moment, and start again on another number of them.

    python tests/attacks/processes.py --seconds 150 --seed 0

However often a training is killed, it must end with the numbers of one that never was, to 1e-12; all processes must be
gone within ten seconds, and no half-written file may be left. Needs ``deepbp[mpi]``. The exit code is 0 if nothing was
found.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

SCRIPT = Path(__file__).parents[1] / "together" / "together_resume.py"
MPIEXEC = Path(sys.executable).with_name("mpiexec")
END = 10.0  # seconds after a kill in which all processes must be gone


def launched(folder: Path, count: int, slowly: float) -> "subprocess.Popen[str]":
    for old in folder.glob("*.pid"):
        old.unlink()
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "DEEPBP_KERNELS": "numpy"}
    environment["SECONDS_A_STEP"] = str(slowly)
    command = [str(MPIEXEC), "-n", str(count), sys.executable, str(SCRIPT), str(folder), "0"]
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def numbers_of(folder: Path) -> dict[str, np.ndarray]:
    return dict(np.load(folder / "done.npz").items())


def kill_one(run: "subprocess.Popen[str]", folder: Path, count: int, choose: random.Random) -> tuple[bool, float]:
    """Kill a process at a random moment; whether it was still running, and the seconds until all were gone."""
    while len(pids := list(folder.glob("*.pid"))) < count and run.poll() is None:
        time.sleep(0.02)
    time.sleep(choose.uniform(0, 1.5))
    if run.poll() is not None or (folder / "done.npz").exists():
        return False, 0.0
    with suppress(ProcessLookupError):
        os.kill(int(choose.choice(pids).stem), signal.SIGKILL)
    start = time.monotonic()
    try:
        run.communicate(timeout=10 * END)
    except subprocess.TimeoutExpired:
        run.kill()
    return True, time.monotonic() - start


def attack(seed: int = 0, seconds: float = 150, most: int = 10**9) -> tuple[int, float, list[str]]:
    """The number of kills, the longest time until all processes were gone, and what was found wrong."""
    choose, finds, kills, longest = random.Random(seed), list[str](), 0, 0.0
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as name:
        (whole := Path(name) / "whole").mkdir()
        launched(whole, 1, 0.0).communicate()
        expected = numbers_of(whole)
        while time.monotonic() < end and kills < most:
            (folder := Path(name) / f"{kills}").mkdir()
            story: list[str] = []
            while not (folder / "done.npz").exists():
                count = choose.randint(1, 3)
                run = launched(folder, count, 0.04)
                was_running, took = False, 0.0
                if kills < most and len(story) < 6:
                    was_running, took = kill_one(run, folder, count, choose)
                story.append(f"{count}{' killed' if was_running else ''}")
                if was_running:
                    kills, longest = kills + 1, max(longest, took)
                    if took > END:
                        finds.append(f"{story}: not all processes were gone after {took:.1f} s")
                elif run.communicate()[1] and run.returncode != 0:
                    finds.append(f"{story}: exit code {run.returncode}")
                    break
            if not (folder / "done.npz").exists():
                continue
            found = numbers_of(folder)
            wrong = [key for key in expected if not np.allclose(found[key], expected[key], rtol=1e-12, atol=1e-12)]
            if wrong or found.keys() != expected.keys():
                finds.append(f"{story}: other numbers in {wrong}")
    return kills, longest, finds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=10**9, help="end after so many")
    given = parser.parse_args()
    if not MPIEXEC.exists():
        print("mpiexec is not installed: pip install 'deepbp[mpi]'")
        return 0
    kills, longest, finds = attack(given.seed, given.seconds, given.kills)
    print("\n".join(finds) or "nothing found", f"in {kills} kills; all were gone within {longest:.1f} s")
    return int(bool(finds))


if __name__ == "__main__":
    sys.exit(main())
