"""`tasks.json`: Label Studio's own JSON, importable by it and by `import`, with ghosts and prompts removed.

It holds content only. Numbers and times that belong to one server stand in `origin.jsonl`, so that an import into
another Label Studio exports the same file again.
"""

from __future__ import annotations

from pathlib import Path

from dataset.export.writers.base import ExportTask, Lines, Writer

FILE = "tasks.json"


class LabelStudioWriter(Writer):
    """See the module."""

    needs_masks = False
    needs_sizes = False

    def __init__(self, folder: Path) -> None:
        self._lines = Lines(folder / FILE, array=True)

    def add_task(self, task: ExportTask) -> None:
        self._lines.write({"data": task.data, "annotations": list(task.annotations)})

    def close(self) -> None:
        self._lines.close()
