"""The real command on the running stack: it finishes the work, proves it, and a second run changes nothing."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from core.report import Report
from core.repository import REPOSITORY
from hosts.local import LocalHost
from infra.config.dotenv import read_env_file, update_env_file
from infra.config.settings import load_settings
from infra.roles.images.packages import Offered, package_names
from infra.roles.images.role import read_offered
from infra.roles.images.tags import FOLDERS
from infra.stack.site import exec_in, state_folder
from labelstudio.password_record import PasswordRecord
from labelstudio.session import SignInRefused, reset_password, sign_in, token_works
from tests.e2e.conftest import Stack
from tests.unit.infra.doctor.test_sbom import problems
from tests.warm_python import run_inv

UP_TIMEOUT = 600


def inv(stack: Stack, *arguments: str, **settings: str) -> CompletedProcess[str]:
    return run_inv(REPOSITORY, *arguments, environment=stack.environment | settings, timeout=UP_TIMEOUT)


def up(stack: Stack, **settings: str) -> dict[str, Any]:
    done = inv(stack, "up", "--json", **settings)
    assert done.returncode == 0, done.stderr
    for secret in (stack.settings.password, stack.settings.secret_key):
        assert secret is not None
        assert secret.get_secret_value() not in done.stdout + done.stderr
    record: dict[str, Any] = json.loads(done.stdout)
    return record


@pytest.fixture(scope="module")
def first(stack: Stack) -> dict[str, Any]:
    """The record of one `up`, which every test here finds done; whoever takes something away brings it back."""
    return up(stack)


def changes(record: dict[str, Any]) -> list[str]:
    return [change for stage in record["stages"] for change in stage["changed"]]


def container_id(stack: Stack, service: str) -> str:
    container = stack.running.container(service)
    assert container is not None
    return str(container.id)


def test_up_ends_with_a_proof(first: dict[str, Any], stack: Stack) -> None:
    assert first["url"] == stack.settings.url
    assert first["proof"]["iou"] >= 0.75
    assert "demo" in first["model_version"]
    assert any("DEMO model" in notice for notice in first["notices"])


def test_a_second_up_changes_nothing(first: dict[str, Any], stack: Stack) -> None:
    """Nor does the same setting in another form: compose would take the environment's word and not the env file's."""
    second = up(stack, LABELRIG_COMPANION="true", LABEL_STUDIO_USERNAME=stack.settings.username.upper())
    assert (changes(second), second["changed"]) == ([], 0)
    assert second["proof"]["task_id"] == first["proof"]["task_id"]


@pytest.mark.usefixtures("first")
def test_env_holds_the_token_and_is_for_its_owner_only(stack: Stack) -> None:
    path = Path(stack.environment["LABELRIG_ENV_FILE"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = load_settings(path, {}, {}).api_key
    assert key is not None
    assert key.get_secret_value().count(".") == 2  # a personal token is a JWT


@pytest.mark.usefixtures("first")
def test_a_removed_container_is_healed(stack: Stack) -> None:
    """The other one is left alone, and a project stays encoded; Label Studio's is healed below, after `down`."""
    encoded = inv(stack, "embed", "--json")
    assert encoded.returncode == 0, encoded.stderr
    done = json.loads(encoded.stdout)["embed"]
    assert (done["state"], done["total"], done["failed"]) == ("done", 12, 0)
    container = stack.running.container("sam2")
    assert container is not None
    container.remove(force=True)
    label_studio = container_id(stack, "label-studio")
    assert changes(up(stack)) == ["start containers (sam2: not there)"]
    assert container_id(stack, "label-studio") == label_studio
    again = inv(stack, "embed")
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("0 images encoded, 12 were there already, 0 failed, in ")


@pytest.mark.usefixtures("first")
def test_a_checkpoint_that_cannot_be_had_changes_nothing(stack: Stack) -> None:
    """`--model tiny` is an error; `auto` takes the demo model and says so, and finds everything as it was."""
    with socket.socket() as nobody:  # bound, and never listening: every connection is refused
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        done = inv(stack, "up", "--model", "tiny", LABELRIG_CHECKPOINT_URL=url)
        auto = inv(stack, "up", "--json", LABELRIG_MODEL="auto", LABELRIG_CHECKPOINT_URL=url)
    assert done.returncode == 1, done.stderr
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert error.startswith(f"error: model tiny: {url}/sam2.1_hiera_tiny.pt could not be fetched")
    assert error.endswith("LABELRIG_CHECKPOINT_URL in .env names another place to download from")
    assert load_settings(Path(stack.environment["LABELRIG_ENV_FILE"]), {}, {}).model == "demo"
    assert auto.returncode == 0, auto.stderr
    record = json.loads(auto.stdout)
    assert record["model"] == "demo"
    assert any("the DEMO model is in use (127.0.0.1 cannot be reached" in notice for notice in record["notices"])
    assert record["changed"] == 0


ODD_PASSWORD = 'a "quoted" $one $$two #three \\four ñ 🙂 =five'


@pytest.fixture
def kept(stack: Stack) -> Iterator[dict[str, str]]:
    """What `.env` holds. Afterwards the password is again the one that the other tests of the session know."""
    path, name = Path(stack.environment["LABELRIG_ENV_FILE"]), stack.settings.username
    values = read_env_file(path)
    password = values["LABEL_STUDIO_PASSWORD"]
    yield values
    update_env_file(LocalHost(), str(path), {"LABEL_STUDIO_PASSWORD": password})
    reset_password(exec_in(stack.compose, "label-studio"), name, password)
    PasswordRecord.of(LocalHost(), str(state_folder(stack.settings))).write(name, password)


def test_down_keeps_everything_and_env_is_made_good(first: dict[str, Any], kept: dict[str, str], stack: Stack) -> None:
    """While the stack is down the password in `.env` is changed, and the line with the key is lost."""
    path = Path(stack.environment["LABELRIG_ENV_FILE"])
    done = inv(stack, "down")
    assert done.returncode == 0, done.stderr
    assert stack.running.container("label-studio") is None
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if "SECRET_KEY" not in line))
    update_env_file(LocalHost(), str(path), {"LABEL_STUDIO_PASSWORD": ODD_PASSWORD})
    after = up(stack)
    assert changes(after) == [
        "recover LABEL_STUDIO_SECRET_KEY from the stack that is there and write them to .env, which lacks them",
        "update stack.env",
        f"volumes for user {stack.settings.uid}: write label-studio-data/.env",
        "start containers (sam2: not there; label-studio: not there; proxy: not there)",
        f"set the password of {stack.settings.username} in Label Studio to the one in .env",
    ]
    assert after["proof"]["task_id"] == first["proof"]["task_id"]
    assert read_env_file(path) == {**kept, "LABEL_STUDIO_PASSWORD": ODD_PASSWORD}
    container = stack.running.container("label-studio")
    assert container is not None
    read = container.exec_run(["cat", "/label-studio/data/.env"]).output
    assert f"LABEL_STUDIO_PASSWORD='{ODD_PASSWORD}'\n".encode() in read
    assert ODD_PASSWORD not in json.dumps(container.attrs, ensure_ascii=False)
    with sign_in(stack.settings.url, stack.settings.username, ODD_PASSWORD):
        pass
    with (
        pytest.raises(SignInRefused),
        sign_in(stack.settings.url, stack.settings.username, kept["LABEL_STUDIO_PASSWORD"]),
    ):
        pass
    assert token_works(stack.settings.url, kept["LABEL_STUDIO_API_KEY"])  # the key is the one that signed it


@pytest.mark.usefixtures("first")
def test_embedding_an_unknown_project_is_refused(stack: Stack) -> None:
    done = inv(stack, "embed", "--project", "No such thing")
    assert done.returncode == 2
    assert "error: Label Studio has no project called 'No such thing'" in done.stderr


@pytest.mark.usefixtures("first")
def test_bills_of_materials_name_what_is_in_the_images(stack: Stack, tmp_path: Path) -> None:
    """Read from the images that run, without their help: what the images keep of apt and pip does not matter."""
    done = inv(stack, "sbom", "--out", str(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)["sbom"]
    assert set(record) == {"label-studio", "sam2", "proxy"}
    for service, document in record.items():
        assert json.loads((tmp_path / f"{service}.cdx.json").read_text()) == document
        assert problems(document) == []
        container = stack.running.container(service)
        assert container is not None
        assert document["metadata"]["component"]["bom-ref"] == container.attrs["Image"]
        parts = {one["name"].lower(): one for one in document["components"]}
        assert parts["openssl"]["purl"].startswith("pkg:deb/debian/openssl@3.0.")
        assert parts["openssl"]["licenses"]
        debian = [one for one in document["components"] if one["purl"].startswith("pkg:deb/")]
        # What an image has and its list has not could get a fix and no new image.
        assert {one["name"] for one in debian} <= package_names(REPOSITORY, FOLDERS[service])
        # The hash of each that the mirror still has: all of them, where the images are up to date.
        assert all("hashes" in one for one in debian) or not offered_now().known
    names = {service: {one["name"].lower() for one in found["components"]} for service, found in record.items()}
    assert {"label-studio", "django"} <= names["label-studio"]
    assert {"torch", "sam2"} <= names["sam2"]
    assert "caddy" in names["proxy"]
    (numpy,) = [one for one in record["sam2"]["components"] if one["name"] == "numpy"]
    lock = (REPOSITORY / "requirements" / "backend.lock").read_text()
    assert all(one["value"] in lock for one in numpy["properties"])


def offered_now() -> Offered:
    return read_offered(LocalHost(), REPOSITORY, None, Report())


@pytest.mark.usefixtures("first")
def test_a_changed_setting_never_starts_an_empty_database(stack: Stack) -> None:
    before = [container_id(stack, service) for service in ("label-studio", "sam2")]
    done = inv(stack, "up", LABELRIG_DATABASE="postgres")
    assert done.returncode == 2
    assert "works on sqlite, and the settings say postgres, which would begin empty" in done.stderr
    assert "`./inv database.move --to postgres` moves the work there" in done.stderr
    there = inv(stack, "database.move", "--to", "sqlite", "--yes")
    assert there.returncode == 2
    assert "the stack of this machine works on sqlite already; nothing was changed" in there.stderr
    assert [container_id(stack, service) for service in ("label-studio", "sam2")] == before


def test_a_command_runs_in_a_container(stack: Stack) -> None:
    words = ("--", "python3", "-c", "import sys; print(sys.argv[1:]); sys.exit(7)", "two words", "--host", "$HOME")
    done = inv(stack, "exec", "sam2", *words)
    assert (done.returncode, done.stdout) == (7, "['two words', '--host', '$HOME']\n")
    as_json = inv(stack, "exec", "sam2", "--json", *words)
    record = json.loads(as_json.stdout)
    assert (as_json.returncode, record["exit_code"]) == (7, 7)
    assert record["stdout"] == done.stdout


def test_restart_ends_and_starts_what_is_named(stack: Stack) -> None:
    before = {name: container_id(stack, name) for name in ("proxy", "sam2")}
    proxy = stack.running.container("proxy")
    assert proxy is not None
    done = inv(stack, "restart", "proxy")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "restarted proxy; all services are healthy\n"
    after = stack.running.container("proxy")
    assert after is not None
    assert after.attrs["State"]["StartedAt"] > proxy.attrs["State"]["StartedAt"]
    assert {name: container_id(stack, name) for name in before} == before


def test_purge_asks_first(stack: Stack) -> None:
    done = inv(stack, "down", "--purge")
    assert done.returncode == 2
    assert f"{stack.settings.project}_label-studio-data" in done.stderr
    assert "Nothing was done: there is no terminal to ask; add --yes" in done.stderr
    assert stack.running.container("label-studio") is not None


def test_the_environment_reaches_the_right_stack(stack: Stack) -> None:
    """A guard for the tests themselves: they must never touch the stack of the person who runs them."""
    assert stack.settings.project != "labelrig"
    assert "LABELRIG_PROJECT" not in stack.environment
    assert os.environ.get("LABELRIG_ENV_FILE") != stack.environment["LABELRIG_ENV_FILE"]
