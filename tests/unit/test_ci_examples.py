"""The repository's own CI and the examples for a lab: they can be read, call what there is, and keep to their rules."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from invoke.exceptions import ParseError
from invoke.parser import Parser

from core.repository import REPOSITORY
from tasks import namespace

OWN = REPOSITORY / ".github" / "workflows" / "ci.yml"
GITHUB = REPOSITORY / "examples" / "ci" / "github" / "workflows" / "ci.yml"
ACTION = REPOSITORY / "examples" / "ci" / "github" / "actions" / "ssh" / "action.yml"
GITLAB = REPOSITORY / "examples" / "ci" / "gitlab" / ".gitlab-ci.yml"
FILES = (OWN, GITHUB, ACTION, GITLAB)


class Loader(yaml.SafeLoader):
    """Knows GitLab's `!reference`."""


Loader.add_constructor("!reference", lambda loader, node: loader.construct_sequence(node))  # type: ignore[arg-type]


def read(path: Path) -> Any:
    return yaml.load(path.read_text(), Loader)  # noqa: S506 - a SafeLoader


def scripts(content: Any) -> Iterator[str]:
    """Every text in a file that a shell gets."""
    if isinstance(content, dict):
        for key, value in content.items():
            if key in ("run", "script", "before_script", "after_script"):
                yield "\n".join(one for one in value if isinstance(one, str)) if isinstance(value, list) else value
            else:
                yield from scripts(value)
    elif isinstance(content, list):
        for value in content:
            yield from scripts(value)


def short(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def steps(job: Any) -> Any:
    return job.get("steps", [])


def parsed_by_invoke(call: str) -> None:
    """Read a command line as `./inv` does; raises where there is no such task or option, or a value is missing."""
    (_,) = Parser(contexts=namespace.to_contexts()).parse_argv(shlex.split(call))


@pytest.mark.parametrize("path", FILES, ids=short)
def test_the_commands_are_there(path: Path) -> None:
    calls = [line for text in scripts(read(path)) for line in re.findall(r"\./inv ([^\n|>&;]+)", text)]
    assert calls or path == ACTION
    for call in calls:
        parsed_by_invoke(call)


@pytest.mark.parametrize(
    "call", ["deploi", "deploy --grup x", "deploy --lock-wait", "test --json", "lock.release --yes"]
)
def test_a_call_that_is_none_would_be_seen(call: str) -> None:
    with pytest.raises(ParseError):
        parsed_by_invoke(call)


@pytest.mark.parametrize("path", [GITHUB, GITLAB], ids=short)
def test_deploy_waits_for_the_lock_and_releases_its_own(path: Path) -> None:
    deploy = read(path)["jobs"]["deploy"] if path == GITHUB else read(path)["deploy"]
    text = "\n".join(scripts(deploy))
    assert "./inv deploy --group" in text
    assert {"--yes", "--json", "--junit", "--lock-wait"} <= set(text.split())
    if path == GITHUB:
        (release,) = [step for step in steps(deploy) if "lock.release" in step.get("run", "")]
        assert release["if"] == "always()"
    else:
        assert any("lock.release --own" in line for line in deploy["after_script"])
    assert "--force" not in text


@pytest.mark.parametrize("path", FILES, ids=short)
def test_host_keys_are_pinned(path: Path) -> None:
    text = path.read_text()
    for word in ("ssh-keyscan", "StrictHostKeyChecking", "accept-new-host-key"):
        assert word not in text


def test_the_jobs_of_github_may_do_little() -> None:
    content = read(GITHUB)
    assert content["permissions"] == {}
    allowed = {name: job["permissions"] for name, job in content["jobs"].items()}
    assert allowed == {
        "test": {"contents": "read"},
        "plan": {"contents": "read"},
        "comment": {"pull-requests": "write"},
        "deploy": {"contents": "read"},
    }
    assert all("timeout-minutes" in job for job in content["jobs"].values())
    assert [name for name, job in content["jobs"].items() if "environment" in job] == ["plan", "deploy"]
    assert content["jobs"]["deploy"]["concurrency"] == {"group": "labelrig-deploy", "cancel-in-progress": False}


def test_own_ci_runs_the_suite_and_nothing_else() -> None:
    content = read(OWN)
    assert list(scripts(content)) == ["./inv test"]
    assert content["permissions"] == {}
    assert {name: job["permissions"] for name, job in content["jobs"].items()} == {"test": {"contents": "read"}}
    assert all("timeout-minutes" in job for job in content["jobs"].values())
    assert "secrets." not in OWN.read_text()


@pytest.mark.parametrize("path", [OWN, GITHUB], ids=short)
def test_foreign_actions_are_pinned_and_leave_no_credentials(path: Path) -> None:
    for job in read(path)["jobs"].values():
        for step in steps(job):
            used = step.get("uses")
            if used is None:
                continue
            if used.startswith("./.github/"):  # where it lies once it is copied
                assert (GITHUB.parents[1] / used.removeprefix("./.github/") / "action.yml").is_file()
                continue
            assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", used), used
            if used.startswith("actions/checkout@"):
                assert step["with"] == {"persist-credentials": False}


@pytest.mark.parametrize("path", [GITHUB, ACTION], ids=short)
def test_nothing_of_github_is_pasted_into_a_shell(path: Path) -> None:
    assert [text for text in scripts(read(path)) if "${{" in text] == []


def test_what_may_write_to_the_review_has_neither_key_nor_code() -> None:
    comment, note = read(GITHUB)["jobs"]["comment"], read(GITLAB)["note"]
    assert [step["uses"].split("@")[0] for step in steps(comment) if "uses" in step] == ["actions/download-artifact"]
    assert "secrets." not in str(comment)
    assert note["variables"] == {"GIT_STRATEGY": "none"}
    assert "extends" not in note
    assert "LABELRIG_SSH_KEY" not in str(note)


def test_the_token_of_gitlab_is_no_argument() -> None:
    text = "\n".join(scripts(read(GITLAB)["note"]))
    assert '"$LABELRIG_NOTES_TOKEN" |\n' in text
    assert text.count("LABELRIG_NOTES_TOKEN") == 1
    assert "curl --config -" in text


def test_gitlab_deploys_one_at_a_time_from_the_default_branch() -> None:
    deploy = read(GITLAB)["deploy"]
    assert (deploy["resource_group"], deploy["interruptible"]) == ("labelrig", False)
    assert [rule["if"] for rule in deploy["rules"]] == [
        '$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH && $LABELRIG_DEPLOY == "true"'
    ]
    assert deploy["environment"] == {"name": "lab"}
