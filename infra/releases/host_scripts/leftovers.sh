# Commands that a dead run left behind: RUN_ID [SIGNAL]. Prints `pid command line` of each, after sending SIGNAL.
set -eu

main() {
    marker=LABELRIG_RUN=$1
    ourselves=' ' pid=$$
    while [ "$pid" -gt 0 ]; do
        ourselves="$ourselves$pid "
        pid=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$pid/status" 2>/dev/null) || break
        [ -n "$pid" ] || break
    done
    for environ in $(grep -lszxF -e "$marker" /proc/[0-9]*/environ); do
        pid=${environ#/proc/}
        pid=${pid%/environ}
        case $ourselves in *" $pid "*) continue ;; esac
        # A Docker engine that the run started has inherited the marker, and everything on the host hangs on it.
        case $(cat "/proc/$pid/comm" 2>/dev/null) in
            '' | dockerd | containerd | containerd-* | docker-proxy | docker-init) continue ;;
        esac
        command=$(tr '\0\n' '  ' 2>/dev/null <"/proc/$pid/cmdline" | head -c 160)
        [ -z "${2-}" ] || kill -s "$2" "$pid" 2>/dev/null || continue
        printf '%s %s\n' "$pid" "${command% }"
    done
}

main "$@" </dev/null
