"""The benchmarks page and the README's table are generated from the same stored results."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import speed_tables
from benchmarks.images_and_sequences import IMAGES, OTHERS, SEQUENCES, named
from benchmarks.measure import ratios, spread
from benchmarks.peers import deepbp_step, handwritten
from benchmarks.promises import Promise
from benchmarks.report import chart, page, quote
from benchmarks.workloads import WORKLOADS

ROOT = Path(__file__).parent.parent


@pytest.fixture
def results() -> Any:
    return json.loads((ROOT / "docs" / "benchmarks.json").read_text())


def test_the_page_is_generated_from_the_results(results: Any) -> None:
    assert (ROOT / "docs" / "benchmarks.md").read_text() == page(results)


def test_the_readme_quotes_the_page(results: Any) -> None:
    assert quote(results) in (ROOT / "README.md").read_text()


def test_every_workload_was_run(results: Any) -> None:
    for run in results:
        for workloads in run["workloads"].values():
            assert [entry["workload"] for entry in workloads] == [workload.name for workload in WORKLOADS]


def test_the_chart_is_drawn(results: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    chart(results[0], tmp_path / "chart.svg")
    assert (tmp_path / "chart.svg").stat().st_size > 10_000


def test_the_tables_of_images_and_sequences_are_generated_from_the_stored_runs() -> None:
    page = speed_tables.PAGE.read_text()
    assert page == speed_tables.with_tables(page, speed_tables.stored_runs())


def test_a_target_for_images_and_sequences_is_met_on_all_processors_or_missed() -> None:
    def run(processor: str, ratio: float) -> Any:
        figures = {"LeNet-5, batch 64": {"microseconds": 1234.5, "ratios": {"PyTorch": ratio, "JAX jit": 2.2}}}
        return {"machine": {"processor": processor, "cores": "2", "system": "S"}, "steps": figures}

    runs = [{**run("one", 1.2), "date": "d", "versions": {}}, {**run("other", 1.19), "date": "d", "versions": {}}]
    text = speed_tables.tables(runs)
    assert "| LeNet-5, batch 64 | 1.2 × PyTorch | 1.20 | 1.19 | **missed** |" in text
    assert "| LeNet-5, batch 64 | 2.2 × JAX jit | 2.20 | 2.20 | met |" in text
    assert "| digits 8×8, conv16-conv32, batch 32 | 2.0 × JAX jit | – | – | – |" in text
    assert "| LeNet-5, batch 64 | 1,234 | 1.19 | – | 2.20 |" in text


def test_runs_are_kept_for_each_processor_by_its_widest_vectors() -> None:
    assert named("AMD EPYC", ["AVX512F", "AVX2"]) == "AMD EPYC, AVX-512"
    assert named("AMD EPYC", ["AVX2"]) == "AMD EPYC, AVX2"
    assert named("Other", []) == "Other"
    kept = [run["machine"]["processor"] for run in speed_tables.stored_runs()]
    assert len(set(kept)) == len(kept)
    assert all(", AVX" in name for name in kept)


def test_targets_name_workloads() -> None:
    assert {*speed_tables.TARGETS} <= {*IMAGES, *SEQUENCES, *OTHERS}


def test_ratios_are_taken_within_a_round() -> None:
    results = {"deepbp": {"microseconds": [1.0, 10.0, 2.0]}, "peer": {"microseconds": [2.0, 20.0, 6.0]}}
    assert ratios(results, "peer") == [2.0, 2.0, 3.0]
    assert spread(ratios(results, "peer"))[1] == 2.0


def test_a_promise_is_a_lower_or_an_upper_bound() -> None:
    assert Promise("net", "peer", 2.0).kept(2.0)
    assert not Promise("net", "peer", 2.0).kept(1.99)
    assert Promise("net", "floor", 1.2, at_most=True).kept(1.2)
    assert not Promise("net", "floor", 1.2, at_most=True).kept(1.21)


def test_data_are_fresh_and_the_same_for_all() -> None:
    workload = WORKLOADS[0]
    batches = workload.batches()
    assert len({x.tobytes() for x, _ in batches}) == len(batches)
    for (one, _), (other, _) in zip(batches, workload.batches(), strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_the_handwritten_loop_and_deepbp_do_the_same_work(number: int) -> None:
    steps = [peer.prepare(WORKLOADS[number]) for peer in (deepbp_step, handwritten)]
    for _ in range(5):
        mine, theirs = (step() for step in steps)
        assert mine == pytest.approx(theirs, rel=1e-3)
