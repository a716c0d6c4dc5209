from __future__ import annotations

import hashlib
import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.errors import LabelrigError
from core.report import Report
from hosts.base import Result
from infra.config.settings import Settings
from infra.roles.stack import model as model_files
from infra.roles.stack.model import ModelChoice, choose_model, demo_notice
from tests.fakes import FakeHost
from tests.unit.infra.bundle.making import PARTS, made

IMAGE = "labelrig/sam2:1"


def host_that_answers(exit_code: int, stdout: str = "", stderr: str = "", *, model: str = "tiny") -> FakeHost:
    host = FakeHost()
    host.script("docker", "compose", "version", "--short", stdout="2.26.1\n")
    host.script(
        *("docker", "compose", "--project-name", "labelrig", "--env-file", "/state/fetch.env"),
        *("--file", "/state/fetch.yaml", "run", "--rm", "--no-TTY", "--quiet-pull", "fetch"),
        *(model, "--dir", "/models"),
        exit_code=exit_code,
        stdout=stdout,
        stderr=stderr,
    )
    return host


def choose(host: FakeHost, model: str, monkeypatch: pytest.MonkeyPatch) -> ModelChoice:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setattr(model_files, "CA_BUNDLES", ())
    settings = Settings.model_validate({"LABELRIG_MODEL": model})
    return choose_model(host, settings, IMAGE, "/state", Report(io.StringIO()))


def test_the_demo_model_needs_nothing_from_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost()
    assert choose(host, "demo", monkeypatch) == ModelChoice("demo")
    assert host.commands == []


def test_only_a_downloaded_checkpoint_is_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """A downloaded checkpoint is a change and one that was there is none."""
    for downloaded in ("true", "false"):
        host = host_that_answers(0, f'{{"model": "tiny", "path": "/models/x", "downloaded": {downloaded}}}\n')
        assert choose(host, "tiny", monkeypatch) == ModelChoice("tiny", downloaded=downloaded == "true")
    assert host.modes["/state/fetch.env"] == 0o600
    assert host.files["/state/fetch.yaml"] == model_files.FETCH_FILE.read_bytes()


def test_a_login_of_the_mirror_stands_in_no_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments show in the process list of the machine, and in `docker inspect` of the container."""

    class Reading(FakeHost):
        told: bytes | None = None

        def run(self, *argv: str, **arguments: Any) -> Result:
            self.told = arguments.get("stdin") or self.told
            return super().run(*argv, **arguments)

    url = "https://reader:mirror-secret@mirror.lab.example/sam2"
    host = Reading()
    host.answers |= host_that_answers(0, '{"model": "tiny", "path": "/models/x"}\n').answers
    (fetch,) = [argv for argv in host.answers if argv[-3:] == ("tiny", "--dir", "/models")]
    host.script(*fetch, "--base-url", "-", stdout='{"model": "tiny", "path": "/models/x"}\n')
    del host.answers[fetch]
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setattr(model_files, "CA_BUNDLES", ())
    settings = Settings.model_validate({"LABELRIG_MODEL": "tiny", "LABELRIG_CHECKPOINT_URL": url})
    choose_model(host, settings, IMAGE, "/state", Report(io.StringIO()))
    assert host.told == f"{url}\n".encode()
    assert not any("mirror-secret" in part for argv in host.commands for part in argv)
    assert not any(b"mirror-secret" in content for content in host.files.values())


def test_auto_says_why_it_fell_back(monkeypatch: pytest.MonkeyPatch) -> None:
    host = host_that_answers(0, '{"model": "demo", "reason": "no way out"}\n', model="auto")
    choice = choose(host, "auto", monkeypatch)
    assert choice == ModelChoice("demo", reason="no way out")
    assert demo_notice(choice).startswith("the DEMO model is in use (no way out).\n")


def test_failed_download_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A download that fails is one sentence with the downloader's own words."""
    host = host_that_answers(1, stderr="tiny: 1 %\nthe checksum is wrong; the file was removed\n")
    with pytest.raises(LabelrigError, match=r"^model tiny: the checksum is wrong; the file was removed\. Until"):
        choose(host, "tiny", monkeypatch)


def test_an_answer_that_is_not_ours_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LabelrigError, match="answered 'hello\\\\n'; expected one line of JSON"):
        choose(host_that_answers(0, "hello\n"), "tiny", monkeypatch)


def offline(*words: str) -> tuple[str, ...]:
    """The fetching container with the file that takes its network away."""
    files = ("--file", "/state/fetch.yaml", "--file", "/state/fetch-overrides.yaml")
    compose = ("docker", "compose", "--project-name", "labelrig", "--env-file", "/state/fetch.env", *files)
    return (*compose, "run", "--rm", "--no-TTY", "--quiet-pull", *words)


def in_shell(script: str, digest: str) -> tuple[str, ...]:
    return offline("--entrypoint", "sh", "fetch", "-c", script, "sh", "/models/tiny.pt", digest)


@pytest.mark.parametrize("model", ["tiny", "auto"])
@pytest.mark.parametrize("there", [True, False])
def test_weights_come_out_of_a_bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: str, there: bool) -> None:
    """They are placed where they are missing, and the container that looks at them has no network."""

    class Reading(FakeHost):
        placed: bytes | None = None

        def run(self, *argv: str, **arguments: Any) -> Result:
            if arguments.get("stdin") is not None:
                self.placed = arguments["stdin"].read()
            return super().run(*argv, **arguments)

    bundle, weights = made(tmp_path), PARTS["models/tiny.pt"]
    digest = hashlib.sha256(weights).hexdigest()
    host = Reading()
    host.script("docker", "compose", "version", "--short", stdout="2.26.1\n")
    host.script(*in_shell(model_files.IS_THERE, digest), exit_code=0 if there else 1)
    if not there:
        host.script(*in_shell(model_files.PLACE, digest))
    host.script(*offline("fetch", model, "--dir", "/models"), stdout='{"model": "tiny", "downloaded": false}\n')
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setattr(model_files, "CA_BUNDLES", ())
    settings = Settings.model_validate({"LABELRIG_MODEL": model})
    chosen = choose_model(host, settings, IMAGE, "/state", Report(io.StringIO()), bundle=bundle)
    assert chosen == ModelChoice("tiny", downloaded=not there)
    assert host.placed == (None if there else weights)
    assert json.loads(host.files["/state/fetch-overrides.yaml"]) == {"services": {"fetch": {"network_mode": "none"}}}


def test_weights_are_placed_whole_or_not_at_all(tmp_path: Path) -> None:
    """The scripts themselves, in a shell of this machine."""
    target, digest = tmp_path / "tiny.pt", hashlib.sha256(b"weights").hexdigest()

    def shell(script: str, content: bytes = b"") -> int:
        words = ("sh", "-c", script, "sh", str(target), digest)
        return subprocess.run(words, input=content, capture_output=True, timeout=60, check=False).returncode

    assert shell(model_files.IS_THERE) != 0
    assert shell(model_files.PLACE, b"weig") != 0
    assert not target.exists()
    assert shell(model_files.PLACE, b"weights") == 0
    assert target.read_bytes() == b"weights"
    assert shell(model_files.IS_THERE) == 0
    target.write_bytes(b"Weights")
    assert shell(model_files.IS_THERE) != 0


def test_weights_go_into_a_folder_where_one_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost()
    host.script("docker", "compose", "version", "--short", stdout="2.26.1\n")
    host.script(*offline("fetch", "tiny", "--dir", "/models"), stdout='{"model": "tiny", "downloaded": true}\n')
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setattr(model_files, "CA_BUNDLES", ())
    settings = Settings.model_validate({"LABELRIG_MODEL": "tiny"})
    choose_model(host, settings, IMAGE, "/state", Report(io.StringIO()), folder="/a folder: here")
    mount = {"type": "bind", "source": "/a folder: here", "target": "/models"}
    assert yaml.safe_load(host.files["/state/fetch-overrides.yaml"]) == {"services": {"fetch": {"volumes": [mount]}}}
