"""The page on many processes: its code prints the output shown, and its tables are those of the stored measurement."""

import json

import pytest
from pages import ROOT, printed_and_shown

from benchmarks import scaling

PAGE = ROOT / "docs" / "processes.md"


def test_code_prints_the_output_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mpi4py")
    for printed, shown in printed_and_shown(PAGE, monkeypatch):
        assert printed == (shown or "")


def test_the_tables_are_those_of_the_measurement() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for table in scaling.tables(json.loads(scaling.STORED.read_text())).split("\n\n"):
        assert table in page


def test_a_sum_takes_longer_for_more_bytes_and_processes() -> None:
    link = scaling.Link("a link", 1e-6, 1e-9)
    assert link.seconds(1000, 1) == 0
    assert link.seconds(8, 2) == pytest.approx(1e-6 + 8e-9)
    assert link.seconds(10**8, 1024) == pytest.approx(20e-6 + 2 * 1023 / 1024 * 0.1)
    for size in (8, 10**6):
        times = [link.seconds(size, 2**power) for power in range(11)]
        assert times == sorted(times)
