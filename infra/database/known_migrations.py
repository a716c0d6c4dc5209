"""Which Label Studio an image holds, and which migrations it knows. Runs in a container of it, by its own Python."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path

MARK = "labelrig-migrations "


def main() -> None:
    """Print the version, the names of all migrations, `app.name`, and of those that cannot be undone.

    As JSON behind a mark: Label Studio says other things too.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings.label_studio")
    sys.path.insert(0, str(Path(str(import_module("label_studio").__file__)).parent))
    import_module("django").setup()
    found = import_module("django.db.migrations.loader").MigrationLoader(None).disk_migrations
    names = set(found) | {replaced for migration in found.values() for replaced in migration.replaces}
    final = [name for name, one in found.items() if not all(step.reversible for step in one.operations)]
    facts = {
        "version": str(import_module("label_studio").__version__),
        "known": sorted(map(".".join, names)),
        "current": sorted(map(".".join, found)),
        "final": sorted(map(".".join, final)),
    }
    sys.stdout.write(MARK + json.dumps(facts) + "\n")
