"""Report of the runs on all processors: the page and the chart."""

import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.measure import ratios, spread
from benchmarks.promises import PROMISES, Promise


def page(runs: list[dict[str, Any]]) -> str:
    """Return the page in Markdown; the newest run comes first."""
    sections = [
        "# Benchmarks",
        "`make bench` writes this page, and keeps the last run on each other processor. All numbers of a section come "
        "from one run.",
        "Each library runs in a separate process with the same number of threads, and returns the loss of each step as "
        "a number (the floor, and the handwritten loop of the notes, compute none). *deepbp* is `fit` with compiled "
        "kernels, epochs of shuffled data in memory; *JAX scan* is the same loop, compiled as a whole. The others make "
        "one call a step, with batches that are ready, as *deepbp, Trainer.step* does. In each round, every library "
        "runs in turn; ratios are computed within a round. The machines are shared and noisy: compare ratios, not "
        "microseconds. *floor* is the time of the matrix products of a step alone, by NumPy's BLAS, called from "
        "compiled code. A step can only be faster where deepbp computes products of medium size itself, on processors "
        "with registers of 64 bytes; else a floor above 1 is the noise of the run.",
        "![Times relative to deepbp](benchmarks.svg)",
        "## Performance targets",
        "The ratio that was measured on each processor. A target is met if it is on all of them.",
        _promises(runs),
        *(part for run in runs for part in _run(run)),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _run(run: dict[str, Any]) -> list[str]:
    machine, named = run["machine"], ", ".join(f"{name} {number}" for name, number in run["versions"].items())
    parts = [
        f"## {machine['processor']}",
        f"{run['date']}, {machine['cores']} cores, {machine['system']}, {machine['blas']}. {named}. "
        f"{run['rounds']} rounds of about {run['block_seconds']} seconds for each library.",
        run.get("note", ""),
    ]
    for threads, workloads in run["workloads"].items():
        parts += [
            f"### Time of a step relative to deepbp, threads: {threads}",
            "Medians, with quartiles in parentheses. Above 1, the library is slower.",
            _steps(workloads),
            _skipped(workloads),
            _ages(workloads),
        ]
    return [
        *parts,
        *_profiles(run.get("profiles", {})),
        "### Complete training",
        "The handwritten digits, 64-64-64-10 with Adam, until the accuracy on a held-out fifth is 97 %, including "
        "compilation.",
        _fits(run["fit_digits"]),
        "### Import, installation and memory",
        _footprint(run["footprint"]),
    ]


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _steps(workloads: list[dict[str, Any]]) -> str:
    names = [name for name in workloads[0]["results"] if name != "deepbp"]
    rows = []
    for entry in workloads:
        results = entry["results"]
        row = [entry["workload"], f"{spread(results['deepbp']['microseconds'])[1]:.3g} µs"]
        for name in names:
            if "skip" in results[name]:
                row.append("–")
            else:
                low, median, high = spread(ratios(results, name))
                row.append(f"**{median:.2f}** ({low:.2f}–{high:.2f})")
        rows.append(row)
    return _table(["network", "deepbp", *names], rows)


def _ages(workloads: list[dict[str, Any]]) -> str:
    """Whether old trainings are slower: subnormal numbers in the state of an optimizer slow down some processors."""
    aged = [entry for entry in workloads if entry.get("ages")]
    if not aged:
        return ""
    names = list(aged[0]["ages"])
    rows = [[entry["workload"], *_numbers(entry["ages"].get(name) for name in names)] for entry in aged]
    return "The time of a step after 2,000 steps, relative to one after 100:\n\n" + _table(["network", *names], rows)


def _profiles(found: dict[str, dict[str, float]]) -> list[str]:
    """Where the time of a step goes: a row for each kind of instruction."""
    if not found:
        return []
    names = dict.fromkeys(name for row in found.values() for name in row)
    rows = [[name, *(f"{row[name]:.2f}" if name in row else "–" for row in found.values())] for name in names]
    together = ["together", *(f"{sum(row.values()):.2f}" for row in found.values())]
    return [
        "### Where the time of a step goes",
        "Microseconds of CPU time of the instructions of a program, without what `fit` does between its runs, on one "
        "thread: the difference between a program that ends after an instruction and one that ends before it.",
        _table(["instruction", *found], [*rows, together]),
    ]


def _numbers(values: Iterable[float | None]) -> list[str]:
    return ["–" if value is None else f"{value:.2f}" for value in values]


def quote(runs: list[dict[str, Any]]) -> str:
    """Return the table in the README: the newest run, on one thread if it has that."""
    rows = []
    names = ["floor", "handwritten NumPy", "PyTorch eager", "JAX jit", "JAX scan", "scikit-learn MLP"]
    for entry in next(iter(runs[0]["workloads"].values())):
        found = entry["results"]
        medians = ["–" if "skip" in found[n] else _short(spread(ratios(found, n))[1]) for n in names]
        rows.append([entry["workload"], *medians])
    return _table(["network", *names], rows)


def _short(ratio: float) -> str:
    """Two digits, or all of a whole number."""
    return f"{ratio:.2g}" if ratio < 99.5 else f"{ratio:.0f}"


def _skipped(workloads: list[dict[str, Any]]) -> str:
    reasons = {
        f"{name}: {result['skip']}"
        for entry in workloads
        for name, result in entry["results"].items()
        if "skip" in result
    }
    return "Not measured: " + "; ".join(sorted(reasons)) + "." if reasons else ""


def measured(run: dict[str, Any], promise: Promise) -> float | None:
    """The ratio that a promise bounds; None if the run has no such numbers."""
    threads = str(promise.threads)
    workloads = run["workloads"].get(threads, [])
    results: dict[str, Any] = next(
        (entry["results"] for entry in workloads if entry["workload"] == promise.workload), {}
    )
    if any("skip" in results.get(name, {"skip": ""}) for name in (promise.against, promise.own)):
        return None
    ratio = statistics.median(ratios(results, promise.against, promise.own))
    return 1 / ratio if promise.at_most else ratio


def _promises(runs: list[dict[str, Any]]) -> str:
    rows = []
    for promise in PROMISES:
        found = [measured(run, promise) for run in runs]
        bound = "at most {} times the time of {}" if promise.at_most else "at least {} times as fast as {}"
        text = bound.format(promise.ratio, promise.against)
        text += f" ({promise.own.removeprefix('deepbp, ')})" if promise.own != "deepbp" else ""
        text += f", {promise.threads} threads" if promise.threads > 1 else ""
        met = all(promise.kept(one) for one in found if one is not None)
        verdict = "–" if all(one is None for one in found) else "met" if met else "**missed**"
        rows.append([promise.workload, text, *_numbers(found), verdict])
    return _table(["network", "target", *(run["machine"]["processor"] for run in runs), ""], rows)


def _fits(fits: dict[str, Any]) -> str:
    own = statistics.median(fits["deepbp"]["whole"])
    rows = []
    for name, entry in fits.items():
        seconds = [f"{statistics.median(entry[one]):.2f} s" if one in entry else "–" for one in ("whole", "seconds")]
        relative = f"{statistics.median(entry['whole']) / own:.1f}"
        rows.append([name.replace("_", "-"), *seconds, relative, str(entry["epochs"])])
    return _table(["", "process with its imports", "training alone", "relative to deepbp", "epochs"], rows)


def _footprint(found: dict[str, Any]) -> str:
    base = found["import_seconds"]["numpy"]
    imports = [[name, f"{s:.3f} s", f"{s / base:.2f}"] for name, s in found["import_seconds"].items()]
    first = found["first_fit_seconds"].items()
    fits = ", ".join(f"{one['fit']:.2f} s {name} ({one['whole']:.2f} s with its imports)" for name, one in first)
    sizes = ", ".join(f"{name} {size:.0f} MB" for name, size in found["installed_megabytes"].items())
    memory = ", ".join(f"{name} {size:.0f} MB" for name, size in found["peak_megabytes"].items())
    return "\n\n".join(
        [
            _table(["import", "time", "relative to NumPy"], imports),
            f"Installed size, including dependencies: {sizes}.",
            f"First `fit` in a process: {fits}.",
            f"Peak memory for training 1024-2048-2048-10 with batch 512: {memory}.",
        ]
    )


def chart(run: dict[str, Any], path: Path) -> None:
    """Draw times relative to deepbp, one row for each workload, on a logarithmic axis."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "deepbp"
    import matplotlib.pyplot as plt

    workloads = next(iter(run["workloads"].values()))
    names = [name for name in workloads[0]["results"] if name != "deepbp"]
    figure, axes = plt.subplots(figsize=(9, 0.55 * len(workloads) + 1.6), layout="constrained")
    for number, name in enumerate(names):
        points = [
            (statistics.median(ratios(entry["results"], name)), row)
            for row, entry in enumerate(workloads)
            if "skip" not in entry["results"][name]
        ]
        if points:
            marker = "|" if name == "floor" else "osDv^<>PX*hdp8"[number % 14]
            color = f"C{number}" if number < 10 else "black"  # there are ten
            across, down = zip(*points, strict=True)
            axes.scatter(across, down, label=name, marker=marker, s=70, alpha=0.85, color=color)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("time of a step, as a multiple of deepbp's (log scale)")
    axes.set_yticks(range(len(workloads)), [entry["workload"] for entry in workloads])
    axes.invert_yaxis()
    axes.grid(axis="both", alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
