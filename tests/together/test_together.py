"""One training on one, two and three processes: the same numbers, to rounding, and one message for each step."""

from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from mpi_launch import launch, needs_mpi
from together_cases import CASES, DIFFERENT, WHOLE

from deepbp.typing import Array

pytestmark = needs_mpi
NAMES = [*CASES, *WHOLE, *DIFFERENT]
PROGRAMS = (
    "plain",
    "sum",
    "penalty",
    "sample weights",
    "missing targets",
    "batch normalization",
    "by step",
    "skipping",
    "skipping and accumulation",
)
FUSED = pytest.mark.skipif(not find_spec("numba"), reason="programs need Numba")
Numbers: TypeAlias = dict[str, Array]


def run(folder: Path, count: int, *names: str, kernels: str = "numpy") -> dict[str, Numbers]:
    """The numbers of these cases, or of all, on ``count`` processes; 0 is one process that knows of no others."""
    folder.mkdir()
    result = launch(count, "together_cases.py", folder, *names, DEEPBP_KERNELS=kernels)
    assert result.returncode == 0, result.stderr[-4000:]
    found = {name: folder / f"{NAMES.index(name)}.npz" for name in names or NAMES}
    found |= {f"traffic {rank}": folder / f"traffic_{rank}.npz" for rank in range(count)}
    return {name: dict(np.load(path).items()) for name, path in found.items()}


def differences(name: str, alone: Numbers, together: Numbers) -> list[str]:
    """The numbers that are not those of one process."""
    about = {"name", "alike", "rerun"}
    assert alone.keys() - about == together.keys() - about
    found = [] if together.get("alike", True) else [f"{name}: the processes have different weights"]
    for key in alone.keys() - about:
        precision = 1e-6 if alone[key].dtype == np.float32 or "float32" in name else 1e-12
        if name.startswith(("L-BFGS", "conj")):
            precision = 1e-10  # a line search makes more of a rounding error than a step does
        scale = max(1.0, float(np.abs(alone[key]).max()))
        largest = float(np.abs(together[key] - alone[key]).max()) / scale
        if not largest <= precision:
            found.append(f"{name}: {key} differs by {largest:.1e}")
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Numbers]:
    return run(tmp_path_factory.mktemp("one") / "alone", 0)


@pytest.mark.parametrize(("count", "kernels"), [(2, "numpy"), (3, "numpy"), pytest.param(2, "numba", marks=FUSED)])
def test_any_number_of_processes_gives_the_same_training(
    tmp_path: Path, alone: dict[str, Numbers], count: int, kernels: str
) -> None:
    names = () if kernels == "numpy" else PROGRAMS
    together = run(tmp_path / "together", count, *names, kernels=kernels)
    of_one = [name for name in names or NAMES if name not in DIFFERENT]
    assert [line for name in of_one for line in differences(name, alone[name], together[name])] == []

    for name in DIFFERENT if kernels == "numpy" else ():  # with the number of processes, not from run to run
        assert together[name]["alike"]
        assert together[name]["rerun"]
        assert not np.allclose(together[name]["0.weight"], alone[name]["0.weight"], rtol=1e-6)

    for rank in range(count):
        of_rank = {name: found.item() for name, found in together[f"traffic {rank}"].items()}
        ends = 1 + 3  # before the first epoch, and after each, of three numbers
        assert of_rank["steps"] == 3 * 7
        assert of_rank["messages"] == of_rank["steps"] + ends
        assert of_rank["numbers"] == of_rank["steps"] * (of_rank["parameters"] + 7) + 3 * ends
        assert of_rank["programs"] == (2 if kernels == "numba" else 0)  # for whole batches, and for the last one
        assert of_rank["messages by hand"] == 3
        assert of_rank["programs by hand"] == (1 if kernels == "numba" else 0)
        assert of_rank.get("resident", 0) < 1 / count + 0.15
