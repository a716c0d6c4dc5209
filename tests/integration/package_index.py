"""A package index that asks for a login, behind a proxy that asks for another; with tiny packages."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

INDEX_LOGIN = "reader:index-secret-4711"
PROXY_LOGIN = "walker:proxy-secret-0815"


def wheel(name: str, version: str, script: str = "") -> tuple[str, bytes]:
    """A wheel with one module, and a console script where `script` names it. No two are the same.

    So nothing comes from the engine's build cache, which outlives the test.
    """
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    files = {
        f"{module}/__init__.py": f"def main():\n    print('stand-in')  # {uuid4().hex}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if script:
        files[f"{info}/entry_points.txt"] = f"[console_scripts]\n{script} = {module}:main\n"
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in files) + f"{info}/RECORD,,\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), text)
    return f"{module}-{version}-py3-none-any.whl", packed.getvalue()


@dataclass
class Lab:
    """The index and its proxy: the files by path, and what was refused and served."""

    files: dict[str, bytes] = field(default_factory=dict)
    port: int = 0
    refused: list[str] = field(default_factory=list)
    served: list[str] = field(default_factory=list)

    def add(self, name: str, version: str, script: str = "") -> str:
        """Publish a package; returns its line in a lock file."""
        file, content = wheel(name, version, script)
        self.files[f"/simple/{name}/{file}"] = content
        digest = hashlib.sha256(content).hexdigest()
        self.files[f"/simple/{name}/"] = f'<a href="{file}#sha256={digest}">{file}</a>'.encode()
        return f"{name}=={version} --hash=sha256:{digest}\n"


def serve(lab: Lab) -> ThreadingHTTPServer:
    """The server of a lab, on a free port; the caller runs it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            proxy = self.headers.get("Proxy-Authorization", "")
            login = self.headers.get("Authorization", "")
            path = self.path.removeprefix("http://index.lab.test")
            expected = f"Basic {base64.b64encode(PROXY_LOGIN.encode()).decode()}"
            if proxy != expected or not self.path.startswith("http://"):
                lab.refused.append(self.path)
                self.answer(407, b"", "Proxy-Authenticate")
            elif login != f"Basic {base64.b64encode(INDEX_LOGIN.encode()).decode()}":
                lab.refused.append(self.path)
                self.answer(401, b"", "WWW-Authenticate")
            elif path in lab.files:
                lab.served.append(path)
                self.answer(200, lab.files[path])
            else:
                self.answer(404, b"")

        def answer(self, status: int, body: bytes, challenge: str = "") -> None:
            self.send_response(status)
            if challenge:
                self.send_header(challenge, 'Basic realm="lab"')
            self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "application/zip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the build's own log is enough."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    lab.port = server.server_address[1]
    return server
