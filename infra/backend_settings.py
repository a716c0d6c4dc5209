"""The settings of the SAM2 backend that `.env` may hold, as `BACKEND_<name>`; they reach its container and no other.

The backend itself checks the values when it starts, and explains them all (`backend/settings.py`, docs/backend.md).
Not here is what the stack itself decides: addresses, folders, the model.
"""

from __future__ import annotations

from collections.abc import Mapping

import yaml

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


def render_backend(given: Mapping[str, str]) -> bytes:
    """The compose file that adds them to the container's environment, without the prefix.

    Not an env file: compose leaves its content out of the hash that `config --hash` prints and takes it into the
    one it labels the container with, so the two would never agree.

    Args:
        given: by the name in `.env`.
    """
    environment = {name: given[PREFIX + name].replace("$", "$$") for name in PASSED_ON if PREFIX + name in given}
    document = {"services": {"sam2": {"environment": environment}}} if environment else {"services": {}}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True).encode()
