"""Which images go once a newer build of the same files has replaced them."""

from __future__ import annotations

import pytest
from docker.errors import APIError

from core.repository import REPOSITORY
from hosts.local import LocalHost
from infra.roles.images import remove
from infra.roles.images.build import ImageSet
from infra.roles.images.packages import Offered
from infra.roles.images.remove import remove_replaced
from infra.roles.images.tags import debootstrap_base, image_tags
from tests.unit.infra.deploy_bench import Engine

OLD, NOW = (debootstrap_base(REPOSITORY, "x86_64", Offered({"openssl": version})) for version in ("1", "2"))
OLD_TAGS, NOW_TAGS = (image_tags(REPOSITORY, base) for base in (OLD, NOW))
IMAGES = ImageSet(NOW_TAGS, NOW, REPOSITORY, "labelrig")
OTHERS = ["labelrig/sam2:0.1.0-cccccccccccc-dddddddd", "lab/sam2:2026-05", "labelrig/sam2:0.1.0-old"]


def engine(used: str = "") -> Engine:
    tags = [OLD.sam2, *OLD_TAGS.values(), NOW.sam2, *NOW_TAGS.values(), *OTHERS]
    return Engine({f"sha256:{tag}": [tag] for tag in tags}, [f"sha256:{used}"] if used else [])


def test_builds_that_were_replaced_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of other files stay, for the way back to an earlier version; so does what the images are built on."""
    one = engine()
    monkeypatch.setattr(remove, "engine_client", one)
    assert set(remove_replaced(LocalHost(), IMAGES)) == {OLD.sam2, *OLD_TAGS.values()}
    left = {tag for tags in one.tags.values() for tag in tags}
    assert left == {NOW.sam2, *NOW_TAGS.values(), *OTHERS}
    assert remove_replaced(LocalHost(), IMAGES) == []


def test_what_a_container_uses_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    one = engine(used=OLD_TAGS["sam2"])
    monkeypatch.setattr(remove, "engine_client", one)
    unused = {tag for service, tag in OLD_TAGS.items() if service != "sam2"}
    assert set(remove_replaced(LocalHost(), IMAGES)) == {OLD.sam2, *unused}


def test_what_the_engine_refuses_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    one = engine()

    def refuse(tag: str) -> None:
        raise APIError(f"conflict: {tag} has dependent child images")

    one.images.remove = refuse
    monkeypatch.setattr(remove, "engine_client", one)
    assert remove_replaced(LocalHost(), IMAGES) == []
