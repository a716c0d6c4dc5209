"""The settings of the SAM2 backend that `.env` (as `BACKEND_<name>`) and the inventory (`backend`) may hold.

The backend is a program of its own and not imported here: it checks the values when it starts. A test compares this
table with `backend/settings.py`. Not here is what the stack itself decides: addresses, folders, the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "BACKEND_"


@dataclass(frozen=True)
class BackendSetting:
    """One setting: the default as an environment variable holds it, the kind in words, and what it is for."""

    default: str
    kind: str
    text: str


# fmt: off
BACKEND_SETTINGS: Mapping[str, BackendSetting] = {
    "SAM2_DEVICE": BackendSetting("auto", "auto, cuda or cpu", "where the model runs"),
    "SAM2_ENGINE": BackendSetting("auto", "auto, torch or openvino",
        "what computes; `auto`: torch on CUDA, else OpenVINO where its masks are those of torch"),
    "LABEL_STUDIO_PUBLIC_URL": BackendSetting("", "http or https address",
        "Label Studio as tasks may name it, LABEL_STUDIO_HOST"),
    "IMAGE_HOSTS_ALLOWED": BackendSetting("", "text",
        "`host` or `host:port`, by commas: private addresses that images may come from"),
    "LOG_LEVEL": BackendSetting("INFO", "DEBUG, INFO, WARNING or ERROR", "how much the log holds"),
    "IMAGE_PIXEL_LIMIT": BackendSetting("100000000", "whole number, 1 to 178956970",
        "larger images are refused before they are decoded"),
    "IMAGE_DOWNLOAD_LIMIT_MB": BackendSetting("512", "whole number, 1 or more", "larger files are not fetched"),
    "IMAGE_CACHE_DISK_MB": BackendSetting("4096", "whole number, 1 or more", "fetched images kept on the disk"),
    "IMAGE_MEMORY_MB": BackendSetting("256", "whole number, 0 or more", "decoded images kept in memory"),
    "EMBEDDING_CACHE_MEMORY_MB": BackendSetting("1024", "whole number, 0 or more",
        "embeddings kept where the model runs (4 to 16 MB an image)"),
    "EMBEDDING_CACHE_DISK_MB": BackendSetting("20480", "whole number, 0 or more",
        "embeddings kept on the disk; 0 keeps none"),
    "MASK_MEMORY_MB": BackendSetting("64", "whole number, 0 or more", "masks kept to refine from; 0 starts each anew"),
    "MASK_FEEDBACK": BackendSetting("always", "always, positive or never",
        "start a refined mask from the one before: always, unless a negative point came, never"),
    "BOX_MEMORY_SECONDS": BackendSetting("120.0", "number, 0 to 3600",
        "how long a box counts for points that are sent after it"),
    "POLYGON_TOLERANCE_PIXELS": BackendSetting("1.5", "number, 0.1 to 100",
        "polygon's distance to the edge; projects choose this and the next four in `extra_params`"),
    "MASK_FILL_HOLES_PIXELS": BackendSetting("0", "whole number, 0 or more", "holes up to this area are filled"),
    "MASK_REMOVE_SPECKS_PIXELS": BackendSetting("0", "whole number, 0 or more", "parts up to this area are removed"),
    "MASK_KEEP": BackendSetting("all", "all, largest or clicked", "which parts of a mask are kept"),
    "CROP_SMALL_OBJECTS": BackendSetting("false", "true or false", "look again, closer, at small objects"),
    "PREWARM_NEIGHBOURS": BackendSetting("3", "whole number, 0 to 100",
        "images after the opened one that are encoded ahead"),
    "EMBED_BATCH": BackendSetting("", "whole number, 1 to 64",
        "images in one encoder run of a batch; default 1, on CUDA 8"),
    "MODEL_WAIT_SECONDS": BackendSetting("60.0", "number above 0, up to 90",
        "how long a click waits for a loading model (Label Studio: 100 s)"),
    "CLICK_DEADLINE_SECONDS": BackendSetting("90.0", "number above 0, up to 99",
        "how long a click may take in all (Label Studio: 100 s)"),
    "CLICK_LIMIT": BackendSetting("64", "whole number, 1 to 1000", "clicks worked on or waiting; more are refused"),
}
# fmt: on


def backend_names() -> tuple[str, ...]:
    """The names as `.env` has them."""
    return tuple(PREFIX + name for name in BACKEND_SETTINGS)


def backend_environment(given: Mapping[str, str]) -> dict[str, str]:
    """What the container gets, in the order of `BACKEND_SETTINGS`.

    It goes into a compose file and not into an env file: compose leaves an env file's content out of the hash that
    `config --hash` prints and takes it into the one it labels the container with, so the two would never agree.

    Args:
        given: by the backend's name.
    """
    return {name: given[name] for name in BACKEND_SETTINGS if name in given}
