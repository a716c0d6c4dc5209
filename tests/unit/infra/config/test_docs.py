from __future__ import annotations

from pathlib import Path

import pytest

from backend.settings import Settings as BackendSettings
from core.errors import SettingsError
from core.repository import REPOSITORY
from infra.config import docs as module
from infra.config.backend import PASSED_ON
from infra.config.docs import BEGIN, END, Table, explain, inventory_table, main, renewed, short_table, tables
from infra.config.docs_backend import BACKEND_TEXTS
from infra.config.docs_env import ENV_NAMES
from infra.config.host_settings import setting_fields
from infra.config.settings import Settings, setting_names
from infra.releases.hooks import SECRETS


def test_a_setting_is_explained_with_kind_default_example_and_its_name_for_this_machine() -> None:
    assert explain("data") == (
        "data (a setting of a host, in infra/inventory.yaml: under `defaults`, a group or the host)\n"
        "\n"
        "  kind      absolute path on the host\n"
        "  default   none\n"
        "\n"
        "  Folder with your images on the host, mounted read-only. Without it, a dozen demo images are drawn.\n"
        "\n"
        "  data: /NAS/home/me/RGB_T_SAR\n"
        "\n"
        "  For this machine (`./inv up`): LABELRIG_DATA in .env."
    )
    assert "  docker_daemon: {live-restore: true}" in explain("docker_daemon")


@pytest.mark.parametrize("key", ["hosts.gpu01.lab.port", "groups.gpu.port", "defaults.port"])
def test_a_path_in_the_inventory_means_the_same(key: str) -> None:
    assert explain(key) == explain("port")


@pytest.mark.parametrize("key", ["backend.MASK_KEEP", "hosts.gpu01.backend.MASK_KEEP", "BACKEND_MASK_KEEP"])
def test_so_do_the_names_of_a_backend_setting(key: str) -> None:
    text = explain(key)
    assert text.startswith("MASK_KEEP (a setting of the SAM2 backend;")
    assert "  default   all\n" in text
    assert "Which parts of a mask are kept." in text


@pytest.mark.parametrize("name", [*setting_fields(), *ENV_NAMES, "hosts", "groups", "defaults"])
def test_everything_can_be_asked_for(name: str) -> None:
    assert explain(name).startswith(f"{name} (")


def test_the_list_names_everything_with_its_first_sentence() -> None:
    lines = explain().splitlines()
    shown = {line.split()[0] for line in lines if line.startswith("  ")}
    assert shown == {*setting_fields(), *ENV_NAMES}
    assert next(line for line in lines if line.startswith("  gpu ")).endswith("  What to do about an NVIDIA GPU.")


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("prot", "did you mean port?"),
        ("LABELRIG_MODLE", "did you mean LABELRIG_MODEL?"),
        ("hosts.gpu01.keep-release", "did you mean keep_releases?"),
        (
            "LABELRIG_SUDO_PASSWD",
            "did you mean LABELRIG_SUDO_PASSWORD or LABELRIG_SSH_PASSWORD or LABEL_STUDIO_PASSWORD?",
        ),
        ("backend.NOPE", "`./inv docs` lists them all"),
        ("lab.port", "did you mean port?"),
    ],
)
def test_an_unknown_key_is_refused_with_what_was_meant(key: str, hint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        explain(key)
    assert str(caught.value) == f"{key}: is not a setting; {hint}"


def test_every_name_of_env_has_its_text_and_no_other_has() -> None:
    elsewhere = {"LABELRIG_ENV_FILE", "LABELRIG_SSH_PASSWORD", "LABELRIG_SSH_PASSPHRASE", "LABELRIG_SUDO_PASSWORD"}
    assert set(setting_names()) <= set(ENV_NAMES)
    assert set(ENV_NAMES) - set(setting_names()) <= elsewhere
    assert all(told.text.endswith(".") for told in ENV_NAMES.values())


def test_what_is_a_secret_is_known_everywhere() -> None:
    secret = {
        field.alias for field in Settings.model_fields.values() if field.alias and "SecretStr" in str(field.annotation)
    }
    assert "LABEL_STUDIO_PASSWORD" in secret
    assert secret <= {name for name, told in ENV_NAMES.items() if told.secret} == set(SECRETS)


def test_the_texts_of_the_backend_are_its_own() -> None:
    assert tuple(BACKEND_TEXTS) == PASSED_ON
    for name, (default, text) in BACKEND_TEXTS.items():
        field = BackendSettings.model_fields[name.lower()]
        written = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
        assert default == ("" if field.default is None else written), name
        assert field.description in (None, text), name


def test_the_tables_in_the_documents_are_up_to_date() -> None:
    assert [table.path.relative_to(REPOSITORY).as_posix() for table in tables()] == ["docs/inventory.md", "README.md"]
    for table in tables():
        text = table.path.read_text()
        new = renewed(text, table.make())
        assert new is not None or not table.required
        assert new in (None, text), f"{table.path.name}: python -m infra.config.docs --write"


def test_a_table_has_a_row_for_each_setting() -> None:
    rows = inventory_table().splitlines()
    assert rows[0] == "| setting | kind | default | what |"
    assert len(rows) == len(short_table().splitlines()) == len(setting_fields()) + 2
    assert "| `port` | whole number, 1 to 65535 | `8080` | Port of the host" in inventory_table()
    assert "| `data` | | Folder with your images on the host, mounted read-only. |" in short_table()
    assert "| `hooks` | `infra/hooks` |" in short_table()


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    assert renewed(f"a\n{BEGIN}\nold\n{END}\nb {END}\n", "new") == f"a\n{BEGIN}\nnew\n{END}\nb {END}\n"
    assert renewed("a\n", "new") is None
    assert renewed(f"{END} {BEGIN}", "new") is None


def test_the_command_says_what_is_old_and_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    required, other, without = tmp_path / "a.md", tmp_path / "b.md", tmp_path / "c.md"
    for path in (required, other):
        path.write_text(f"{BEGIN}{END}")
    without.write_text("no place\n")
    monkeypatch.setattr(
        module,
        "tables",
        lambda: (
            Table(required, lambda: "T", required=True),
            Table(other, lambda: "U", required=False),
            Table(without, lambda: "V", required=False),
        ),
    )
    assert main([]) == 1
    assert capsys.readouterr().err == "".join(f"{path}: is out of date; add --write\n" for path in (required, other))
    assert main(["--write"]) == 0
    assert (required.read_text(), other.read_text()) == (f"{BEGIN}\nT\n{END}", f"{BEGIN}\nU\n{END}")
    assert without.read_text() == "no place\n"
    assert main([]) == 0
    assert main(["--wrote"]) == 2
    required.write_text("gone\n")
    assert main([]) == 1
