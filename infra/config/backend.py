"""The settings of the SAM2 backend that `.env` (as `BACKEND_<name>`) and the inventory (`backend`) may hold.

The backend is a program of its own and not imported here. It checks the values when it starts, which is after
everything was built: so they are checked here too, by the same rules. A test compares this table with
`backend/settings.py`. Not here is what the stack itself decides: addresses, folders, the model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

PREFIX = "BACKEND_"
HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?")


@dataclass(frozen=True)
class Kind:
    """What a value may be: in words, and as the type that reads its text."""

    words: str
    type: Any


@dataclass(frozen=True)
class BackendSetting:
    """One setting: the default as an environment variable holds it, what it may be, and what it is for."""

    default: str
    values: Kind
    text: str

    @property
    def kind(self) -> str:
        """What a value may be, in words."""
        return self.values.words

    def accepts(self, value: str) -> bool:
        """Whether the backend will take this text; an empty one means not given."""
        if not value:
            return True
        try:
            TypeAdapter(self.values.type).validate_python(value)
        except ValidationError:
            return False
        return value.isprintable()


def _one_of(*values: str) -> Kind:
    return Kind(f"{', '.join(values[:-1])} or {values[-1]}", Annotated[str, Field(pattern=f"^(?:{'|'.join(values)})$")])


def _whole(least: int, most: int | None = None) -> Kind:
    words = f"{least} or more" if most is None else f"{least} to {most}"
    return Kind(f"whole number, {words}", Annotated[int, Field(ge=least, le=most)])


def _number(least: float, most: float) -> Kind:
    return Kind(f"number, {least} to {most}", Annotated[float, Field(ge=least, le=most)])


def _above(least: float, most: float) -> Kind:
    return Kind(f"number above {least}, up to {most}", Annotated[float, Field(gt=least, le=most)])


def _hosts(text: str) -> str:
    """As the backend reads `IMAGE_HOSTS_ALLOWED`."""
    for entry in filter(None, (one.strip() for one in text.split(","))):
        match = HOST.fullmatch(entry)
        if match is None or (match[1] is not None and not 1 <= int(match[1]) <= 65535):
            raise ValueError("not a host or host:port")
    return text


FLAG = Kind("true or false", bool)
HOSTS = Kind("text", Annotated[str, AfterValidator(_hosts)])
ADDRESS = Kind("http or https address", Annotated[str, Field(pattern="^https?://")])

# fmt: off
BACKEND_SETTINGS: Mapping[str, BackendSetting] = {
    "SAM2_DEVICE": BackendSetting("auto", _one_of("auto", "cuda", "cpu"), "where the model runs"),
    "SAM2_ENGINE": BackendSetting("auto", _one_of("auto", "torch", "openvino"),
        "what computes; `auto`: torch on CUDA, else OpenVINO where its masks are those of torch"),
    "LABEL_STUDIO_PUBLIC_URL": BackendSetting("", ADDRESS,
        "Label Studio as tasks may name it, LABEL_STUDIO_HOST"),
    "IMAGE_HOSTS_ALLOWED": BackendSetting("", HOSTS,
        "`host` or `host:port`, by commas: private addresses that images may come from"),
    "LOG_LEVEL": BackendSetting("INFO", _one_of("DEBUG", "INFO", "WARNING", "ERROR"), "how much the log holds"),
    "IMAGE_PIXEL_LIMIT": BackendSetting("100000000", _whole(1, 178956970),
        "larger images are refused before they are decoded"),
    "WORK_MEMORY_MB": BackendSetting("512", _whole(64),
        "images and masks in work at once; more wait, and an image above it is refused"),
    "REQUEST_LIMIT_MB": BackendSetting("8", _whole(1, 256),
        "larger requests are refused; Label Studio's own clicks hold all masks"),
    "IMAGE_DOWNLOAD_LIMIT_MB": BackendSetting("512", _whole(1), "larger files are not fetched"),
    "IMAGE_CACHE_DISK_MB": BackendSetting("4096", _whole(1), "fetched images kept on the disk"),
    "PICTURE_CACHE_DISK_MB": BackendSetting("2048", _whole(1),
        "pictures kept on the disk that were made for browsers, of TIFF and 16-bit files"),
    "IMAGE_MEMORY_MB": BackendSetting("256", _whole(0), "decoded images kept in memory"),
    "EMBEDDING_CACHE_MEMORY_MB": BackendSetting("1024", _whole(0),
        "embeddings kept where the model runs (4 to 16 MB an image)"),
    "EMBEDDING_CACHE_DISK_MB": BackendSetting("20480", _whole(0),
        "embeddings kept on the disk; 0 keeps none"),
    "EMBEDDING_CACHE_SHARED_MB": BackendSetting("102400", _whole(1),
        "embeddings kept in EMBEDDING_CACHE_SHARED_DIR, of all hosts together"),
    "MASK_MEMORY_MB": BackendSetting("64", _whole(0), "masks kept to refine from; 0 starts each anew"),
    "MASK_FEEDBACK": BackendSetting("always", _one_of("always", "positive", "never"),
        "start a refined mask from the one before: always, unless a negative point came, never"),
    "BOX_MEMORY_SECONDS": BackendSetting("120.0", _number(0, 3600),
        "how long a box counts for points that are sent after it"),
    "POLYGON_TOLERANCE_PIXELS": BackendSetting("1.5", _number(0.1, 100),
        "polygon's distance to the edge; projects choose this and the next four in `extra_params`"),
    "MASK_FILL_HOLES_PIXELS": BackendSetting("0", _whole(0), "holes up to this area are filled"),
    "MASK_REMOVE_SPECKS_PIXELS": BackendSetting("0", _whole(0), "parts up to this area are removed"),
    "MASK_KEEP": BackendSetting("all", _one_of("all", "largest", "clicked"), "which parts of a mask are kept"),
    "CROP_SMALL_OBJECTS": BackendSetting("false", FLAG, "look again, closer, at small objects"),
    "PREWARM_NEIGHBOURS": BackendSetting("3", _whole(0, 100),
        "images after the opened one that are encoded ahead"),
    "EMBED_BATCH": BackendSetting("", _whole(1, 64),
        "images in one encoder run of a batch; default 1, on CUDA 8"),
    "MODEL_WAIT_SECONDS": BackendSetting("60.0", _above(0, 90),
        "how long a click waits for a loading model (Label Studio: 100 s)"),
    "CLICK_DEADLINE_SECONDS": BackendSetting("90.0", _above(0, 99),
        "how long a click may take in all (Label Studio: 100 s)"),
    "CLICK_LIMIT": BackendSetting("64", _whole(1, 1000), "clicks worked on or waiting; more are refused"),
}
# fmt: on


def backend_names() -> tuple[str, ...]:
    """The names as `.env` has them."""
    return tuple(PREFIX + name for name in BACKEND_SETTINGS)


def backend_problems(given: Mapping[str, str]) -> dict[str, str]:
    """What is wrong with values, by the backend's names: the kind that each must have."""
    return {name: one.kind for name, one in BACKEND_SETTINGS.items() if name in given and not one.accepts(given[name])}


def backend_environment(given: Mapping[str, str]) -> dict[str, str]:
    """What the container gets, in the order of `BACKEND_SETTINGS`.

    It goes into a compose file and not into an env file: compose leaves an env file's content out of the hash that
    `config --hash` prints and takes it into the one it labels the container with, so the two would never agree.

    Args:
        given: by the backend's name.
    """
    return {name: given[name] for name in BACKEND_SETTINGS if name in given}
