#!/usr/bin/env python
"""Render README.md from nbs/index.ipynb, without Quarto.

    python .ci/readme.py            # write it
    python .ci/readme.py --check    # exit 1 when README.md is not what would be written
"""
import re, sys, tempfile
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter
from nbdev.processors import FilterDefaults
from nbdev.serve_drv import main as process

ROOT = Path(__file__).resolve().parent.parent
NOTE = "<!-- Rendered from nbs/index.ipynb by `make readme`: edit the notebook. -->\n\n"


def render():
    "The README's text: the notebook as nbdev processes it, its links made relative to the root."
    with tempfile.TemporaryDirectory() as d:
        processed = Path(d) / "index.ipynb"
        process((ROOT / "nbs/index.ipynb", processed, FilterDefaults))
        notebook = nbformat.read(processed, 4)
    for cell in notebook.cells: cell.source = re.sub(r"^#\|.*\n", "", cell.source, flags=re.M)
    text, _ = MarkdownExporter().from_notebook_node(notebook)
    text = re.sub(r"^---\n.*?^---\n", "", text, flags=re.M | re.S)  # front matter is for the site
    text = re.sub(r"\]\((?!https?:|#|/|\.\.)([\w./-]+)\)", r"](nbs/\1)", text)
    return NOTE + re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def main():
    path, text = ROOT / "README.md", render()
    if "--check" in sys.argv[1:]: sys.exit(not (path.exists() and path.read_text(encoding="utf-8") == text))
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__": main()
