from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.repository import REPOSITORY
from infra.config.host_settings import HostSettings, in_words
from infra.config.value_types import Target, nearest, parse_target


def host(**settings: object) -> HostSettings:
    return HostSettings.model_validate({"name": "gpu01", **settings})


def problem(**settings: object) -> str:
    with pytest.raises(ValidationError) as caught:
        host(**settings)
    return "; ".join(in_words(one) for one in caught.value.errors(include_input=False))


@pytest.mark.parametrize(("given", "kept"), [("/a//b/./c/", "/a/b/c"), ("//a", "/a"), ("/datos/imágenes ñ", None)])
def test_a_path_on_the_host_is_tidied(given: str, kept: str | None) -> None:
    assert (host(root=given).root, host(data=given).data) == (kept or given, Path(kept or given))


@pytest.mark.parametrize("path", ["data", "~/data", "", "/a/../b", "/a\nb"])
def test_a_path_on_the_host_must_be_absolute(path: str) -> None:
    assert problem(root=path) == "root: must be an absolute path on the host, without `..`"


@pytest.mark.parametrize("path", ["/", "//", "/./"])
def test_the_root_of_everything_is_no_folder_of_ours(path: str) -> None:
    assert problem(root=path) == "root: must be a folder below `/`"


def test_a_path_here_begins_in_the_repository_or_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ana")
    assert host().hooks == REPOSITORY / "infra" / "hooks"
    assert host(ssh_key="~/.ssh/lab").ssh_key == Path("/home/ana/.ssh/lab")
    assert host(known_hosts="infra/known_hosts").known_hosts == REPOSITORY / "infra" / "known_hosts"
    assert problem(ssh_key=5) == "ssh_key: must be a path on this machine"
    assert problem(ssh_key="~nobody-of-that-name/key").startswith("ssh_key: begins with the home folder of a user")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"listen": "::1"}, "listen: must be an IPv4 address of the machine, or 0.0.0.0 for all of them"),
        ({"username": "admin"}, "username: must be an e-mail address"),
        ({"sam2_image": "-v /:/x"}, "sam2_image: must be an image's name, as `docker run` takes it"),
        ({"checkpoint_url": "ftp://x"}, "checkpoint_url: must begin with http:// or https:// and name a host"),
        ({"checkpoint_url": "http:///x"}, "checkpoint_url: must begin with http:// or https:// and name a host"),
        (
            {"checkpoint_url": "https://me:pw@x/y"},
            "checkpoint_url: holds a login, which belongs in the host's secrets.env (LABELRIG_CHECKPOINT_URL)",
        ),
        ({"jump": "a@b:c"}, "jump: must be [user@]name[:port], with an IPv6 address in brackets"),
        ({"subnet": "8.8.8.0/24"}, "subnet: must be a private IPv4 network between /16 and /28"),
        ({"connect_timeout": 0}, "connect_timeout: expected seconds, 1 to 300"),
        ({"connect_timeout": True}, "connect_timeout: must be a number, not true or false"),
        (
            {"project": "Lab"},
            "project: must be up to 41 small letters, digits, `-` and `_`, a letter or digit first",
        ),
        ({"docker_daemon": [1]}, "docker_daemon: expected mapping"),
        ({"docker_daemon": {"log-opts": {"a": [1]}}}, "docker_daemon: must be text, a number, true or false"),
    ],
)
def test_a_wrong_value_is_said_in_words(settings: dict[str, object], text: str) -> None:
    assert problem(**settings) == text


def test_settings_are_frozen_and_show_no_value() -> None:
    """Settings cannot be changed and do not show what they refuse."""
    with pytest.raises(ValidationError, match="frozen"):
        host().port = 1
    with pytest.raises(ValidationError) as caught:
        host(port="hunter22")
    assert "hunter22" not in str(caught.value)


NAMES = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?", fullmatch=True)
USERS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.\\-]{0,10}[A-Za-z0-9]", fullmatch=True)


@given(NAMES | st.ip_addresses(v=4).map(str), USERS | st.none(), st.integers(1, 65535) | st.none())
def test_a_target_is_read_back(address: str, user: str | None, port: int | None) -> None:
    text = f"{f'{user}@' if user else ''}{address}{f':{port}' if port else ''}"
    assert parse_target(text) == Target(address, user, port)


@given(st.ip_addresses(v=6).map(str), st.integers(1, 65535))
def test_so_is_an_ipv6_address(address: str, port: int) -> None:
    assert parse_target(f"me@[{address}]:{port}") == Target(address, "me", port)


@given(st.text())
def test_any_other_text_is_refused_with_a_sentence(text: str) -> None:
    try:
        target = parse_target(text)
    except ValueError as error:
        problem = str(error)
    else:
        problem = ""
        assert target.address
        assert not target.address.startswith("-")
        assert not any(letter.isspace() for letter in target.address + (target.user or ""))
    assert problem.startswith(("must ", "has brackets ")) or not problem


def test_swapped_letters_are_the_likeliest_slip() -> None:
    assert nearest("prot", ["root", "port"], 1) == ["port"]
    assert nearest("SSH-PORT", ["port", "ssh_port"], 1) == ["ssh_port"]
    assert nearest("qqq", ["port"], 1) == []
    assert nearest("port", [], 1) == []
