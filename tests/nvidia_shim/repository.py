"""A signed flat apt repository with stand-ins for the packages of the NVIDIA container toolkit."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
from pathlib import Path

from tests.nvidia_shim.programs import RECORD, ctk, runtime

KEY_OWNER = "labelrig test <nobody@example.org>"


class Signer:
    """A key made for one test, by gpg in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        self._environment = {**os.environ, "GNUPGHOME": str(folder)}
        self._gpg("--quick-gen-key", KEY_OWNER, "ed25519", "sign", "never")
        listed = self._gpg("--list-keys", "--with-colons").decode()
        self.fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))
        self.key = self._gpg("--armor", "--export")

    def sign(self, text: bytes) -> bytes:
        """The text with its signature, as apt wants an InRelease file."""
        return self._gpg("--clearsign", stdin=text)

    def close(self) -> None:
        """End the agent that gpg started."""
        subprocess.run(["gpgconf", "--kill", "all"], env=self._environment, check=True, timeout=60)

    def _gpg(self, *args: str, stdin: bytes = b"") -> bytes:
        command = ["gpg", "--batch", "--quiet", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", "", *args]
        answer = subprocess.run(
            command, env=self._environment, input=stdin, check=True, capture_output=True, timeout=60
        )
        return answer.stdout


def publish(folder: Path, signer: Signer, versions: list[str]) -> None:
    """Write the whole repository anew, with these versions of the toolkit, such as "1.18.0-1"."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    entries = []
    for version in versions:
        program = version.partition("-")[0]
        base = {
            "usr/bin/nvidia-ctk": ctk(program),
            "usr/bin/nvidia-container-runtime": runtime(RECORD),
        }
        entries.append(_package(folder, "nvidia-container-toolkit-base", version, "", base))
        hook = {"usr/bin/nvidia-container-runtime-hook": "#!/bin/sh\nexit 0\n"}
        needs = f"nvidia-container-toolkit-base (= {version})"
        entries.append(_package(folder, "nvidia-container-toolkit", version, needs, hook))
    index = "\n".join(entries).encode()
    (folder / "Packages").write_bytes(index)
    release = (
        "Origin: shim\nLabel: shim\nSuite: stable\nArchitectures: amd64 arm64\n"
        f"SHA256:\n {hashlib.sha256(index).hexdigest()} {len(index)} Packages\n"
    )
    (folder / "InRelease").write_bytes(signer.sign(release.encode()))


def _package(folder: Path, name: str, version: str, needs: str, files: dict[str, str]) -> str:
    """Write one package; returns its entry in the index."""
    control = (
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: {KEY_OWNER}\n"
        + (f"Depends: {needs}\n" if needs else "")
        + "Description: stand-in\n"
    )
    members = [
        ("debian-binary", b"2.0\n"),
        ("control.tar", _tar({"./control": control}, 0o644)),
        ("data.tar", _tar({f"./{path}": text for path, text in files.items()}, 0o755)),
    ]
    packed = b"!<arch>\n"
    for member, content in members:
        packed += f"{member:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        packed += content + b"\n" * (len(content) % 2)
    file = f"{name}_{version}_all.deb"
    (folder / file).write_bytes(packed)
    return f"{control}Filename: ./{file}\nSize: {len(packed)}\nSHA256: {hashlib.sha256(packed).hexdigest()}\n"


def _tar(files: dict[str, str], mode: int) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, text in files.items():
            parents = list(Path(path).parents)[-2::-1]
            for parent in parents:
                folder = tarfile.TarInfo(f"./{parent}")
                folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(folder)
            entry = tarfile.TarInfo(path)
            entry.mode, entry.size = mode, len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()
