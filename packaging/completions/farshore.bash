# SPDX-License-Identifier: Apache-2.0
# bash completion of farshore(1)
_farshore_groups() {
    farshore status 2>/dev/null | awk '/^GROUP/ { on = 1; next } !NF { on = 0 } on { print $1 }'
}

_farshore() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command="" options i
    local commands="status points sync pause resume verify doctor adopt failover failback resync relocate fence unfence left discard forget drill objects history enroll"
    # "--output=json" comes as three words.
    if [[ $word == "=" ]]; then
        word=""
    elif [[ $before == "=" ]]; then
        before=${COMP_WORDS[COMP_CWORD-2]}
    fi
    case $before in
        -S | --socket) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        -o | --output) mapfile -t COMPREPLY < <(compgen -W "table json yaml" -- "$word"); return ;;
        --fence) mapfile -t COMPREPLY < <(compgen -W "none best-effort required" -- "$word"); return ;;
        --color) mapfile -t COMPREPLY < <(compgen -W "auto always never" -- "$word"); return ;;
        --config) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        --timeout | --point | --bandwidth | --policy | --exec | --from | --to | --site | --as | --endpoint | --pools) return ;;
    esac
    for ((i = 1; i < COMP_CWORD; i++)); do
        if [[ -z $command && " $commands " == *" ${COMP_WORDS[i]} "* ]]; then
            command=${COMP_WORDS[i]}
        fi
    done
    if [[ $word == -* ]]; then
        options="--socket= --help --usage --version"
        case $command in
            status) options+=" --output= --watch --color=" ;;
            points | unfence | history) options+=" --output=" ;;
            sync) options+=" --wait --timeout=" ;;
            verify) options+=" --output= --point=" ;;
            doctor) options+=" --output= --bandwidth=" ;;
            adopt) options+=" --yes" ;;
            failover) options+=" --output= --point= --policy= --all --fence= --dry-run --yes" ;;
            failback) options+=" --output= --dry-run --yes" ;;
            resync) options+=" --output= --from= --dry-run --yes" ;;
            relocate) options+=" --output= --to= --dry-run --yes" ;;
            fence) options+=" --output= --dry-run --yes" ;;
            left) options+=" --output=" ;;
            forget) options+=" --output= --dry-run --yes" ;;
            discard) options+=" --output= --snapshot= --dry-run --yes" ;;
            drill) options+=" --output= --point= --end --exec=" ;;
            objects) options+=" --output= --point= --secrets" ;;
            enroll) options+=" --output= --site= --as= --endpoint= --pools= --config=" ;;
        esac
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
        if [[ ${COMPREPLY[0]} == *= ]]; then
            compopt -o nospace 2>/dev/null
        fi
    elif [[ -z $command ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word")
    elif [[ $command == enroll ]]; then
        mapfile -t COMPREPLY < <(compgen -W "invite join" -- "$word")
    elif [[ $command != doctor ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_farshore_groups)" -- "$word")
    fi
}
complete -F _farshore farshore
