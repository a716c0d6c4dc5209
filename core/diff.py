"""Differences of files for a person to read, with every secret masked."""

from __future__ import annotations

import difflib
import re

SECRET_NAMES = (
    "LABEL_STUDIO_PASSWORD",
    "LABEL_STUDIO_SECRET_KEY",
    "LABELRIG_POSTGRES_PASSWORD",
    "LABELRIG_CLUSTER_TOKEN",
)
SECRET_LINE = re.compile(rf"^({'|'.join(SECRET_NAMES)})=.*$", re.MULTILINE)


def masked(text: str) -> str:
    """Return `text` with the value of every secret replaced."""
    return SECRET_LINE.sub(r"\1=(secret)", text)


def masked_diff(path: str, old: bytes, new: bytes) -> str:
    """Return a unified diff of two versions of a file, secrets masked on both sides."""
    before, after = (masked(content.decode("utf-8", "replace")).splitlines() for content in (old, new))
    return "\n".join(difflib.unified_diff(before, after, f"{path} (now)", f"{path} (new)", lineterm=""))
