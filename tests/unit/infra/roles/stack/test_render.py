from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import PurePosixPath

import pytest
import yaml
from pydantic import SecretStr

from backend.settings import Settings as BackendSettings
from core.diff import masked_diff
from core.operation import converge
from core.report import Report
from infra.config.backend import BACKEND_SETTINGS
from infra.config.settings import Settings, settings_secrets
from infra.roles.docker.compose import ENV_FILE_NAMES
from infra.roles.stack.files import FilesWritten
from infra.roles.stack.image_folders import ImageFolder
from infra.roles.stack.render import COMPOSE_SOURCES, StackFiles, render_stack, stack_values
from infra.stack.site import Site
from tests.fakes import FakeHost

SETTINGS = Settings.model_validate(
    {"LABEL_STUDIO_PASSWORD": "pass$word-1234", "LABEL_STUDIO_SECRET_KEY": "key-key-key-key", "LABELRIG_UID": 61041}
)
FILES = StackFiles("/state", ("proxy.yaml",))
FOLDERS = [ImageFolder("demo", "/images")]

SOURCES = ("compose.yaml", "postgres.yaml", "proxy.yaml")
IMAGES = {"label-studio": "ls:1", "sam2": "sam2:1", "proxy": "proxy:1"}


def values() -> dict[str, str]:
    return stack_values(SETTINGS, IMAGES, "demo")


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_compose_finds_every_variable_it_asks_for(database: str) -> None:
    chosen = SETTINGS.model_copy(update={"database": database, "postgres_password": SecretStr("post-gres-word")})
    files = Site(FakeHost(), chosen, "/state", "/state", "/.env", lambda: chosen, gpu=True).files
    images = IMAGES | {"db": "pg:15"} if database == "postgres" else IMAGES
    given = stack_values(chosen, images, "demo")
    rendered = render_stack(files, given, FOLDERS, FOLDERS, [], {})
    texts = {PurePosixPath(one.path).name: one.content.decode() for one in rendered if one.path in files.compose}
    assert list(texts) == [
        *("compose.yaml", *(["postgres.yaml"] if database == "postgres" else [])),
        *("gpu.yaml", "proxy.yaml", "machine.yaml"),
    ]
    asked = {name for text in texts.values() for name in re.findall(r"(?<!\$)\$\{([A-Z0-9_]+)", text)}
    assert asked - set(given) == set()
    assert asked | set(given) - {"COMPOSE_PROJECT_NAME"} <= set(ENV_FILE_NAMES)


def test_new_database_password_has_a_new_id() -> None:
    """A new password of the database has a new id that does not show it."""

    def with_password(text: str) -> dict[str, str]:
        chosen = SETTINGS.model_copy(update={"postgres_password": SecretStr(text)})
        return stack_values(chosen, IMAGES | {"db": "pg:15"}, "demo")

    before, after = with_password("post-gres-word"), with_password("another-word")
    name = "LABELRIG_POSTGRES_PASSWORD_ID"
    assert before[name] == with_password("post-gres-word")[name] != after[name]
    assert before[name] not in hashlib.sha256(b"post-gres-word").hexdigest()
    assert {key for key in before if before[key] != after[key]} == {name, "LABELRIG_POSTGRES_PASSWORD"}


def test_a_database_without_its_password_is_not_rendered() -> None:
    with pytest.raises(ValueError, match="secrets must be made"):
        stack_values(SETTINGS, IMAGES | {"db": "pg:15"}, "demo")


def test_services_are_awaited_in_order_of_need() -> None:
    """The services are waited for in the order in which they need each other."""
    assert StackFiles("/state").services == ("sam2", "label-studio")
    assert StackFiles("/state", ("gpu.yaml",)).services == ("sam2", "label-studio")
    assert StackFiles("/state", ("proxy.yaml",)).services == ("sam2", "label-studio", "proxy")
    assert StackFiles("/state", ("postgres.yaml",)).services == ("db", "sam2", "label-studio")


def test_a_dollar_in_a_secret_stays_a_dollar() -> None:
    env = render_stack(FILES, values(), FOLDERS, FOLDERS, [], {})[0]
    assert "LABEL_STUDIO_PASSWORD='pass$word-1234'\n" in env.content.decode()
    assert env.mode == 0o600


def test_a_value_that_an_env_file_cannot_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="LABEL_STUDIO_USERNAME: a quote or a line break"):
        render_stack(FILES, values() | {"LABEL_STUDIO_USERNAME": "o'hara@lab"}, FOLDERS, FOLDERS, [], {})


def test_without_secrets_nothing_is_rendered() -> None:
    with pytest.raises(ValueError, match="secrets must be made"):
        stack_values(Settings(), IMAGES, "demo")
    with pytest.raises(ValueError, match="the containers' user chosen"):
        stack_values(SETTINGS.model_copy(update={"uid": None}), IMAGES, "demo")


@pytest.mark.parametrize("file", ["compose.yaml", "postgres.yaml"])
def test_no_secret_reaches_a_description(file: str) -> None:
    """What stands in a compose file shows in `docker inspect`, and an environment in the process's own."""
    text = (COMPOSE_SOURCES / file).read_text()
    asked = set(re.findall(r"\$\{([A-Z0-9_]+)", text))
    assert asked.isdisjoint(settings_secrets())
    assert "secrets:" not in re.sub(r"^ +- secrets:/.*$|^  secrets:.*$", "", text, flags=re.MULTILINE)


def test_a_changed_secret_makes_its_reader_anew() -> None:
    """Label Studio reads the file with its secrets when it starts."""

    def identity(**changes: str) -> str:
        chosen = SETTINGS.model_copy(update={name: SecretStr(value) for name, value in changes.items()})
        return stack_values(chosen, IMAGES, "demo")["LABELRIG_SECRETS_ID"]

    assert len({identity(), identity(password="another-one-1"), identity(secret_key="another-key-1")}) == 3
    assert identity() == identity()


def test_the_services_are_shut_in() -> None:
    document = yaml.safe_load((COMPOSE_SOURCES / "compose.yaml").read_text())
    database = yaml.safe_load((COMPOSE_SOURCES / "postgres.yaml").read_text())["services"]["db"]
    proxy = yaml.safe_load((COMPOSE_SOURCES / "proxy.yaml").read_text())["services"]["proxy"]
    fetch = yaml.safe_load((COMPOSE_SOURCES / "fetch.yaml").read_text())["services"]["fetch"]
    assert (fetch["user"], fetch["read_only"], fetch["cap_drop"]) == (database["user"], True, ["ALL"])
    writer = document["services"].pop("secrets-writer")
    for name, service in {**document["services"], "db": database, "proxy": proxy, "writer": writer}.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["user"] == "${LABELRIG_UID:?}:${LABELRIG_UID:?}", name
        assert service["read_only"] is True, name
        volumes = [one for one in service["volumes"] if not one.startswith("/")]
        assert [one for one in volumes if not one.endswith("nocopy")] == [], "or a new one takes the image's owner"
        assert service["init"] is True, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
    for name, service in {**document["services"], "db": database, "proxy": proxy}.items():
        assert service["restart"] == "unless-stopped", name
        assert "healthcheck" in service, name
    assert "ports" not in document["services"]["sam2"]
    assert "ports" not in document["services"]["label-studio"]
    assert "ports" not in database
    assert proxy["ports"] == ["${LABELRIG_HTTP_LISTEN:?}:${LABEL_STUDIO_PORT:?}:8080"]
    given = values()  # unless somebody chose otherwise
    assert given["LABELRIG_HTTP_LISTEN"] == given["LABELRIG_LISTEN"] == "127.0.0.1"


def test_only_the_writer_writes_the_backends_secrets() -> None:
    """It is up for a moment and on no network. What serves only reads: the backend decodes images of anybody."""
    services = yaml.safe_load((COMPOSE_SOURCES / "compose.yaml").read_text())["services"]
    mounts = {
        name: [one for one in service["volumes"] if one.startswith("secrets:")] for name, service in services.items()
    }
    assert mounts == {
        "label-studio": ["secrets:/secrets:ro,nocopy"],
        "sam2": ["secrets:/secrets:ro,nocopy"],
        "secrets-writer": ["secrets:/secrets:nocopy"],
    }
    writer = services["secrets-writer"]
    assert writer["profiles"] == ["by-hand"]
    assert writer["network_mode"] == "none"
    assert writer["read_only"] is True
    assert "networks" not in writer


def test_the_backends_password_is_in_no_rendered_file() -> None:
    chosen = SETTINGS.model_copy(update={"backend_password": SecretStr("of-the-backend")})
    given = stack_values(chosen, IMAGES, "demo")
    for one in render_stack(FILES, given, FOLDERS, FOLDERS, [], {}):
        assert b"of-the-backend" not in one.content, one.path


def test_files_are_written_once_and_diffs_hide_secrets() -> None:
    host = FakeHost()
    rendered = render_stack(FILES, values(), FOLDERS, FOLDERS, [], {})
    operation = FilesWritten(host, rendered)
    changes = operation.plan()
    assert [change.summary for change in changes] == [
        "write stack.env",
        "write compose.yaml",
        "write proxy.yaml",
        "write machine.yaml",
        "write folders.json",
    ]
    shown = "\n".join(change.diff for change in changes)
    assert "+LABEL_STUDIO_PASSWORD=(secret)" in shown
    assert "pass$word-1234" not in shown
    assert "key-key-key-key" not in shown
    converge([operation], Report())
    assert host.modes["/state/stack.env"] == 0o600
    changed = [replace(rendered[0], content=rendered[0].content.replace(b"demo", b"tiny")), *rendered[1:]]
    (update,) = FilesWritten(host, changed).plan()
    assert update.summary == "update stack.env"
    assert "-LABELRIG_SAM2_MODEL='demo'\n+LABELRIG_SAM2_MODEL='tiny'" in update.diff


def test_masking_hides_a_secret_on_both_sides() -> None:
    old, new = b"LABEL_STUDIO_PASSWORD='old one'\nA=1\n", b"LABEL_STUDIO_PASSWORD='new one'\nA=2\n"
    diff = masked_diff("f", old, new)
    assert "old one" not in diff
    assert "new one" not in diff
    assert "-A=1" in diff


def test_backend_settings_reach_its_container_alone() -> None:
    """Settings of the backend reach its container without the prefix."""
    given = {"MASK_KEEP": "clicked", "CLICK_LIMIT": "8", "IMAGE_HOSTS_ALLOWED": "a$b"}
    rendered = {one.path: one.content for one in render_stack(FILES, values(), FOLDERS, FOLDERS, [], given)}
    services = yaml.safe_load(rendered[FILES.compose[-1]])["services"]
    assert services["sam2"]["environment"] == {
        "IMAGE_HOSTS_ALLOWED": "a$$b", "MASK_KEEP": "clicked", "CLICK_LIMIT": "8",
    }  # fmt: skip
    assert "environment" not in services["label-studio"]
    nothing = {one.path: one.content for one in render_stack(FILES, values(), FOLDERS, FOLDERS, [], {})}
    assert "environment" not in yaml.safe_load(nothing[FILES.compose[-1]])["services"]["sam2"]


def test_backend_names_are_the_backends_own() -> None:
    """The names are those of the backend but for what the stack decides."""
    decided = {
        "HOST", "PORT", "SOCKET", "STOP_SECONDS", "SAM2_MODEL", "SAM2_MODEL_DIR", "SAM2_CHECKPOINT", "SAM2_CONFIG",
        "LOCAL_FILES_DOCUMENT_ROOT", "LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY", "LABEL_STUDIO_API_KEY_FILE",
        "BACKEND_PASSWORD_FILE",
        "EMBEDDING_CACHE_DIR", "EMBEDDING_CACHE_SHARED_DIR", "IMAGE_CACHE_DIR",
    }  # fmt: skip
    assert {*BACKEND_SETTINGS, *decided} == {name.upper() for name in BackendSettings.model_fields}
    environment = yaml.safe_load((COMPOSE_SOURCES / "compose.yaml").read_text())["services"]["sam2"]["environment"]
    assert set(environment) - {"WORK_MEMORY_MB"} <= decided  # that one follows the machine's size


def test_logs_of_all_services_have_the_chosen_size() -> None:
    documents = [yaml.safe_load((COMPOSE_SOURCES / name).read_text()) for name in SOURCES]
    services = {name: one for document in documents[::-1] for name, one in document["services"].items()}
    del services["secrets-writer"]  # which says nothing, and is gone when it is done
    sizes = {name: service["logging"]["options"]["max-size"] for name, service in services.items()}
    assert sizes == dict.fromkeys(("proxy", "db", "label-studio", "sam2"), "${LABELRIG_LOG_FILE_MB:?}m")
    larger = SETTINGS.model_copy(update={"log_file_mb": 25})
    assert stack_values(larger, IMAGES, "demo")["LABELRIG_LOG_FILE_MB"] == "25"
