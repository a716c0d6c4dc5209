from __future__ import annotations

import pytest

from core.errors import SettingsError
from infra.config.docs import explain
from infra.config.host_settings import setting_fields
from infra.config.settings import ENV_FILE, ENV_FILE_SETTING, env_fields, secret_names

ENV_NAMES = {**env_fields(), ENV_FILE: ENV_FILE_SETTING}


def test_setting_is_explained_with_all_that_is_known() -> None:
    """A setting is explained with kind default example and its name for this machine."""
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
def test_every_name_is_explained(name: str) -> None:
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


def test_every_setting_says_what_it_is() -> None:
    for name, field in {**setting_fields(), **ENV_NAMES}.items():
        assert field.title, name
        assert (field.description or "").endswith("."), name


def test_secrets_have_no_default_and_no_example() -> None:
    """What a hook's environment is cleared of, and what `./inv docs` calls a secret."""
    assert set(secret_names()) == {
        "LABEL_STUDIO_PASSWORD",
        "LABEL_STUDIO_SECRET_KEY",
        "LABEL_STUDIO_API_KEY",
        "LABELRIG_POSTGRES_PASSWORD",
        "LABELRIG_BACKEND_PASSWORD",
        "LABELRIG_CLUSTER_TOKEN",
        "LABELRIG_BACKUP_PASSWORD",
        "LABELRIG_METRICS_TOKEN",
        "LABELRIG_SSH_PASSWORD",
        "LABELRIG_SSH_PASSPHRASE",
        "LABELRIG_SUDO_PASSWORD",
        "LABELRIG_ALERT_WEBHOOK",
        "LABELRIG_ALERT_SMTP",
    }
    for name in secret_names():
        field = env_fields()[name]
        assert (field.default, field.examples, field.repr) == (None, None, False), name
        assert "(a secret, in .env" in explain(name)
