# Bash also breaks words at =, : and @. The words are joined again as they were typed, and bash gets the part of each
# candidate after the last break.
_devstream_whole_words() {
    local line=${COMP_LINE:0:COMP_POINT} gap word i last=-1
    local -a whole=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        gap=${line%%[![:space:]]*}
        line=${line#"$gap"}
        word=${COMP_WORDS[i]}
        if ((i == COMP_CWORD)); then
            word=$line
        fi
        line=${line#"$word"}
        if ((last < 0)) || [[ -n $gap ]]; then
            whole[++last]=$word
        else
            whole[last]+=$word
        fi
    done
    local -a COMP_WORDS=("${whole[@]}")
    local COMP_CWORD=$last broken=${whole[last]%"$2"}
    _clap_complete_devstream "$1" "${whole[last]}" "$3"
    COMPREPLY=("${COMPREPLY[@]#"$broken"}")
}
complete -o nospace -o bashdefault -F _devstream_whole_words devstream
if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -o nospace -o bashdefault -o nosort -F _devstream_whole_words devstream
fi
