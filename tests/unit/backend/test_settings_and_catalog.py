from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path

import pytest

from backend import __main__ as entry
from backend import __version__
from backend.errors import ModelError, SettingsError
from backend.settings import Settings, load_settings
from backend.weights import catalog, integrity

CONFIG = "configs/sam2.1/sam2.1_hiera_t.yaml"


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("LOCAL_FILES_DOCUMENT_ROOT", str(tmp_path))
    monkeypatch.setenv("SAM2_MODEL_DIR", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()


def test_defaults() -> None:
    settings = load_settings()
    assert (settings.port, settings.sam2_model, settings.sam2_device) == (9090, "auto", "auto")


def test_without_a_password_only_this_machine_gets_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert load_settings().address == "127.0.0.1"
    for host in ("127.0.0.1", "::1", "localhost"):
        monkeypatch.setenv("HOST", host)
        assert load_settings().address == host
    for host in ("0.0.0.0", "::", "192.168.1.2", "gpu01"):
        monkeypatch.setenv("HOST", host)
        with pytest.raises(SettingsError, match=f"BACKEND_PASSWORD_FILE: HOST is {host}, which others can reach"):
            load_settings()
    monkeypatch.setenv("BACKEND_PASSWORD_FILE", str(tmp_path / "later"))
    assert load_settings().address == "gpu01"
    monkeypatch.delenv("HOST")
    assert load_settings().address == "0.0.0.0"


def test_empty_variables_are_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORT", "SAM2_MODEL", "SAM2_CHECKPOINT", "LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY"):
        monkeypatch.setenv(name, "")
    assert load_settings() == Settings()


def test_all_problems_at_once_and_no_values(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PORT", "ninety")
    monkeypatch.setenv("SAM2_MODEL", "custom")
    monkeypatch.setenv("SAM2_DEVICE", "tpu")
    monkeypatch.setenv("SAM2_CONFIG", "configs/none.yaml")
    monkeypatch.setenv("LOCAL_FILES_DOCUMENT_ROOT", str(tmp_path / "none"))
    monkeypatch.setenv("IMAGE_PIXEL_LIMIT", "0")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert sorted(caught.value.problems) == [
        "IMAGE_PIXEL_LIMIT: Input should be greater than or equal to 1",
        f"LOCAL_FILES_DOCUMENT_ROOT: {tmp_path}/none is not a folder; mount the image folder there or name another one",
        "PORT: Input should be a valid integer, unable to parse string as an integer",
        "SAM2_CHECKPOINT: SAM2_MODEL=custom needs the path of the weights here",
        "SAM2_CONFIG: configs/none.yaml is neither a file nor a configuration of the sam2 package",
        "SAM2_DEVICE: Input should be 'auto', 'cuda' or 'cpu'",
    ]
    assert "ninety" not in str(caught.value)


def test_process_ends_with_code_2_and_one_line_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", "70000")
    monkeypatch.setenv("LOG_LEVEL", "LOUD")
    assert entry.main() == 2
    assert capsys.readouterr().err.splitlines() == [
        "PORT: Input should be less than or equal to 65535",
        "LOG_LEVEL: Input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'",
    ]


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "hunter22")
    assert "hunter22" not in repr(load_settings())


def test_catalog_is_complete() -> None:
    table = catalog.load_catalog()
    assert set(table.models) == {"demo", "tiny", "small", "base-plus", "large"}
    for name, spec in table.models.items():
        config = spec.config_file()
        assert config is not None, name
        assert config.is_file(), name
        assert spec.shipped == (name == "demo") == (spec.sha256 is None)


def put(tmp_path: Path, *names: str) -> None:
    for name in names:
        spec = catalog.load_catalog().models[name]
        (tmp_path / "models" / spec.file).write_bytes(name.encode())


@pytest.mark.parametrize(
    ("device", "present", "chosen"),
    [
        ("cpu", ("large", "tiny"), "tiny"),
        ("cuda", ("large", "tiny"), "large"),
        ("cpu", ("large",), "large"),
        ("cuda", ("base-plus", "small"), "base-plus"),
    ],
)
def test_auto_takes_what_is_present(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, present: tuple[str, ...], chosen: str
) -> None:
    monkeypatch.setenv("SAM2_DEVICE", device)
    put(tmp_path, *present)
    table = catalog.load_catalog()
    files = catalog.choose(load_settings(), table)
    sha256 = table.models[chosen].sha256
    assert files.name == chosen
    assert files.known
    assert sha256 is not None
    assert files.version == f"{chosen}@{sha256[:8]}+{__version__}"


def test_auto_falls_back_to_the_demo_loudly(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "demo.pt"
    weights.write_bytes(b"weights")
    table = catalog.load_catalog()
    demo = table.models["demo"].model_copy(update={"file": str(weights)})
    table = table.model_copy(update={"models": {**table.models, "demo": demo}})
    with caplog.at_level(logging.WARNING):
        files = catalog.choose(load_settings(), table)
    assert files.name == "demo"
    assert files.sha256 == hashlib.sha256(b"weights").hexdigest()
    assert [record.getMessage() for record in caplog.records] == [
        "SAM2_MODEL=auto: serving demo",
        "SERVING THE DEMO MODEL: good for trying labelrig out, not for real images",
    ]


def test_missing_weights_name_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAM2_MODEL", "small")
    with pytest.raises(SettingsError) as caught:
        catalog.choose(load_settings(), catalog.load_catalog())
    folder = tmp_path / "models"
    assert str(caught.value) == (
        f"SAM2_MODEL: the weights of small are not at {folder}/sam2.1_hiera_small.pt; "
        f"run: python -m backend.weights.checkpoints fetch small --dir {folder}"
    )


def test_custom_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "own.pt").write_bytes(b"own")
    monkeypatch.setenv("SAM2_MODEL", "custom")
    monkeypatch.setenv("SAM2_CHECKPOINT", str(tmp_path / "own.pt"))
    monkeypatch.setenv("SAM2_CONFIG", CONFIG)
    files = catalog.choose(load_settings(), catalog.load_catalog())
    weights, variant = (hashlib.sha256(file.read_bytes()).hexdigest()[:8] for file in (files.checkpoint, files.config))
    assert weights == hashlib.sha256(b"own").hexdigest()[:8]
    assert files.version == f"custom@{weights}-{variant}+{__version__}"
    assert files.config.is_file()
    assert not files.known


def test_wrong_weights_are_not_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAM2_MODEL", "tiny")
    put(tmp_path, "tiny")
    settings = load_settings()
    files = catalog.choose(settings, catalog.load_catalog())
    with pytest.raises(ModelError) as caught:
        entry.load_model(settings, files)
    assert str(caught.value) == (
        f"{files.checkpoint} is not the file that tiny should be (its SHA-256 differs); "
        f"run: python -m backend.weights.checkpoints fetch tiny --dir {files.checkpoint.parent}"
    )


def test_verified_file_is_not_hashed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"abc")
    sha256 = hashlib.sha256(b"abc").hexdigest()
    assert integrity.matches(path, sha256)

    hashed: list[Path] = []

    def counting(seen: Path) -> str:
        hashed.append(seen)
        return hashlib.sha256(seen.read_bytes()).hexdigest()

    monkeypatch.setattr(integrity, "file_sha256", counting)
    assert integrity.matches(path, sha256)
    assert hashed == []
    path.write_bytes(b"abd")
    os.utime(path, ns=(1, 1))
    assert not integrity.matches(path, sha256)
    assert hashed == [path]
    assert not integrity.matches(tmp_path / "none", sha256)


@pytest.mark.parametrize("note", ["", "{", "[]", json.dumps({"sha256": "0" * 64})])
def test_broken_note_only_costs_a_hash(tmp_path: Path, note: str) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"abc")
    integrity.note_path(path).write_text(note)
    assert integrity.matches(path, hashlib.sha256(b"abc").hexdigest())
    assert not integrity.matches(path, "0" * 64)
