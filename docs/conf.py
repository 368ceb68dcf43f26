"""Configuration of Sphinx: ``make docs`` builds the site in output/site."""

import os
import re
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))
os.environ["DEEPBP_KERNELS"] = "numpy"  # whose signatures can be read

from building import links, navigation, reference  # noqa: E402

import deepbp  # noqa: E402

project = "deepbp"
author = project_copyright = "the deepbp authors"
version = release = deepbp.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["building"]

html_theme = "furo"
html_title = "deepbp"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
pygments_style, pygments_dark_style = "friendly", "monokai"

myst_heading_anchors = 4  # with the names that a code host gives them

autodoc_inherit_docstrings = False  # a layer's forward and backward are documented where their contract is stated
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
maximum_signature_line_length = 88
toc_object_entries = False

copybutton_selector = "div:not(.highlight-text) > div.highlight > pre"  # of an output, nothing is to be copied
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def list_other_pages(app: Any, docname: str, source: list[str]) -> None:
    """Put pages that no list of contents names below "Use", so that a new page is found before anyone lists it."""
    if docname == "index":
        named = set(re.findall(r"^[a-z_]+$", source[0], re.MULTILINE))
        others = sorted({file.stem for file in FOLDER.glob("*.md")} - named - {docname})
        source[0] = source[0].replace("\ncookbook\n", "\n".join(["", *others, "cookbook", ""]))


def setup(app: Any) -> None:
    """Write the reference before the sources are read; turn names in the text into links to their pages."""
    app.connect("builder-inited", lambda app: reference.write(Path(app.srcdir) / "reference"))
    app.connect("source-read", list_other_pages)
    app.connect("autodoc-process-docstring", reference.escape_docstring, priority=600)  # after napoleon
    app.connect("autodoc-process-signature", reference.shorten_signature)
    links.setup(app)
    navigation.setup(app)
