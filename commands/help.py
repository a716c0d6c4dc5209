"""The pages of `./inv`, `./inv --help` and `./inv TASK --help`, and what was meant by a word that is unknown."""

from __future__ import annotations

import difflib
import inspect
import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from invoke.collection import Collection
from invoke.parser.argument import Argument
from invoke.parser.context import ParserContext

# A theme for each file of tasks, in the order of the page.
THEMES = {
    "machine": "This machine",
    "deploying": "Lab servers",
    "running": "Stacks that run",
    "lifecycle": "Backup and restore",
    "people": "People",
    "locking": "The lock of a lab server",
    "looking": "State, faults and logs",
    "projects": "Projects",
    "data": "Annotations and configurations",
    "pairs": "Pairs of pictures",
    "checking": "Development",
}
OTHER = "Other"
EXAMPLES = {
    "up": ("up --data /NAS/home/me/RGB_T_SAR --model tiny",),
    "plan": ("plan --host gpu01", "plan --group gpu --set port=8090"),
    "deploy": ("deploy --host admin@gpu01 --data /NAS/home/me/RGB_T_SAR", "deploy --group gpu --yes --lock-wait 30m"),
    "rollback": ("rollback --host gpu01", "rollback 20260301T100000Z-607e07e --host gpu01"),
    "bundle.create": ("bundle.create --for debian12", "bundle.create --for ubuntu24.04 --model large --nvidia"),
    "bundle.verify": ("bundle.verify labelrig-debian12.tar",),
    "docs": ("docs model",),
    "down": ("down", "down --host gpu01 --purge"),
    "restart": ("restart sam2", "restart --host gpu01"),
    "prune": ("prune", "prune --host gpu01 --dry-run"),
    "secrets.rotate": ("secrets.rotate database --host gpu01", "secrets.rotate all"),
    "exec": ("exec sam2 -- nvidia-smi", "exec db --host gpu01 -- psql -c 'SELECT count(*) FROM task'"),
    "backup": ("backup", "backup --host gpu01"),
    "restore": ("restore", "restore 894a028c --host gpu01", "restore --drill --host gpu01"),
    "backup.list": ("backup.list --host gpu01",),
    "lock.take": ('lock.take --host gpu01 --message "moving the racks"',),
    "status": ("status --host gpu01",),
    "doctor": ("doctor --host gpu01",),
    "logs": ("logs", "logs sam2 --since 2h", "logs --host gpu01 --follow"),
    "tunnel": ("tunnel --host gpu01",),
    "sbom": ("sbom --out sbom", "sbom --host gpu01 --out sbom"),
    "user.add": ("user.add ana@lab.example --name 'Ana López'", "user.add --members --host gpu01"),
    "user.reset": ("user.reset ana@lab.example --host gpu01",),
    "user.remove": ("user.remove ana@lab.example",),
    "project.plan": ("project.plan --project rgbt-sar",),
    "project.apply": ("project.apply --project rgbt-sar --rename Car=Vehicle",),
    "preannotate": (
        "preannotate --boxes annotations",
        "preannotate --boxes boxes.json --label person=Civilian",
        "preannotate --everything --label Vegetation",
    ),
    "propagate": ("propagate --from 12 --frames 50", "propagate --from 12 --to 40 --objects Vehicle --redo"),
    "export": (
        "export --format coco --out exports/march",
        "export --format yolo-seg --since 2026-03-01",
        "export --format dataset --shares 70,15,15 --priority First-Responder,Civilian",
    ),
    "import": ("import exports/march --project RGBT-SAR",),
    "agreement": (
        "agreement rgbt-sar:ana@lab.example rgbt-sar:luis@lab.example",
        "agreement exports/march exports/april --csv agreement.csv",
    ),
    "pairs.demo": ("pairs.demo --out pairs",),
    "pairs.register": (
        "pairs.register --rgb pictures/rgb --thermal pictures/thermal --html registration.html",
        "pairs.register --project RGBT-PAIRS --rgb-camera ost_rgb.txt --thermal-camera ost_tir.txt",
    ),
    "pairs.transfer": (
        "pairs.transfer --masks exports/rgb --twins pictures/thermal --out exports/thermal",
        "pairs.transfer --project RGB-2026 --to THERMAL-2026",
        "pairs.transfer --project RGBT-PAIRS --kind draft --refine none",
    ),
    "pairs.apply": ("pairs.apply --project RGBT-PAIRS",),
    "config.check": ("config.check labeling_configs/rgbt-sar",),
    "database.move": ("database.move --to postgres",),
    "test": ("test --fast", "test --only tests/unit/core"),
}
# Of some tasks, what stands behind all options in the line of usage.
BEHIND = {"exec": "-- COMMAND..."}
WIDEST = 120
OVERVIEW = """\
usage: ./inv TASK [options]

Label Studio with SAM2, on this machine or on lab servers."""
ENDING = """\
`./inv TASK --help` has the options of a task and examples. `./inv --version` prints the version.
Exit codes: 0 ok, 1 failed, 2 usage or settings, 3 preflight, 4 locked, 5 rolled back, 6 unreachable."""


def overview(tasks: Collection) -> str:
    """All tasks by theme, each with its sentence."""
    rows: dict[str, list[tuple[str, str]]] = {theme: [] for theme in (*THEMES.values(), OTHER)}
    for name, others in tasks.task_names.items():
        body = tasks[name].body
        theme = THEMES.get(body.__module__.rpartition(".")[2], OTHER)
        rows[theme].append((next(iter(others), str(name)), (inspect.getdoc(body) or "").partition("\n")[0]))
    width = max(len(name) for found in rows.values() for name, _ in found)
    parts = [f"{theme}\n{_columns(found, width)}" for theme, found in rows.items() if found]
    return "\n\n".join([OVERVIEW, *parts, ENDING])


def task_page(name: str, tasks: Collection, context: ParserContext, by_position: Mapping[str, str]) -> str:
    """What a task does, its options, and examples.

    Args:
        by_position: of some tasks, the option whose value may be given without its name.
    """
    options = sorted(dict.fromkeys(context.args.values()), key=lambda one: not _required(one))
    words = [_usage(one, by_position.get(name)) for one in options]
    last = [*(["[options]"] if "" in words else []), *([BEHIND[name]] if name in BEHIND else [])]
    parts = [
        " ".join(["usage: ./inv", name, *filter(None, words), *last]),
        _wrapped(inspect.getdoc(tasks[name].body) or ""),
    ]
    if options:
        rows = [(_flag(one), f"{one.help or ''}{' (required)' if _required(one) else ''}") for one in options]
        parts.append(f"Options\n{_columns(rows, max(len(flag) for flag, _ in rows))}")
    if name in EXAMPLES:
        title = "Examples" if len(EXAMPLES[name]) > 1 else "Example"
        parts.append("\n".join([title, *(f"  ./inv {one}" for one in EXAMPLES[name])]))
    return "\n\n".join(parts)


def meant(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean X?" for a word that is nearly one of the known ones, or their group; else nothing."""
    names = list(known)
    close = [one for one in names if one.startswith(f"{word}.")] or difflib.get_close_matches(word, names, n=3)
    return f"; did you mean {', '.join(close)}?" if close else ""


def _required(argument: Argument) -> bool:
    """Whether a call needs it; Invoke counts lists too, which may be empty."""
    return bool(argument.positional) and argument.kind is not list


def _usage(argument: Argument, by_position: str | None) -> str:
    """How an option stands in the line of usage; empty for one of the others."""
    if by_position == f"--{argument.name}":
        return _value(argument) if _required(argument) else f"[{_value(argument)}]"
    return _flag(argument) if _required(argument) else ""


def _plain(argument: Argument) -> str:
    """The name as it is typed, without dashes in front; a word of Python's has an underscore behind it."""
    return str(argument.name).strip("_").replace("_", "-")


def _value(argument: Argument) -> str:
    return _plain(argument).rpartition("-")[2].upper()


def _flag(argument: Argument) -> str:
    name = _plain(argument)
    if argument.kind is bool:
        return f"--no-{name}" if argument.default else f"--{name}"
    return f"--{name} {_value(argument)}"


def _columns(rows: Sequence[tuple[str, str]], width: int) -> str:
    columns = min(shutil.get_terminal_size().columns, WIDEST)
    indent = " " * (width + 4)
    return "\n".join(
        textwrap.fill(text, max(columns, 60), initial_indent=f"  {name:<{width}}  ", subsequent_indent=indent)
        for name, text in rows
    )


def _wrapped(text: str) -> str:
    columns = min(shutil.get_terminal_size().columns, WIDEST)
    return "\n\n".join(textwrap.fill(part, max(columns, 60)) for part in text.split("\n\n"))
