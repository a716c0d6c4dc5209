#!/bin/sh
# Healthy: the server takes connections, and Label Studio's user signs in as Label Studio does and is answered.
set -eu
export PGCONNECT_TIMEOUT=3 PGPASSFILE=/var/lib/postgresql/client/pgpass
pg_isready --quiet --host 127.0.0.1 --timeout 3
psql --no-psqlrc --quiet --no-password --host 127.0.0.1 --command 'SELECT 1' >/dev/null
