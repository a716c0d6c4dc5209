"""Which file to import, and what reads it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from core.errors import SettingsError
from core.strict_json import parse_json, shown
from dataset.export.labeling import UsedConfig
from dataset.export.manifest import MANIFEST
from dataset.importing.source import Source
from dataset.json_file import JsonFile
from dataset.problems import FileProblems

FILES = {"coco": "annotations.json", "rle-json": "masks.jsonl", "label-studio": "tasks.json"}
COCO_KEYS = ("images", "annotations", "categories")


def find_file(path: Path, format_name: str | None) -> tuple[Path, str]:
    """The file to import, and its format: that of the option, of our manifest, or what the file itself is.

    Raises:
        SettingsError: it is not there, or its format cannot be imported.
    """
    if format_name is not None and format_name not in FILES:
        raise SettingsError(f"{format_name!r} cannot be imported; these can: {', '.join(FILES)}")
    if path.is_dir():
        return _in_folder(path, format_name)
    if not path.is_file():
        raise SettingsError(f"{path}: there is no such file")
    return path, format_name or _format_of(path)


def _in_folder(path: Path, format_name: str | None) -> tuple[Path, str]:
    """An export of ours, or a folder with one JSON file, as Label Studio's COCO export is."""
    manifest = path / MANIFEST
    if format_name is None and manifest.is_file():
        content = parse_json(manifest.read_bytes(), str(manifest))
        said = content.get("format") if isinstance(content, dict) else None
        if not isinstance(said, str):
            raise SettingsError(f"{manifest}: does not say the format of the export; give the file, or --format")
        if said not in FILES:
            raise SettingsError(f"{path} is an export as {said}; these can be imported: {', '.join(FILES)}")
        format_name = said
    if format_name is not None and (path / FILES[format_name]).is_file():
        return path / FILES[format_name], format_name
    found = sorted(one for one in path.glob("*.json") if one.name not in (MANIFEST, "notes.json"))
    if len(found) != 1:
        there = f"there are {', '.join(one.name for one in found[:5])}" if found else "there is no JSON file"
        raise SettingsError(f"{path} has no {MANIFEST} of an export, and {there}; give the file")
    return found[0], format_name or _format_of(found[0])


def _format_of(path: Path) -> str:
    """What a file is, by what stands in it.

    Raises:
        SettingsError: nothing that can be imported.
    """
    start, keys = JsonFile(path).first_keys(COCO_KEYS)
    if start == "{" and keys.intersection(COCO_KEYS):
        return "coco"
    if start == "{" and {"file_name", "regions"} <= keys:
        return "rle-json"
    if start == "[":
        return "label-studio"  # whose reader says what else it is
    raise SettingsError(f"{path}: is not a file that can be imported ({', '.join(FILES)}): {_seen(start, keys)}")


def _seen(start: str, keys: Collection[str]) -> str:
    if not start:
        return "it is not JSON"
    return f"it has {', '.join(map(shown, sorted(keys)[:5]))}" if keys else "it is empty"


def open_source(file: Path, format_name: str, config: UsedConfig, problems: FileProblems) -> Source:
    """Read and check a file.

    Raises:
        SettingsError: it is broken.
    """
    if format_name == "coco":
        from dataset.importing.coco import CocoSource

        return CocoSource(file, problems)
    if format_name == "rle-json":
        from dataset.importing.rle_json import RleJsonSource

        return RleJsonSource(file, problems)
    from dataset.importing.label_studio import LabelStudioSource

    return LabelStudioSource(file, config, problems)
