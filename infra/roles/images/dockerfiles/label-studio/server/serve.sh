#!/bin/sh
# Serve Label Studio, by the Python that its own command runs with: in the official image that is in a virtual
# environment whose place is not ours.
#
# Where it would begin with an empty SQLite database, it gets the one that was migrated when the image was built
# (fresh_database.py): applying some 400 migrations takes half a minute of a processor. A database that is there is never
# touched, nor is a place where only its journal is: that belongs to a database that somebody moved away. PostgreSQL, and
# a database of another name, are migrated by Label Studio itself.
set -eu
template=/usr/local/share/labelrig/label_studio.sqlite3
database=$LABEL_STUDIO_BASE_DATA_DIR/label_studio.sqlite3

absent() {
    for path in "$database" "$database-journal" "$database-wal"; do
        if [ -e "$path" ] || [ -L "$path" ]; then return 1; fi
    done
}

if [ "${LABEL_STUDIO_DJANGO_DB:-sqlite}" = sqlite ] && [ -z "${LABEL_STUDIO_DATABASE_NAME:-}" ] &&
    [ -f "$template" ] && absent; then
    # Beside its place until it is whole and on the disk: a start that was killed begins again.
    cp "$template" "$database.new"
    sync "$database.new"
    mv -n "$database.new" "$database"
    echo "The database begins as a copy of $template"
fi
python=$(sed -n '1s/^#! *\(.*python[0-9.]*\).*/\1/p' "$(command -v label-studio)")
exec "${python:-python3}" -m gunicorn --config python:labelrig_gunicorn
