"""A bundle is written and read again; whatever is wrong with one is one sentence."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import FileAccessError, SettingsError
from infra.bundle.manifest import MANIFEST, SUMS, TOP
from infra.bundle.reading import open_bundle
from infra.bundle.sums import read_sums, sums_text
from infra.bundle.writing import WRITTEN, write_bundle
from tests.unit.infra.bundle.making import PARTS, made, make, manifest


def quiet(_text: str) -> None:
    pass


def test_reads_what_was_written(tmp_path: Path) -> None:
    bundle = made(tmp_path)
    lines: list[str] = []
    bundle.verify(lines.append)
    assert bundle.manifest == manifest()
    assert lines[-1] == "verifying bundle.tar: 0 of 0 MiB"
    for name, content in PARTS.items():
        with bundle.opened(name) as file:
            assert file.read() == content
            file.seek(-3, os.SEEK_END)
            assert file.read() == content[-3:]
    assert bundle.size("packages") == sum(len(text) for name, text in PARTS.items() if name.startswith("packages/"))


def test_tar_and_sha256sum_check_it_without_us(tmp_path: Path) -> None:
    path = make(tmp_path)
    subprocess.run(("tar", "-xf", path, "-C", tmp_path), check=True, timeout=60)
    check = ("sha256sum", "--check", "--strict", SUMS)
    done = subprocess.run(check, cwd=tmp_path / TOP, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == sorted(f"{name}: OK" for name in (*PARTS, MANIFEST))
    (tmp_path / TOP / "models/tiny.pt").write_bytes(b"other")
    assert subprocess.run(check, cwd=tmp_path / TOP, capture_output=True, timeout=60).returncode == 1


def test_a_part_travels_as_a_tar_stream(tmp_path: Path) -> None:
    into = io.BytesIO()
    done: list[int] = []
    made(tmp_path).copy_part("packages", into, done.append)
    into.seek(0)
    with tarfile.open(fileobj=into) as tar:
        found = {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr]
    assert found == {name: content for name, content in PARTS.items() if name.startswith("packages/")}
    assert done[-1] == sum(map(len, found.values()))


def test_a_reader_that_ends_early_is_no_bad_bundle(tmp_path: Path) -> None:
    """What a command that failed on the host leaves is a broken pipe: the file itself can be read."""
    reader, writer = os.pipe()
    os.close(reader)
    with (
        pytest.raises(BrokenPipeError),
        os.fdopen(writer, "wb", buffering=0) as pipe,
        made(tmp_path).opened("models/tiny.pt") as file,
    ):
        pipe.write(file.read())


@pytest.mark.parametrize("name", [*PARTS, MANIFEST])
def test_one_changed_byte_is_found(tmp_path: Path, name: str) -> None:
    path = make(tmp_path)
    with tarfile.open(path) as tar:
        at = tar.getmember(f"{TOP}/{name}").offset_data
    content = bytearray(path.read_bytes())
    content[at + (content[at:].index(b"2026") if name == MANIFEST else 4)] ^= 1
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=rf"bundle.tar is damaged: {name} is not what its checksum says; copy it"):
        open_bundle(path).verify(quiet)


def test_one_that_is_cut_off_is_never_taken(tmp_path: Path) -> None:
    """At whatever byte before the end of the last file."""
    path = make(tmp_path)
    content = path.read_bytes()
    with tarfile.open(path) as tar:
        end = max(entry.offset_data + entry.size for entry in tar)
    cuts = [*range(0, end, 509), *range(512, end, 512), end - 1]
    for cut in cuts:
        path.write_bytes(content[:cut])
        with pytest.raises(SettingsError, match=r"bundle.tar is (not a bundle|not whole|damaged)"):
            open_bundle(path).verify(quiet)


def packed(*entries: tuple[str, bytes | str], mode: str = "w") -> bytes:
    """A tar; a text is where a symbolic link leads."""
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode=mode) as tar:  # type: ignore[call-overload]
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return into.getvalue()


def head(extra: bytes = b"", **changes: object) -> list[tuple[str, bytes | str]]:
    one = manifest(**{"images": {}, "models": {}, **changes}).model_dump_json().encode()
    digest = subprocess.run(("sha256sum",), input=one, capture_output=True, timeout=60, check=True).stdout[:64]
    return [(f"{TOP}/{MANIFEST}", one), (f"{TOP}/{SUMS}", digest + f"  {MANIFEST}\n".encode() + extra)]


FOREIGN: dict[str, tuple[Callable[[], bytes], str]] = {
    "text": (lambda: b"no tar at all" * 100, r"is not a bundle of labelrig, or it is cut off"),
    "empty": (lambda: b"", r"is not a bundle of labelrig, or it is cut off"),
    "gzip": (lambda: packed(*head(), mode="w:gz"), r"is not a bundle of labelrig, or it is cut off"),
    "another tar": (lambda: packed(("etc/passwd", b"x")), r"is not a bundle of labelrig: it holds etc/passwd"),
    "no manifest": (lambda: packed((f"{TOP}/{SUMS}", b"")), rf"it has no {TOP}/{MANIFEST}"),
    "a link": (lambda: packed(*head(), (f"{TOP}/x", "/etc/passwd")), rf"is damaged: {TOP}/x does not belong"),
    "twice": (lambda: packed(*head(), head()[0]), rf"is damaged: {TOP}/{MANIFEST} does not belong"),
    "outside": (lambda: packed(*head(), (f"{TOP}/../x", b"")), r"is damaged: .* does not belong"),
    "unlisted": (lambda: packed(*head(), (f"{TOP}/x", b"")), rf"is damaged: x without a checksum in {SUMS}"),
    "missing": (lambda: packed(*head(b"0" * 64 + b"  y\n")), r"is not whole: y missing"),
    "no list": (lambda: packed(*head(b"what?\n")), rf"is damaged: its {SUMS} is no list of checksums"),
    "unlisted image": (
        lambda: packed(*head(models={"tiny": "models/t"}), (f"{TOP}/models/t", b"")),
        r"is damaged: models/t",
    ),
    "another format": (
        lambda: packed((f"{TOP}/{MANIFEST}", b'{"format": 2}'), head()[1]),
        rf"its {MANIFEST} cannot be read \(format\).*another version of labelrig made it",
    ),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_is_one_sentence(tmp_path: Path, kind: str) -> None:
    content, expected = FOREIGN[kind]
    path = tmp_path / "bundle.tar"
    path.write_bytes(content())
    with pytest.raises(SettingsError, match=expected) as caught:
        open_bundle(path)
    assert "\n" not in str(caught.value)


def test_no_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none.tar cannot be read: No such file or directory$"):
        open_bundle(tmp_path / "none.tar")
    with pytest.raises(SettingsError, match=r"cannot be read: Is a directory$"):
        open_bundle(tmp_path)


def test_a_failed_write_keeps_what_was_there(tmp_path: Path) -> None:
    path = make(tmp_path)
    before = path.read_bytes()
    (tmp_path / "parts/models/tiny.pt").unlink()
    (tmp_path / "parts/models/tiny.pt").symlink_to("/proc/self/mem")  # a file whose reading fails
    with pytest.raises(FileAccessError, match=r"bundle.tar cannot be written: Input/output error; free space there"):
        write_bundle(path, tmp_path / "parts", manifest(), quiet)
    assert path.read_bytes() == before
    assert not path.with_name(path.name + WRITTEN).exists()


def test_lists_of_checksums() -> None:
    sums = {"b c": "0" * 64, "a": "f" * 64}
    assert sums_text(sums) == f"{'f' * 64}  a\n{'0' * 64}  b c\n"
    assert read_sums(sums_text(sums)) == sums
    for text in ("x", f"{'0' * 63}  a\n", f"{'0' * 64} a\n", sums_text(sums) * 2):
        with pytest.raises(ValueError, match="not a line of a checksum list"):
            read_sums(text)
