"""Typed settings from the environment: read once at the start, frozen, all problems reported together."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from backend.errors import SettingsError

PIL_HARD_LIMIT = 178_956_970  # Pillow itself refuses images above this many pixels


def _existing_folder(path: Path) -> Path:
    if not path.is_dir():
        raise ValueError(f"{path} is no folder; mount the image folder there or name another one")
    return path


class Settings(BaseSettings):
    """What the environment can say. A field's upper-case name is the variable; empty means not given."""

    model_config = SettingsConfigDict(
        frozen=True, hide_input_in_errors=True, env_ignore_empty=True, extra="ignore", validate_default=True
    )

    host: Annotated[str, Field(description="address to listen on")] = "0.0.0.0"  # noqa: S104 - a container's only way
    port: Annotated[int, Field(ge=0, le=65535, description="TCP port; 0 takes a free one")] = 9090
    sam2_model: Annotated[
        Literal["auto", "demo", "tiny", "small", "base-plus", "large", "custom"],
        Field(description="`auto` takes the best checkpoint present in SAM2_MODEL_DIR, else the demo model"),
    ] = "auto"
    sam2_model_dir: Annotated[Path, Field(description="where the checkpoints lie")] = Path("/models")
    sam2_checkpoint: Annotated[Path | None, Field(description="`custom` only: the weights")] = None
    sam2_config: Annotated[
        str | None,
        Field(description="`custom` only: a YAML file, or a configuration of the sam2 package"),
    ] = None
    sam2_device: Annotated[Literal["auto", "cuda", "cpu"], Field(description="where the model runs")] = "auto"
    local_files_document_root: Annotated[
        Path,
        AfterValidator(_existing_folder),
        Field(description="the shared image folder, the same mount as Label Studio's, read only"),
    ] = Path("/label-studio/files")
    label_studio_url: Annotated[
        str | None, Field(pattern=r"^https?://", description="not used yet: images come from the mount")
    ] = None
    label_studio_api_key: Annotated[SecretStr | None, Field(description="not used yet")] = None
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], Field()] = "INFO"
    image_pixel_limit: Annotated[
        int, Field(ge=1, le=PIL_HARD_LIMIT, description="larger images are refused before they are decoded")
    ] = 100_000_000
    model_wait_seconds: Annotated[
        float,
        Field(gt=0, le=90, description="how long a click waits for a loading model (Label Studio: 100 s)"),
    ] = 60.0
    click_threads: Annotated[int, Field(ge=1, le=64, description="clicks worked on at a time")] = 8

    @field_validator("sam2_checkpoint")
    @classmethod
    def _checkpoint_of_custom(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if info.data.get("sam2_model") != "custom":
            return path
        if path is None:
            raise ValueError("SAM2_MODEL=custom needs the path of the weights here")
        if not path.is_file():
            raise ValueError(f"{path} is no file")
        return path

    @field_validator("sam2_config")
    @classmethod
    def _config_of_custom(cls, config: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("sam2_model") != "custom":
            return config
        if config is None:
            raise ValueError("SAM2_MODEL=custom needs the model's YAML here")
        if config_path(config) is None:
            raise ValueError(f"{config} is neither a file nor a configuration of the sam2 package")
        return config


def config_path(config: str) -> Path | None:
    """Find a model configuration: a file, or a name inside the sam2 package (which is not imported)."""
    if Path(config).is_file():
        return Path(config).resolve()
    package = find_spec("sam2")
    for folder in (package.submodule_search_locations or ()) if package else ():
        inside = Path(folder) / config
        if inside.is_file():
            return inside
    return None


def load_settings() -> Settings:
    """Read the environment.

    Raises:
        SettingsError: one line for each variable that cannot be used; values are not repeated.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, one['loc'])).upper()}: {one['msg'].removeprefix('Value error, ')}"
            for one in error.errors(include_input=False, include_url=False)
        ]
    raise SettingsError(problems)
