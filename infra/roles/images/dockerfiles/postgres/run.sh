#!/bin/sh
# Run PostgreSQL: make the database on the first start, set the password that the file says, then serve.
#
# Read: postgres_password in /var/lib/postgresql/client (volume). Written: /var/lib/postgresql/data (volume), and beside
# the password the same in the form that libpq reads, for Label Studio, which shares that volume.
set -eu
umask 077
major=15
here=/usr/local/lib/labelrig-postgres
data=/var/lib/postgresql/data
secret=/var/lib/postgresql/client/postgres_password

die() {
    echo "postgres: $*" >&2
    exit 1
}

[ -r "$secret" ] || die "there is no password file $secret, or user $(id -u) may not read it"
password=$(cat "$secret")
case $password in
'') die "the password file $secret is empty" ;;
*[!A-Za-z0-9_-]*) die "the password in $secret holds other characters than letters, digits, - and _" ;;
esac

if [ -e "$data/main/PG_VERSION" ]; then
    found=$(cat "$data/main/PG_VERSION")
    [ "$found" = "$major" ] || die "the data in the volume is of PostgreSQL $found, and this is $major." \
        "Nothing was changed. \`./inv upgrade\` brings it over; until then use the labelrig that it was made with"
elif [ -d "$data/main" ]; then
    die "$data/main is there and is no database: look at what is in the volume"
else
    # Beside its place until it is whole, so that a start that was killed begins again.
    rm -rf "$data/new"
    initdb --pgdata "$data/new" --username postgres --auth-local peer --auth-host scram-sha-256 --data-checksums \
        --encoding UTF8 --locale C.UTF-8 --lc-collate C --no-instructions
    mv "$data/new" "$data/main"
fi

# Reachable through the socket only while role, password and database are brought to what they should be.
pg_ctl start --pgdata "$data/main" --wait --timeout 600 --silent \
    --options "-c config_file=$here/postgresql.conf -c listen_addresses=''"
psql --no-psqlrc --quiet --username postgres --dbname postgres --file "$here/setup.sql"
pg_ctl stop --pgdata "$data/main" --wait --timeout 600 --mode fast --silent
printf '*:*:*:labelstudio:%s\n' "$password" >/var/lib/postgresql/client/pgpass.new
mv -f /var/lib/postgresql/client/pgpass.new /var/lib/postgresql/client/pgpass
unset password
exec postgres -D "$data/main" -c "config_file=$here/postgresql.conf"
