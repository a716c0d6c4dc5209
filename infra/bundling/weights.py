"""The weights of a bundle: fetched, resumed and verified by the backend's own downloader, in its image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast, get_args

from core.errors import SettingsError
from core.report import Report
from core.strict_yaml import parse_yaml
from hosts.base import Host
from infra.bundle.manifest import MODELS
from infra.config.settings import Settings
from infra.config.stack_settings import Model
from infra.roles.stack.model import choose_model

CATALOG = Path("backend") / "models.yaml"


def named_models(given: Sequence[str]) -> tuple[Model, ...]:
    """The models of a command line, without the demo model, which is in the image.

    Raises:
        SettingsError: one is not a model.
    """
    known = [name for name in get_args(Model) if name != "auto"]
    if wrong := [name for name in given if name not in known]:
        raise SettingsError(f"--model {wrong[0]}: must be one of {', '.join(known)}")
    return tuple(dict.fromkeys(name for name in given if name != "demo"))  # type: ignore[misc]


def weight_files(repository: Path, models: Sequence[str]) -> dict[str, str]:
    """Model -> the name of its weights' file, as the backend's table has it."""
    return {name: str(_catalog(repository)[name]["file"]) for name in models}


def weight_sizes(repository: Path, models: Sequence[str]) -> dict[str, int]:
    """Model -> the bytes of its weights, as far as the backend's table has them."""
    return {name: _catalog(repository)[name]["bytes"] or 0 for name in models}


def fetch_weights(
    here: Host,
    repository: Path,
    settings: Settings,
    image: str,
    folder: Path,
    work: Path,
    models: Sequence[Model],
    report: Report,
) -> dict[str, str]:
    """Bring weights into `models/` of a folder.

    Args:
        settings: where they are downloaded from.
        image: the backend's.
        work: for the files that compose reads.

    Returns:
        Model -> its file in the bundle.

    Raises:
        LabelrigError: they cannot be had; what was downloaded so far is kept.
    """
    there = folder / MODELS
    there.mkdir(parents=True, exist_ok=True)
    names = weight_files(repository, models)
    for model in models:
        # The container runs as us, so that what it writes is ours.
        fetching = settings.model_copy(update={"model": model, "uid": os.getuid()})
        choose_model(here, fetching, image, str(work), report, folder=str(there))
    for path in there.iterdir():
        if path.name not in names.values():
            path.unlink()  # locks and marks of the downloader, weights of an earlier choice
    return {name: f"{MODELS}/{file}" for name, file in names.items()}


def _catalog(repository: Path) -> dict[str, dict[str, Any]]:
    text = (repository / CATALOG).read_text("utf-8")
    found = cast(dict[str, dict[str, dict[str, Any]]], parse_yaml(text, str(CATALOG)))
    return found["models"]
