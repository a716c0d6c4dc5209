# The deploy lock of one project on one host: VERB BASE ...
#
# Every verb runs under the kernel's own lock (flock) on the folder BASE, so that nothing comes between "look" and
# "remove"; the kernel takes it back when this script dies. BASE/lock appears by one rename with its owner inside.
# Answers in lines `key value`; `state` comes first. Times are hundredths of a second since the host's boot: a clock
# that is set while a lock is held changes nothing.
set -eu

GUARD_SECONDS=30
CANNOT_WRITE=74
GUARD_BUSY=75

main() {
    verb=$1 base=$2
    shift 2
    lock=$base/lock queue=$base/.lock-queue
    if [ "$verb" = take ]; then
        umask 022
        mkdir -p -m 0750 "$base" || exit "$CANNOT_WRITE"
    elif [ ! -d "$base" ]; then
        echo 'state free'
        return
    fi
    umask 077
    exec 9<"$base"
    flock -w "$GUARD_SECONDS" -E "$GUARD_BUSY" 9
    read -r boot </proc/sys/kernel/random/boot_id
    read -r uptime _ </proc/uptime
    now=${uptime%.*}${uptime#*.}
    case $verb in
        take | beat | remove | look) "$verb" "$@" ;;
        *) exit 64 ;;
    esac
}

# ID OWNER PATIENCE [DEAD_ID DEAD_BEAT]: take the lock; the lock of DEAD_ID is removed if it still shows DEAD_BEAT.
# PATIENCE: with more than 0 we wait in line, and who has not asked for so long has left the line.
take() {
    patience=$3 broke=''
    rm -rf "$base"/.lock-new.* "$base"/.lock-old.*
    if [ -e "$lock" ]; then
        if [ "$(owner_id)" = "$1" ]; then # the answer to an earlier question was lost
            show taken
            return
        elif [ $# -gt 3 ] && [ "$(owner_id)" = "$4" ] && [ "$(last_beat)" = "$5" ]; then
            broke=yes
        else
            [ "$patience" -eq 0 ] || first_in_line "$1" || :
            show held
            return
        fi
    elif [ "$patience" -gt 0 ] && ! first_in_line "$1"; then
        echo 'state queued'
        return
    fi
    prepare "$1" "$2"
    [ -z "$broke" ] || discard
    mv -T "$new" "$lock"
    rm -f "$queue"/*-"$1"
    show taken
    [ -z "$broke" ] || echo "broke $4"
}

# ID: a sign of life.
beat() {
    if [ "$(owner_id)" = "$1" ]; then
        write_beat "$lock"
        echo 'state ours'
    else
        look lost
    fi
}

# ID [BEAT]: remove the lock and the place in line of ID, and no other.
remove() {
    rm -f "$queue"/*-"$1"
    if [ -e "$lock" ] && [ "$(owner_id)" = "$1" ]; then
        discard
        echo 'state removed'
    else
        look
    fi
}

# [STATE]: what there is.
look() {
    if [ -e "$lock" ]; then show "${1-held}"; else echo "state ${1-free}"; fi
}

show() {
    echo "state $1"
    echo "id $(owner_id)"
    echo "beat $(last_beat)"
    echo "quiet $(quiet)"
    echo "made $(($(date +%s) - $(stat -c %Y "$lock" 2>/dev/null || date +%s)))"
    printf 'owner %s\n' "$(cat "$lock/owner.json" 2>/dev/null || :)" # some shells' echo reads backslashes
}

owner_id() { cat "$lock/id" 2>/dev/null || :; }

last_beat() { cat "$lock/heartbeat" 2>/dev/null || :; }

# Hundredths since the last sign of life; another boot was before this one began.
quiet() {
    at_boot='' at=''
    read -r at_boot at 2>/dev/null <"$lock/heartbeat" || :
    if [ "$at_boot" = "$boot" ] && [ -n "$at" ]; then echo $((now - at)); else echo "$now"; fi
}

# Same length each time and not truncated: it needs no room on a disk that is full.
write_beat() { env printf '%s %15s\n' "$boot" "$now" 1<>"$1/heartbeat"; }

# The programs and not the shell's own printf: these say why they could not write.
prepare() {
    new=$base/.lock-new.$1
    if mkdir "$new" && env printf '%s\n' "$1" >"$new/id" && env printf '%s\n' "$2" >"$new/owner.json" &&
        write_beat "$new" && sync "$new"/*; then
        return
    fi
    rm -rf "$new"
    exit "$CANNOT_WRITE"
}

discard() {
    mv -T "$lock" "$base/.lock-old.$$"
    rm -rf "$base"/.lock-old.*
}

# ID: stand in line, and print whether no live run stands in front.
first_in_line() {
    mkdir -p "$queue" || exit "$CANNOT_WRITE"
    for place in "$queue"/*-"$1"; do :; done
    [ -e "$place" ] || place=$queue/$(printf '%015d' "$now")-$1
    echo "$now" >"$place" || exit "$CANNOT_WRITE"
    for other in "$queue"/*; do
        [ "$other" != "$place" ] || return 0
        seen=''
        read -r seen <"$other" || :
        if [ -n "$seen" ] && [ "$seen" -le "$now" ] && [ $((now - seen)) -le "$patience" ]; then return 1; fi
        rm -f "$other"
    done
}

main "$@" </dev/null
