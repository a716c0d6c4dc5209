"""The image for several GPU hosts: the plain one with Ray, and no reason for another name of any other image."""

from __future__ import annotations

import shutil
from pathlib import Path

from core.repository import REPOSITORY
from infra.roles.images.tags import (
    BACKEND,
    BUILD_FILE,
    CLUSTER,
    CLUSTER_BUILD_FILE,
    IMAGES,
    SAM2,
    context_files,
    debootstrap_base,
    image_tags,
)


def steps(folder: str) -> list[str]:
    """The steps of a Dockerfile; comments and line ends are none."""
    lines = (REPOSITORY / IMAGES / folder / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    return [" ".join(line.split()) for line in text.splitlines()]


def test_steps_are_those_of_the_plain_image_and_ray() -> None:
    """Their layers are shared only as long as the steps before Ray's are the same."""
    plain, cluster = steps("sam2"), steps("sam2-cluster")
    more = [step for step in cluster if step not in plain]
    assert len(more) == 1
    assert "cluster.lock" in more[0]
    assert [step for step in cluster if step in plain] == plain
    assert cluster.index(more[0]) == plain.index(next(step for step in plain if "harden.sh" in step))


def test_holds_what_the_plain_image_holds_and_the_lock() -> None:
    plain, cluster = context_files(REPOSITORY, SAM2), context_files(REPOSITORY, CLUSTER)
    assert set(cluster) - set(plain) == {"requirements/cluster.lock"}
    assert {name for name in plain if plain[name] != cluster[name]} == {"Dockerfile"}


def test_its_files_change_no_other_name(tmp_path: Path) -> None:
    for folder in (*BACKEND, "requirements", IMAGES.as_posix()):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    base = debootstrap_base(tmp_path, "x86_64")
    before = image_tags(tmp_path, base, (SAM2, CLUSTER))
    for path in (CLUSTER_BUILD_FILE, Path("requirements/cluster.lock"), IMAGES / "sam2-cluster/Dockerfile"):
        (tmp_path / path).write_text((tmp_path / path).read_text() + "\n# another\n")
        after = image_tags(tmp_path, base, (SAM2, CLUSTER))
        assert after[SAM2] == before[SAM2]
        assert after[CLUSTER] != before[CLUSTER], path
        before = after
    (tmp_path / BUILD_FILE).write_text((tmp_path / BUILD_FILE).read_text() + "\n# another\n")
    assert image_tags(tmp_path, base, (CLUSTER,))[CLUSTER] != before[CLUSTER]
