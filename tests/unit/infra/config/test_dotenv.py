from __future__ import annotations

import pytest

from infra.config.dotenv import parse_env_text, update_env_file
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
    values = {"A": 'with $dollar and # and \\ and "quotes"', "B": "plain"}
    update_env_file(host, PATH, values)
    assert parse_env_text(host.files[PATH].decode(), PATH) == values


@pytest.mark.parametrize(("key", "value"), [("A B", "x"), ("A", "x\ny"), ("A", "it's")])
def test_refuses_what_cannot_stand_in_the_file(key: str, value: str) -> None:
    """What cannot stand in the file is refused and nothing is written."""
    host = FakeHost()
    with pytest.raises(ValueError, match=r"cannot stand in a \.env file"):
        update_env_file(host, PATH, {"GOOD": "1", key: value})
    assert host.files == {}
