"""Small programs that look at the stack from inside a container: standard library only, one JSON object as answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import LabelrigError
from hosts.base import Exec
from labeling.image_names import file_pattern, skipped_folder_pattern

ASK_TIMEOUT = 8.0
STEP_SECONDS = 3

# Arguments: name, port, path. How far the way leads: `resolve`, `connect`, `http`, or `done`. Without proxies: the
# other container is no web site.
REACH = f"""
import json, socket, sys, urllib.error, urllib.request
name, port, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
def end(step, said, status=None):
    print(json.dumps({{"step": step, "said": str(said)[:500], "status": status}}))
    raise SystemExit
try:
    address = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)[0][4][0]
except OSError as error:
    end("resolve", error)
try:
    socket.create_connection((name, port), {STEP_SECONDS}).close()
except OSError as error:
    end("connect", f"{{address}}: {{error}}")
opener = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
try:
    with opener.open(f"http://{{name}}:{{port}}{{path}}", timeout={STEP_SECONDS}) as answer:
        end("done", address, answer.status)
except urllib.error.HTTPError as error:
    end("http", error.read(300).decode("utf-8", "replace"), error.code)
except OSError as error:
    end("http", error)
"""

# Arguments: folder, regular expressions for the names of files and of folders that are left out. The first image that
# is found, read by its first bytes.
FIRST_IMAGE = """
import json, os, re, sys
folder, matches, is_skipped = sys.argv[1], re.compile(sys.argv[2]).match, re.compile(sys.argv[3]).match
def end(**answer):
    print(json.dumps(answer))
    raise SystemExit
def stop(error):
    end(error=type(error).__name__, said=error.strerror, path=error.filename, uid=os.getuid())
for at, folders, files in os.walk(folder, onerror=stop):
    folders[:] = [name for name in folders if not is_skipped(name)]
    for name in sorted(files):
        if matches(name):
            path = os.path.join(at, name)
            try:
                with open(path, "rb") as file:
                    end(path=path, bytes=len(file.read(16)))
            except OSError as error:
                stop(error)
end(path=None)
"""

# Argument: path of a file.
DIGEST = """
import hashlib, json, os, sys
try:
    with open(sys.argv[1], "rb") as file:
        print(json.dumps({"sha256": hashlib.file_digest(file, "sha256").hexdigest()}))
except OSError as error:
    print(json.dumps({"error": type(error).__name__, "said": error.strerror, "path": sys.argv[1], "uid": os.getuid()}))
"""


# Argument: the name that the certificate must be for. What the proxy shows of it, in PEM.
CERTIFICATE = f"""
import json, socket, ssl, sys
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
try:
    with socket.create_connection(("127.0.0.1", 8443), {STEP_SECONDS}) as plain:
        with context.wrap_socket(plain, server_hostname=sys.argv[1]) as shown:
            print(json.dumps({{"pem": ssl.DER_cert_to_PEM_cert(shown.getpeercert(True))}}))
except (OSError, ValueError) as error:
    print(json.dumps({{"said": str(error)[:500]}}))
"""


@dataclass(frozen=True)
class Probe:
    """How far the way to another container leads.

    Attributes:
        step: where it ended: `resolve`, `connect` or `http`; `done` where it leads to the end.
        said: the address at the end, else the error.
        status: the HTTP status, None where there was no answer.
    """

    step: str
    said: str
    status: int | None

    @property
    def done(self) -> bool:
        """Whether the other side answered, and well."""
        return self.step == "done"


@dataclass(frozen=True)
class FileSeen:
    """What a container sees of a file or folder.

    Attributes:
        path: the file, or what the error is about; None where no file matched.
        error: the kind of error, by Python's name; empty where the file was read.
        said: the system's words for it.
        uid: the container's user, where it was an error.
        sha256: of the whole file, where that was asked for.
        size: how many bytes were read.
    """

    path: str | None
    error: str = ""
    said: str = ""
    uid: int | None = None
    sha256: str = ""
    size: int = 0


def probe(run: Exec, name: str, port: int, path: str) -> Probe:
    """Go from one container to another, as its programs would: name, TCP, HTTP.

    Raises:
        LabelrigError: the container could not be asked.
    """
    answer = ask(run, REACH, name, str(port), path)
    status = answer.get("status")
    return Probe(str(answer["step"]), str(answer["said"]), None if status is None else int(status))


def first_image(run: Exec, folder: str, file_filter: str) -> FileSeen:
    """Find and open the first image below a folder that a project's filter takes, as the container's user.

    Raises:
        LabelrigError: the container could not be asked.
    """
    return _file_seen(ask(run, FIRST_IMAGE, folder, file_pattern(file_filter), skipped_folder_pattern()))


def digest(run: Exec, path: str) -> FileSeen:
    """Read a file to its end, as the container's user.

    Raises:
        LabelrigError: the container could not be asked.
    """
    return _file_seen({"path": path, **ask(run, DIGEST, path)})


def ask(run: Exec, program: str, *arguments: str) -> dict[str, Any]:
    """Run a Python program in a container and read its answer.

    Raises:
        LabelrigError: it failed, or its answer is no JSON object.
    """
    said = run("python3", "-c", program, *arguments, timeout=ASK_TIMEOUT).stdout
    try:
        answer = json.loads(said)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise LabelrigError(f"a program in the container answered with something else than JSON: {said[:200]!r}")
    return answer


def _file_seen(answer: Mapping[str, Any]) -> FileSeen:
    return FileSeen(
        path=answer.get("path"),
        error=str(answer.get("error") or ""),
        said=str(answer.get("said") or ""),
        uid=answer.get("uid"),
        sha256=str(answer.get("sha256") or ""),
        size=int(answer.get("bytes") or 0),
    )
