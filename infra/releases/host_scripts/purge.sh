# What a deploy made of a stack's files goes: BASE DEMO NAME... Each NAME lies in BASE. Prints what was removed.
set -eu

main() {
    base=$1 demo=$2
    shift 2
    for name in "$@"; do
        gone "$base/$name"
    done
    gone "$demo"
}

gone() {
    [ -e "$1" ] || [ -L "$1" ] || return 0
    rm -rf --one-file-system -- "$1"
    printf '%s\n' "$1"
}

main "$@" </dev/null
