"""A copy of this tree as it was with an older Label Studio or PostgreSQL, which `git pull` brings to what is here."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

from core.repository import REPOSITORY

OLD_LOCK = Path(__file__).parent / "old" / "label-studio-1.22.lock"
LOCK = "requirements/label-studio.lock"
IMAGES = "infra/roles/images/dockerfiles"
LABEL_STUDIO = f"{IMAGES}/label-studio/Dockerfile"
POSTGRES, RUN_POSTGRES = f"{IMAGES}/postgres/Dockerfile", f"{IMAGES}/postgres/run.sh"
OLD_MAJOR = "13"  # of Debian bullseye, which the same mirror has
INSTALL = "sh /run/build/apt-install.sh postgresql-15"
# apt takes both releases; what bullseye's server needs of bullseye it brings along.
INSTALL_OLD = """\\
    sed 's#/run/secrets/apt_sources#/tmp/sources#' /run/secrets/apt_conf >/tmp/apt.conf && \\
    cp /run/secrets/apt_sources /tmp/sources && \\
    sed -n 's/ bookworm main/ bullseye main/p' /run/secrets/apt_sources >>/tmp/sources && \\
    export APT_CONFIG=/tmp/apt.conf && apt-get update && apt-get install -y postgresql-13"""
LEFT_OUT = (".git", ".venv", ".labelrig", ".env", "reports", "__pycache__", ".*_cache")
# Runs in the image build: two migrations more, of which the first changes every task and the second fails.
PLANT = """
import importlib.util, pathlib, re
folder = pathlib.Path(importlib.util.find_spec("label_studio").origin).parent / "tasks" / "migrations"
names = {path.stem for path in folder.glob("[0-9]*.py")}
inside = "".join((folder / f"{name}.py").read_text() for name in names)
(leaf, *_) = sorted(names - set(re.findall(r"[(\\"']tasks[\\"'], *[\\"']([0-9a-z_]+)[\\"']", inside)), reverse=True)
text = '''
from django.db import migrations

def run(apps, schema_editor):
    {body}

class Migration(migrations.Migration):
    dependencies = [("tasks", "{before}")]
    operations = [migrations.RunPython(run)]
'''
changes = 'schema_editor.execute("UPDATE task SET overlap = 77")'
fails = 'if apps.get_model("tasks", "Task").objects.exists(): raise RuntimeError("this migration is made to fail")'
(folder / "9998_changes.py").write_text(text.format(body=changes, before=leaf))
(folder / "9999_fails.py").write_text(text.format(body=fails, before="9998_changes"))
"""


def failing_migration_step() -> str:
    """The step of a Dockerfile, as root, that adds both migrations to Label Studio."""
    program = base64.b64encode(PLANT.encode()).decode()
    return f"RUN python3 -c \"import base64; exec(base64.b64decode('{program}'))\"\n"


class OldTree:
    """The copy. Its `.labelrig` and `.env` are its own."""

    def __init__(self, path: Path) -> None:
        shutil.copytree(REPOSITORY, path, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
        self.path = path

    def with_old_label_studio(self) -> None:
        """Label Studio 1.22.0 in place of ours."""
        shutil.copy(OLD_LOCK, self.path / LOCK)

    def with_old_postgres(self) -> None:
        """PostgreSQL 13 in place of ours."""
        self._exchange(POSTGRES, INSTALL, INSTALL_OLD)
        self._exchange(POSTGRES, "/usr/lib/postgresql/15/bin", f"/usr/lib/postgresql/{OLD_MAJOR}/bin")
        self._exchange(RUN_POSTGRES, "major=15", f"major={OLD_MAJOR}")
        self._exchange(RUN_POSTGRES, " --no-instructions", "")  # which it does not know yet

    def with_failing_migration(self) -> None:
        """Our Label Studio with a migration that changes data and one that fails."""
        self.pull()
        mark = "RUN --mount=type=bind,source=build,target=/run/build \\\n    sh /run/build/make-user.sh"
        self._exchange(LABEL_STUDIO, mark, failing_migration_step() + mark)

    def pull(self) -> None:
        """Everything that was changed is as it is here."""
        for name in (LOCK, LABEL_STUDIO, POSTGRES, RUN_POSTGRES):
            shutil.copy(REPOSITORY / name, self.path / name)

    def _exchange(self, name: str, before: str, after: str) -> None:
        file = self.path / name
        text = file.read_text()
        assert text.count(before) == 1, name
        file.write_text(text.replace(before, after))
