"""The list of all pages beside each page: the same for all pages of a folder, but for the mark of the page itself.

Sphinx and the theme would compute it anew for each page, three quarters of the time of a build with hundreds of pages.
"""

import re
from functools import lru_cache
from typing import Any

from attrs import define

_TAGS = re.compile(
    r'<li class="toctree-l\d+(?P<level>)(?: has-children)?(?P<item>)"|<ul(?P<list>)>|(?P<end></(?:li|ul)>)'
    r'|<input [^>]*?(?P<box>)class="toctree-|<a class="(?P<link>)reference internal" href="(?P<uri>[^"#]+)"'
)


@define
class _Open:
    """Where an open item or list is marked: behind its level or tag, behind its classes, and in its check box."""

    mark: int
    text: str
    end: int
    box: int | None = None


@lru_cache
def _links(tree: str) -> dict[str, tuple[list[_Open], int, tuple[int, int]]]:
    """For the file of each link: the items and lists that it stands in, the place of its classes, and of the file."""
    found, opened = {}, list[_Open]()
    for tag in _TAGS.finditer(tree):
        if tag["item"] is not None:
            opened.append(_Open(tag.start("level"), " current", tag.start("item")))
        elif tag["list"] is not None:
            opened.append(_Open(tag.start("list"), ' class="current"', tag.start("list")))
        elif tag["end"]:
            opened.pop()
        elif tag["box"] is not None:
            opened[-1].box = tag.start("box")
        else:
            found[tag["uri"]] = [*opened], tag.start("link"), tag.span("uri")
    return found


def with_current(tree: str, uri: str) -> str:
    """The tree with the marks of the page that a link leads to, and of those above it, as the theme sets them."""
    if uri not in _links(tree):
        return tree
    opened, link, (start, end) = _links(tree)[uri]
    edits = [(one.mark, one.mark, one.text) for one in opened]
    edits += [(one.box, one.box, 'checked="" ') for one in opened if one.box is not None]
    edits += [(opened[-1].end, opened[-1].end, " current-page"), (link, link, "current "), (start, end, "#")]
    for first, last, text in sorted(edits, reverse=True):
        tree = tree[:first] + text + tree[last:]
    return tree


def setup(app: Any) -> None:
    """Connect to Sphinx, before and after the theme."""
    trees: dict[tuple[Any, ...], str] = {}

    def give_tree(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
        folder = page.rpartition("/")[0]

        def tree(**options: Any) -> str:
            key = folder, *sorted(options.items())
            if key not in trees:  # of a page in this folder that no link leads to
                trees[key] = app.builder._get_local_toctree(f"{folder}/nowhere".lstrip("/"), **options)
            return trees[key]

        context["toctree"] = tree

    def mark_current(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
        tree = context.get("furo_navigation_tree", "")
        context["furo_navigation_tree"] = with_current(tree, f"{page.rpartition('/')[2]}.html")

    app.connect("html-page-context", give_tree, priority=400)
    app.connect("html-page-context", mark_current, priority=600)
