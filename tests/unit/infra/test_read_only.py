"""The list that lets nothing through that could write: what counts as reading."""

from __future__ import annotations

import pytest

from infra.database.state import POSTGRES_STATE
from infra.releases.scripts import FOLDER
from infra.roles.docker.apt import NO_CACHE
from infra.roles.docker.compose import PLUGIN_PATHS
from infra.roles.nvidia import facts as nvidia_facts
from infra.roles.nvidia.facts import FIELDS, smi_query
from infra.roles.preflight import checks as preflight
from infra.roles.preflight import data_folder
from infra.roles.project.ask_backend import ASK_BACKEND
from infra.roles.stack import folders_on_host as folders_there
from infra.roles.stack.backend_secrets import KEY_FILE, PASSWORD_FILE, WRITE, WRITER
from tests.read_only import is_read_only, is_reading_request

COMPOSE = ("docker", "compose", "--project-name", "labelrig", "--env-file", "/c/stack.env", "--file", "/c/compose.yaml")
PSQL = (
    *("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"),
    *("--username", "labelstudio", "--dbname", "labelstudio"),
)
LOOKS: list[tuple[str, ...]] = [
    ("true",),
    ("id", "-un"),
    ("id", "-nG", "--", "ana"),
    ("uname", "-m"),
    ("date", "+%s"),
    ("getent", "ahosts", "deb.lab"),
    ("test", "-d", "/run/systemd/system"),
    ("stat", "-L", "-c", "%F %u %a", "--", "/srv/labelrig"),
    ("find", "-H", "/NAS", "(", "-type", "f", "-o", "-type", "l", ")", "-printf", "%y%P\\0"),
    ("cat", "/etc/os-release"),
    ("readlink", "-f", "/etc/docker/daemon.json"),
    ("env", "LC_ALL=C.UTF-8", "apt-cache", *NO_CACHE, "policy", "docker.io"),
    ("apt-get", *NO_CACHE, "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"),
    ("apt-get", *NO_CACHE, "update", "--print-uris"),
    ("apt-config", "shell", "special", "Acquire::http::Proxy::deb.lab", "general", "Acquire::http::Proxy"),
    ("dpkg-query", "-W", "-f", "${db:Status-Status}|${Version}", "nvidia-container-toolkit"),
    smi_query(FIELDS),
    ("systemd-analyze", "calendar", "Mon..Sat 02:30"),
    ("sh", "-c", preflight.NEAREST_DISK, "sh", "/srv"),
    ("sh", "-c", data_folder.LIST, "sh", "/NAS/x; rm -rf /", "2000"),
    ("docker", "version", "--format", "{{.Server.Version}}"),
    ("docker", "info"),
    ("docker", "inspect", "c"),
    ("docker", "image", "inspect", "--format={{.Id}}", "labelrig/sam2:1"),
    ("docker", "ps", "--quiet", "--no-trunc", "--filter=status=running"),
    ("docker", "exec", "0123abc", *smi_query(FIELDS)),
    ("docker", "system", "dial-stdio"),
    ("docker", "compose", "version", "--short"),
    (PLUGIN_PATHS[0], "version", "--short"),
    (*COMPOSE, "config", "--hash", "*"),
    (*COMPOSE, "ps", "--all", "--format", "json"),
    (*COMPOSE, "exec", "--no-TTY", "sam2", *ASK_BACKEND, "GET", "/health"),
    (*COMPOSE, "exec", "--no-TTY", "sam2", "cat", KEY_FILE),
    (*COMPOSE, "exec", "--no-TTY", "sam2", "sha256sum", PASSWORD_FILE),
]
ACTS: list[tuple[str, ...]] = [
    (),
    ("rm", "-f", "/x"),
    ("touch", "/x"),
    ("mkdir", "/x"),
    ("install", "-d", "/x"),
    ("mv", "a", "b"),
    ("ln", "-s", "a", "b"),
    ("tee", "/x"),
    ("dd", "of=/x"),
    ("sed", "-i", "s/a/b/", "/x"),
    ("chmod", "600", "/x"),
    ("systemctl", "restart", "docker"),
    ("systemd-analyze", "set-log-level", "debug"),
    ("systemd-analyze", "calendar", "--host=x", "02:30"),
    ("usermod", "-aG", "docker", "ana"),
    ("kill", "-TERM", "1"),
    ("date", "-s", "2020-01-01"),
    ("date", "010100002020"),
    ("uname", "-m", "x"),
    ("find", "/x", "-delete"),
    ("find", "/x", "-name", "a", "-exec", "rm", "{}", "+"),
    ("find", "/x", "-execdir", "rm", "{}", ";"),
    ("find", "/x", "-ok", "rm", "{}", ";"),
    ("find", "/x", "-fprint", "/y"),
    ("find", "/x", "-fprintf", "/y", "%p"),
    ("find", "/x", "-fprint0", "/y"),
    ("find", "/x", "-fls", "/y"),
    ("sh", "-c", "rm -rf /x"),
    ("sh", "-c", preflight.NEAREST_DISK + "\nrm -rf /x", "sh", "/srv"),
    ("sh", "-c", folders_there.DIGESTS + "; rm x", "sh", "/srv"),
    ("sh", "-x", "-c", preflight.NEAREST_DISK),
    ("sh", preflight.NEAREST_DISK),
    ("sh", "-c"),
    ("sh",),
    ("sh", "/tmp/x.sh"),
    ("bash", "-c", preflight.NEAREST_DISK, "sh", "/srv"),
    ("env", "rm", "-f", "/x"),
    ("env", "LC_ALL=C.UTF-8", "rm", "-f", "/x"),
    ("env", "LC_ALL=C.UTF-8", "sh", "-c", nvidia_facts.PCI_SCRIPT),
    ("sudo", "id", "-u"),
    ("timeout", "5", "id", "-u"),
    ("nice", "cat", "/x"),
    ("xargs", "rm"),
    ("apt-get", "install", "x"),
    ("apt-get", "update"),
    ("apt-get", "update", "--print-uris"),  # writes apt's cache
    ("apt-get", "indextargets"),  # writes apt's cache
    ("apt-get", *NO_CACHE, "update"),
    ("apt-get", *NO_CACHE, "indextargets", "-o", "APT::Update::Pre-Invoke::=rm -rf /x"),
    ("apt-get", *NO_CACHE, "indextargets", "--config-file=/x"),
    ("apt-cache", "policy", "x"),  # writes apt's cache
    ("apt-cache", *NO_CACHE, "gencaches"),
    ("apt-cache", *NO_CACHE, "policy", "-o", "Dir::Cache=/x"),
    ("apt-config", "dump", "-o", "x"),
    ("apt-config", "shell", "-o", "x"),
    ("apt-mark", "hold", "x"),
    ("dpkg", "-i", "x.deb"),
    ("dpkg-query", "--admindir=/x", "-W"),
    ("nvidia-smi", "--gpu-reset"),
    ("nvidia-smi",),
    (*smi_query(FIELDS), "--filename=/x"),
    ("nvidia-ctk", "runtime", "configure"),
    ("dockerd", "--validate", "--config-file", "/x"),
    ("docker", "run", "--rm", "x"),
    ("docker", "rm", "x"),
    ("docker", "load"),
    ("docker", "pull", "x"),
    ("docker", "image", "rm", "x"),
    ("docker", "images", "prune"),
    ("docker", "system", "prune", "-f"),
    ("docker", "system", "dial-stdio", "x"),
    ("docker", "-H", "tcp://x", "version"),
    ("docker", "--config", "/x", "info"),
    ("docker", "exec", "c", "rm", "-f", "/x"),
    ("docker", "exec", "-d", "c", *smi_query(FIELDS)),
    ("docker", "exec", "c"),
    ("docker", "exec"),
    ("docker", "compose", "up"),
    ("docker", "compose", "version", "--short", "up"),
    (PLUGIN_PATHS[0], "up"),
    COMPOSE,
    (*COMPOSE, "up", "--detach"),
    (*COMPOSE, "down"),
    (*COMPOSE, "restart", "sam2"),
    (*COMPOSE, "run", "--rm", "sam2", *ASK_BACKEND, "GET", "/health"),
    (*COMPOSE, "config", "--output", "/x"),
    (*COMPOSE, "config", "-o", "/x"),
    (*COMPOSE, "ps", "--filter", "x"),
    (*COMPOSE, "exec", "sam2", *ASK_BACKEND, "GET", "/health"),
    (*COMPOSE, "exec", "--no-TTY", "--user=0", "sam2", *ASK_BACKEND, "GET", "/health"),
    (*COMPOSE, "exec", "--no-TTY", "sam2", *ASK_BACKEND, "POST", "/webhook"),
    (*COMPOSE, "exec", "--no-TTY", "sam2", "sh", "-c", WRITE, "sh", KEY_FILE),
    (*COMPOSE, "run", "--rm", "--no-TTY", "--no-deps", "--quiet-pull", WRITER, "sh", "-c", WRITE, "sh", KEY_FILE),
    (*COMPOSE, "exec", "--no-TTY", "label-studio", "cat", KEY_FILE),
    (*COMPOSE, "exec", "--no-TTY", "sam2", "cat", PASSWORD_FILE),
    (*COMPOSE, "exec", "--no-TTY", "label-studio", *ASK_BACKEND, "GET", "/health"),
    (*COMPOSE, "exec", "--no-TTY", "db", *PSQL),
    (*COMPOSE, "exec", "--no-TTY", "sam2"),
    (*COMPOSE, "exec"),
    ("sh", "-s", "--", "look", "/srv/labelrig/labelrig"),
]


@pytest.mark.parametrize("argv", LOOKS, ids=" ".join)
def test_passes_what_only_reads_but_not_unknown_input(argv: tuple[str, ...]) -> None:
    """What only reads is let through, and with unknown input it is not."""
    assert is_read_only(argv)
    assert not is_read_only(argv, None)
    assert not is_read_only(argv, b"rm -rf /")


@pytest.mark.parametrize("argv", ACTS, ids=lambda argv: " ".join(argv)[:70])
def test_what_may_change_something_is_not(argv: tuple[str, ...]) -> None:
    assert not is_read_only(argv)


@pytest.mark.parametrize(
    ("script", "arguments", "looks"),
    [
        ("releases", ("look", "/b"), True),
        ("releases", ("activate", "/b", "x"), False),
        ("releases", ("remove", "/b", "x"), False),
        ("lock", ("look", "/b"), True),
        ("lock", ("take", "/b", "id", "{}", "0"), False),
        ("lock", ("beat", "/b", "id"), False),
        ("lock", ("remove", "/b", "id"), False),
        ("audit", ("last", "/b/audit.jsonl", "20"), True),
        ("audit", ("append", "/b/audit.jsonl", "{}"), False),
        ("leftovers", ("run",), True),
        ("leftovers", ("run", "KILL"), False),
        ("releases", (), False),
        ("audit", ("look", "/b"), False),
    ],
)
def test_of_the_scripts_some_verbs_look(script: str, arguments: tuple[str, ...], looks: bool) -> None:
    text = (FOLDER / f"{script}.sh").read_bytes()
    assert is_read_only(("sh", "-s", "--", *arguments), text) is looks
    assert not is_read_only(("sh", "-s", "--", *arguments), text + b"rm -rf /x\n")
    assert not is_read_only(("sh", "-s", *arguments), text)


def test_every_script_on_a_host_is_judged() -> None:
    """A new one counts as a change until a person has looked at it."""
    assert {path.stem for path in FOLDER.glob("*.sh")} == {"audit", "leftovers", "lock", "purge", "releases"}


def test_database_may_be_read_but_not_changed() -> None:
    """The state of a database may be requested, and nothing else sent to it."""
    asking = (*COMPOSE, "exec", "--no-TTY", "db", *PSQL)
    assert is_read_only(asking, POSTGRES_STATE.encode())
    assert not is_read_only(asking, POSTGRES_STATE.encode() + b"DROP TABLE task;")
    assert not is_read_only(asking, None)
    assert not is_read_only((*COMPOSE, "exec", "--no-TTY", "db", *PSQL, "-c", "DROP"), POSTGRES_STATE.encode())
    assert not is_read_only((*COMPOSE, "exec", "--no-TTY", "label-studio", "python3", "-"), b"import os")


@pytest.mark.parametrize(
    ("request_line", "reads"),
    [
        ("GET /v1.41/containers/json?all=1", True),
        ("HEAD /_ping", True),
        ("POST /v1.41/containers/create", False),
        ("DELETE /v1.41/images/x", False),
        ("POST /api/token/refresh/", True),
        ("POST /api/token/refresh/../../projects", False),
        ("POST /api/token/", False),
        ("PATCH /api/projects/1/", False),
        ("PUT /x", False),
        ("get /x", False),
        ("GET", False),
    ],
)
def test_requests(request_line: str, reads: bool) -> None:
    assert is_reading_request(request_line) is reads
