"""One process fails, is interrupted or is asked to stop: all end, at the same update, and the reason is told once."""

from pathlib import Path

import pytest
from mpi_launch import launch, needs_mpi

pytestmark = needs_mpi
SECONDS = 60  # far more than the ten that are promised, on a machine with other work
UNDER_MPI4PY = ("-m", "mpi4py")


@pytest.mark.parametrize(
    ("how", "told", "code", "options"),
    [
        ("raise", "RuntimeError: boom\nin epoch 1, after update 7", 1, ()),
        ("raise", "RuntimeError: boom\nin epoch 1, after update 7", 1, UNDER_MPI4PY),
        ("exit", "", 3, ()),
        ("twice", "", 130, ()),
        ("before", "RuntimeError: boom", 1, ()),
        ("nan", "process 1: epoch 1, step 10: the loss became inf; the first place that is", 1, ()),
        (
            "nan",
            "process 1: epoch 1, step 10: the loss became inf; the first place that is not finite: ",
            1,
            UNDER_MPI4PY,
        ),
        ("leave", "deepbp: process 0 waits for process 1, which has ended: all processes end", 1, ()),
        ("wrong everywhere", "DataError: x: expected finite numbers, got nan at x[3, 0]", 1, ()),
    ],
)
def test_an_error_of_one_process_ends_all(
    tmp_path: Path, how: str, told: str, code: int, options: tuple[str, ...]
) -> None:
    result = launch(2, "together_failures.py", tmp_path, how, options=options, seconds=SECONDS)
    assert result.returncode == code, result.stderr
    assert "steps" not in result.stdout  # nobody goes on
    assert result.stderr.count("Traceback") == (not how.startswith(("exit", "twice", "leave"))), result.stderr
    assert told in result.stderr
    assert not list(tmp_path.glob("*.tmp*"))


def test_all_stop_at_the_same_update(tmp_path: Path) -> None:
    ways = {
        "interrupt": "8 steps, 0 epochs, True, True, ",
        "stop now": "8 steps, 0 epochs, False, True, ",
        "stop": "10 steps, 1 epochs, False, True, ",
        "time": "2 steps, 0 epochs, False, True, ",
        "nan, caught": "9 steps, 0 epochs, False, True, process 1: epoch 1, step 10: the loss became inf; ",
        "nan in shared statistics": "9 steps, 0 epochs, False, True, process 1: epoch 1, step 10: the loss became nan; "
        "the first place that is not finite: layer 0, BatchNorm()",
        "nan in own statistics": "9 steps, 0 epochs, False, True, process 1: epoch 1, step 10: the loss became nan; ",
        "missing in a file": "0 steps, 0 epochs, False, False, x: expected finite numbers, got nan at x[119, 0]: ",
        "nothing": "30 steps, 3 epochs, False, True, ",
    }
    result = launch(2, "together_failures.py", tmp_path, *ways, seconds=SECONDS)
    assert result.returncode == 0, result.stderr
    expected = [f"{how}, {rank}: {line}" for how, line in ways.items() for rank in (0, 1)]
    for found, start in zip(result.stdout.splitlines(), expected, strict=True):
        assert found.startswith(start)
