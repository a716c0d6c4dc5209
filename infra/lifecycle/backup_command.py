"""`./inv backup`, `backup.list` and `backup.verify`: here, or on hosts."""

from __future__ import annotations

from datetime import datetime

from core.text import size_text
from infra.fleet.choice import Choice, Outcome
from infra.fleet.on_hosts import run_work
from infra.fleet.run import RunOptions
from infra.fleet.session import Session
from infra.lifecycle.script import Answer, script_of

SHOWN_LOST = 5


def run_backup(choice: Choice, options: RunOptions) -> Outcome:
    """Make a backup of each stack."""

    def work(one: Session) -> str:
        with one.report.stage("backup"):
            answer = script_of(one.site, one.report).run("run")
            one.report.ok("backup made", [f"made the backup {answer['snapshot']}"])
        one.report.facts["backup"] = dict(answer)
        note_lost(one, answer)
        if stay := answer.get("not_pruned"):
            one.report.notice(f"this backup is whole; old ones could not be removed, the next run tries again: {stay}")
        return made_text(answer)

    return run_work(choice, options, work, changes=True)


def run_list(choice: Choice, options: RunOptions) -> Outcome:
    """List the backups of each stack, the newest first."""

    def work(one: Session) -> str:
        rows = list(script_of(one.site, one.report).run("list")["snapshots"])[::-1]
        one.report.facts["backups"] = rows
        return "\n".join(map(_line, rows)) or "no backup yet"

    return run_work(choice, options, work)


def run_verify(choice: Choice, options: RunOptions) -> Outcome:
    """Read every byte of each stack's repository, and compare each backup with its manifest."""

    def work(one: Session) -> str:
        with one.report.stage("verify"):
            answer = script_of(one.site, one.report).run("verify")
            one.report.ok("every byte read", [])
        one.report.facts["verified"] = dict(answer)
        return f"every byte was read: {answer['snapshots']} backups are whole, {answer['newest']} is the newest"

    return run_work(choice, options, work)


def note_lost(one: Session, answer: Answer) -> None:
    """Files that the database names and that are not there: that is a notice, not a failed backup."""
    if lost := list(answer.get("lost", [])):
        names = ", ".join(lost[:SHOWN_LOST]) + (f" and {len(lost) - SHOWN_LOST} more" if lost[SHOWN_LOST:] else "")
        one.report.notice(f"the database names {len(lost)} uploaded files that are not there any more: {names}")


def made_text(answer: Answer) -> str:
    """What a backup holds, for people."""
    return (
        f"backup {answer['snapshot']}: {answer['rows']} rows, {answer['files']} uploaded files, "
        f"{size_text(answer['bytes'])} ({size_text(answer['added_bytes'])} new, before compression)"
    )


def _line(row: dict[str, str]) -> str:
    moment = datetime.fromisoformat(row["time"]).astimezone().strftime("%Y-%m-%d %H:%M")
    return f"{row['id']}  {moment}  {row['machine']}  {row['reason']}".rstrip()
