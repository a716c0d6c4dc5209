"""`backup.sh` with a stand-in for docker: what it starts in which order, what it writes down, what it refuses."""

from __future__ import annotations

import fcntl
import json
import re
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core.repository import REPOSITORY
from core.strict_yaml import parse_yaml
from infra.config.settings import Settings
from infra.roles.backup.files import BackupPlace, backup_files
from infra.roles.backup.result import parse_run
from infra.roles.stack.image_folders import ImageFolder

IMAGES = {"backup": "labelrig/backup:1", "label-studio": "labelrig/label-studio:new", "db": "labelrig/postgres:1"}
SAVED = '{"snapshot": "abc12345", "bytes": 10, "added_bytes": 5, "rows": 3, "files": 2, "lost": []}'
# Answers of the containers by their last words; a line of what was asked for goes into the log.
DOCKER = """\
#!/bin/sh
[ "$1" != cp ] || cat >"$FAKE/published.tar"
[ "$1" = compose ] || exit 0
printf '%s | LS=%s UID=%s DB=%s SIZE=%s KNOWN=%s REASON=%s\\n' "$*" "$LABELRIG_LABEL_STUDIO_IMAGE" "$LABELRIG_UID" \
    "$LABELRIG_BACKUP_DATABASE" "$LABELRIG_BACKUP_DATABASE_BYTES" "$LABELRIG_BACKUP_KNOWN" \
    "$LABELRIG_BACKUP_REASON" >>"$FAKE/log"
for last; do :; done
for word in "$@"; do
    [ -e "$FAKE/answer-$word" ] || continue
    cat "$FAKE/answer-$word"
    exit "$(cat "$FAKE/code-$word")"
done
echo "progress of $last" >&2
"""


RESTORING = "a restore goes on, or was cut off and the stack is half of two: repeat `./inv restore` first"


@dataclass
class ScriptBench:
    """A stack's folders, with the files that the role writes."""

    root: Path

    @classmethod
    def make(cls, root: Path) -> ScriptBench:
        bench = cls(root)
        for folder in ("fake", "state/stack", "repository", "images/deep"):
            (root / folder).mkdir(parents=True)
        (root / "images/deep/a b.png").write_bytes(b"12345")
        (root / "state/stack/stack.env").write_text(
            "LABELRIG_UID='61045'\nLABELRIG_LABEL_STUDIO_IMAGE='labelrig/label-studio:serves'\n"
        )
        settings = Settings.model_validate(
            {
                "LABELRIG_BACKUP_REPOSITORY": str(root / "repository"),
                "LABELRIG_BACKUP_PASSWORD": "correct-horse",
                "LABELRIG_UID": 61041,
            }
        )
        state = str(root / "state")
        docker = root / "fake/docker"
        docker.write_text(DOCKER)
        docker.chmod(0o755)
        place = BackupPlace(state, f"{state}/stack", str(root / ".env"), "/none", (str(docker), "compose"))
        folders = [ImageFolder("images", str(root / "images")), ImageFolder("gone", str(root / "gone"))]
        for file in backup_files(place, settings, IMAGES, folders):
            path = Path(file.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)
        bench.answer("size", '{"bytes": 4096}')
        bench.answer("prepare", '{"repository_made": true}')
        bench.answer("make", '{"tables": 3, "rows": 6}')
        bench.answer("save", SAVED)
        return bench

    @property
    def own(self) -> Path:
        return self.root / "state/backup"

    @property
    def log(self) -> list[str]:
        path = self.root / "fake/log"
        return path.read_text().splitlines() if path.exists() else []

    def answer(self, word: str, text: str, code: int = 0) -> None:
        (self.root / f"fake/answer-{word}").write_text(f"{text}\n")
        (self.root / f"fake/code-{word}").write_text(str(code))

    def run(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Exit code and answer."""
        environment = {"PATH": f"{self.root}/fake:/usr/bin:/bin", "FAKE": str(self.root / "fake")}
        done = subprocess.run(
            ["sh", str(self.own / "backup.sh"), *arguments],
            env=environment, capture_output=True, text=True, timeout=60, cwd="/", check=False,
        )  # fmt: skip
        lines = done.stdout.strip().splitlines()
        assert len(lines) == 1, done
        return done.returncode, json.loads(lines[0])

    def last(self, name: str = "last-backup") -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.own / f"{name}.json").read_text())
        return found


@pytest.fixture
def bench(tmp_path: Path) -> ScriptBench:
    return ScriptBench.make(tmp_path)


def test_how_it_went_is_the_containers_users(bench: ScriptBench) -> None:
    """For the figures: files of another user in its volumes would be handed over to it by the next `up`."""
    bench.run("run")
    with tarfile.open(bench.root / "fake/published.tar") as tar:
        found = {one.name: (one.uid, one.gid, one.isdir()) for one in tar.getmembers()}
    (uid,) = {uid for uid, _, _ in found.values()}
    assert uid == 61045
    names = ("labelrig-good-backup.json", "labelrig-last-backup.json")
    assert found == dict.fromkeys(names, (uid, uid, False))


def test_backup_in_order_and_written_down(bench: ScriptBench) -> None:
    """The database's size, room, the dump, then the rest; with the images of the stack that serves."""
    code, answer = bench.run("run")
    assert (code, answer) == (0, json.loads(SAVED))
    steps = [line.partition(" | ")[0].split(" --name ")[1] for line in bench.log]
    assert steps == [
        "labelrig-backup-dump dump-sqlite python3 - size",
        "labelrig-backup backup prepare",
        "labelrig-backup-dump dump-sqlite python3 - make /staging/database",
        "labelrig-backup backup save",
    ]
    assert all("LS=labelrig/label-studio:serves UID=61045 DB=sqlite" in line for line in bench.log)
    assert "SIZE=4096" in bench.log[-1]
    last = parse_run((bench.own / "last-backup.json").read_bytes())
    assert last is not None
    assert (last.ok, last.answer["snapshot"]) == (True, "abc12345")
    assert bench.last() == bench.last("good-backup")
    assert (bench.own / "known").read_text() == f"{bench.root}/repository\n"


def test_image_folders_are_listed(bench: ScriptBench) -> None:
    """With size and time; one that is not there now is noted, and fails nothing."""
    bench.run("run")
    row = (bench.own / "images/images.list").read_text().split("\0")[0].split(" ", 2)
    assert (row[0], row[2]) == ("5", "deep/a b.png")
    assert (bench.own / "images/gone.absent").exists()


def test_postgres_where_the_stack_has_it(bench: ScriptBench) -> None:
    (bench.root / "state/stack/postgres.yaml").touch()
    bench.run("run", "before-restore")
    assert "dump-postgres python3 - size" in bench.log[0]
    assert "DB=postgres" in bench.log[-1]
    assert "REASON=before-restore" in bench.log[-1]


@pytest.mark.parametrize("step", ["size", "prepare", "make", "save"])
def test_failed_step_ends_it(bench: ScriptBench, step: str) -> None:
    """Its sentence is the answer, and the last good backup stays known as one."""
    bench.run("run")
    bench.answer(step, '{"problem": "the disk is full"}', 1)
    code, answer = bench.run("run")
    assert (code, answer) == (1, {"problem": "the disk is full"})
    assert bench.last()["ok"] is False
    assert bench.last("good-backup")["ok"] is True
    assert f"{step}" in bench.log[-1]


def test_silent_container_is_a_failure(bench: ScriptBench) -> None:
    """No answer is no success, whatever the exit code was."""
    bench.answer("save", "", 0)
    code, answer = bench.run("run")
    assert code == 1
    assert answer["problem"].startswith("a container of the backup did not start or was ended")


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        ("restoring", RESTORING),
        ("repository", "{root}/repository is not there: make it, or mount its disk"),
        ("password", "{root}/state/backup/password is not there: make it, or mount its disk"),
        ("stack", "there is no stack to back up yet"),
    ],
)
def test_refused_in_a_sentence(bench: ScriptBench, spoil: str, problem: str) -> None:
    if spoil == "restoring":
        (bench.root / "state/restoring.json").write_text("{}")
    elif spoil == "repository":
        (bench.root / "repository").rmdir()
    elif spoil == "password":
        (bench.own / "password").unlink()
    else:
        (bench.root / "state/stack/stack.env").unlink()
    assert bench.run("run") == (1, {"problem": problem.format(root=bench.root)})
    assert bench.log == []
    assert bench.last()["ok"] is False


def slow(bench: ScriptBench, program: str, **seconds: int) -> None:
    """A program that does not end for a path that begins with `away`, and not by SIGTERM; and shorter times."""
    fake = bench.root / "fake" / program
    fake.write_text(
        f'#!/bin/sh\ncase "$*" in */away*) trap "" TERM; exec sleep 50 ;; *) exec /usr/bin/{program} "$@" ;; esac'
    )
    fake.chmod(0o755)
    script = bench.own / "backup.sh"
    text = script.read_text()
    for name, count in (seconds | {"KILL_SECONDS": 1}).items():
        text = re.sub(rf"^{name}=\d+$", f"{name}={count}", text, flags=re.MULTILINE)
    script.write_text(text)


@pytest.mark.parametrize(("program", "limit"), [("test", "ANSWER_SECONDS"), ("find", "LIST_SECONDS")])
def test_dead_image_folder_fails_no_backup(bench: ScriptBench, program: str, limit: str) -> None:
    """A share whose server is gone, from the beginning or while it is listed: the dump was made before."""
    (bench.root / "away").mkdir()
    (bench.own / "folders").write_text(f"away\t{bench.root}/away\nimages\t{bench.root}/images\n")
    slow(bench, program, **{limit: 5})
    assert bench.run("run")[0] == 0
    assert sorted(path.name for path in (bench.own / "images").iterdir()) == ["away.absent", "images.list"]


def test_dead_repository_is_said(bench: ScriptBench) -> None:
    slow(bench, "test", ANSWER_SECONDS=5)
    values = bench.own / "backup.env"
    values.write_text(values.read_text().replace(f"{bench.root}/repository", f"{bench.root}/away"))
    sentence = f"{bench.root}/away does not answer: is the server of this share gone?"
    assert bench.run("list") == (1, {"problem": sentence})
    assert bench.run("run") == (1, {"problem": sentence})
    assert bench.log == []


@pytest.mark.parametrize("verb", ["run", "list", "show", "verify", "fetch"])
def test_repository_that_was_read_is_known(bench: ScriptBench, verb: str) -> None:
    """On a new machine too: where its disk is not mounted later, no backup makes another one in its place."""
    (bench.own / "known").write_text("/another\n")
    for word in ("list", "show", "verify", "fetch"):
        bench.answer(word, '{"problem": "it cannot be opened"}', 1)
    assert bench.run(verb, *(["abc"] if verb == "fetch" else []))[0] == (0 if verb == "run" else 1)
    if verb != "run":
        assert (bench.own / "known").read_text() == "/another\n"
        bench.answer(verb, '{"snapshot": "abc"}')
        assert bench.run(verb, *(["abc"] if verb == "fetch" else []))[0] == 0
    bench.run("list")
    assert (bench.own / "known").read_text() == f"/another\n{bench.root}/repository\n"
    bench.run("run")
    assert "KNOWN=yes" in bench.log[-1]


def test_answers_are_in_no_log() -> None:
    """Among them are the secrets of a stack: no container that reads a repository has a log."""
    document = parse_yaml((REPOSITORY / "infra/roles/backup/backup.yaml").read_text(), "backup.yaml")
    assert isinstance(document, dict)
    tools = {name for name, one in document["services"].items() if one["image"].startswith("${LABELRIG_BACKUP_IMAGE")}
    assert tools == {"look", "backup", "restore"}
    assert all(document["services"][name]["logging"] == {"driver": "none"} for name in tools)


def test_second_run_is_turned_away(bench: ScriptBench, monkeypatch: pytest.MonkeyPatch) -> None:
    script = bench.own / "backup.sh"
    script.write_text(script.read_text().replace("WAIT_SECONDS=20", "WAIT_SECONDS=0"))
    with (bench.own / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, answer = bench.run("run")
    assert (code, answer) == (4, {"problem": "another backup or restore of labelrig runs on this machine"})
    assert bench.log == []


def test_mark_waits_for_a_backup(bench: ScriptBench) -> None:
    """So no change-over begins while the old state is read; and none is read from then on."""
    script = bench.own / "backup.sh"
    script.write_text(script.read_text().replace("WAIT_SECONDS=20", "WAIT_SECONDS=0"))
    mark = bench.root / "state/restoring.json"
    text = '{"snapshot": "abc12345", "before": "", "stamp": "S"}'
    with (bench.own / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert bench.run("mark", text)[0] == 4
    assert not mark.exists()
    assert bench.run("mark", text) == (0, {"marked": True})
    assert (mark.read_text(), mark.stat().st_mode & 0o777) == (f"{text}\n", 0o644)
    assert bench.log == []
    for verb in ("run", "verify"):
        assert bench.run(verb) == (1, {"problem": RESTORING})
    bench.answer("list", '{"snapshots": []}')
    assert bench.run("list")[0] == 0, "a restore that goes on reads the repository"


def test_change_over_in_the_middle_of_a_backup(bench: ScriptBench) -> None:
    """The database was dumped from one state, and uploaded files would be read from another."""
    make = bench.root / "fake/docker"
    mark = f'for word in "$@"; do [ "$word" != make ] || echo "{{}}" >"{bench.root}/state/restoring.json"; done\n'
    make.write_text(make.read_text().replace("for last", f"{mark}for last", 1))
    assert bench.run("run") == (1, {"problem": RESTORING})
    assert not [line for line in bench.log if " backup save" in line]
    assert bench.last()["ok"] is False


def test_verify_is_written_down(bench: ScriptBench) -> None:
    bench.answer("verify", '{"snapshots": 2, "newest": "abc"}')
    assert bench.run("verify") == (0, {"snapshots": 2, "newest": "abc"})
    assert bench.last("last-verify")["ok"] is True
    bench.answer("verify", '{"problem": "the repository is damaged"}', 1)
    assert bench.run("verify") == (1, {"problem": "the repository is damaged"})
    assert bench.last("last-verify")["ok"] is False


def test_no_secret_among_the_values(bench: ScriptBench) -> None:
    """The password is in a file of its own; what compose and the process list see is not secret."""
    values = (bench.own / "backup.env").read_text()
    assert "correct-horse" not in values + "".join(bench.log)
    assert (bench.own / "password").read_text() == "correct-horse\n"


def test_script_is_plain_sh() -> None:
    script = REPOSITORY / "infra/roles/backup/backup.sh"
    assert subprocess.run(["dash", "-n", str(script)], check=False).returncode == 0
