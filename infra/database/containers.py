"""The containers that know a stack's two kinds of database: a fresh one of Label Studio, and the server's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Unpack

from core.errors import CommandFailed, LabelrigError
from core.report import Report
from hosts.base import DEFAULT_TIMEOUT, Host, Result, RunArguments
from infra.roles.docker.compose import Compose, run_docker

LABEL_STUDIO, DB = "label-studio", "db"
DB_WAIT_SECONDS = 300
STOP_TIMEOUT = 120.0
LOG_LINES = 15
CLEAR_LINE = "\x1b[2K"  # compose writes it, on a terminal or not


@dataclass(frozen=True)
class Containers:
    """The containers of one stack. `compose` has the files with the database server among them."""

    host: Host
    compose: Compose
    project: str

    @property
    def _one_shot_name(self) -> str:
        return f"{self.project}-database-move"

    def in_label_studio(self, *argv: str, **arguments: Unpack[RunArguments]) -> Result:
        """Run a command in a fresh container of Label Studio, with its volumes and network, and without its server."""
        flags = ("--rm", "--no-TTY", "--no-deps", "--quiet-pull", "--name", self._one_shot_name)
        command = self.compose.argv("run", *flags, LABEL_STUDIO, *argv)
        return run_docker(self.host, *command, **arguments)

    def in_db(self, *argv: str, **arguments: Unpack[RunArguments]) -> Result:
        """Run a command in the running container of the database server."""
        return self.compose.run("exec", "--no-TTY", DB, *argv, **arguments)

    def end_left_over(self) -> None:
        """End what a move that was killed may have left running."""
        run_docker(self.host, "docker", "rm", "--force", self._one_shot_name, ok=(0, 1), timeout=STOP_TIMEOUT)

    def start_db(self, report: Report) -> None:
        """Start the database server and wait until it is healthy.

        Raises:
            LabelrigError: it does not get there; with its last lines.
        """
        try:
            self.compose.run(
                *("up", "--detach", "--no-build", "--no-deps", "--wait", "--wait-timeout", str(DB_WAIT_SECONDS), DB),
                timeout=DB_WAIT_SECONDS + DEFAULT_TIMEOUT,
                on_line=report.progress,
            )
        except CommandFailed as error:
            logs = self.compose.run("logs", "--no-color", "--no-log-prefix", "--tail", str(LOG_LINES), DB).stdout
            lines = logs.replace(CLEAR_LINE, "").splitlines()
            shown = "\n".join(f"    {line}" for line in lines) or "    (nothing)"
            raise LabelrigError(f"the database server does not start; its last lines:\n{shown}") from error

    def stop_label_studio(self) -> None:
        """Stop Label Studio: from now on its database does not change."""
        self.compose.run("stop", LABEL_STUDIO, timeout=STOP_TIMEOUT)
