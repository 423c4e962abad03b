#!/bin/sh
# A router's console for benchmarks, as sshd's ForceCommand: a prompt, one change a line, and what it did kept in $STATE.
# As lean as can be, so that the clients are measured and not the router. Understands, as RouterOS's console does,
#   set NAME DOWN UP          one change; prints nothing
#   …; :put "A"."B"           then prints AB, whatever came before
export LC_ALL=C
run() {
    case $1 in
        *'; :put '*) change=${1%%; :put *}; said=${1#*; :put } ;;
        ':put '*) change=; said=${1#:put } ;;
        *) change=$1; said= ;;
    esac
    case $change in
        '') ;;
        'set '*) printf '%s\n' "${change#set }" >> "$STATE" ;;
        *) printf 'bad command name %s\r\n' "${change%% *}" ;;
    esac
    if [ -n "$said" ]; then
        said=${said#\"}; said=${said%\"}
        printf '%s%s\r\n' "${said%%\".\"*}" "${said#*\".\"}"
    fi
}
if [ -n "${SSH_ORIGINAL_COMMAND:-}" ]; then
    run "$SSH_ORIGINAL_COMMAND"
    exit 0
fi
printf '[admin@bench] > '
while IFS= read -r line; do
    run "$line"
    printf '[admin@bench] > '
done
