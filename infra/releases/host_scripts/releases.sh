# The releases of one project: look BASE | activate BASE ID | remove BASE ID...
set -eu

ABSENT=3

main() {
    verb=$1 base=$2
    shift 2
    case $verb in
        look | activate | remove) "$verb" "$@" ;;
        *) exit 64 ;;
    esac
}

# What there is, in one answer; a folder whose name begins with a dot is half written or half removed.
look() {
    current=$(readlink "$base/current" 2>/dev/null || :)
    printf 'current %s\n' "${current#releases/}"
    for folder in "$base"/releases/*/; do
        [ -d "$folder" ] || continue
        folder=${folder%/}
        printf 'release %s\n' "${folder##*/}"
        for file in "$folder"/*; do
            [ -f "$file" ] || continue
            if [ "${file##*/}" = release.json ]; then
                printf 'manifest %s\n' "$(base64 -w0 <"$file")"
            else
                sum=$(sha256sum <"$file")
                printf 'file %s %s %s\n' "$(stat -c %a "$file")" "${sum%% *}" "${file##*/}"
            fi
        done
    done
}

# ID: `current` is one or the other at any moment, never missing.
activate() {
    [ -e "$base/releases/$1/release.json" ] || exit "$ABSENT"
    rm -f "$base/.current.new"
    ln -s "releases/$1" "$base/.current.new"
    mv -T "$base/.current.new" "$base/current"
}

remove() {
    for id in "$@"; do
        [ -d "$base/releases/$id" ] || continue
        mv -T "$base/releases/$id" "$base/releases/.$id.part"
        rm -rf "$base/releases/.$id.part"
    done
}

main "$@" </dev/null
