"""An array on the page: all its numbers where there are few, and what they have in common where there are many."""

from html import escape
from math import isfinite

import numpy as np

from deepbp.typing import Array

MOST = 10  # rows, and columns, of which all are shown


def figure(letter: str, name: str, array: Array, *, samples: bool = True) -> str:
    """A captioned table; ``letter`` is MathML, ``name`` the same in words. Each sample's numbers stand in one row."""
    shape = " × ".join(map(str, array.shape))
    rows = array.reshape(len(array), -1) if samples else np.atleast_2d(array)
    small = rows.ndim == 2 and max(rows.shape) <= MOST
    label = escape(f"{name}, {shape}" if small else f"{name}, {shape}, in summary", quote=True)
    return (
        f'<figure><figcaption><math displaystyle="true">{letter}</math> <span>{shape}</span></figcaption>'
        f'<div class="matrix" tabindex="0" role="region" aria-label="{label}">'
        f"{_matrix(rows) if small else _summary(array)}</div></figure>"
    )


def number(value: float, scale: float | None = None) -> str:
    """A number as people read it; ``scale`` is the size of the largest among which it stands."""
    if not isfinite(value):
        return {float("inf"): "∞", float("-inf"): "−∞"}.get(value, "NaN")
    scale = abs(value) if scale is None else scale
    if value == 0 and 0 < scale < 1e-2:
        return "0"  # exactly, among numbers that are written with an exponent
    return (f"{value:.4f}" if scale == 0 or 1e-2 <= scale < 1e4 else f"{value:.3e}").replace("-", "−")


def _matrix(rows: Array) -> str:
    finite = rows[np.isfinite(rows)]
    scale = float(np.abs(finite).max(initial=0))
    whole = finite.size == rows.size and scale < 1e4 and bool((finite == np.round(finite)).all())
    body = "".join(
        f"<tr>{''.join(f'<td>{_whole(value) if whole else number(value, scale)}</td>' for value in row)}</tr>"
        for row in rows.astype(np.float64).tolist()
    )
    return f"<table>{body}</table>"


def _whole(value: float) -> str:
    return f"{int(value)}".replace("-", "−")


def _summary(array: Array) -> str:
    values = array.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        measures = {
            "smallest": number(float(values.min())),
            "mean": number(float(values.mean())),
            "largest": number(float(values.max())),
            "norm √Σ(·)²": number(float(np.sqrt(np.sum(values**2)))),
            "zeros": f"{np.mean(values == 0):.0%}",
        }
    rows = (f'<tr><th scope="row">{name}</th><td>{text}</td></tr>' for name, text in measures.items())
    return f'<table class="summary">{"".join(rows)}</table>'
