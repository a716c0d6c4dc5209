"""Pages that need nothing else: one HTML file with its style in it, no script, no other host."""

from __future__ import annotations

from pathlib import Path
from string import Template

STYLE = Path(__file__).with_name("page.css")


def filled_page(template: Path, **values: str) -> str:
    """The page of a template. Values are HTML; the style that all pages share is `$style`."""
    style = STYLE.read_text(encoding="utf-8")
    return Template(template.read_text(encoding="utf-8")).substitute(values, style=style)
