"""The figures as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from demo.scenes import STYLES
from tools.quality import prompt_kinds, small_objects
from tools.quality.small_objects import Looked

COLUMNS = ("all", *STYLES)
Figures = dict[str, dict[str, float]]


def figures(looked: Sequence[tuple[str, prompt_kinds.Scores]]) -> Figures:
    """Means over scenes: ``{row: {style or "all": value}}``, values in [0, 1]; a style without a value is absent."""
    table: Figures = {}
    for row in prompt_kinds.ROWS:
        values = {
            column: [value for style, scores in looked if column in ("all", style) for value in scores.get(row, [])]
            for column in COLUMNS
        }
        table[row] = {column: float(np.mean(of_column)) for column, of_column in values.items() if of_column}
    return table


def prompts_table(table: Figures) -> str:
    """One row for each kind of prompt, one column for each style; IoU with three decimals, shares in percent."""
    lines = ["| prompt, mean IoU | " + " | ".join(COLUMNS) + " |", "| --- |" + " ---: |" * len(COLUMNS)]
    for row, text in prompt_kinds.ROWS.items():
        form = "{:.1%}" if text.endswith("share") else "{:.3f}"
        cells = [form.format(table[row][column]) if column in table[row] else "-" for column in COLUMNS]
        lines.append(f"| {text} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def crops_table(found: Sequence[Looked]) -> str:
    """One row for each class of size, point and box side by side."""
    lines = [
        "| longer side in cells | objects | point, whole image | point, always a piece | point, as shipped "
        "| box, whole image | box, always a piece | box, as shipped |",
        "| --- |" + " ---: |" * 7,
    ]
    by_point, by_box = (small_objects.by_size(found, kind) for kind in ("point", "box"))
    for (name, count, *point), (_, _, *box) in zip(by_point, by_box, strict=True):
        cells = " | ".join(f"{value:.3f}" for value in (*point, *box))
        lines.append(f"| {name} | {count} | {cells} |")
    return "\n".join(lines) + "\n"
