"""Which migrations an image of Label Studio knows. Runs in a container of it, by its own Python; sent as text."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path

MARK = "labelrig-migrations "


def main() -> None:
    """Print the names, `app.name`, as JSON behind a mark: Label Studio says other things too."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings.label_studio")
    sys.path.insert(0, str(Path(str(import_module("label_studio").__file__)).parent))
    import_module("django").setup()
    loader = import_module("django.db.migrations.loader").MigrationLoader(None)
    names = set(loader.disk_migrations)
    names |= {replaced for migration in loader.disk_migrations.values() for replaced in migration.replaces}
    sys.stdout.write(MARK + json.dumps(sorted(f"{app}.{name}" for app, name in names)) + "\n")
