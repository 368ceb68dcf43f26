"""The tables of ``docs/speed_of_images_and_sequences.md``: targets, and the figures of each processor."""

import json
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent / "docs"
PAGE, STORED = DOCS / "speed_of_images_and_sequences.md", DOCS / "speed_of_images_and_sequences.json"
BEGIN, END = "<!-- written by benchmarks.images_and_sequences -->", "<!-- until here -->"
FORMATS = ("PyTorch channels_last", "PyTorch SDPA")

TARGETS: dict[str, dict[str, float]] = {
    "digits 8×8, conv16-conv32, batch 32": {"PyTorch": 3.5, "PyTorch channels_last": 3.5, "JAX jit": 2.0},
    "28×28, conv16-conv32, batch 64": {"PyTorch": 1.8, "PyTorch channels_last": 1.5, "JAX jit": 3.5},
    "LeNet-5, batch 64": {"PyTorch": 1.2, "PyTorch channels_last": 1.1, "JAX jit": 2.2},
    "32×32×3, conv32-32-64-64, batch 64": {"PyTorch": 1.3, "PyTorch channels_last": 1.0, "JAX jit": 2.2},
    "LSTM, batch 32, T 16, 8 to 32": {"PyTorch": 2.5, "JAX jit": 2.0},
    "LSTM, batch 64, T 32, 32 to 64": {"PyTorch": 1.0, "JAX jit": 1.3},
    "LSTM, batch 32, T 64, 64 to 128": {"PyTorch": 1.0, "JAX jit": 1.3},
    "GRU, batch 32, T 16, 8 to 32": {"PyTorch": 5.0, "JAX jit": 2.0},
    "GRU, batch 64, T 64, 64 to 128": {"PyTorch": 1.3, "JAX jit": 1.5},
    "attention, batch 32, T 64, F 64, 4 heads": {"PyTorch": 1.8, "PyTorch SDPA": 1.2, "JAX jit": 1.8},
    "attention, batch 16, T 256, F 256, 8 heads": {"PyTorch": 1.3, "PyTorch SDPA": 1.05, "JAX jit": 2.5},
    "LayerNorm, (32, 64, 128)": {"PyTorch": 1.0},
    "BatchNorm, (64, 14, 14, 32)": {"PyTorch": 1.0},
    "Embedding backward, 64 × 256 words, 64 features": {"PyTorch": 1.5},
}
"""How many times as fast as a library deepbp is to be."""


def stored_runs() -> list[dict[str, Any]]:
    """The runs of the page, the newest first, one for each processor."""
    runs: list[dict[str, Any]] = json.loads(STORED.read_text()) if STORED.exists() else []
    return runs


def write(runs: list[dict[str, Any]]) -> None:
    """Store the runs, and put their tables into the page."""
    STORED.write_text(json.dumps(runs, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(with_tables(PAGE.read_text(), runs))


def with_tables(page: str, runs: list[dict[str, Any]]) -> str:
    """The page with the tables of these runs in place of those before."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{tables(runs)}\n\n{END}{rest.split(END)[1]}"


def tables(runs: list[dict[str, Any]]) -> str:
    """The targets, and the figures of each run, as Markdown."""
    sections = [
        "## Performance targets",
        "How many times as long as deepbp the others take on each processor. A target is met if it is on all of them.",
        _targets(runs),
    ]
    for run in runs:
        machine, named = run["machine"], ", ".join(f"{name} {number}" for name, number in run["versions"].items())
        about = f"{run['date']}, {machine['cores']} cores, {machine['system']}. {named}."
        sections += [
            f"## {machine['processor']}",
            f"{about} {run['note']}" if "note" in run else about,
            _figures(run["steps"]),
        ]
    return "\n\n".join(sections)


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _targets(runs: list[dict[str, Any]]) -> str:
    rows = []
    for step, bounds in TARGETS.items():
        for peer, bound in bounds.items():
            found = [run["steps"].get(step, {"ratios": {}})["ratios"].get(peer) for run in runs]
            measured = [ratio for ratio in found if ratio is not None]
            verdict = "–" if not measured else "met" if min(measured) >= bound else "**missed**"
            rows.append([step, f"{bound} × {peer}", *map(_number, found), verdict])
    return _table(["step", "target", *(run["machine"]["processor"] for run in runs), ""], rows)


def _figures(steps: dict[str, Any]) -> str:
    rows = []
    for step, figures in steps.items():
        ratios = figures["ratios"]
        other = next((ratios[name] for name in FORMATS if name in ratios), None)
        columns = (ratios.get("PyTorch"), other, ratios.get("JAX jit"))
        rows.append([step, f"{figures['microseconds']:,.0f}", *map(_number, columns)])
    return _table(["step", "deepbp, µs", "PyTorch", "PyTorch, other format or function", "JAX jit"], rows)
