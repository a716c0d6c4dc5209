from __future__ import annotations

import sys
from configparser import ConfigParser

import pytest

from core.errors import HostError
from hosts.base import environment_of
from infra.roles.docker.apt import AptSource
from infra.roles.images.mirror import Mirror, find_mirror, login_for, read_proxies, wgetrc, with_login
from infra.roles.images.pip_settings import PipSettings, merge_pip_config, pip_conf, read_pip_conf, read_pip_settings
from tests.fakes import FakeHost

# As pip 26 says it: two addresses of one option are one line with an escaped line break.
LISTING = r"""
global.cert='/etc/lab/ca.pem'
global.extra-index-url='https://me:pa%40ss@index.lab/simple\nfile:///srv/wheels/simple'
global.find-links='/srv/wheels file:///srv/more https://files.lab/links'
global.timeout='15'
global.cache-dir='/var/cache/pip'
install.index-url='https://index.lab/root'
:env:.timeout='60'
"""


def asked(listing: str = LISTING) -> FakeHost:
    host = FakeHost()
    host.script(sys.executable, "-m", "pip", "config", "list", stdout=listing)
    host.files["/etc/lab/ca.pem"] = b"lab"
    host.files["/etc/ssl/certs/ca-certificates.crt"] = b"system"
    return host


def test_takes_pips_settings_with_ranks_but_not_the_hosts() -> None:
    """pip's own settings are taken with their ranks and without what is the host's."""
    settings = read_pip_settings(asked(), {})
    assert settings.options == {
        "extra-index-url": "https://me:pa%40ss@index.lab/simple",
        "find-links": "https://files.lab/links",
        "index-url": "https://index.lab/root",
        "timeout": "60",
    }
    assert settings.link_folders == ("/srv/wheels", "/srv/more")
    assert settings.ca_bundle == "/etc/lab/ca.pem"
    assert "pa%40ss" not in repr(settings)


def test_the_variables_speak_where_there_is_no_pip() -> None:
    host = FakeHost()
    host.script(sys.executable, "-m", "pip", "config", "list", exit_code=1, stderr="No module named pip")
    host.script("python3", "-m", "pip", "config", "list", exit_code=127)
    settings = read_pip_settings(host, {"PIP_INDEX_URL": "https://index.lab/root", "PIP_CERT": "", "HOME": "/x"})
    assert settings == PipSettings({"index-url": "https://index.lab/root"}, (), None)


def elsewhere() -> FakeHost:
    host = FakeHost()
    host.is_local = False
    return host


def test_our_variables_do_not_count_for_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine's pip is asked, and our variables do not count there."""
    monkeypatch.setenv("PIP_INDEX_URL", "https://ours.lab/root")
    monkeypatch.setenv("SSL_CERT_FILE", "/ours.pem")
    host = elsewhere()
    host.script("python3", "-m", "pip", "config", "list", stdout="global.index-url='https://theirs.lab/root'\n")
    assert read_pip_settings(host) == PipSettings({"index-url": "https://theirs.lab/root"}, (), None)
    assert environment_of(host) == {}
    assert environment_of(FakeHost())["PIP_INDEX_URL"] == "https://ours.lab/root"


def test_a_bare_server_without_pip_says_by_its_system_wide_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://ours.lab/root")
    host = elsewhere()
    host.script("python3", "-m", "pip", "config", "list", exit_code=127)
    assert read_pip_settings(host) == PipSettings({}, (), None)
    host.files["/etc/pip.conf"] = b"[global]\nindex-url = https://theirs.lab/root\ncert = /lab.pem\ncache-dir = /x\n"
    host.files["/lab.pem"] = b"lab"
    assert read_pip_settings(host) == PipSettings({"index-url": "https://theirs.lab/root"}, (), "/lab.pem")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("[global]\ntimeout = 15\n[install]\ntimeout: 60\n[list]\ntimeout = 1\n", {"timeout": "60"}),
        ("[install]\nindex-url=https://a/s\n[global]\nindex-url=https://b/s\n", {"index-url": "https://a/s"}),
        ("[global]\ntrusted_host = a.lab\n", {"trusted-host": "a.lab"}),
        ("[global]\nindex-url = https://me:pa%40ss@lab/s\n", {"index-url": "https://me:pa%40ss@lab/s"}),
        (
            "[global]\nextra-index-url =\n  https://a/s\n  https://b/s\n",
            {"extra-index-url": "\nhttps://a/s\nhttps://b/s"},
        ),
        ("index-url = https://no-section/s\n", {}),
        ("[global]\na = 1\na = 2\n", {}),
    ],
)
def test_a_pip_conf_is_read_as_pip_reads_it(text: str, values: dict[str, str]) -> None:
    assert read_pip_conf(text) == values


@pytest.mark.parametrize(
    ("environment", "bundle"),
    [({}, "/etc/ssl/certs/ca-certificates.crt"), ({"SSL_CERT_FILE": "/etc/lab/ca.pem"}, "/etc/lab/ca.pem")],
)
def test_the_bundle_is_the_named_one_or_the_systems(environment: dict[str, str], bundle: str) -> None:
    assert read_pip_settings(asked(""), environment).ca_bundle == bundle


def test_a_named_bundle_that_is_missing_is_an_error() -> None:
    with pytest.raises(
        HostError, match=r"^fake host: the CA bundle /gone\.pem, which pip's settings or .* is not there$"
    ):
        read_pip_settings(asked("global.cert='/gone.pem'"), {})


def test_what_is_written_for_the_build_is_what_pip_reads() -> None:
    text = pip_conf(read_pip_settings(asked(), {}), ca_bundle="/run/build/ca.crt", wheels="/run/build/wheels")
    parser = ConfigParser(interpolation=None)
    parser.read_string(text)
    values = dict(parser["global"])
    assert values["cert"] == "/run/build/ca.crt"
    assert values["index-url"] == "https://index.lab/root"
    assert values["extra-index-url"] == "https://me:pa%40ss@index.lab/simple"
    assert values["find-links"].split() == ["/run/build/wheels", "https://files.lab/links"]


def test_several_addresses_stay_several() -> None:
    merged = merge_pip_config(r"global.extra-index-url='https://a/simple\nhttps://b/simple'")
    assert merged["extra-index-url"].split() == ["https://a/simple", "https://b/simple"]
    text = pip_conf(PipSettings({"extra-index-url": "https://a\nhttps://b"}, (), None), ca_bundle=None, wheels="/w")
    parser = ConfigParser(interpolation=None)
    parser.read_string(text)
    assert parser["global"]["extra-index-url"].split() == ["https://a", "https://b"]
    assert "cert" not in parser["global"]


def test_mirror_is_the_systems_and_hides_its_login() -> None:
    """The mirror is the system's, and its login stays out of the address."""
    sources = [
        AptSource("http://mirror.lab/ubuntu/", "noble", "main", "Ubuntu"),
        AptSource("http://me:secret@mirror.lab:8081/debian/", "bookworm", "main", "Debian"),
    ]
    mirror = find_mirror(sources)
    assert mirror == Mirror("http://mirror.lab:8081/debian/", "me", "secret")
    assert "secret" not in repr(mirror)
    assert find_mirror(sources[:1]) == Mirror(None)


@pytest.mark.parametrize(
    ("text", "login"),
    [
        ("machine mirror.lab login me password s3\n", ("me", "s3")),
        ("machine http://mirror.lab/debian\n  login me\n  password s3\n", ("me", "s3")),
        ("# machine mirror.lab login no password no\nmachine other.lab login x password y\n", ("", "")),
        ("machine mirror.lab/ubuntu login x password y machine mirror.lab:8081 login me password s3", ("me", "s3")),
    ],
)
def test_the_login_is_the_one_for_the_address(text: str, login: tuple[str, str]) -> None:
    assert login_for(text, "http://mirror.lab:8081/debian/") == login


def test_a_login_in_the_address_wins() -> None:
    mirror = Mirror("http://mirror.lab/", "me", "secret")
    assert with_login(FakeHost(), mirror) == mirror


def apt_says(special_http: str = "", general_http: str = "") -> FakeHost:
    host = FakeHost()
    for scheme, special, general in (("http", special_http, general_http), ("https", "", "")):
        lines = [f"{name}='{value}'" for name, value in (("special", special), ("general", general)) if value]
        host.script(
            "apt-config", "shell",
            "special", f"Acquire::{scheme}::Proxy::mirror.lab",
            "general", f"Acquire::{scheme}::Proxy",
            stdout="\n".join(lines),
        )  # fmt: skip
    return host


@pytest.mark.parametrize(
    ("host", "environment", "proxies"),
    [
        (apt_says(), {}, {}),
        (apt_says(general_http="http://p:3142"), {"http_proxy": "http://env"}, {"http_proxy": "http://p:3142"}),
        (apt_says("DIRECT", "http://p:3142"), {}, {"no_proxy": "mirror.lab"}),
        (
            apt_says(),
            {"HTTPS_PROXY": "http://env", "NO_PROXY": "lab"},
            {"https_proxy": "http://env", "no_proxy": "lab"},
        ),
    ],
)
def test_apts_proxy_comes_before_the_environments(
    host: FakeHost, environment: dict[str, str], proxies: dict[str, str]
) -> None:
    assert read_proxies(host, Mirror("http://mirror.lab/debian/"), environment) == proxies


def test_wget_gets_it_all_in_a_file() -> None:
    text = wgetrc(Mirror("http://m/", "me", "s3"), {"http_proxy": "http://u:p@proxy:1"}, "/ca.pem")
    assert text.splitlines()[2:] == [
        "http_proxy = http://u:p@proxy:1",
        "http_user = me",
        "http_password = s3",
        "auth_no_challenge = on",
        "ca_certificate = /ca.pem",
    ]
