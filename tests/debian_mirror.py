"""A Debian mirror on a free port of the loopback: a release, its updates and its security fixes, signed for a test."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO

from hosts.base import DEFAULT_TIMEOUT, Result
from hosts.local import LocalHost
from tests.nvidia_shim.repository import Signer

FOLDERS = {
    "bookworm": "debian",
    "bookworm-updates": "debian",
    "bookworm-security": "debian-security",
    "trixie": "debian",
}


class DebianMirror:
    """`asked` are the paths that were fetched; `port` is where it is served."""

    def __init__(self, folder: Path, signer: Signer) -> None:
        self.folder = folder
        self.keyring = folder / "keyring.gpg"
        self.asked: list[str] = []
        self.port = 0
        self._signer = signer
        self._published = 1_700_000_000
        folder.mkdir()
        subprocess.run(
            ["gpg", "--batch", "--dearmor", "--output", self.keyring], input=signer.key, check=True, timeout=60
        )
        for suite in FOLDERS:
            self.publish(suite, {})

    def publish(self, suite: str, versions: dict[str, str], needs: Mapping[str, str] | None = None) -> None:
        """Write a suite anew, with these packages; `needs`: what some of them depend on."""
        index = "\n".join(
            self._entry(suite, name, version, (needs or {}).get(name, "")) for name, version in sorted(versions.items())
        ).encode()
        where = self.folder / FOLDERS[suite] / "dists" / suite
        packages = "main/binary-amd64/Packages"
        (where / packages).parent.mkdir(parents=True, exist_ok=True)
        (where / packages).write_bytes(index)
        label = "Debian-Security" if suite.endswith("security") else "Debian"
        release = (
            f"Origin: Debian\nLabel: {label}\nSuite: old{suite}\nCodename: {suite}\nVersion: 12\n"
            "Date: Sat, 28 Nov 2026 10:00:00 UTC\nArchitectures: amd64\nComponents: main\n"
            f"SHA256:\n {hashlib.sha256(index).hexdigest()} {len(index)} {packages}\n"
        )
        (where / "InRelease").write_bytes(self._signer.sign(release.encode()))
        self._published += 1
        os.utime(where / "InRelease", (self._published, self._published))  # two in one second are two for apt

    def pool(self, suite: str, name: str) -> Path:
        """The file of a package."""
        return self.folder / FOLDERS[suite] / "pool" / f"{name}-{suite}.deb"

    def _entry(self, suite: str, name: str, version: str, needs: str) -> str:
        """Write a package's file, which apt downloads and nobody unpacks; its entry in the index."""
        content = f"{name} {version}".encode()
        path = self.pool(suite, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return (
            f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: test\nDescription: stand-in\n"
            + (f"Depends: {needs}\n" if needs else "")
            + f"Filename: pool/{path.name}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"
        )

    @contextmanager
    def served(self) -> Iterator[None]:
        """While the context lasts; afterwards nothing answers."""
        asked = self.asked

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                super().do_GET()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: `asked` has it."""

        with ThreadingHTTPServer(("127.0.0.1", self.port), partial(Handler, directory=str(self.folder))) as server:
            self.port = server.server_address[1]
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            try:
                yield
            finally:
                server.shutdown()
                thread.join()


class MachineOfMirror(LocalHost):
    """This machine, if its apt had that mirror; `security`: and its security archive."""

    def __init__(self, mirror: DebianMirror) -> None:
        self.mirror = mirror
        self.security = True
        self.updates = 0
        self.simulated = 0

    def run(
        self,
        *argv: str,
        ok: Collection[int] = (0,),
        timeout: float = DEFAULT_TIMEOUT,
        stdin: bytes | IO[bytes] | None = None,
        on_line: Callable[[str], None] | None = None,
        tail: int | None = None,
        as_root: bool = False,
    ) -> Result:
        if "indextargets" in argv:
            address = f"http://127.0.0.1:{self.mirror.port}"
            lines = [f"{address}/debian/|bookworm|main|Debian", f"{address}/debian/|bookworm-updates|main|Debian"]
            if self.security:
                lines.append(f"{address}/debian-security/|bookworm-security|main|Debian-Security")
            return Result(argv, 0, "\n".join(lines), "")
        if argv[0] == "apt-config" or argv[:2] == ("sh", "-c") or argv[1:3] == ("-m", "pip"):
            return Result(argv, 0, "", "")
        self.updates += argv[-2:] == ("apt-get", "update")
        self.simulated += argv[-1] == "upgrade"
        return super().run(*argv, ok=ok, timeout=timeout, stdin=stdin, on_line=on_line, tail=tail, as_root=as_root)
