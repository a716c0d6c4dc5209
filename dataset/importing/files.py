"""Which file to import, and what reads it."""

from __future__ import annotations

import json
from pathlib import Path

from core.errors import SettingsError
from dataset.export.labeling import UsedConfig
from dataset.export.manifest import MANIFEST
from dataset.importing.source import Source

FILES = {"coco": "annotations.json", "rle-json": "masks.jsonl", "label-studio": "tasks.json"}


def find_file(path: Path, format_name: str | None) -> tuple[Path, str]:
    """The file to import, and its format.

    Raises:
        SettingsError: it is not there, or its format cannot be imported.
    """
    if format_name is not None and format_name not in FILES:
        raise SettingsError(f"{format_name!r} cannot be imported; these can: {', '.join(FILES)}")
    if path.is_dir():
        manifest = path / MANIFEST
        if format_name is None:
            try:
                format_name = str(json.loads(manifest.read_text(encoding="utf-8"))["format"])
            except (OSError, ValueError, KeyError, TypeError):
                raise SettingsError(f"{path} has no {MANIFEST} of an export; give the file, or --format") from None
        if format_name not in FILES:
            raise SettingsError(f"{path} is an export as {format_name}; these can be imported: {', '.join(FILES)}")
        path = path / FILES[format_name]
    if not path.is_file():
        raise SettingsError(f"{path}: there is no such file")
    if format_name is None:
        format_name = next((name for name, file in FILES.items() if file == path.name), None)
    if format_name is None:
        raise SettingsError(f"{path}: say what it is: --format {', '.join(FILES)}")
    return path, format_name


def open_source(file: Path, format_name: str, config: UsedConfig) -> Source:
    """Read and check a file.

    Raises:
        SettingsError: it is broken.
    """
    if format_name == "coco":
        from dataset.importing.coco import CocoSource

        return CocoSource(file)
    if format_name == "rle-json":
        from dataset.importing.rle_json import RleJsonSource

        return RleJsonSource(file)
    from dataset.importing.label_studio import LabelStudioSource

    return LabelStudioSource(file, config)
