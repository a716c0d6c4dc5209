#!/bin/sh
# The backup of one stack on its machine, for `./inv backup`, `./inv restore`, a systemd timer and cron alike.
# Usage: sh backup.sh run [REASON]      a backup; how it went is in last-backup.json beside this file
#        sh backup.sh list | show [SNAPSHOT] | verify
#        sh backup.sh publish           how the last runs went, for the figures of Label Studio's container
#        sh backup.sh dump VERB ...     see infra/database/dump.py
#        sh backup.sh fetch SNAPSHOT | beside | mark JSON | adopt STAMP | drop    parts of `./inv restore`
# The answer is one line of JSON on stdout, progress is on stderr. Exit codes: 0 ok, 1 failed, 4 another one runs.
set -eu

HELD=4
WAIT_SECONDS=20
# Of a path on a network share whose server is gone; and of the list of an image folder. Then so long until SIGKILL.
ANSWER_SECONDS=60
LIST_SECONDS=1800
KILL_SECONDS=10

main() {
    here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
    cd "$here"
    umask 077
    set -a
    . ./backup.env
    set +a
    LABELRIG_BACKUP_MACHINE=$(uname -n)
    LABELRIG_BACKUP_HOSTNAME=$(printf '%s.%s' "$LABELRIG_PROJECT" "$LABELRIG_BACKUP_MACHINE" | cut -c 1-63)
    common=$LABELRIG_BACKUP_STATE/backup # of all scripts of this stack: a restore has one of its own at first
    LABELRIG_BACKUP_KNOWN=''
    ! known || LABELRIG_BACKUP_KNOWN=yes
    export LABELRIG_BACKUP_MACHINE LABELRIG_BACKUP_HOSTNAME LABELRIG_BACKUP_KNOWN
    stack=$(readlink -f "$LABELRIG_BACKUP_STACK" || :)
    kind=$LABELRIG_BACKUP_DATABASE
    mkdir -p "$common"
    exec 9>"$common/lock"
    if ! flock -w "$WAIT_SECONDS" 9; then
        problem "another backup or restore of $LABELRIG_PROJECT runs on this machine"
        exit "$HELD"
    fi
    # What a run that was killed left running holds the staging volume, and writes into it.
    docker rm --force "$LABELRIG_PROJECT-backup" "$LABELRIG_PROJECT-backup-dump" >/dev/null 2>&1 || :
    verb=$1
    shift
    case $verb in
        run | dump | beside | mark | adopt | drop | publish) ;; # a run writes down that it failed
        verify)
            there || exit 1
            no_restore || exit 1 # which would wait for our lock, with the stack down
            ;;
        *) there || exit 1 ;;
    esac
    case $verb in
        run) recorded backup whole "$@" ;;
        list | show) tool look "$verb" "$@" && remember ;;
        verify) recorded verify tool look verify && remember ;;
        fetch) tool restore "$verb" "$@" && remember ;;
        beside | adopt | drop) tool restore "$verb" "$@" ;;
        dump) dump "$@" ;;
        publish) publish && answer '{"published": true}' ;;
        mark) mark "$1" ;;
        *) exit 64 ;;
    esac
}

# What the containers mount must be there: the engine would say it in its own words.
there() {
    for path in "$LABELRIG_BACKUP_FOLDER" "$LABELRIG_BACKUP_PASSWORD_FILE" "$LABELRIG_BACKUP_ENVIRONMENT_FILE"; do
        code=0
        within "$ANSWER_SECONDS" test -e "$path" || code=$?
        case $code in
            0) ;;
            1) problem "$path is not there: make it, or mount its disk" && return 1 ;;
            *) problem "$path does not answer: is the server of this share gone?" && return 1 ;;
        esac
    done
}

# SECONDS COMMAND...: end it then.
within() { timeout -k "$KILL_SECONDS" "$@"; }

# There was a repository at this address: where it is gone, its disk is not mounted, and no new one is made.
known() { grep -qxF -e "$LABELRIG_BACKUP_REPOSITORY" "$common/known" 2>/dev/null; }

remember() { known || printf '%s\n' "$LABELRIG_BACKUP_REPOSITORY" >>"$common/known"; }

# [REASON]: a backup of what serves: its own images and kind of database, whatever the next deploy will bring.
whole() {
    LABELRIG_BACKUP_REASON=${1-}
    export LABELRIG_BACKUP_REASON
    there || return 1
    of_one || return 1
    if [ ! -e "$stack/stack.env" ]; then
        problem 'there is no stack to back up yet'
        return 1
    fi
    kind=sqlite
    [ ! -e "$stack/postgres.yaml" ] || kind=postgres
    of_stack LABELRIG_UID
    of_stack LABELRIG_LABEL_STUDIO_IMAGE
    of_stack LABELRIG_POSTGRES_IMAGE
    LABELRIG_BACKUP_STACK=$stack
    LABELRIG_BACKUP_DATABASE=$kind
    export LABELRIG_BACKUP_STACK LABELRIG_BACKUP_DATABASE
    say 'looking at the database'
    step dump size || return 1
    LABELRIG_BACKUP_DATABASE_BYTES=$(printf '%s' "$said" | sed -n 's/.*"bytes": \([0-9]*\).*/\1/p')
    export LABELRIG_BACKUP_DATABASE_BYTES
    say "opening $LABELRIG_BACKUP_REPOSITORY"
    step tool backup prepare || return 1
    remember
    say 'dumping the database'
    step dump make /staging/database || return 1
    say 'listing the image folders'
    list_images
    of_one || return 1 # a change-over may have begun that does not ask for our lock
    say 'making the snapshot'
    step tool backup save || return 1
    answer "$said"
}

# What is there is of one state: no change-over goes on, and none was cut off.
of_one() {
    no_restore || return 1
    if [ -e "$LABELRIG_BACKUP_STATE/upgrading.json" ]; then
        problem 'an upgrade goes on, or was cut off: repeat `./inv upgrade` first'
        return 1
    fi
}

no_restore() {
    if [ -e "$LABELRIG_BACKUP_STATE/restoring.json" ]; then
        problem 'a restore goes on, or was cut off and the stack is half of two: repeat `./inv restore` first'
        return 1
    fi
}

# JSON: from here on only a restore starts the stack or works on its data. On the disk before the first rename is.
mark() {
    printf '%s\n' "$1" >"$LABELRIG_BACKUP_STATE/restoring.new"
    chmod 644 "$LABELRIG_BACKUP_STATE/restoring.new"
    sync "$LABELRIG_BACKUP_STATE/restoring.new"
    mv -f "$LABELRIG_BACKUP_STATE/restoring.new" "$LABELRIG_BACKUP_STATE/restoring.json"
    sync "$LABELRIG_BACKUP_STATE"
    answer '{"marked": true}'
}

# A value of the release that serves, where it has it.
of_stack() {
    value=$(sed -n "s/^$1='\(.*\)'\$/\1/p" "$stack/stack.env")
    [ -z "$value" ] || export "$1=$value"
}

# Sizes and times of all files of the image folders: they are not in the backup, and a restore says what is missing.
list_images() {
    rm -rf images.new
    mkdir images.new
    while IFS='	' read -r name path; do
        [ -n "$name" ] || continue
        if ! within "$ANSWER_SECONDS" test -d "$path" ||
            ! within "$LIST_SECONDS" find -H "$path" -type f -printf '%s %T@ %P\0' >"images.new/$name.list"; then
            say "the image folder $path cannot be listed now"
            mv -f "images.new/$name.list" "images.new/$name.absent" 2>/dev/null || : >"images.new/$name.absent"
        fi
    done <folders
    rm -rf images
    mv images.new images
}

tool() {
    service=$1
    shift
    compose backup.yaml run --rm --no-TTY --quiet-pull --name "$LABELRIG_PROJECT-backup" "$service" "$@" </dev/null
}

dump() {
    # The official image's `python3` may be one without Label Studio; nothing of it is needed here.
    file=backup.yaml
    [ "$kind" = sqlite ] || file=dump-postgres.yaml
    compose "$file" run --rm --no-TTY --quiet-pull --name "$LABELRIG_PROJECT-backup-dump" "dump-$kind" \
        python3 - "$@" <"dump-$kind.py"
}

# FILE ARGUMENTS
compose() {
    file=$1
    shift
    # shellcheck disable=SC2086 # the words of the program
    $LABELRIG_COMPOSE --project-name "$LABELRIG_PROJECT" --env-file ./backup.env --file "./$file" "$@"
}

# Run a step; `said` is the last line of its answer, and where it failed, the answer of the whole.
step() {
    if said=$("$@" | tail -n 1) && case $said in *'"problem"'*) false ;; '{'*) true ;; *) false ;; esac; then
        return 0
    fi
    case $said in '{'*) ;; *) said='{"problem": "a container of the backup did not start or was ended; see what it said above"}' ;; esac
    answer "$said"
    return 1
}

# NAME COMMAND...: run it and keep how it went in last-NAME.json.
recorded() {
    name=$1
    shift
    began=$(date -u +%s)
    ok=true
    said=$("$@" | tail -n 1) || ok=false
    case $said in *'"problem"'*) ok=false ;; '{'*) ;; *) ok=false said='{"problem": "it was ended before it could say why"}' ;; esac
    printf '{"began": %s, "ended": %s, "ok": %s, "answer": %s}\n' "$began" "$(date -u +%s)" "$ok" "$said" >"last-$name.new"
    mv -f "last-$name.new" "last-$name.json"
    if $ok; then cp -f "last-$name.json" "good-$name.new" && mv -f "good-$name.new" "good-$name.json"; fi
    publish
    answer "$said"
    $ok
}

# Into the volume of Label Studio's container, which reads them for /labelrig/metrics. It may be that there is none.
publish() {
    [ -e "$stack/stack.env" ] || return 0
    of_stack LABELRIG_UID
    rm -rf published
    mkdir published
    for file in last-*.json good-*.json; do
        [ ! -e "$file" ] || cp "$file" "published/labelrig-$file"
    done
    # As the containers' user: files of another one in its volumes would be handed over to it by the next `up`.
    (cd published && tar -c --numeric-owner --owner "$LABELRIG_UID" --group "$LABELRIG_UID" -- *.json) 2>/dev/null |
        docker cp - "$LABELRIG_PROJECT-label-studio-1:/tmp" >/dev/null 2>&1 || :
    rm -rf published
}

problem() { printf '{"problem": "%s"}\n' "$(printf '%s' "$1" | sed 's/[\\"]/\\&/g')"; }

answer() { printf '%s\n' "$1"; }

say() { printf '%s\n' "$1" >&2; }

main "$@"
