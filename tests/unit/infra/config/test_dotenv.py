from __future__ import annotations

import pytest

from core.errors import SettingsError
from infra.config.dotenv import parse_env_bytes, update_env_file
from tests.fakes import FakeHost

PATH = "/srv/labelrig/.env"


def test_comments_order_and_foreign_lines_stay_as_they_were() -> None:
    host = FakeHost()
    host.files[PATH] = b"# mine\nLABELRIG_MODEL=tiny # why\n\nLABEL_STUDIO_PORT=9000"
    update_env_file(host, PATH, {"LABELRIG_MODEL": "large", "LABEL_STUDIO_API_KEY": "a$b#c d"})
    assert host.files[PATH].decode() == (
        "# mine\nLABELRIG_MODEL='large'\n\nLABEL_STUDIO_PORT=9000\nLABEL_STUDIO_API_KEY='a$b#c d'\n"
    )
    assert host.modes[PATH] == 0o600


def test_what_is_written_is_read_back_as_it_was() -> None:
    host = FakeHost()
    odd = {
        "A": 'with $dollar and # and \\ and "quotes"',
        "B": "plain",
        "C": "it's mine",
        "D": "two \\\\ backslashes",
        "E": "at the end \\",
        "F": "'",
        "G": " ñ 🙂 ",
        "H": "\\' # x",
    }
    update_env_file(host, PATH, odd)
    assert parse_env_bytes(host.files[PATH], PATH) == odd
    update_env_file(host, PATH, {"A": "new", "Z": "'"})
    assert parse_env_bytes(host.files[PATH], PATH) == {**odd, "A": "new", "Z": "'"}


def test_a_file_that_was_written_on_windows_is_read() -> None:
    """With a byte order mark in front and `\\r\\n` at the ends of lines."""
    host = FakeHost()
    host.files[PATH] = "\ufeffLABELRIG_MODEL=tiny\r\nLABELRIG_DATA='/NAS/año'\r\n".encode()
    given = {"LABELRIG_MODEL": "tiny", "LABELRIG_DATA": "/NAS/año"}
    assert parse_env_bytes(host.files[PATH], PATH) == given
    host.files[PATH] = host.files[PATH].decode("utf-8-sig").encode("utf-16")  # PowerShell's `>`
    assert parse_env_bytes(host.files[PATH], PATH) == given
    update_env_file(host, PATH, {"LABELRIG_MODEL": "large"})
    assert parse_env_bytes(host.files[PATH], PATH) == {**given, "LABELRIG_MODEL": "large"}
    with pytest.raises(SettingsError, match=r"^/x: line 1: is not UTF-8 text; save the file as UTF-8$"):
        parse_env_bytes("LABEL_STUDIO_PASSWORD=contraseña".encode("latin-1"), "/x")


@pytest.mark.parametrize(("key", "value"), [("A B", "x"), ("A", "x\ny"), ("A", "\x00"), ("A\n", "x")])
def test_refuses_what_cannot_stand_in_the_file(key: str, value: str) -> None:
    """What cannot stand in the file is refused and nothing is written."""
    host = FakeHost()
    with pytest.raises(ValueError, match=r"cannot stand in a \.env file"):
        update_env_file(host, PATH, {"GOOD": "1", key: value})
    assert host.files == {}
