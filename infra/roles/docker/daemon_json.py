"""The state "docker engine configured": our keys in `daemon.json`, all others as they were."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from core.diff import masked_diff
from core.errors import HostError, LabelrigError
from core.operation import Change
from core.report import Report
from core.text import indented
from hosts.base import ANY_EXIT_CODE, Host

DAEMON_FILE = "/etc/docker/daemon.json"
NOTHING = "(none)"  # in the file of the owed restart: there was no daemon.json before
VALIDATES_SINCE = (23, 0)
VALIDATE_TIMEOUT = 60.0
VERSION = re.compile(r"version (\d+)\.(\d+)")
CREDENTIALS = re.compile(r"(://)[^/@\s\"]+@")
SECRET_VALUE = re.compile(r'("[^"]*(?:token|password|secret|access-?key)[^"]*"\s*:\s*)"[^"]*"', re.IGNORECASE)


class DaemonConfigured:
    """`daemon.json` holds the wanted keys, and the engine was restarted since it does."""

    name = "docker engine configured (daemon.json)"

    def __init__(
        self,
        host: Host,
        report: Report,
        wanted: Mapping[str, object] | Callable[[Mapping[str, object]], Mapping[str, object]],
        restart: Callable[[], None],
        path: str = DAEMON_FILE,
    ) -> None:
        """Keep what is needed; nothing is read yet.

        Args:
            wanted: merged into the file, mappings key by key; any other value replaces what is there. A function is
                given what is there and says what is wanted.
            restart: restarts the engine and returns when it answers; raises with the end of its log when it does not.
        """
        self._host = host
        self._report = report
        self._wanted = wanted if callable(wanted) else lambda _present: wanted
        self._restart = restart
        self._path = path

    def plan(self) -> list[Change]:
        """See `core.operation.Operation.plan`.

        Raises:
            HostError: the file is no JSON object, or holds another kind of value where ours must go.
        """
        content = self._host.read(self._path, as_root=True)
        present = self._parsed(content or b"")
        try:
            new = rendered(merged(present, self._wanted(present)))
        except ValueError as error:
            raise HostError(
                f"{self._host.name}: {error} in {self._path}, so nothing was put into it; repair it, then repeat the "
                "command"
            ) from None
        if new == rendered(present):
            if self._host.read(owed_file(self._path), as_root=True) is None:
                return []
            return [Change("restart the docker engine: its files changed since it started", self._restart_owed)]
        return [
            Change(
                f"{'write' if content is None else 'update'} {self._path} and restart the docker engine "
                "(running containers stop for a moment)",
                lambda: self._replace(new, existed=content is not None),
                masked_diff(self._path, _masked(content or b""), _masked(new)),
            )
        ]

    def _parsed(self, content: bytes) -> dict[str, object]:
        try:
            text = content.decode("utf-8-sig")
            present = json.loads(text) if text.strip() else {}
        except ValueError as error:
            raise HostError(
                f"{self._host.name}: {self._path} is not valid JSON ({error}), so nothing was put into it; "
                f"repair it (`python3 -m json.tool {self._path}` shows where), then repeat the command"
            ) from None
        if not isinstance(present, dict):
            raise HostError(
                f"{self._host.name}: {self._path} holds no JSON object, so nothing was put into it; "
                "repair or remove it, then repeat the command"
            )
        return present

    def _replace(self, content: bytes, *, existed: bool) -> None:
        target = self._target()
        new = f"{target}.labelrig-new"
        before = NOTHING
        if existed:
            mode, owner = self._host.run("stat", "-c", "%a %u:%g", target, as_root=True).stdout.split()
            self._host.write(new, content, int(mode, 8), as_root=True)
            self._host.run("chown", owner, new, as_root=True)
        else:
            self._host.write(new, content, 0o644, as_root=True)
        self._validate(new)
        if existed:
            before = f"{target}.labelrig-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
            self._host.run("cp", "-p", target, before, as_root=True)
        # From here on the engine may run with another file than the one that lies there, until it is restarted.
        owe_restart(self._host, self._path, before)
        self._host.run("mv", "-f", new, target, as_root=True)
        self._restart_owed()

    def _restart_owed(self) -> None:
        """Restart the engine; where it does not come back, so does the file it ran with before."""
        try:
            self._restart()
        except LabelrigError as error:
            undone = self._undo()
            if undone:
                self._restart_again(error, undone)
                self._settle()
                raise HostError(
                    f"{self._host.name}: the docker engine did not come back with the changed {self._path}; {undone} "
                    f"and the engine runs again. What it said: {error}"
                ) from error
            raise
        self._settle()

    def _restart_again(self, first: LabelrigError, undone: str) -> None:
        self._report.progress(f"the engine did not come back; {undone}, restarting it")
        try:
            self._restart()
        except LabelrigError as error:
            raise HostError(
                f"{self._host.name}: the docker engine came back neither with the changed {self._path} nor after "
                f"{undone}; start it by hand. What it said first: {first}\nand then: {error}"
            ) from error

    def _undo(self) -> str:
        """Put back what was there before the change that the restart is owed for; says what was done."""
        before = (self._host.read(owed_file(self._path), as_root=True) or b"").decode("utf-8", "replace").strip()
        if not before:
            return ""
        if before == NOTHING:
            self._host.run("rm", "-f", self._target(), as_root=True)
            return f"{self._path}, which was not there before, was removed"
        if self._host.read(before, as_root=True) is None:
            return ""
        target = self._target()
        new = f"{target}.labelrig-new"
        self._host.run("cp", "-p", before, new, as_root=True)
        self._host.run("mv", "-f", new, target, as_root=True)
        return f"{before} was put back"

    def _settle(self) -> None:
        self._host.run("rm", "-f", owed_file(self._path), as_root=True)

    def _target(self) -> str:
        """The file itself, where the path is a link: the link stays."""
        answer = self._host.run("readlink", "-f", self._path, ok=(0, 1), as_root=True)
        return answer.stdout.rstrip("\n") if answer.ok else self._path  # its folder may not be there yet

    def _validate(self, new: str) -> None:
        answer = self._host.run("dockerd", "--version", ok=ANY_EXIT_CODE, as_root=True)
        found = VERSION.search(answer.stdout)
        if not answer.ok or found is None or (int(found[1]), int(found[2])) < VALIDATES_SINCE:
            return  # an older engine cannot check a file before it is used; then the restart is the check
        checked = self._host.run(
            "dockerd", "--validate", "--config-file", new, ok=ANY_EXIT_CODE, as_root=True, timeout=VALIDATE_TIMEOUT
        )
        if not checked.ok:
            self._host.run("rm", "-f", new, as_root=True)
            raise HostError(
                f"{self._host.name}: the docker engine refuses the changed {self._path}, so it was not replaced; "
                f"repair what is in it, then repeat the command. `dockerd --validate` says:\n"
                f"{indented(checked.stdout + checked.stderr)}"
            )


def owed_file(path: str = DAEMON_FILE) -> str:
    """The file that says: the engine must be restarted. So a run that ends in between is caught up by the next."""
    return f"{path}.labelrig-restart"


def owe_restart(host: Host, path: str = DAEMON_FILE, before: str = "") -> None:
    """Have `DaemonConfigured` restart the engine, once.

    Args:
        before: the file to put back when the engine does not come back; empty: that would help nothing.
    """
    host.write(owed_file(path), f"{before}\n".encode(), 0o644, as_root=True)


def merged(present: Mapping[str, object], wanted: Mapping[str, object]) -> dict[str, object]:
    """Put `wanted` into `present`, mappings key by key; the order of what is there stays.

    Raises:
        ValueError: something else is where a mapping must go.
    """
    result = dict(present)
    for key, value in wanted.items():
        if not isinstance(value, Mapping):
            result[key] = value
            continue
        inner = present.get(key, {})
        if not isinstance(inner, Mapping):
            raise ValueError(f"`{key}` is not an object")
        result[key] = merged(inner, value)
    return result


def rendered(document: Mapping[str, object]) -> bytes:
    """The file's content."""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _masked(content: bytes) -> bytes:
    """A diff is shown to all who may see a plan: no proxy's login, no log driver's token."""
    text = CREDENTIALS.sub(r"\1(secret)@", content.decode("utf-8-sig", "replace"))
    return SECRET_VALUE.sub(r'\1"(secret)"', text).encode()
