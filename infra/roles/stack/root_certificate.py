"""The root certificate of the proxy's own CA (`tls: internal`): kept on this machine, for the browsers to trust."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.errors import LabelrigError
from core.operation import Change, Operation
from hosts.base import Exec

IN_PROXY = "/data/caddy/pki/authorities/local/root.crt"


class RootCertificateKept(Operation):
    """The root certificate lies at `path`; the proxy makes it when it starts for the first time."""

    name = "root certificate kept"

    def __init__(self, exec_in_proxy: Exec, path: Path) -> None:
        self._exec_in_proxy = exec_in_proxy
        self.path = path

    def plan(self) -> Sequence[Change]:
        pem = self._exec_in_proxy("cat", IN_PROXY).stdout
        if self.path.is_file() and self.path.read_text("ascii", "replace") == pem:
            return []
        return [Change(f"write {self.path.name}", lambda: self._write(pem))]

    def _write(self, pem: str) -> None:
        if "BEGIN CERTIFICATE" not in pem:
            raise LabelrigError(f"the proxy's {IN_PROXY} is no certificate; `./inv logs` shows what it says")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(pem, "ascii")

    def trust_lines(self) -> list[str]:
        """What a person does with it."""
        from cryptography import x509
        from cryptography.hazmat.primitives.hashes import SHA256

        digest = x509.load_pem_x509_certificate(self.path.read_bytes()).fingerprint(SHA256())
        return [
            f"  trust    {self.path}",
            f"           SHA-256 {digest.hex(':').upper()}",
            "           browsers must trust this root certificate once: docs/tls.md says how",
        ]
