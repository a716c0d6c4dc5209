"""known_hosts files as OpenSSH reads them."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from core.errors import FileAccessError
from hosts.known_hosts import KnownHosts, known_name, parse_known_hosts

FILE = Path("/home/ana/.ssh/known_hosts")
BLOB = base64.b64encode(b"a key").decode()
# Made by `ssh-keygen -H` of "gpu01.lab".
HASHED = "|1|1K+4mfW8N2QW/8ZDqgBri3pR++M=|55LB6mU3bXdgORx2BQo+ILtaXpU="


@pytest.mark.parametrize(
    ("names", "name", "expected"),
    [
        ("gpu01.lab", "gpu01.lab", True),
        ("gpu01.lab", "gpu01xlab", False),
        ("GPU01.lab", "gpu01.lab", True),
        ("gpu01,gpu01.lab,10.0.0.1", "10.0.0.1", True),
        ("*.lab", "gpu01.lab", True),
        ("gpu0?", "gpu01", True),
        ("gpu0?", "gpu0", False),
        ("*.lab,!gpu02.lab", "gpu01.lab", True),
        ("*.lab,!gpu02.lab", "gpu02.lab", False),
        ("[gpu01.lab]:2222", "[gpu01.lab]:2222", True),
        ("[gpu01.lab]:2222", "gpu01.lab", False),
        ("gpu01.lab", "[gpu01.lab]:2222", False),
        ("|1|nonsense", "gpu01.lab", False),
        ("|1|not-base64|neither", "gpu01.lab", False),
        (HASHED, "gpu01.lab", True),
        (HASHED, "gpu02.lab", False),
    ],
)
def test_which_host_a_line_is_for(names: str, name: str, expected: bool) -> None:
    [key] = parse_known_hosts(f"{names} ssh-ed25519 {BLOB} comment\n", FILE)
    assert key.is_for(name) is expected


def test_the_name_holds_a_port_that_is_not_the_usual_one() -> None:
    assert (known_name("GPU01.lab", 22), known_name("GPU01.lab", 2222)) == ("gpu01.lab", "[gpu01.lab]:2222")


def test_skips_lines_without_keys_and_keeps_line_numbers() -> None:
    """Lines that are not keys are left out, and the line numbers stay right."""
    text = f"# comment\n\nshort line\n@cert-authority *.lab ssh-ed25519 {BLOB}\ngpu01 ssh-ed25519 {BLOB}\nx y ???\n"
    keys = parse_known_hosts(text, FILE)
    assert [(key.line, key.marker, key.names) for key in keys] == [(4, "@cert-authority", "*.lab"), (5, "", "gpu01")]


def test_lines_for_authorities_and_revoked_keys_are_marked(tmp_path: Path) -> None:
    (tmp_path / "known").write_text(f"@cert-authority *.lab ssh-ed25519 {BLOB}\n@revoked *.lab ssh-rsa {BLOB}\n")
    assert [key.marker for key in KnownHosts([tmp_path / "known"]).of("gpu01.lab")] == ["@cert-authority", "@revoked"]


def test_several_files_are_one_and_missing_ones_are_empty(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"gpu01 ssh-ed25519 {BLOB}\n")
    known = KnownHosts([tmp_path / "none", tmp_path / "one", tmp_path / "two"])
    assert [key.file.name for key in known.of("gpu01")] == ["one", "two"]


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match=rf"this machine: cannot read {tmp_path}: Is a directory"):
        KnownHosts([tmp_path]).of("gpu01")


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileAccessError, match=r"this machine: cannot write .*/file/known: "):
        KnownHosts([tmp_path / "file" / "known"]).record("gpu01", "ssh-ed25519", b"a key")


def test_what_is_recorded_is_found_again(tmp_path: Path) -> None:
    known = KnownHosts([tmp_path / "new" / "known"])
    known.record("[gpu01]:2222", "ssh-ed25519", b"a key")
    assert [(key.kind, key.blob) for key in known.of("[gpu01]:2222")] == [("ssh-ed25519", b"a key")]
