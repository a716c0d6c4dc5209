"""The address of a stack: settings that go together, and those that contradict each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import SettingsError
from infra.config.address import allowed_hosts, reached_by_itself_only
from infra.config.inventory import load_inventory
from infra.config.settings import Settings, load_settings

LAB = "https://label.lab.example"


def settings(**given: str) -> Settings:
    return Settings.model_validate({f"LABELRIG_{name.upper()}": value for name, value in given.items()})


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("https://Label.Lab.Example/", "https://label.lab.example"),
        ("https://label.lab.example:443", "https://label.lab.example"),
        ("http://10.0.0.5:8080", "http://10.0.0.5:8080"),
        ("https://[fd00::1]:8443", "https://[fd00::1]:8443"),
    ],
)
def test_address_has_the_form_of_an_origin(url: str, seen: str) -> None:
    assert settings(public_url=url).public_url == seen


@pytest.mark.parametrize(
    "url",
    [
        "label.lab.example",
        "https://a.lab/studio",
        "https://me:word@a.lab",
        "https://a.lab?x=1",
        "https://a.lab:0",
        "ftp://a",
    ],
)
def test_anything_else_is_no_address(url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"LABELRIG_PUBLIC_URL: must ") as caught:
        load_settings(tmp_path / ".env", {"LABELRIG_PUBLIC_URL": url, "LABELRIG_TLS": "internal"}, {})
    assert "word" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"tls": "internal"}, "LABELRIG_PUBLIC_URL: must be set with `tls: internal`"),
        ({"tls": "proxy", "public_url": "http://a.lab"}, "LABELRIG_PUBLIC_URL: must begin with https://"),
        ({"public_url": LAB}, "LABELRIG_TLS: must be internal, files, acme or proxy with an https"),
        ({"tls": "files", "public_url": LAB, "tls_key": "/k"}, "LABELRIG_TLS_CERTIFICATE: must be set with"),
        ({"tls": "files", "public_url": LAB, "tls_certificate": "/c"}, "LABELRIG_TLS_KEY: must be set with"),
        ({"tls": "files", "public_url": LAB, "tls_key": "k", "tls_certificate": "/c"}, "path of a file"),
        ({"tls": "acme", "public_url": f"{LAB}:8443"}, "LABELRIG_PUBLIC_URL: must be at port 443"),
        ({"tls": "acme", "public_url": "https://gpu01"}, "LABELRIG_PUBLIC_URL: must be a name of the public DNS"),
        ({"tls": "acme", "public_url": "https://192.0.2.4"}, "LABELRIG_PUBLIC_URL: must be a name of the public DNS"),
        ({"tls": "internal", "public_url": f"{LAB}:8080"}, "LABELRIG_PUBLIC_URL: must have another port than"),
    ],
)
def test_contradictions_are_errors(given: dict[str, str], problem: str, tmp_path: Path) -> None:
    environment = {f"LABELRIG_{name.upper()}": value for name, value in given.items()}
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path / ".env", environment, {})
    assert problem in str(caught.value)


def test_inventory_is_checked_when_its_layers_are_merged(tmp_path: Path) -> None:
    """One layer may name the address, and another the kind: only together they contradict each other."""
    path = tmp_path / "inventory.yaml"
    path.write_text(f"defaults: {{tls: internal}}\nhosts:\n  a: {{public_url: '{LAB}'}}\n  b: {{}}\n")
    inventory = load_inventory(path)
    (one,) = inventory.select(["a"], [], None, {})
    assert (one.public_url, one.tls) == (LAB, "internal")
    with pytest.raises(SettingsError, match="b: public_url: must be set with `tls: internal`"):
        inventory.select(["b"], [], None, {})


def test_labelrig_itself_goes_by_loopback_where_there_is_tls() -> None:
    """And without it by what is published, as ever."""
    with_tls = settings(public_url=LAB, tls="internal", listen="0.0.0.0")
    assert (with_tls.url, with_tls.address_for_people) == ("http://127.0.0.1:8080", LAB)
    plain = settings(listen="10.0.0.5")
    assert plain.url == plain.address_for_people == "http://10.0.0.5:8080"
    behind = settings(public_url=LAB, tls="proxy", listen="10.0.0.5")
    assert (behind.url, behind.address_for_people) == ("http://10.0.0.5:8080", LAB)


@pytest.mark.parametrize(
    ("given", "hosts"),
    [
        ({}, "localhost,127.0.0.1,[::1],label-studio"),
        ({"listen": "0.0.0.0"}, "*"),
        ({"listen": "10.0.0.5"}, "*"),
        (
            {"listen": "10.0.0.5", "public_url": LAB, "tls": "proxy"},
            "label.lab.example,10.0.0.5,localhost,127.0.0.1,[::1],label-studio",
        ),
    ],
)
def test_names_that_are_answered(given: dict[str, str], hosts: str) -> None:
    assert set(allowed_hosts(settings(**given))) == set(hosts.split(","))


def test_https_on_loopback_alone_is_noticed() -> None:
    assert reached_by_itself_only(settings(public_url=LAB, tls="internal"))
    assert not reached_by_itself_only(settings(public_url=LAB, tls="internal", listen="0.0.0.0"))
    assert not reached_by_itself_only(settings(public_url="https://localhost:8443", tls="internal"))
    assert not reached_by_itself_only(settings(public_url=LAB, tls="proxy"))
