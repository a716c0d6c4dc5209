"""Put the tables into a document, between two marks."""

from __future__ import annotations

from pathlib import Path

from tools.bench.errors import BenchError

BEGIN = "<!-- bench: begin; written by `./inv bench --docs` -->"
END = "<!-- bench: end -->"


def replace_between_marks(document: Path, tables: str) -> None:
    """Exchange what stands between the marks, in one step.

    Raises:
        BenchError: the document is missing, or has not exactly one pair of marks.
    """
    try:
        text = document.read_text(encoding="utf-8")
    except OSError as error:
        raise BenchError(f"{document.name} cannot be read: {error.strerror}") from None
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise BenchError(f"{document.name} must hold `{BEGIN}` and then `{END}`, each once")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    part = document.with_name(document.name + ".part")
    part.write_text(f"{before}{BEGIN}\n\n{tables.strip()}\n\n{END}{after}", encoding="utf-8")
    part.replace(document)
