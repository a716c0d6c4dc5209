from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import stat
import sys
from pathlib import Path

import pytest

from core.errors import SettingsError
from core.report import Report
from core.repository import REPOSITORY, own_version
from hosts.local import LocalHost
from infra.roles.docker.compose import ENV_FILE_NAMES
from infra.roles.images.build import BuildProgress, ImagesBuilt, ImageSet
from infra.roles.images.context import BUILD_NAMES, staged
from infra.roles.images.debootstrap import base_tag
from infra.roles.images.packages import Offered, recipe_of
from infra.roles.images.tags import (
    BUILD_FILE,
    BUILD_FILES,
    IMAGES,
    Base,
    OfficialImages,
    context_files,
    image_tags,
    official_base,
    pinned_version,
)
from infra.roles.images.wheels import matching_wheels, read_pins
from infra.roles.stack.render import COMPOSE_SOURCES
from tests.fakes import FakeHost

BASE = Base("debootstrap", "labelrig/base:b", "labelrig/base:b")
ALL = ("label-studio", "sam2", "proxy", "db")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with everything that the images are made of, and a small backend."""
    shutil.copytree(
        REPOSITORY / IMAGES,
        tmp_path / IMAGES,
    )
    shutil.copytree(REPOSITORY / "requirements", tmp_path / "requirements")
    shutil.copytree(REPOSITORY / "companion", tmp_path / "companion")
    shutil.copyfile(REPOSITORY / "pyproject.toml", tmp_path / "pyproject.toml")
    (tmp_path / "backend" / "models").mkdir(parents=True)
    (tmp_path / "backend" / "app.py").write_text("app = 1\n")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "rle.py").write_text("rle = 1\n")
    (tmp_path / "labeling").mkdir()
    (tmp_path / "labeling" / "config.py").write_text("config = 1\n")
    (tmp_path / "backend" / "models" / "demo.pt").write_bytes(b"weights")
    return tmp_path


def test_tags_say_the_version_and_stay_while_the_tree_does(tree: Path) -> None:
    tags = image_tags(tree, BASE)
    assert tags["label-studio"].startswith("labelrig/label-studio:1.23.2-")
    assert tags["sam2"].startswith(f"labelrig/sam2:{own_version()}-")
    assert image_tags(tree, BASE) == tags


def test_database_image_only_where_needed(tree: Path) -> None:
    tags = image_tags(tree, BASE, ALL)
    assert tags["db"].startswith("labelrig/postgres:15-")
    assert {service: tag for service, tag in tags.items() if service != "db"} == image_tags(tree, BASE)


@pytest.mark.parametrize(
    ("path", "changed"),
    [
        ("backend/app.py", {"sam2"}),
        ("backend/models/demo.pt", {"sam2"}),
        ("labeling/config.py", {"sam2"}),
        ("masks/rle.py", {"sam2"}),
        ("requirements/torch.lock", {"sam2"}),
        ("requirements/torch-cuda.lock", {"sam2"}),
        ("infra/roles/images/dockerfiles/torch-install.sh", {"sam2"}),
        ("requirements/backend.lock", {"sam2"}),
        ("requirements/label-studio.lock", {"label-studio"}),
        ("requirements/gunicorn.lock", {"label-studio"}),
        ("infra/roles/images/dockerfiles/label-studio/server/labelrig_server.py", {"label-studio"}),
        ("infra/roles/images/dockerfiles/proxy/sites/off.caddy", {"proxy"}),
        ("infra/roles/images/dockerfiles/label-studio/Dockerfile", {"label-studio"}),
        ("infra/roles/images/dockerfiles/label-studio/add_companion.py", {"label-studio"}),
        ("infra/roles/images/dockerfiles/label-studio/fresh_database.py", {"label-studio"}),
        ("companion/main.js", {"label-studio"}),
        ("companion/types.d.ts", set()),
        ("infra/roles/images/dockerfiles/pip-install.sh", {"label-studio", "sam2"}),
        ("infra/roles/images/dockerfiles/build.yaml", {"label-studio", "sam2", "proxy", "db"}),
        ("infra/roles/images/dockerfiles/postgres/run.sh", {"db"}),
        ("infra/roles/images/dockerfiles/apt-install.sh", {"label-studio", "sam2", "proxy", "db"}),
        ("infra/roles/images/dockerfiles/make-user.sh", {"label-studio", "sam2", "proxy", "db"}),
        ("requirements/dev.in", set()),
    ],
)
def test_a_change_builds_what_holds_it_and_nothing_else(tree: Path, path: str, changed: set[str]) -> None:
    before = image_tags(tree, BASE, ALL)
    with (tree / path).open("ab") as file:
        file.write(b"\n# changed\n")
    after = image_tags(tree, BASE, ALL)
    assert {service for service, tag in after.items() if tag != before[service]} == changed


def test_junk_beside_the_sources_changes_nothing(tree: Path) -> None:
    before = image_tags(tree, BASE)
    (tree / "backend" / "__pycache__").mkdir()
    (tree / "backend" / "__pycache__" / "app.cpython-311.pyc").write_bytes(b"x")
    (tree / "backend" / ".app.py.swp").write_bytes(b"x")
    (tree / "backend" / "app.py~").write_bytes(b"x")
    assert image_tags(tree, BASE) == before


def test_the_base_counts(tree: Path) -> None:
    official = image_tags(tree, official_base(OfficialImages()))
    assert not set(official.values()) & set(image_tags(tree, BASE).values())
    newer = image_tags(tree, official_base(OfficialImages(python="python:3.11.99")))
    assert newer["label-studio"] == official["label-studio"]
    assert newer["sam2"] != official["sam2"]


def test_base_image_follows_recipe_and_architecture(tree: Path) -> None:
    tag = base_tag(tree, "x86_64", Offered())
    assert tag.startswith("labelrig/base:bookworm-")
    assert base_tag(tree, "aarch64", Offered()) != tag
    for recipe in ("base/finish.sh", "apt-install.sh"):
        (tree / IMAGES / recipe).write_text("true\n")
        assert base_tag(tree, "x86_64", Offered()) != tag
        tag = base_tag(tree, "x86_64", Offered())


def test_versions_of_its_packages_name_the_base_image(tree: Path) -> None:
    before = base_tag(tree, "x86_64", Offered({"openssl": "1", "of-no-image": "1"}))
    assert base_tag(tree, "x86_64", Offered({"openssl": "1", "of-no-image": "2"})) == before
    after = base_tag(tree, "x86_64", Offered({"openssl": "2"}))
    assert after != before
    assert recipe_of(after) == recipe_of(before)


def test_a_tree_that_lacks_a_file_says_which(tree: Path) -> None:
    (tree / "requirements" / "backend.lock").unlink()
    with pytest.raises(
        SettingsError, match=r"the image sam2 cannot be built, the repository lacks .*/backend\.lock; rest"
    ):
        context_files(tree, "sam2")


def test_a_version_must_be_pinned(tmp_path: Path) -> None:
    path = tmp_path / "x.in"
    path.write_text("# why\nother==2\nthing>=1\n")
    assert pinned_version(path, "other") == "2"
    with pytest.raises(SettingsError, match="does not pin thing==VERSION"):
        pinned_version(path, "thing")
    with pytest.raises(SettingsError, match="cannot be read: No such file or directory"):
        pinned_version(tmp_path / "gone.in", "thing")


def test_the_locks_pin_every_package_and_hold_no_address() -> None:
    for name in ("label-studio.lock", "sam2.lock", "sam2-build.lock"):
        text = (REPOSITORY / "requirements" / name).read_text()
        assert "://" not in text
        assert all(pin.hashes for pin in read_pins(text))
    studio = (REPOSITORY / "requirements" / "label-studio.lock").read_text()
    pinned = pinned_version(REPOSITORY / "requirements" / "label-studio.in", "label-studio")
    assert f"label-studio=={pinned} \\\n" in studio


def test_only_wheels_that_a_requirement_pins_are_taken(tmp_path: Path) -> None:
    for name in (
        "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl",
        "torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl",
        "torch-2.12.0-cp311-cp311-manylinux_2_28_x86_64.whl",
        "torch-2.13.0-cp311-cp311-win_amd64.whl",
        "wanted-1.0-py3-none-any.whl",
        "other-1.0-py3-none-any.whl",
        "not a wheel.whl",
    ):
        (tmp_path / name).write_bytes(name.encode())
    right = hashlib.sha256(b"wanted-1.0-py3-none-any.whl").hexdigest()
    lock = f"# why\ntorch==2.13.0\nwanted==1.0 ; python_version < '3.12' \\\n    --hash=sha256:{right}\n    # via x\n"
    pins = read_pins(lock)
    assert [path.name for path in matching_wheels([str(tmp_path), "/no/such/folder"], pins)] == [
        "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl",
        "wanted-1.0-py3-none-any.whl",
    ]
    wrong = read_pins(f"wanted==1.0 --hash=sha256:{'0' * 64}\n")
    assert matching_wheels([str(tmp_path)], wrong) == []


def test_what_is_no_requirement_is_refused() -> None:
    with pytest.raises(ValueError, match="not a requirement: 'torch = 2'"):
        read_pins("torch = 2\n")


def machine(tmp_path: Path) -> FakeHost:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl").write_bytes(b"torch")
    bundle = tmp_path / "ca.pem"
    bundle.write_text("a certificate")
    host = FakeHost()
    host.files[str(bundle)] = bundle.read_bytes()
    listing = f"global.cert='{bundle}'\nglobal.find-links='{wheels}'\nglobal.index-url='https://u:secret@i/'\n"
    host.script(sys.executable, "-m", "pip", "config", "list", stdout=listing)
    return host


def test_build_context_holds_files_and_a_secret(tree: Path, tmp_path: Path) -> None:
    """A build sees its own files, and pip settings only as a secret."""
    (tree / "backend" / "app.py").chmod(0o600)
    digest = hashlib.sha256(b"torch").hexdigest()
    (tree / "requirements" / "torch.lock").write_text(f"torch==2.13.0 --hash=sha256:{digest}\n")
    tags = image_tags(tree, BASE)
    with staged(machine(tmp_path), tree, BASE, tags, ["sam2"], "mine") as target:
        folder = Path(target)
        seen = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        assert sorted(seen) == [
            "apt.conf",
            "auth.conf",
            "build-cluster.yaml",
            "build-haproxy.yaml",
            "build.env",
            "build.yaml",
            "pip.conf",
            "sam2/Dockerfile",
            "sam2/backend/app.py",
            "sam2/backend/models/demo.pt",
            "sam2/build/apt-install.sh",
            "sam2/build/ca.crt",
            "sam2/build/harden.sh",
            "sam2/build/make-user.sh",
            "sam2/build/pip-install.sh",
            "sam2/build/torch-install.sh",
            "sam2/build/wheels/index.html",
            "sam2/build/wheels/torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl",
            "sam2/labeling/config.py",
            "sam2/masks/rle.py",
            "sam2/requirements/backend.lock",
            "sam2/requirements/sam2-build.lock",
            "sam2/requirements/sam2.lock",
            "sam2/requirements/torch-cuda.lock",
            "sam2/requirements/torch.lock",
            "sources.list",
        ]
        assert [name for name, path in seen.items() if b"secret@" in path.read_bytes()] == ["pip.conf"]
        assert seen["sam2/build/wheels/index.html"].read_text() == (
            "<!DOCTYPE html>\n"
            f'<a href="torch-2.13.0%2Bcpu-cp311-cp311-manylinux_2_28_x86_64.whl#sha256={digest}">wheel</a>\n'
        )
        assert "find-links = /run/build/wheels/index.html\n" in seen["pip.conf"].read_text()
        assert stat.S_IMODE(seen["pip.conf"].stat().st_mode) == 0o600
        assert stat.S_IMODE(seen["sam2/backend/app.py"].stat().st_mode) == 0o644
        assert f"SAM2_IMAGE='{tags['sam2']}'\nSAM2_BASE='labelrig/base:b'\n" in seen["build.env"].read_text()
    assert not folder.exists()


def test_a_build_that_fails_leaves_nothing_behind(tree: Path, tmp_path: Path) -> None:
    def fail() -> None:
        with staged(machine(tmp_path), tree, BASE, image_tags(tree, BASE), ["label-studio"], "mine") as folder:
            left.append(Path(folder))
            raise SettingsError("stop")

    left: list[Path] = []
    with pytest.raises(SettingsError, match="stop"):
        fail()
    assert not left[0].exists()


def test_the_environment_stays_out_of_a_build(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose would take it: an exported `PROJECT` would be the label by which images are removed."""
    program, seen = tmp_path / "docker", tmp_path / "seen"
    program.write_text(f"#!/bin/sh\ncase $2 in version) echo 2.26.1;; *) env >{seen};; esac\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    asked = asked_for(REPOSITORY / BUILD_FILE)
    for name in asked:
        monkeypatch.setenv(name, "of-the-shell")
    monkeypatch.setattr(ImageSet, "missing", lambda *_: ["sam2"])
    images = ImageSet(image_tags(tree, BASE), BASE, tree, "mine")
    (change,) = ImagesBuilt(LocalHost(), images, Report(io.StringIO())).plan()
    change.apply()
    names = {line.partition("=")[0] for line in seen.read_text().splitlines()}
    assert asked & names == set()
    assert {"PATH", "DOCKER_BUILDKIT"} <= names


def asked_for(file: Path) -> set[str]:
    """The variables that a compose file reads."""
    return set(re.findall(r"(?<!\$)\$\{?([A-Za-z_][A-Za-z0-9_]*)", file.read_text()))


def test_every_variable_of_compose_is_kept_from_it() -> None:
    """What the compose files read is on the list of what comes from their env file alone."""
    assert set().union(*(asked_for(REPOSITORY / one) for one in BUILD_FILES)) == set(BUILD_NAMES)
    files = [*COMPOSE_SOURCES.glob("*.yaml")]
    assert set().union(*map(asked_for, files)) <= set(ENV_FILE_NAMES)
    assert len(files) > 3


def test_the_log_of_a_build_becomes_lines_for_people() -> None:
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    progress = BuildProgress(Report(stream))
    progress.line("#7 [sam2 2/7] RUN --mount=type=bind sh /run/build/pip-install.sh")
    progress.line("#7 12.34 Collecting networkx")
    progress.line("")
    assert stream.getvalue().rstrip().endswith("build sam2 2/7: Collecting networkx")
    assert progress.tail == [
        "#7 [sam2 2/7] RUN --mount=type=bind sh /run/build/pip-install.sh",
        "#7 12.34 Collecting networkx",
    ]
