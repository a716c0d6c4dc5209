"""What the Debian suites of our images offer by now, read by this machine's apt in a folder of its own, once a day.

apt finds the mirror, the way to it and its login, checks the signatures and compares versions. Nothing of the
machine's own lists is read or written, and no rights are needed. What was read is kept, so that all runs of a day see
the same, and a machine without a network keeps its images.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from core.errors import CommandTimedOut, HostError, LabelrigError
from core.report import Report
from core.waiting import wait_for
from hosts.base import ANY_EXIT_CODE, Host, Result
from infra.roles.images.apt_settings import MOUNTED, read_apt_settings
from infra.roles.images.packages import SUITE, Offered
from infra.roles.images.pip_settings import read_pip_settings

DAY = 24 * 3600.0
RETRY_SECONDS = 3600.0  # after a mirror did not answer
UPDATE_TIMEOUT = 120.0
READ_TIMEOUT = 60.0
LOCK_TIMEOUT = 2 * UPDATE_TIMEOUT
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
USUAL_MIRROR = "http://deb.debian.org/debian"  # debootstrap's own default
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # as the kernel and as Debian call them
STATE = "state.json"
ANSWERS = "behind.json"
KEPT_ANSWERS = 20
FOLDERS = ("etc/apt.conf.d", "etc/preferences.d", "etc/trusted.gpg.d", "lists/partial", "cache/archives/partial")
CANDIDATE = re.compile(r"^(\S+):\n(?:  .*\n)*?  Candidate: (?!\(none\))(\S+)$", re.MULTILINE)
BEHIND = re.compile(r"^Inst (\S+) \[([^\]]+)\] \((\S+) ([^\[)]*)", re.MULTILINE)
SHA256 = re.compile(r"^SHA256: ([0-9a-f]{64})$", re.MULTILINE)


@dataclass(frozen=True)
class Behind:
    """A package for which the suites have a newer version."""

    name: str
    installed: str
    offered: str
    security: bool

    def __str__(self) -> str:
        """In words."""
        return f"{self.name} {self.installed} -> {self.offered}" + (" (security)" if self.security else "")


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Our part of the user's cache folder."""
    cache = environment.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "labelrig"


def suites_folder(environment: Mapping[str, str]) -> Path:
    """Where what was read is kept."""
    return cache_folder(environment) / "debian"


class Suites:
    """The suites for one kind of processor."""

    def __init__(
        self,
        here: Host,
        machine: str,
        folder: Path | None = None,
        *,
        keyring: str = KEYRING,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Args: machine: the processor, as `uname -m` prints it; folder: where to keep things."""
        self._here = here
        self._architecture = ARCHITECTURES.get(machine, machine)
        self._folder = (folder or suites_folder(os.environ)) / f"{SUITE}-{self._architecture}"
        self._keyring = keyring
        self._clock = clock

    def offered(self, names: Collection[str], report: Report, *, max_age: float = DAY) -> Offered:
        """The versions of some packages. The network is asked at most once a day, and once an hour while it fails."""
        state = self._state()
        if self._is_fresh(state, names, max_age):
            return _offered(state)
        try:
            with self._locked():
                state = self._state()  # another run may have read them meanwhile
                if not self._is_fresh(state, names, max_age):
                    state = self._renewed(state, names, report, max_age)
                return _offered(state)
        except OSError as error:
            return replace(_offered(state), problem=f"{self._folder} cannot be used: {error.strerror}")
        except LabelrigError as error:
            return replace(_offered(state), problem=str(error))

    def behind(self, status: bytes) -> list[Behind]:
        """The packages of an image for which the suites had a newer version when they were read last.

        Args:
            status: the image's `/var/lib/dpkg/status`.

        Raises:
            HostError: apt does not say.
        """
        key = f"{hashlib.sha256(status).hexdigest()} {_number(self._state(), 'checked')}"
        with self._locked():
            answers = _read(self._folder / ANSWERS)  # apt takes seconds, and images change rarely
            if key not in answers:
                path = self._folder / "image-status"
                path.write_bytes(status)
                plan = self._apt("apt-get", "-o", f"Dir::State::status={path}", "-s", "--with-new-pkgs", "upgrade")
                answers[key] = BEHIND.findall(plan)
                _write(self._folder / ANSWERS, dict(list(answers.items())[-KEPT_ANSWERS:]))
        rows = answers[key]
        found = [Behind(name, old, new, "-security" in where.lower()) for name, old, new, where in rows]
        return sorted(found, key=lambda one: (not one.security, one.name))

    def hashes(self, packages: Mapping[str, str]) -> dict[str, str]:
        """SHA-256 of the files of those packages (name -> version) that the suites still have."""
        with self._locked():
            words = [f"{name}={version}" for name, version in sorted(packages.items())]
            shown = self._run("apt-cache", "show", *words).stdout
        found: dict[str, str] = {}
        for stanza in shown.split("\n\n"):
            fields = dict(re.findall(r"^(Package|Version): (\S+)$", stanza, re.MULTILINE))
            digest = SHA256.search(stanza)
            if digest and packages.get(fields.get("Package", "")) == fields.get("Version"):
                found[fields["Package"]] = digest[1]
        return found

    def _is_fresh(self, state: Mapping[str, object], names: Collection[str], max_age: float) -> bool:
        now, checked, tried = self._clock(), _number(state, "checked"), _number(state, "tried")
        young = any(0 <= now - at < limit for at, limit in ((checked, max_age), (tried, RETRY_SECONDS)))
        asked = state.get("names")
        return young and (not checked or (isinstance(asked, list) and set(names) <= set(asked)))

    def _renewed(
        self, state: Mapping[str, object], names: Collection[str], report: Report, max_age: float
    ) -> dict[str, object]:
        now, checked = self._clock(), _number(state, "checked")
        new = dict(state)
        if not 0 <= now - checked < max_age and not 0 <= now - _number(state, "tried") < RETRY_SECONDS:
            report.progress("reading what the Debian suites offer")
            problem, security = self._update(report)
            new |= {"tried": now, "problem": problem} | ({} if problem else {"checked": now, "security": security})
        if _number(new, "checked"):
            asked = sorted({*names, *_words(state, "names")})
            policy = self._apt("apt-cache", "policy", *asked)
            new |= {"names": asked, "versions": dict(CANDIDATE.findall(policy))}
        _write(self._folder / STATE, new)
        return new

    def _update(self, report: Report) -> tuple[str, bool]:
        """Read the suites; returns what went wrong, and whether the security archive is among them."""
        if not Path(self._keyring).exists():
            return f"{self._keyring} is not on {self._here.name}: install debian-archive-keyring", False
        try:
            files = read_apt_settings(
                self._here,
                read_pip_settings(self._here).ca_bundle,
                folder=PurePosixPath(self._folder),
                otherwise=USUAL_MIRROR,
            )
            if not files["sources.list"].strip():
                return f"{self._here.name} has no apt", False
            files["apt.conf"] += apart(self._folder, self._keyring, self._architecture)
            write_apt(self._folder, files)
            done = self._run("apt-get", "update", timeout=UPDATE_TIMEOUT, on_line=report.progress)
        except CommandTimedOut:
            return f"the Debian mirror did not answer in {UPDATE_TIMEOUT:.0f} s", False
        except HostError as error:
            return str(error).splitlines()[0], False
        if not done.ok:
            said = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.startswith(("E:", "W:"))]
            return "apt says: " + (said[0] if said else "nothing"), False
        return "", f"{SUITE}-security" in files["sources.list"]

    def _apt(self, *argv: str) -> str:
        result = self._run(*argv)
        if not result.ok:
            said = (result.stderr or result.stdout).strip().splitlines()
            raise HostError(f"{self._here.name}: {argv[0]} does not say what the Debian suites offer: {said[-1:]}")
        return result.stdout

    def _run(self, *argv: str, timeout: float = READ_TIMEOUT, on_line: Callable[[str], None] | None = None) -> Result:
        settings = f"APT_CONFIG={self._folder / MOUNTED['apt.conf']}"
        return self._here.run("env", settings, "LC_ALL=C", *argv, ok=ANY_EXIT_CODE, timeout=timeout, on_line=on_line)

    def _state(self) -> dict[str, Any]:
        return _read(self._folder / STATE)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One apt at a time in the folder."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as lock:

            def taken() -> bool | None:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return None
                return True

            wait_for(f"another run that reads {SUITE}'s packages", taken, timeout=LOCK_TIMEOUT, pause=0.2)
            yield


def apart(folder: Path, keyring: str, architecture: str) -> str:
    """What keeps an apt away from the machine's own: its lists, packages, keys and settings lie in a folder.

    Args:
        keyring: the keys that it trusts.
        architecture: as Debian calls it.
    """
    options = {
        "Dir::State": folder,
        "Dir::State::lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Cache::pkgcache": "",  # 70 MB that save a second a day
        "Dir::Cache::srcpkgcache": "",
        "Dir::Etc": folder / "etc",
        "Dir::Etc::Trusted": keyring,
        "APT::Architecture": architecture,
        "Acquire::Languages": "none",
        "Acquire::PDiffs": "false",
        "Acquire::Retries": "0",
        "Acquire::http::Timeout": "8",
        "Acquire::https::Timeout": "8",
        "APT::Update::Error-Mode": "any",
    }
    lines = [f'{name} "{value}";\n' for name, value in options.items()]
    return "".join([*lines, f'APT::Architectures {{ "{architecture}"; }};\n'])


def write_apt(folder: Path, files: Mapping[str, str]) -> None:
    """Make the folders of an apt of our own, which knows of no installed package, and write its files.

    Args:
        files: see `infra.roles.images.apt_settings.read_apt_settings`.
    """
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    for name, text in files.items():
        path = folder / MOUNTED[name]
        path.touch(mode=0o600)
        path.write_text(text)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(path: Path, content: Mapping[str, object]) -> None:
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_text(json.dumps(content))
    temporary.replace(path)


def _offered(state: Mapping[str, object]) -> Offered:
    versions = state.get("versions")
    return Offered(
        {str(name): str(version) for name, version in versions.items()} if isinstance(versions, dict) else {},
        _number(state, "checked") or None,
        str(state.get("problem") or ""),
        bool(state.get("security", True)),
    )


def _number(state: Mapping[str, object], key: str) -> float:
    value = state.get(key)
    return float(value) if isinstance(value, int | float) else 0.0


def _words(state: Mapping[str, object], key: str) -> list[str]:
    value = state.get(key)
    return [str(one) for one in value] if isinstance(value, list) else []
