"""Exports and imports on the fake Label Studio."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.report import Report
from dataset.export.formats import ExportOptions
from dataset.export.labeling import used_config
from dataset.export.run import Export, ExportSummary
from dataset.export.selection import Selection
from dataset.importing.run import Import, ImportSummary
from dataset.pair_sides import ProjectSides
from labelstudio.models import Project
from tests.unit.labelstudio.annotated import AnnotatedLabelStudio


class ExportBench:
    """One server, one client, one folder to write into."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = AnnotatedLabelStudio()
        self.client = self.server.client()
        self.screen = io.StringIO()
        self.report = Report(self.screen)

    def close(self) -> None:
        self.client.close()

    def export(
        self,
        project: Project,
        format_name: str,
        name: str = "out",
        *,
        selection: Selection | None = None,
        config: tuple[str, int] | None = None,
        repository: Path | None = None,
        classes: Path | None = None,
        sides: ProjectSides | None = None,
        **options: Any,
    ) -> ExportSummary:
        repository = repository or self.folder / "repository"
        config_name, version = config or (None, None)
        one = Export(
            client=self.client,
            project=project,
            config=used_config(repository, project.label_config, project.title, config_name, version),
            selection=selection or Selection(),
            options=ExportOptions(format=format_name, **options),  # type: ignore[arg-type]
            repository=repository,
            report=self.report,
            classes_file=classes or (None if config else self.folder / "classes.lock"),
            sides=sides,
            now=lambda: datetime(2026, 3, 1, tzinfo=UTC),
        )
        return one.run(self.folder / name)

    def import_(self, project: Project, name: str = "out", **options: Any) -> ImportSummary:
        format_name = options.pop("format_name", None)
        return Import(self.client, project, self.report, **options).run(self.folder / name, format_name)

    def shown(self) -> list[str]:
        """The lines on the terminal, but progress."""
        return [line.strip() for line in self.screen.getvalue().splitlines()]

    def json(self, path: str) -> Any:
        return json.loads((self.folder / path).read_text(encoding="utf-8"))

    def lines(self, path: str) -> list[Any]:
        return [json.loads(line) for line in (self.folder / path).read_text(encoding="utf-8").splitlines()]
