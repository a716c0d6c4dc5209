"""Makes the SQLite database that a fresh stack begins with, while the image is built; run by Label Studio's own Python.

Usage: python fresh_database.py FOLDER TEMPLATE, with an empty folder to work in, and the file to write.

Label Studio itself applies its some 400 migrations, as at its first start; what they leave is packed into TEMPLATE, of
which serve.sh gives a copy to a stack that has no database yet. It holds no user, project or key. Where no database
comes of it, no template is written and a fresh stack migrates by itself; that is said, and is no error.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

COMMAND = ("label-studio", "version")  # the shortest of its commands that migrates
TIMEOUT = 1800
DATABASE = "label_studio.sqlite3"
MODE = 0o644
# As in compose.yaml; the key would otherwise be written beside the database.
SETTINGS = {
    "LABEL_STUDIO_DJANGO_DB": "sqlite",
    "LABEL_STUDIO_COLLECT_ANALYTICS": "false",
    "LABEL_STUDIO_LATEST_VERSION_CHECK": "false",
    "LABEL_STUDIO_SENTRY_DSN": "",
    "LABEL_STUDIO_FRONTEND_SENTRY_DSN": "",
    "SECRET_KEY": "of the build alone",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def main(folder: Path, template: Path) -> int:
    """Write the template; 0 also when there is none to write.

    Raises:
        CalledProcessError: the migrations failed, as they would at a first start; its output was shown.
    """
    environment = {**os.environ, **SETTINGS, "LABEL_STUDIO_BASE_DATA_DIR": str(folder)}
    subprocess.run(COMMAND, env=environment, cwd=folder, check=True, timeout=TIMEOUT)
    made = folder / DATABASE
    if not made.is_file():
        sys.stderr.write(f"labelrig: a fresh stack migrates by itself: {' '.join(COMMAND)} made no {DATABASE}\n")
        return 0
    template.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(made)) as database:
        (count,) = database.execute("SELECT count(*) FROM django_migrations").fetchone()
        database.execute("VACUUM INTO ?", (str(template),))
    template.chmod(MODE)
    sys.stdout.write(f"{template} holds {count} migrations, {template.stat().st_size >> 10} KiB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
