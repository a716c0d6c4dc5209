"""The settings of the SAM2 backend that `.env` may hold, as `BACKEND_<name>`; they reach its container and no other.

The backend itself checks the values when it starts, and explains them all (`backend/settings.py`, docs/backend.md).
Not here is what the stack itself decides: addresses, folders, the model.
"""

from __future__ import annotations

from collections.abc import Mapping

PREFIX = "BACKEND_"
PASSED_ON = (
    "SAM2_DEVICE",
    "SAM2_ENGINE",
    "LABEL_STUDIO_PUBLIC_URL",
    "IMAGE_HOSTS_ALLOWED",
    "LOG_LEVEL",
    "IMAGE_PIXEL_LIMIT",
    "IMAGE_DOWNLOAD_LIMIT_MB",
    "IMAGE_CACHE_DISK_MB",
    "IMAGE_MEMORY_MB",
    "EMBEDDING_CACHE_MEMORY_MB",
    "EMBEDDING_CACHE_DISK_MB",
    "MASK_MEMORY_MB",
    "MASK_FEEDBACK",
    "BOX_MEMORY_SECONDS",
    "POLYGON_TOLERANCE_PIXELS",
    "MASK_FILL_HOLES_PIXELS",
    "MASK_REMOVE_SPECKS_PIXELS",
    "MASK_KEEP",
    "CROP_SMALL_OBJECTS",
    "PREWARM_NEIGHBOURS",
    "EMBED_BATCH",
    "MODEL_WAIT_SECONDS",
    "CLICK_DEADLINE_SECONDS",
    "CLICK_LIMIT",
)


def backend_names() -> tuple[str, ...]:
    """The names as `.env` has them."""
    return tuple(PREFIX + name for name in PASSED_ON)


def backend_environment(given: Mapping[str, str]) -> dict[str, str]:
    """What the container gets, without the prefix, in the order of `PASSED_ON`.

    It goes into a compose file and not into an env file: compose leaves an env file's content out of the hash that
    `config --hash` prints and takes it into the one it labels the container with, so the two would never agree.

    Args:
        given: by the name in `.env`.
    """
    return {name: given[PREFIX + name] for name in PASSED_ON if PREFIX + name in given}
