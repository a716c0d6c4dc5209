"""What must be done before Label Studio serves: migrations, the first user, and its static files for the proxy."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import os
import shutil
from pathlib import Path
from typing import Any

STATIC_FOLDER = "LABELRIG_STATIC_FOLDER"
CURRENT = "current"
MAINTENANCE = "maintenance"  # what tells the proxy to show its page: not ours to remove
SMALLER = (".js", ".css", ".svg", ".json", ".wasm")
WORTH_IT = 4096
LEFT_OUT = (".map", ".gz")


def prepare() -> None:
    """Do it all; each part only where it is not done yet. Label Studio is loaded already."""
    server = importlib.import_module("label_studio.server")
    server._apply_database_migrations()
    arguments = importlib.import_module("label_studio.core.argparser").parse_input_args(["start"])
    if server.get_env("USERNAME") and server.get_env("PASSWORD"):
        server._create_user(arguments, {})
    importlib.import_module("django.core.management").call_command("clearsessions")
    folder = os.environ.get(STATIC_FOLDER)
    if folder and Path(folder).is_dir():
        publish(_sources(importlib.import_module("django.conf").settings), Path(folder))
    # The processes that are split off now open connections of their own; what they all need is loaded once.
    importlib.import_module("django.urls").get_resolver().url_patterns  # noqa: B018 - loads them
    importlib.import_module("django.db").connections.close_all()


def _sources(settings: Any) -> dict[str, Path]:
    """The folders with static files, by the address that Label Studio serves them at (core/urls.py)."""
    named = {
        "static": settings.STATIC_ROOT,
        "react-app": settings.REACT_APP_ROOT,
        "label-studio-frontend": settings.EDITOR_ROOT,
        "dm": settings.DM_ROOT,
    }
    return {address: path for address, text in named.items() if (path := Path(text).resolve()).is_dir()}


def publish(sources: dict[str, Path], target: Path) -> Path:
    """Copy the static files into `target`, where the proxy reads them as `current`, if they are not there yet.

    Text is there compressed as well. The copy takes its place when it is whole; older ones are removed.
    """
    files = {
        f"{address}/{path.relative_to(folder).as_posix()}": path
        for address, folder in sources.items()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in LEFT_OUT
    }
    place = target / _digest(files)
    if not place.is_dir():
        new = target / f"{place.name}.new"
        shutil.rmtree(new, ignore_errors=True)
        for name, path in files.items():
            copy = new / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            if path.suffix in SMALLER and path.stat().st_size >= WORTH_IT:
                copy.with_name(f"{copy.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 6, mtime=0))
        new.rename(place)
    link = target / f"{CURRENT}.new"
    link.unlink(missing_ok=True)
    link.symlink_to(place.name)
    link.rename(target / CURRENT)
    for old in target.iterdir():
        if old.name not in (place.name, CURRENT, MAINTENANCE):
            shutil.rmtree(old, ignore_errors=True)
    return place


def _digest(files: dict[str, Path]) -> str:
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        seen = path.stat()
        digest.update(f"{name}\0{seen.st_size}\0{int(seen.st_mtime)}\n".encode())
    return digest.hexdigest()[:16]
