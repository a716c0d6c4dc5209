"""Pages that need nothing else: one HTML file with its style in it, no script, no other host."""

from __future__ import annotations

from pathlib import Path
from string import Template

from core.errors import FileAccessError

STYLE = Path(__file__).with_name("page.css")


def filled_page(template: Path, **values: str) -> str:
    """The page of a template. Values are HTML; the style that all pages share is `$style`."""
    style = STYLE.read_text(encoding="utf-8")
    return Template(template.read_text(encoding="utf-8")).substitute(values, style=style)


def write_page(path: Path, text: str) -> None:
    """Write a page, and its folder.

    Raises:
        FileAccessError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FileAccessError(f"{path}: cannot be written: {error.strerror}") from None
