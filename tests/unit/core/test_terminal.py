"""What a person sees on a terminal, and what a file gets."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from core.report import Report
from core.repository import REPOSITORY
from core.terminal import Screen, one_line, painted

PLENTY = 60.0
# One line of progress and one result, through the program's own streams.
SCRIPT = """
import sys
from core.report import Report
from core.terminal import shared_terminal
with shared_terminal():
    report = Report()
    with report.stage("look"):
        report.progress("looking at GPUs and disks")
        report.ok("engine", [])
    report.progress("0 s left")
    print("exports/coco.json", flush=True)
    report.progress("open to the end")
"""


# A title of somebody's project, in everything that is shown: progress, a notice, data, JSON, and Invoke's own error.
TITLE = "Ca\x1b]0;pwned\x07rs \x1b[2J\x9b31m \u202e \ud83d\r"
FOREIGN = f"""
import sys
from core.report import Report
from core.terminal import shared_terminal
title = {TITLE!a}
with shared_terminal():
    report = Report()
    report.progress(title)
    report.notice(title)
    report.facts["title"] = title
    print(title)
    print(report.as_json())
    print("error: " + title, file=sys.stderr)
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Ended:
    """What a program left on its terminal, and what it wrote elsewhere."""

    def __init__(self, raw: str, elsewhere: str = "") -> None:
        self.raw = raw
        self.elsewhere = elsewhere
        self.lines = seen(raw)


def seen(raw: str) -> list[str]:
    """The lines that stand on a terminal after all of `raw` was written, without colours."""
    lines = []
    for line in re.sub(r"\x1b\[\d+m", "", raw).split("\r\n"):
        shown: list[str] = []
        for part in line.split("\r"):
            shown[: len(part)] = part
        lines.append("".join(shown).rstrip())
    return lines


def on_terminal(*argv: str, stdout: str = "terminal", **variables: str) -> Ended:
    """Run a program whose stderr, and as a rule stdout, are a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    environ = {name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR", "TERM", "COLUMNS")}
    environ |= {"TERM": "xterm", "PYTHONPATH": str(REPOSITORY), **variables}
    chunks: list[bytes] = []

    def read() -> None:
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:  # the last program on the other side has ended
                return
            if not data:
                return
            chunks.append(data)

    reader = threading.Thread(target=read)
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=theirs if stdout == "terminal" else subprocess.PIPE,
        stderr=theirs,
        env=environ,
        cwd=REPOSITORY,
    ) as process:
        os.close(theirs)
        reader.start()
        elsewhere = process.stdout.read().decode() if process.stdout is not None else ""
        process.wait(PLENTY)
    reader.join(PLENTY)
    os.close(ours)
    return Ended(b"".join(chunks).decode(), elsewhere)


def script(*, stdout: str = "terminal", **variables: str) -> Ended:
    return on_terminal(sys.executable, "-c", SCRIPT, stdout=stdout, **variables)


def test_open_line_is_erased_before_a_result() -> None:
    done = script()
    assert done.lines[:3] == ["▸ look", "    ✓ engine", "  look: 0 changed, 0.0 s"]
    assert done.lines[3:] == ["exports/coco.json", ""]
    assert "looking at GPUs and disks" in done.raw
    assert "0 s left" in done.raw
    assert "open to the end" in done.raw


def test_data_in_a_file_is_clean_while_stderr_is_live() -> None:
    done = script(stdout="file")
    assert done.elsewhere == "exports/coco.json\n"
    assert done.lines == ["▸ look", "    ✓ engine", "  look: 0 changed, 0.0 s", ""]


def test_marks_have_colours_on_a_terminal() -> None:
    assert "    \x1b[32m✓\x1b[0m engine" in script().raw


def test_no_color_leaves_no_escape_and_keeps_the_line() -> None:
    done = script(NO_COLOR="1")
    assert "\x1b" not in done.raw
    assert "\r      looking at GPUs" in done.raw
    assert done.lines[3:] == ["exports/coco.json", ""]


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"CI": "true"}])
def test_plain_lines_where_no_line_can_be_rewritten(variables: dict[str, str]) -> None:
    done = script(**variables)
    assert done.raw.replace("\r\n", "\n") == "▸ look\n    ✓ engine\n  look: 0 changed, 0.0 s\nexports/coco.json\n"


def test_plain_lines_in_a_file() -> None:
    done = subprocess.run(
        (sys.executable, "-c", SCRIPT), cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=PLENTY
    )
    assert done.stdout == "exports/coco.json\n"
    assert done.stderr == "▸ look\n    ✓ engine\n  look: 0 changed, 0.0 s\n"


def test_error_of_the_program_stands_on_its_own_line(tmp_path: Path) -> None:
    """Invoke prints it, and knows nothing of the progress line."""
    (tmp_path / "tasks.py").write_text(
        "from invoke.tasks import task\nfrom invoke.exceptions import Exit\nfrom core.report import Report\n"
        "@task\ndef fail(_context):\n    Report().progress('working')\n    raise Exit('error: it broke', code=1)\n"
    )
    code = f"from commands.program import Front; Front().run(['inv', '--search-root', {str(tmp_path)!r}, 'fail'])"
    done = on_terminal(sys.executable, "-c", code)
    assert done.lines == ["error: it broke", ""]
    assert "working" in done.raw


@pytest.mark.parametrize("stdout", ["terminal", "file"])
def test_words_of_others_do_not_steer(stdout: str) -> None:
    done = on_terminal(sys.executable, "-c", FOREIGN, stdout=stdout)
    shown = r"Ca\u001b]0;pwned\u0007rs \u001b[2J\u009b31m \u202e \ud83d\u000d"
    written = done.raw + done.elsewhere
    ours = re.sub(r"\x1b\[\d+m", "", written).replace("\r\n", "\n")
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", ours)
    assert set(re.findall(r"\x1b.*?m", written)) == {"\x1b[33m", "\x1b[31m", "\x1b[0m"}
    assert {f"  ! {shown}", f"error: {shown}"} <= set(done.lines)
    data = done.elsewhere.splitlines() if stdout == "file" else done.lines
    assert shown in data
    assert json.loads("\n".join(data[data.index("{") : data.index("}") + 1]))["title"] == TITLE


def test_traceback_does_not_steer_either(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text(
        f"from invoke.tasks import task\n@task\ndef fail(_context):\n    raise RuntimeError({TITLE!a})\n"
    )
    code = f"from commands.program import Front; Front().run(['inv', '--search-root', {str(tmp_path)!r}, 'fail'])"
    done = subprocess.run(
        (sys.executable, "-c", code), cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=PLENTY
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert r"RuntimeError: Ca\u001b]0;pwned\u0007rs \u001b[2J" in done.stderr
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", done.stderr)


def test_progress_is_cut_to_the_terminal_and_shrinks() -> None:
    stream = Terminal()
    screen = Screen(stream, {})
    screen.progress("x" * 200)
    screen.progress("short")
    screen.write("done\n")
    first, second, rest = stream.getvalue().split("\r")[1:4]
    assert first == "x" * 79
    assert second == "short" + " " * 74
    assert (rest, seen(stream.getvalue().replace("\n", "\r\n"))) == (" " * 5, ["done", ""])


def test_wide_and_combining_characters_count_as_shown() -> None:
    stream = Terminal()
    Screen(stream, {}).progress("画" * 60)
    assert stream.getvalue() == "\r" + "画" * 39
    Screen(stream, {}).progress("e\u0301" * 79)
    assert stream.getvalue().endswith("e\u0301" * 79)


def test_two_reports_share_the_open_line() -> None:
    stream = Terminal()
    screen = Screen(stream, {})
    one, two = Report(screen), Report(screen, prefix="gpu02 | ")
    one.progress("step 1")
    two.info("here")
    assert seen(stream.getvalue().replace("\n", "\r\n")) == ["gpu02 | here", ""]


def test_progress_holds_no_control_characters() -> None:
    assert one_line("\x1b[31mred\x1b[0m\tand\x07 \x1b]0;title\x07 more\n") == "red and more"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("gpu01 | ▸ images", "gpu01 | \x1b[1m▸\x1b[0m images"),
        (
            "127.0.0.1:22 |     ✓ a\nb            |         +new",
            "127.0.0.1:22 |     \x1b[32m✓\x1b[0m a\nb            |         \x1b[32m+new\x1b[0m",
        ),
        ("error: no\n", "\x1b[31merror:\x1b[0m no\n"),
        ("        -old\n        +new", "        \x1b[31m-old\x1b[0m\n        \x1b[32m+new\x1b[0m"),
        ('{"a": "✓ b"}', '{"a": "✓ b"}'),
        ("  -5", "  -5"),
    ],
)
def test_only_marks_at_the_start_of_a_line_are_coloured(text: str, shown: str) -> None:
    assert painted(text) == shown
