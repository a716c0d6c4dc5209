"""restic as this program calls it: where the repository is, what it says while it works, how it fails."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from infra.roles.backup.inside.places import Places, Problem

SHORT, LONG = 180.0, 48 * 3600.0
SFTP = re.compile(r"sftp:(?P<login>(?:[\w.-]+@)?[\w.-]+):(?!//)(?P<path>.+)", re.ASCII)
TRACE = re.compile(r"\s+\S+\.(go|s):\d+$")  # restic shows where in its source an error arose
READS = ("snapshots", "dump", "ls", "restore")
FULL = re.compile(r"no space left|read-only file system|quota", re.IGNORECASE)
NO_LOCK = "unable to create lock"
SFTP_PORT = re.compile(r"sftp://(?P<login>(?:[\w.-]+@)?[\w.-]+):(?P<port>\d+)/(?P<path>/.+)", re.ASCII)
KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
PROCESS_NUMBERS = 96  # see `Restic.unlock`
TURN_SECONDS, PAUSE_SECONDS = 1800.0, 15.0  # see `Restic.run_in_turn`
Facts = dict[str, Any]


class Failed(Problem):
    """restic ended with an exit code other than 0: its own last words follow."""


class TimedOut(Failed):
    """restic was ended because it took too long: a server takes the connection and does not answer."""


class Restic:
    """The repository of one stack."""

    def __init__(self, places: Places, address: str, *, program: str = "restic") -> None:
        """
        Args:
            address: as restic takes it; a path is a folder of the machine, mounted at `places.repository`.
            program: restic.
        """
        self._places = places
        self._program = program
        given = read_environment(places)
        self.address = address
        self._environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": "/tmp",  # noqa: S108 - the container's own
            "RESTIC_PASSWORD_FILE": str(places.password),
            "RESTIC_CACHE_DIR": str(places.cache / "restic"),
            "RESTIC_PROGRESS_FPS": "0.5",
            "RESTIC_REPOSITORY": str(places.repository) if self.is_folder else address,
            **{name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")},
            **given,
        }
        self._options: list[str] = []
        for pattern in (SFTP, SFTP_PORT):
            if (found := pattern.fullmatch(self._environment["RESTIC_REPOSITORY"])) is not None:
                port = found.groupdict().get("port")
                self._options = ["-o", f"sftp.command={ssh_command(places, found['login'], port)}"]

    @property
    def is_folder(self) -> bool:
        """Whether the repository is a folder of this machine."""
        return self.address.startswith("/")

    def run(
        self,
        *arguments: str,
        timeout: float | None = None,
        each: Callable[[Facts], None] | None = None,
        lines: Callable[[str], None] | None = None,
    ) -> str:
        """Run restic; returns its output.

        Args:
            timeout: seconds, after which it is ended; None: `SHORT`.
            each: gets each line of output that is JSON, and then none is returned.
            lines: gets each line of output that is not.

        Raises:
            Failed: it ended with another exit code than 0: also 1 and 3, with which a part is missing.
            TimedOut: it took longer.
        """
        timeout = SHORT if timeout is None else timeout
        argv = [self._program, *self._options, *arguments]
        kept: list[str] = []
        late = threading.Event()
        with _running(argv, self._environment, timeout, late) as (process, errors):
            assert process.stdout is not None  # noqa: S101 - asked for
            for line in process.stdout:
                facts = _facts(line) if each is not None else None
                if facts is not None and each is not None:
                    each(facts)
                    continue
                if lines is not None:
                    lines(line.rstrip())
                kept.append(line)
            code = process.wait()
        if late.is_set():
            raise TimedOut(f"restic {arguments[0]} had no answer for {timeout:.0f} s and was ended")
        if code:
            words = [line.strip() for line in (*kept, *errors) if line.strip()][-3:] or ["it said nothing"]
            raise Failed(f"restic {arguments[0]} ended with exit code {code}: {'; '.join(words)}")
        return "".join(kept)

    def run_in_turn(
        self,
        *arguments: str,
        alone: bool = True,
        wait: float | None = None,
        timeout: float | None = None,
        each: Callable[[Facts], None] | None = None,
        lines: Callable[[str], None] | None = None,
    ) -> str:
        """See `run`; where another run in the same repository does not let it through, wait for that one's end.

        Args:
            alone: what is done needs the repository for itself; else only a run that has it for itself is in the way.
            wait: seconds, at most; None: `TURN_SECONDS`.

        Raises:
            Failed: as `run`, or the repository was in use all the time.
        """
        wait = TURN_SECONDS if wait is None else wait
        end = time.monotonic() + wait
        again = alone  # the other run may have ended before its lock was looked for
        while True:
            try:
                return self.run(*arguments, timeout=timeout, each=each, lines=lines)
            except TimedOut:
                raise
            except Failed as error:
                if arguments[0] in READS and NO_LOCK in str(error) and FULL.search(str(error)):
                    say("the repository's disk is full, or may not be written to: it is read without a lock")
                    return self.run(*arguments, "--no-lock", timeout=timeout, each=each, lines=lines)
                in_use = self._in_use(exclusively=not alone)
                if time.monotonic() > end or not (in_use or again):
                    raise
                if not in_use:
                    again = False
                    continue
            say(f"another run uses the repository: waiting with `{arguments[0]}`, at most {wait / 60:.0f} minutes")
            time.sleep(PAUSE_SECONDS)
            self.unlock()

    def _in_use(self, *, exclusively: bool) -> bool:
        """Whether a run has a lock on the repository; `exclusively`: one that keeps all others out."""
        try:
            locks = self.run("list", "locks").split()
            return any(not exclusively or self._is_exclusive(one) for one in locks)
        except (Failed, ValueError, KeyError):
            return False

    def _is_exclusive(self, lock: str) -> bool:
        return bool(json.loads(self.run("cat", "lock", lock, "--no-lock"))["exclusive"])

    def facts(self, *arguments: str) -> Any:
        """The JSON that restic prints, in turn."""
        text = self.run_in_turn(*arguments, alone=False)
        try:
            return json.loads(text)
        except ValueError:
            raise Failed(f"restic {arguments[0]} printed no JSON: {text[-200:]!r}") from None

    def open(self, *, make: bool, known: bool) -> bool:
        """See that the repository is there and opens with the password; make one where none is. Returns: made now.

        Args:
            make: a repository may be made.
            known: there was one at this address: an empty place is then a disk that is not mounted.

        Raises:
            Problem: it cannot be opened, or must be there and is not.
        """
        if not self._places.password.read_text("utf-8").strip():
            raise Problem("the password file of the backups is empty")
        there = not self.is_folder or (self._places.repository / "config").exists()
        if not there and (known or not make):
            what = "is not there any more: is its disk mounted?" if known else "holds no backups yet"
            raise Problem(f"the repository {self.address} {what}")
        try:
            if there:
                self.run("cat", "config", "--no-lock")  # also while another machine has the repository for itself
                return False
        except Failed as error:
            if self.is_folder or known or not make or isinstance(error, TimedOut):
                raise self._cannot_open(error) from None
            try:  # another machine's: only restic can say whether one is there, and it makes none where one is
                self.run("init")
            except Failed:
                raise self._cannot_open(error) from None
            return True
        try:
            self.run("init")
        except Failed as error:
            raise self._cannot_open(error) from None
        return True

    def unlock(self) -> None:
        """Remove the locks of runs of ours that were killed, and no other's.

        restic takes a lock for dead where its host name is ours and its process number is not in use. Host names here
        are those of one stack; and so that a dead run never has a number that this call uses, the numbers after it are
        used up.
        """
        self.run("unlock")
        for _ in range(PROCESS_NUMBERS):
            os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)

    def _cannot_open(self, error: Failed) -> Problem:
        return Problem(
            f"the repository {self.address} cannot be opened with this password, or not be reached ({error}); "
            "nothing was changed"
        )


def read_environment(places: Places) -> dict[str, str]:
    """The lines NAME=VALUE of the environment file.

    Raises:
        Problem: a line is something else; its text is not shown.
    """
    if not places.environment.is_file():
        return {}
    found = {}
    for number, line in enumerate(places.environment.read_text("utf-8").splitlines(), 1):
        text = line.strip().removeprefix("export ")
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise Problem(f"the environment file of the backups: line {number} is not NAME=VALUE")
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
        found[name] = value[1:-1] if quoted else value
    return found


def ssh_command(places: Places, login: str, port: str | None = None) -> str:
    """The command with which restic reaches a machine: with the keys and known hosts of the machine's user alone."""
    keys = [path for name in KEYS if (path := places.ssh / name).exists()]
    options = [
        *("-F", "/dev/null"),
        *("-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=20"),
        *("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"),
        *("-o", f"UserKnownHostsFile={places.ssh / 'known_hosts'}"),
        *(word for key in keys for word in ("-i", str(key))),
        *(("-p", port) if port is not None else ()),
    ]
    return " ".join(["ssh", *options, login, "-s", "sftp"])


class Shown:
    """restic's progress as lines for people, one every few seconds."""

    def __init__(self, what: str, every: float = 5.0) -> None:
        self._what = what
        self._every = every
        self._last = 0.0
        self.summary: Facts = {}

    def __call__(self, facts: Facts) -> None:
        """Take one line of restic's JSON."""
        if facts.get("message_type") == "summary":
            self.summary = facts
        if facts.get("message_type") != "status" or time.monotonic() - self._last < self._every:
            return
        self._last = time.monotonic()
        share = 100 * float(facts.get("percent_done", 0))
        say(f"{self._what}: {share:.0f} %, {facts.get('bytes_done', 0)} of {facts.get('total_bytes', 0)} bytes")


def say(text: str) -> None:
    """A line of progress."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


@contextmanager
def _running(
    argv: Sequence[str], environment: Mapping[str, str], timeout: float, late: threading.Event
) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    errors: list[str] = []
    process = subprocess.Popen(
        argv,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )

    def read() -> None:
        assert process.stderr is not None  # noqa: S101 - asked for
        for line in process.stderr:
            if TRACE.match(line):
                errors[-1:] = []  # of the line before it names the function
            else:
                errors[:] = [*errors[-20:], line]

    reader = threading.Thread(target=read, daemon=True)
    reader.start()

    def end() -> None:
        late.set()
        process.kill()

    ended = threading.Timer(timeout, end)
    ended.start()
    try:
        yield process, errors
        reader.join(10)
    finally:
        ended.cancel()
        if process.poll() is None:
            process.kill()
            process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None and stream.closed is False and process.poll() is not None:
                reader.join(10)
                stream.close()


def _facts(line: str) -> Facts | None:
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
