"""What a name of an image in an input file may mean: other tools write it as a URL, with `\\`, with `%20`.

A name becomes paths below an unknown folder, as tuples of their parts. The composed form of Unicode (NFC) stands for
both: macOS writes an accent as a character of its own.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from dataset.export.image_name import IMAGE_SUFFIXES
from labelstudio.image_files import LOCAL_FILES

Parts = tuple[str, ...]

LOCAL_FILES_CALL = re.compile(re.escape(LOCAL_FILES.strip("/")) + r"/?\?")
# What Label Studio puts before the name: of a file that it copies into an export, of an upload.
COPIED = re.compile(r"([0-9a-f]{8})__(?=.)")
PREFIX = re.compile(r"[0-9a-f]{8}(?:__|-)(?=.)")


def parts_of(path: str) -> Parts:
    """The parts of a path that is written with `/`, without `.`, `..` and empty ones, composed."""
    return tuple(unicodedata.normalize("NFC", part) for part in path.split("/") if part.strip() not in ("", ".", ".."))


def spellings(name: str) -> tuple[Parts, ...]:
    """Every path that the name may mean, the likeliest first: as it is written, as a URL or a Windows path, decoded."""
    found = [name]
    call = LOCAL_FILES_CALL.search(name)
    if call is not None:  # Label Studio's COCO has `../../data/local-files/?d=vuelo%201/a.png`
        found.append((parse_qs(name[call.end() :]).get("d") or [""])[-1])
    elif "://" in name:
        found.append(unquote(_path_of(name)))
    if "\\" in name:
        found.append(re.sub(r"^[A-Za-z]:", "", name).replace("\\", "/"))
    found += [unquote(one) for one in found if "%" in one]
    return tuple(dict.fromkeys(filter(None, map(parts_of, found))))


def without_prefix(parts: Parts) -> Parts | None:
    """The path without what Label Studio puts before a name; None where there is no such thing."""
    last = PREFIX.sub("", parts[-1], count=1) if PREFIX.match(parts[-1]) else ""
    return (*parts[:-1], last) if last else None


def without_suffix(parts: Parts) -> Parts | None:
    """The path without the suffix of an image; None where it has none. `frame.001` has none."""
    last = PurePosixPath(parts[-1])
    return (*parts[:-1], last.stem) if last.suffix[1:].lower() in IMAGE_SUFFIXES and last.stem else None


def _path_of(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:  # a broken address of IPv6
        return ""
