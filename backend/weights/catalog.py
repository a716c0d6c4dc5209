"""The models by name, and which of them this process serves."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field

from backend import __version__
from backend.device import wants_cuda
from backend.errors import SettingsError
from backend.settings import Settings, config_path
from backend.weights import integrity

logger = logging.getLogger(__name__)
PACKAGE = Path(__file__).resolve().parents[1]
# What `auto` serves, out of the checkpoints that are present: quality where a GPU hides the cost, else speed.
SERVED_FIRST = {True: ("large", "base-plus", "small", "tiny"), False: ("tiny", "small", "base-plus", "large")}
# What `auto` fetches where nothing is present.
FETCHED_FIRST = {True: "base-plus", False: "tiny"}


class ModelSpec(BaseModel):
    """One line of `models.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: str
    file: str
    size: int | None = Field(alias="bytes")
    sha256: str | None = Field(pattern=r"^[0-9a-f]{64}$")
    shipped: bool = False

    def checkpoint(self, folder: Path) -> Path:
        """Where the weights lie, given the folder of the downloaded ones."""
        return (PACKAGE if self.shipped else folder) / self.file

    def config_file(self) -> Path | None:
        """Where the YAML lies; None without the sam2 package."""
        return PACKAGE / self.config if self.shipped else config_path(self.config)


class Catalog(BaseModel):
    """`models.yaml`: names, files, checksums."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str
    models: Mapping[str, ModelSpec]


@dataclass(frozen=True)
class ModelFiles:
    """The model that this process serves.

    Attributes:
        sha256: what the checkpoint is expected to hash to (64 hex digits).
        known: True when `sha256` comes from the catalog and must be checked before the weights are used;
            False when it was computed from the file itself.
        variant: tells custom models apart that share their weights: a part of the YAML's SHA-256.
    """

    name: str
    config: Path
    checkpoint: Path
    sha256: str
    known: bool
    variant: str = ""

    @property
    def version(self) -> str:
        """Names the model, the weights and the code: what Label Studio stores with a mask."""
        variant = f"-{self.variant}" if self.variant else ""
        return f"{self.name}@{self.sha256[:8]}{variant}+{__version__}"


def load_catalog(path: Path = PACKAGE / "models.yaml") -> Catalog:
    """Read the table of models."""
    return Catalog.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def choose(settings: Settings, catalog: Catalog) -> ModelFiles:
    """Find the files of the model that the settings ask for.

    Raises:
        SettingsError: the files are not there.
    """
    if settings.sam2_model == "custom":
        return _custom(settings)
    name: str = settings.sam2_model
    if name == "auto":
        name = _present(settings, catalog) or "demo"
        logger.warning("SAM2_MODEL=auto: serving %s", name)
    if name == "demo":
        logger.warning("SERVING THE DEMO MODEL: good for trying labelrig out, not for real images")
    spec = catalog.models[name]
    config, checkpoint = spec.config_file(), spec.checkpoint(settings.sam2_model_dir)
    if config is None or not config.is_file():
        raise SettingsError([f"SAM2_MODEL: the configuration {spec.config} of {name} is missing"])
    if not checkpoint.is_file():
        hint = "" if spec.shipped else f"; run: {fetch_command(name, checkpoint.parent)}"
        raise SettingsError([f"SAM2_MODEL: the weights of {name} are not at {checkpoint}{hint}"])
    sha256 = spec.sha256 or integrity.file_sha256(checkpoint)
    return ModelFiles(name, config, checkpoint, sha256, known=spec.sha256 is not None)


def fetch_command(name: str, folder: Path) -> str:
    """What a person types to get the weights."""
    return f"python -m backend.weights.checkpoints fetch {name} --dir {folder}"


def _custom(settings: Settings) -> ModelFiles:
    config = config_path(settings.sam2_config or "")
    if config is None or settings.sam2_checkpoint is None:
        raise SettingsError(["SAM2_MODEL: custom needs SAM2_CHECKPOINT and SAM2_CONFIG"])
    checkpoint = settings.sam2_checkpoint
    variant = integrity.file_sha256(config)[:8]
    return ModelFiles("custom", config, checkpoint, integrity.file_sha256(checkpoint), known=False, variant=variant)


def _present(settings: Settings, catalog: Catalog) -> str | None:
    order = SERVED_FIRST[wants_cuda(settings.sam2_device)]
    folder = settings.sam2_model_dir
    return next((name for name in order if catalog.models[name].checkpoint(folder).is_file()), None)
