"""The one question to a registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from docker.errors import NotFound

from hosts.local import LocalHost
from infra.roles.images import registry as module
from infra.roles.images.registry import registry_answers
from infra.roles.images.tags import OfficialImages

AMD64, ARM64 = {"os": "linux", "architecture": "amd64"}, {"os": "linux", "architecture": "arm64", "variant": "v8"}
ATTESTATION = {"os": "unknown", "architecture": "unknown"}


@dataclass
class Data:
    attrs: Mapping[str, Any]


@dataclass
class Engine:
    """An engine of one processor, and what a registry has for which processors."""

    architecture: str
    platforms: Mapping[str, list[dict[str, str]]]
    asked: list[str] = field(default_factory=list)

    @property
    def images(self) -> Engine:
        return self

    def version(self) -> dict[str, str]:
        return {"Arch": self.architecture}

    def get_registry_data(self, reference: str) -> Data:
        self.asked.append(reference)
        if reference not in self.platforms:
            raise NotFound("manifest unknown")
        return Data({"Platforms": self.platforms[reference]})

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("architecture", "platforms", "answers"),
    [
        ("amd64", {"a": [AMD64, ARM64, ATTESTATION], "b": [AMD64]}, True),
        ("arm64", {"a": [AMD64, ARM64], "b": [ARM64]}, True),
        ("arm64", {"a": [AMD64, ARM64], "b": [AMD64]}, False),
        ("amd64", {"a": [ATTESTATION], "b": [AMD64]}, False),
        ("amd64", {"b": [AMD64]}, False),
    ],
    ids=["both", "with a variant", "another processor's", "no image", "a digest that is not there"],
)
def test_it_must_have_each_image_for_the_processor(
    monkeypatch: pytest.MonkeyPatch, architecture: str, platforms: dict[str, list[dict[str, str]]], answers: bool
) -> None:
    engine = Engine(architecture, platforms)
    monkeypatch.setattr(module, "engine_client", lambda *_: engine)
    assert registry_answers(LocalHost(), ["a", "b"]) is answers


def test_published_images_are_named_by_digest() -> None:
    assert all("@sha256:" in one for one in (OfficialImages().label_studio, OfficialImages().python))
