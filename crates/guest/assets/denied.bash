# RAVE: shows once, before the next prompt of an interactive bash, what the sandbox's network refused.
__rave_denied() {
    local number line
    [ -r /run/rave/denied ] || return 0
    while IFS=$'\t' read -r number line; do
        case $number in '' | *[!0-9]*) continue ;; esac
        [ "$number" -gt "${__rave_told:-0}" ] || continue
        __rave_told=$number
        [ -n "${1-}" ] || printf 'rave: %s\n' "$line" >&2
    done </run/rave/denied
}
case ${PROMPT_COMMAND[*]-} in
*__rave_denied*) ;;
*)
    # Earlier refusals were for another shell.
    __rave_denied silently
    PROMPT_COMMAND="__rave_denied${PROMPT_COMMAND:+; $PROMPT_COMMAND}"
    ;;
esac
