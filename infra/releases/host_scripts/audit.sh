# The audit log of one project: append FILE LINE | last FILE COUNT.
set -eu

main() {
    case $1 in
        append)
            [ -d "${2%/*}" ] || return 0 # nothing of ours is there: a refused run leaves no trace
            umask 077
            # A line that a crash cut off must not swallow this one.
            torn=''
            [ -z "$(tail -c 1 "$2" 2>/dev/null)" ] || torn='\n'
            printf "$torn%s\n" "$3" >>"$2"
            ;;
        last) [ ! -e "$2" ] || tail -n "$3" "$2" ;;
        *) exit 64 ;;
    esac
}

main "$@" </dev/null
