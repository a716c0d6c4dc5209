"""The link of the backup: the last one went well and is not old, and so is the last drill."""

from __future__ import annotations

from core.text import size_text
from infra.doctor.diagnosis import Finding, ok, warning
from infra.doctor.inspection import Inspection
from infra.roles.backup.files import FOLDER
from infra.roles.backup.result import OLD, OLD_DRILL, LastRun, read_run

HOUR = 3600.0


def check_backup(look: Inspection) -> Finding:
    """There is a backup of the last two days, and nothing that came after it failed."""
    settings, folder = look.site.settings, f"{look.site.state}/{FOLDER}"
    if settings.backup_repository is None:
        return ok("none is wanted: no repository is set (docs/backup.md)")
    last = read_run(look.host, folder, "backup")
    if last is None:
        return warning("no backup was made yet", look.inv("backup"))
    if not last.ok:
        good = read_run(look.host, folder, "backup", good=True)
        age = "there is none that went well" if good is None else f"the last good one is {_age(good)} old"
        return warning(f"the last backup failed: {last.problem}; {age}", look.inv("backup"))
    seen = f"{last.answer.get('snapshot')}, {_age(last)} old, {size_text(int(last.answer.get('bytes', 0)))}"
    if last.hours() * HOUR > OLD:
        fix = f"{look.inv('backup')}; {look.by_hand('systemctl list-timers')} shows whether one is made by itself"
        return warning(seen, fix)
    if stay := last.answer.get("not_pruned"):
        return warning(f"{seen}; old backups could not be removed: {stay}", look.inv("backup"))
    for what, words in (("verify", "the last verification"), ("drill", "the last drill")):
        run = read_run(look.host, folder, "verify" if what == "verify" else "drill")
        if run is not None and not run.ok and not run.may_go_on():
            again = "backup.verify" if what == "verify" else "restore --drill"
            return warning(f"{seen}; {words} failed {_age(run)} ago: {run.problem}", look.inv(again))
    drill = read_run(look.host, folder, "drill", good=True)
    if drill is None or drill.hours() * HOUR > OLD_DRILL:
        proven = "no drill was done yet" if drill is None else f"the last drill passed {_age(drill)} ago"
        return ok(f"{seen}; {proven}: {look.inv('restore --drill')} proves that it can be restored")
    return ok(f"{seen}; a drill passed {_age(drill)} ago")


def _age(run: LastRun) -> str:
    hours = run.hours()
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} days"
