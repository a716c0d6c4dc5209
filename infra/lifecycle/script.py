"""The script of a stack's backup, as it is called from here: its answer, its progress, its errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from core.errors import LabelrigError, LockHeld, SettingsError
from core.report import Report
from hosts.base import ANY_EXIT_CODE, Host
from infra.roles.backup.files import FOLDER, SCRIPT, VALUES
from infra.roles.stack.render import parse_stack_env
from infra.stack.site import Site

HELD = 4
LONG = 50 * 3600.0  # restic reads every byte of a repository far away
Answer = Mapping[str, Any]


class BackupScript:
    """`backup.sh` of one stack."""

    def __init__(self, host: Host, state: str, report: Report, name: str = FOLDER) -> None:
        """
        Args:
            state: the folder with everything of the stack that is not in a volume.
            name: of the script's folder below it.
        """
        self.host = host
        self.folder = f"{state}/{name}"
        self._report = report

    @property
    def is_there(self) -> bool:
        """Whether the stack has one."""
        return self.host.read(f"{self.folder}/{SCRIPT}", as_root=not self.host.is_local) is not None

    def run(self, verb: str, *arguments: str, timeout: float = LONG) -> Answer:
        """Run one verb; returns its answer.

        Raises:
            LockHeld: another backup or restore of this stack runs.
            LabelrigError: it did not do what it should, in its words.
        """
        result = self.host.run(
            *("sh", f"{self.folder}/{SCRIPT}", verb, *arguments),
            ok=ANY_EXIT_CODE,
            timeout=timeout,
            on_line=lambda line: None if line.startswith("{") else self._report.progress(line),
            as_root=not self.host.is_local,
        )
        lines = result.stdout.strip().splitlines()
        try:
            answer = json.loads(lines[-1]) if lines else {}
        except ValueError:
            answer = {}
        if result.exit_code == HELD:
            raise LockHeld(f"{self.host.name}: {answer.get('problem', 'another backup or restore runs')}")
        if "problem" in answer:
            raise LabelrigError(f"{self.host.name}: {answer['problem']}{_words(result.stderr, answer)}")
        if result.exit_code or not isinstance(answer, dict) or not answer:
            last = "\n".join(f"    {line}" for line in result.stderr.strip().splitlines()[-10:]) or "    (nothing)"
            raise LabelrigError(
                f"{self.host.name}: `{verb}` of the backup ended with exit code {result.exit_code}; its last lines:\n"
                f"{last}"
            )
        return answer


def _words(stderr: str, answer: Answer) -> str:
    """The engine's own last words, where a container did not start."""
    if "container" not in str(answer["problem"]):
        return ""
    return "".join(f"\n    {line}" for line in stderr.strip().splitlines()[-5:])


def script_of(site: Site, report: Report) -> BackupScript:
    """The script of a stack that has one, with the repository that the settings name.

    Raises:
        SettingsError: it has none, or another repository.
    """
    name, wanted = site.host.name, site.settings.backup_repository
    key = "LABELRIG_BACKUP_REPOSITORY in .env" if site.host.is_local else f"`backup_repository` of {name}"
    again = "./inv up" if site.host.is_local else f"./inv deploy --host {name}"
    if wanted is None:
        raise SettingsError(f"{name}: no place for backups is set; set {key}, then `{again}` (docs/backup.md)")
    script = BackupScript(site.host, site.state, report)
    if not script.is_there:
        raise SettingsError(f"{name}: {key} is set, and the stack does not know it yet; run `{again}` once")
    content = site.host.read(f"{script.folder}/{VALUES}", as_root=not site.host.is_local) or b""
    known = parse_stack_env(content).get("LABELRIG_BACKUP_REPOSITORY", "")
    if known != wanted:
        raise SettingsError(f"{name}: {key} is {wanted}, and the stack still has {known}; run `{again}` once")
    return script
