"""Report of a run: the page and the chart."""

import statistics
from pathlib import Path
from typing import Any

from benchmarks.measure import ratios, spread
from benchmarks.promises import PROMISES


def page(results: dict[str, Any]) -> str:
    """Return the page in Markdown."""
    machine, versions = results["machine"], results["versions"]
    named = ", ".join(f"{name} {number}" for name, number in versions.items())
    sections = [
        "# Benchmarks",
        "`make bench` writes this page. All numbers come from one run.",
        f"{results['date']}, {machine['processor']}, {machine['cores']} cores, {machine['system']}, "
        f"{machine['blas']}. {named}.",
        "Each library runs in a separate process with the same number of threads, uses other data in every step, and "
        "returns the loss of each step as a number (the floor, and the handwritten loop of the notes, compute none). "
        f"In each of {results['rounds']} rounds, every library runs for about {results['block_seconds']} seconds in "
        "turn; ratios are computed within a round. The machine is shared and noisy: compare ratios, not microseconds. "
        "*floor* is the time of the matrix products of a step; *deepbp* uses the fused kernels. No step can be faster "
        "than its matrix products: if the floor is above 1, the difference is smaller than the noise of the run.",
        "![Times relative to deepbp](benchmarks.svg)",
        "## Time of a step relative to deepbp",
        "Medians, with quartiles in parentheses. Above 1, the library is slower than deepbp.",
        _steps(results["workloads"]),
        _skipped(results["workloads"]),
        "## Performance targets",
        _promises(results["workloads"]),
        "## Complete training",
        "The handwritten digits, 64-64-64-10 with Adam, until the accuracy on a held-out fifth is 97 %, including "
        "compilation.",
        _fits(results["fit_digits"]),
        "## Import, installation and memory",
        _footprint(results["footprint"]),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


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


def quote(results: dict[str, Any]) -> str:
    """Return the table in the README."""
    names = ["handwritten NumPy", "PyTorch eager", "JAX jit", "scikit-learn MLP"]
    rows = []
    for entry in results["workloads"]:
        found = entry["results"]
        medians = ["–" if "skip" in found[n] else f"{spread(ratios(found, n))[1]:.1f}" for n in names]
        rows.append([entry["workload"], *medians])
    return _table(["network", *names], rows)


def _skipped(workloads: list[dict[str, Any]]) -> str:
    reasons = {
        f"{name}: {result['skip']}"
        for entry in workloads
        for name, result in entry["results"].items()
        if "skip" in result
    }
    return "Not measured: " + "; ".join(sorted(reasons)) + "." if reasons else ""


def _promises(workloads: list[dict[str, Any]]) -> str:
    by_name = {entry["workload"]: entry["results"] for entry in workloads}
    rows = []
    for promise in PROMISES:
        results = by_name.get(promise.workload, {})
        if "skip" in results.get(promise.against, {"skip": ""}):
            continue
        measured = statistics.median(ratios(results, promise.against, promise.own))
        if promise.at_most:
            measured = 1 / measured
            text = f"at most {promise.ratio} times the time of {promise.against}"
        else:
            text = f"at least {promise.ratio} times as fast as {promise.against}"
        own = "" if promise.own == "deepbp" else f" ({promise.own})"
        rows.append(
            [promise.workload, text + own, f"{measured:.2f}", "met" if promise.kept(measured) else "**missed**"]
        )
    return _table(["network", "target", "measured", ""], rows)


def _fits(fits: dict[str, Any]) -> str:
    own = statistics.median(fits["deepbp"]["seconds"])
    rows = []
    for name, entry in fits.items():
        seconds = statistics.median(entry["seconds"])
        rows.append([name.replace("_", "-"), f"{seconds:.2f} s", f"{seconds / own:.1f}", str(entry["epochs"])])
    return _table(["", "time", "relative to deepbp", "epochs"], rows)


def _footprint(found: dict[str, Any]) -> str:
    base = found["import_seconds"]["numpy"]
    imports = [[name, f"{s:.3f} s", f"{s / base:.2f}"] for name, s in found["import_seconds"].items()]
    fits = ", ".join(f"{s:.2f} s with the {form} kernels" for form, s in found["first_fit_seconds"].items())
    sizes = ", ".join(f"{name} {size:.0f} MB" for name, size in found["installed_megabytes"].items())
    memory = ", ".join(f"{name} {size:.0f} MB" for name, size in found["peak_megabytes"].items())
    return "\n\n".join(
        [
            _table(["import", "time", "relative to NumPy"], imports),
            f"Installed size, including dependencies: {sizes}.",
            f"First `fit` in a process, after the imports and with cached kernels: {fits}.",
            f"Peak memory for training 1024-2048-2048-10 with batch 512: {memory}.",
        ]
    )


def chart(results: dict[str, Any], path: Path) -> None:
    """Draw times relative to deepbp, one row for each workload, on a logarithmic axis."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "deepbp"
    import matplotlib.pyplot as plt

    workloads = results["workloads"]
    names = [name for name in workloads[0]["results"] if name != "deepbp"]
    figure, axes = plt.subplots(figsize=(9, 0.55 * len(workloads) + 1.6), layout="constrained")
    for number, name in enumerate(names):
        points = [
            (statistics.median(ratios(entry["results"], name)), row)
            for row, entry in enumerate(workloads)
            if "skip" not in entry["results"][name]
        ]
        if points:
            marker = "|" if name == "floor" else "osDv^<>PX*"[number % 10]
            across, down = zip(*points, strict=True)
            axes.scatter(across, down, label=name, marker=marker, s=70, alpha=0.85, color=f"C{number}")
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("time of a step, as a multiple of deepbp's (log scale)")
    axes.set_yticks(range(len(workloads)), [entry["workload"] for entry in workloads])
    axes.invert_yaxis()
    axes.grid(axis="both", alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
