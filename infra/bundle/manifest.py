"""What a bundle says of itself, and where its parts lie in it.

A bundle is a plain tar of one folder. `sha256sum -c SHA256SUMS` in that folder checks it without us; `packages/` is an
apt source, `images/` are archives for `docker load`, `wheels/` is a folder for pip's `--find-links`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import SettingsError

TOP = "labelrig-bundle"
MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
IMAGES = "images"
PACKAGES = "packages"
PACKAGE_INDEX = f"{PACKAGES}/Packages"
MODELS = "models"
WHEELS = "wheels"
PARTS = (WHEELS, MODELS, PACKAGES, IMAGES)  # in the order of the file: what is looked for alone comes first


class BundledImage(BaseModel):
    """The image of a service: its `tag`, and the file in the bundle that `docker save` wrote."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tag: str
    file: str


class Manifest(BaseModel):
    """What is in a bundle.

    Attributes:
        labelrig: the version that made it.
        commit: 40 hex digits; zeros where it was made from no clone.
        made: when, ISO 8601 in UTC.
        system: the system whose packages are in it, such as "debian12".
        machine: the processor, as `uname -m` prints it.
        base: what its images are built on.
        images: service -> image.
        packages: Debian package -> version.
        models: model -> the file of its weights in the bundle. The demo model is in an image.
        pythons: the versions of Python that its wheels are for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    labelrig: str
    commit: str = Field(pattern=r"^[0-9a-f]{40}$")
    dirty: bool
    made: str
    system: str
    machine: str
    base: Literal["official", "debootstrap"]
    images: Mapping[str, BundledImage]
    packages: Mapping[str, str]
    models: Mapping[str, str] = Field(default_factory=dict)
    pythons: tuple[str, ...] = ()


def read_manifest(content: bytes, path: object) -> Manifest:
    """Read the manifest of a bundle.

    Raises:
        SettingsError: it is damaged, or of another format.
    """
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        where = ".".join(str(one) for one in error.errors(include_input=False)[0]["loc"]) or "its text"
        raise SettingsError(
            f"{path}: its {MANIFEST} cannot be read ({where}): the file is damaged, or another version of labelrig "
            "made it; make it again with `./inv bundle.create`"
        ) from None
