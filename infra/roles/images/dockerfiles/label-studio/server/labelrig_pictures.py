"""Files that browsers do not show, or show as flat grey, and the grant for a picture of one by the SAM2 backend.

The backend reads grants in `backend/web/grants.py`. Standard library only.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time

PASSWORD_FILE = "LABELRIG_BACKEND_PASSWORD_FILE"  # noqa: S105 - the name of a variable
SECONDS = 60.0  # a grant is used at once
SNIFFED = 32  # bytes of a file
PNG = b"\x89PNG\r\n\x1a\n"
# First bytes (file(1), and the formats' specifications). What shows of these is for browsers to know:
SHOWN = (b"\xff\xd8\xff", b"GIF8", b"BM", b"<svg", b"<?xml")
# Of these nothing: TIFF and BigTIFF, JPEG 2000 as a file and as a bare stream, Netpbm with PFM.
NOT_SHOWN = (
    *(b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
    *(b"\x00\x00\x00\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
    *(b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"Pf", b"PF"),
)
# Whose names promise such a picture: the backend says why it is none.
ENDINGS = (".tif", ".tiff", ".jp2", ".j2k", ".jpx", ".pbm", ".pgm", ".pnm", ".ppm", ".pfm")


def needs_picture(path: str) -> bool:
    """Whether people must get a picture of this file instead of itself. False where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return starts_as_unshown(file.read(SNIFFED), path)
    except OSError:
        return False


def starts_as_unshown(start: bytes, name: str) -> bool:
    """The same for a file that begins so; of one shorter than `SNIFFED` this is all of it."""
    if start.startswith(PNG):
        return start[12:16] == b"IHDR" and start[24:26] == b"\x10\x00"  # 16 bits of grey alone
    if start.startswith(SHOWN) or _is_container(start):
        return False
    return _is_not_shown(start) or name.lower().endswith(ENDINGS)


def _is_not_shown(start: bytes) -> bool:
    """Two letters and a space are Netpbm; any text may begin with the letters."""
    return start.startswith(NOT_SHOWN) and (not start.startswith(b"P") or start[2:3].isspace() or start[2:3] == b"#")


def _is_container(start: bytes) -> bool:
    """WebP, and AVIF among the files of ISO 14496-12."""
    return (start.startswith(b"RIFF") and start[8:12] == b"WEBP") or start[4:12] in (b"ftypavif", b"ftypavis")


def grant_for(url: str) -> str | None:
    """Leave to see the picture of an image for a minute, as the backend reads it; None where there is no password.

    Args:
        url: as a task names the image: `/data/local-files/?d=...`, `/data/upload/...`, `/tasks/3/resolve/?fileuri=...`.
    """
    try:
        with open(os.environ.get(PASSWORD_FILE, ""), "rb") as file:
            password = file.read().strip()
    except OSError:
        return None
    if not password:
        return None
    body = _text(json.dumps({"url": url, "until": time.time() + SECONDS}).encode())
    key = hashlib.sha256(password).digest()
    return f"{body}.{_text(hmac.new(key, body.encode(), hashlib.sha256).digest())}"


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
