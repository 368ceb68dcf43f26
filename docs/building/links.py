"""Links: from names of deepbp to their pages, from a picture to the explorer; those that lead nowhere are found."""

import re
from collections.abc import Iterator
from html import unescape
from os.path import dirname, normpath
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from docutils import nodes
from sphinx.util import logging

from deepbp import Sequential
from deepbp.layers import Dense, Sigmoid
from deepbp.losses import SumSquaredError
from deepbp.optimizers import SGD

FOREIGN = ("PyTorch", "Keras", "scikit-learn")  # columns whose names are those of other libraries
CALL = re.compile(r"(?P<path>[A-Za-z_][\w.]*)(?P<call>\(.*\))?", re.DOTALL)


def names(app: Any) -> dict[str, tuple[str, str]]:
    """The page and the anchor of each documented name, by every unambiguous end of its path."""
    found: dict[str, set[tuple[str, str]]] = {}
    for path, entry in app.env.domains["py"].objects.items():
        parts = path.split(".")
        least = (
            1 if entry.objtype in ("class", "data", "exception", "function", "module") else 2
        )  # Trainer.step, not step
        for start in range(len(parts) - least + 1):
            found.setdefault(".".join(parts[start:]), set()).add((entry.docname, entry.node_id))
    return {name: targets.pop() for name, targets in found.items() if len(targets) == 1}


def target_name(text: str) -> str:
    """The name that a piece of code may refer to; empty if it is none, or only a word, such as ``epochs``."""
    match = CALL.fullmatch(text)
    if match is None:
        return ""
    path = match["path"]
    plain_word = path.isalpha() and path.islower() and not match["call"]
    return "" if plain_word else path


def is_foreign(node: nodes.Node) -> bool:
    """Whether the code stands in a column of a table for names of other libraries."""
    entry, table = _above(node, nodes.entry), _above(node, nodes.table)
    if entry is None or table is None or entry.parent is None:
        return False
    column = entry.parent.index(entry)
    head = next(iter(table.findall(nodes.thead)), None)
    if head is None:
        return False
    titles = list(head.findall(nodes.entry))
    return column < len(titles) and any(word in titles[column].astext() for word in FOREIGN)


def _above(node: nodes.Node, kind: type[nodes.Element]) -> Any:
    while node is not None and not isinstance(node, kind):
        node = node.parent
    return node


def link_names(app: Any, doctree: nodes.document, docname: str) -> None:
    """Turn each piece of code that names a public object into a link to its page."""
    known = names(app)
    for literal in list(doctree.findall(nodes.literal)):
        target = known.get(target_name(literal.astext()))
        inside = any(_above(literal, kind) for kind in (nodes.reference, nodes.title))
        if target is None or inside or target[0] == docname or is_foreign(literal):
            continue
        uri = f"{app.builder.get_relative_uri(docname, target[0])}#{target[1]}"
        reference = nodes.reference("", "", internal=True, refuri=uri, classes=["name"])
        literal.replace_self(reference)
        reference += literal


def dead_links(folder: Path) -> Iterator[str]:
    """The links and pictures of a built site that lead nowhere, with the page they stand on."""
    files = {str(file) for file in folder.rglob("*")}
    texts = {file: Path(file).read_text(encoding="utf-8") for file in files if file.endswith(".html")}
    anchors = {file: set(re.findall(r'\bid="([^"]+)"', text)) for file, text in texts.items()}
    for file, text in texts.items():
        for link in sorted(set(re.findall(r'<(?:a|img)\b[^>]*?\b(?:href|src)="([^"]+)"', text))):
            name, _, anchor = unquote(unescape(link)).partition("#")
            target = normpath(f"{dirname(file)}/{name.partition('?')[0]}") if name else file
            is_found = target in files and (not anchor or anchor in anchors.get(target, {anchor}))
            if is_found or re.match(r"[a-z]+:", name):
                continue
            yield f"{Path(file).relative_to(folder)}: dead link to {link}"


def report_dead_links(app: Any, exception: Exception | None) -> None:
    """Warn of each dead link of a built site."""
    if exception is None and app.builder.name == "html":
        for link in dead_links(Path(app.outdir).resolve()):
            logging.getLogger(__name__).warning(link)


def start_network() -> tuple[Sequential, list[list[int]], list[list[int]]]:
    """The network of the start page, with its data."""
    net = Sequential([Dense(4), Sigmoid(), Dense(1), Sigmoid()], input_shape=3, rng=0, dtype="float64")
    return net, [[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], [[0], [1], [1], [0]]


def write_explorer(app: Any) -> None:
    """Write the page that the start page has a picture of, so that the picture can lead to it."""
    net, x, y = start_network()
    Path(app.outdir).mkdir(parents=True, exist_ok=True)
    net.explore(x, y, SumSquaredError(), optimizer=SGD(1.0), path=Path(app.outdir) / "explorer.html")


def link_explorer(app: Any, doctree: nodes.document, docname: str) -> None:
    """Let the picture of the explorer lead to the explorer itself, which a code host could not run."""
    for image in [one for one in doctree.findall(nodes.image) if one["uri"].endswith("explorer.png")]:
        reference = nodes.reference("", "", internal=True, refuri="explorer.html")
        image.replace_self(reference)
        reference += image


def setup(app: Any) -> None:
    """Connect to Sphinx."""
    app.connect("builder-inited", write_explorer)
    app.connect("doctree-resolved", link_explorer)
    app.connect("doctree-resolved", link_names)
    app.connect("build-finished", report_dead_links)
