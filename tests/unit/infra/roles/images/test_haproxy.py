"""HAProxy's configuration and what goes by it: the sockets, the port, and what changes its image."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from core.repository import REPOSITORY
from infra.roles.images.tags import BACKEND, CLUSTER, HAPROXY, IMAGES, context_files, debootstrap_base, image_tags
from infra.roles.stack.render import CLUSTER as CLUSTER_FILE
from infra.roles.stack.render import COMPOSE_SOURCES
from infra.stack.stand_in import GETS_CLICKS, SOCKET

CONFIGURATION = (REPOSITORY / IMAGES / "haproxy" / "haproxy.cfg").read_text()


def test_stand_in_comes_before_the_ingress() -> None:
    servers = re.findall(r"^    server (\S+) (\S+)(.*)$", CONFIGURATION, re.MULTILINE)
    assert servers == [("stand-in", SOCKET, ""), ("ingress", "/run/ingress/ingress.sock", " backup")]
    assert "mode tcp" in CONFIGURATION.split("frontend clicks")[0]


def test_sockets_are_those_of_the_services() -> None:
    compose = (COMPOSE_SOURCES / CLUSTER_FILE).read_text()
    sockets = re.findall(r"^      SOCKET: (\S+)$", compose, re.MULTILINE)
    assert sorted(sockets) == sorted(re.findall(r"/run/ingress/\S+\.sock", CONFIGURATION))
    assert "bind :9090" in CONFIGURATION


def test_its_state_is_asked_where_it_says_it() -> None:
    port = re.search(r"bind 127\.0\.0\.1:(\d+)", CONFIGURATION)
    assert port is not None
    assert f"http://127.0.0.1:{port[1]}/stand-in" in GETS_CLICKS[-1]


def test_a_connection_is_held_within_the_delay() -> None:
    """The script may wait only as long as HAProxy lets it look at a connection."""
    script = (REPOSITORY / IMAGES / "haproxy" / "hold.lua").read_text()
    held, delay = re.search(r"HOLD_MS, PAUSE_MS = (\d+)", script), re.search(r"inspect-delay (\d+)s", CONFIGURATION)
    assert held is not None
    assert delay is not None
    assert int(held[1]) < 1000 * int(delay[1])


def test_a_version_of_the_backend_changes_no_haproxy(tmp_path: Path) -> None:
    for folder in (*BACKEND, "requirements", IMAGES.as_posix()):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    base = debootstrap_base(tmp_path, "x86_64")
    before = image_tags(tmp_path, base, (CLUSTER, HAPROXY))
    for path in ("backend/ask.py", "requirements/cluster.lock", "pyproject.toml"):
        text = (tmp_path / path).read_text()
        (tmp_path / path).write_text(re.sub(r'^version = "', 'version = "9.', text, flags=re.MULTILINE) + "\n# other\n")
    after = image_tags(tmp_path, base, (CLUSTER, HAPROXY))
    assert after[HAPROXY] == before[HAPROXY]
    assert after[CLUSTER] != before[CLUSTER]
    for name in ("Dockerfile", "haproxy.cfg", "hold.lua"):
        path_ = tmp_path / IMAGES / "haproxy" / name
        path_.write_text(path_.read_text() + "\n# other\n")
        changed = image_tags(tmp_path, base, (HAPROXY,))[HAPROXY]
        assert changed != after[HAPROXY], name
        after[HAPROXY] = changed


def test_holds_no_backend() -> None:
    assert not [name for name in context_files(REPOSITORY, HAPROXY) if name.startswith(BACKEND)]
