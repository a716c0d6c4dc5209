"""Typed settings from the environment: read once at the start, frozen, all problems reported together."""

from __future__ import annotations

import ipaddress
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from backend.errors import SettingsError

LOOPBACK = "127.0.0.1"
PIL_HARD_LIMIT = 178_956_970  # Pillow itself refuses images above this many pixels


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _existing_folder(path: Path) -> Path:
    if not path.is_dir():
        raise ValueError(f"{path} is not a folder; mount the image folder there or name another one")
    return path


class Settings(BaseSettings):
    """What the environment can say. A field's upper-case name is the variable; empty means not given."""

    model_config = SettingsConfigDict(
        frozen=True, hide_input_in_errors=True, env_ignore_empty=True, extra="ignore", validate_default=True
    )

    host: Annotated[
        str | None,
        Field(description="address to listen on; default 0.0.0.0 with a password, and without one 127.0.0.1 alone"),
    ] = None
    port: Annotated[int, Field(ge=0, le=65535, description="TCP port; 0 takes a free one")] = 9090
    socket: Annotated[
        Path | None, Field(description="a socket in the file system to listen on, in place of HOST and PORT")
    ] = None
    stop_seconds: Annotated[
        int, Field(ge=1, le=600, description="how long requests under way may take when the process is to end")
    ] = 8  # below the 10 s that Docker grants
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
    sam2_engine: Annotated[
        Literal["auto", "torch", "openvino"],
        Field(description="what computes; `auto`: torch on CUDA, else OpenVINO where its masks are those of torch"),
    ] = "auto"
    local_files_document_root: Annotated[
        Path,
        AfterValidator(_existing_folder),
        Field(description="the shared image folder, the same mount as Label Studio's, read only"),
    ] = Path("/label-studio/files")
    label_studio_url: Annotated[
        str | None, Field(pattern=r"^https?://", description="Label Studio as this process reaches it")
    ] = None
    label_studio_public_url: Annotated[
        str | None, Field(pattern=r"^https?://", description="Label Studio as tasks may name it, LABEL_STUDIO_HOST")
    ] = None
    label_studio_api_key: Annotated[
        SecretStr | None, Field(description="personal or legacy token, for images that are not in the shared folder")
    ] = None
    label_studio_api_key_file: Annotated[
        Path | None, Field(description="a file with the token instead; it may come later, and change")
    ] = None
    backend_password_file: Annotated[
        Path | None,
        Field(
            description="a file with the password that all but `GET /health` asks for; it may come later, and change"
        ),
    ] = None
    image_hosts_allowed: Annotated[
        str, Field(description="`host` or `host:port`, by commas: private addresses that images may come from")
    ] = ""
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], Field(description="how much the log holds")] = (
        "INFO"
    )
    image_pixel_limit: Annotated[
        int, Field(ge=1, le=PIL_HARD_LIMIT, description="larger images are refused before they are decoded")
    ] = 100_000_000
    work_memory_mb: Annotated[
        int, Field(ge=64, description="images and masks in work at once; more wait, and an image above it is refused")
    ] = 512
    request_limit_mb: Annotated[
        int, Field(ge=1, le=256, description="larger requests are refused; Label Studio's own clicks hold all masks")
    ] = 8
    image_download_limit_mb: Annotated[int, Field(ge=1, description="larger files are not fetched")] = 512
    image_cache_dir: Annotated[
        Path | None, Field(description="where fetched images are kept; default EMBEDDING_CACHE_DIR/images")
    ] = None
    image_cache_disk_mb: Annotated[int, Field(ge=1, description="fetched images kept on the disk")] = 4096
    picture_cache_disk_mb: Annotated[
        int, Field(ge=1, description="pictures kept on the disk that were made for browsers, of TIFF and 16-bit files")
    ] = 2048
    image_memory_mb: Annotated[int, Field(ge=0, description="decoded images kept in memory")] = 256
    embedding_cache_dir: Annotated[
        Path | None, Field(description="what outlives a restart: embeddings, fetched images, converted models")
    ] = None
    embedding_cache_memory_mb: Annotated[
        int, Field(ge=0, description="embeddings kept where the model runs (4 to 16 MB an image)")
    ] = 1024
    embedding_cache_disk_mb: Annotated[int, Field(ge=0, description="embeddings kept on the disk; 0 keeps none")] = (
        20480
    )
    embedding_cache_shared_dir: Annotated[
        Path | None,
        Field(description="a folder that several hosts share, as over NFS, where each finds what another has encoded"),
    ] = None
    embedding_cache_shared_mb: Annotated[
        int, Field(ge=1, description="embeddings kept in EMBEDDING_CACHE_SHARED_DIR, of all hosts together")
    ] = 102400
    mask_memory_mb: Annotated[int, Field(ge=0, description="masks kept to refine from; 0 starts each anew")] = 64
    mask_feedback: Annotated[
        Literal["always", "positive", "never"],
        Field(description="start a refined mask from the one before: always, unless a negative point came, never"),
    ] = "always"
    box_memory_seconds: Annotated[
        float, Field(ge=0, le=3600, description="how long a box counts for points that are sent after it")
    ] = 120.0
    polygon_tolerance_pixels: Annotated[
        float,
        Field(
            ge=0.1,
            le=100,
            description="polygon's distance to the edge; projects choose this and the next four in `extra_params`",
        ),
    ] = 1.5
    mask_fill_holes_pixels: Annotated[int, Field(ge=0, description="holes up to this area are filled")] = 0
    mask_remove_specks_pixels: Annotated[int, Field(ge=0, description="parts up to this area are removed")] = 0
    mask_keep: Annotated[Literal["all", "largest", "clicked"], Field(description="which parts of a mask are kept")] = (
        "all"
    )
    crop_small_objects: Annotated[bool, Field(description="look again, closer, at small objects")] = False
    prewarm_neighbours: Annotated[
        int, Field(ge=0, le=100, description="images after the opened one that are encoded ahead")
    ] = 3
    embed_batch: Annotated[
        int | None, Field(ge=1, le=64, description="images in one encoder run of a batch; default 1, on CUDA 8")
    ] = None
    model_wait_seconds: Annotated[
        float,
        Field(gt=0, le=90, description="how long a click waits for a loading model (Label Studio: 100 s)"),
    ] = 60.0
    click_deadline_seconds: Annotated[
        float, Field(gt=0, le=99, description="how long a click may take in all (Label Studio: 100 s)")
    ] = 90.0
    click_limit: Annotated[int, Field(ge=1, le=1000, description="clicks worked on or waiting; more are refused")] = 64

    @property
    def address(self) -> str:
        """Where to listen."""
        everywhere = "0.0.0.0"  # noqa: S104 - a container's only way
        return self.host or (LOOPBACK if self.backend_password_file is None else everywhere)

    @field_validator("backend_password_file")
    @classmethod
    def _closed_where_others_get_in(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        host = info.data.get("host")
        if path is None and host is not None and not _is_loopback(host):
            raise ValueError(
                f"HOST is {host}, which others can reach, and no password is set: name a file that holds one, or "
                f"listen on {LOOPBACK}"
            )
        return path

    @field_validator("sam2_checkpoint")
    @classmethod
    def _checkpoint_of_custom(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if info.data.get("sam2_model") != "custom":
            return path
        if path is None:
            raise ValueError("SAM2_MODEL=custom needs the path of the weights here")
        if not path.is_file():
            raise ValueError(f"{path} is not a file")
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
