# SPDX-License-Identifier: Apache-2.0
# fish completion of farshore(1)
set -l commands status points sync pause resume verify doctor adopt failover failback resync relocate fence unfence left discard forget drill objects history enroll

function __farshore_groups
    farshore status 2>/dev/null | awk '/^GROUP/ { on = 1; next } !NF { on = 0 } on { print $1 }'
end

function __farshore_option -a commands -d "An option of these commands"
    complete -c farshore -n "__fish_seen_subcommand_from $commands" $argv[2..]
end

complete -c farshore -f
complete -c farshore -n "not __fish_seen_subcommand_from $commands" -a "$commands"
complete -c farshore -n "__fish_seen_subcommand_from $commands; and not __fish_seen_subcommand_from doctor enroll" -a "(__farshore_groups)"
complete -c farshore -n "__fish_seen_subcommand_from enroll" -a "invite join"
complete -c farshore -s S -l socket -r -F -d "the control socket"
complete -c farshore -l help -d "list the options"
complete -c farshore -l usage -d "the usage in short"
complete -c farshore -l version -d "the version"
__farshore_option "status points verify doctor failover failback resync relocate fence unfence left discard forget drill objects history enroll" -s o -l output -x -a "table json yaml" -d format
__farshore_option status -s w -l watch -d "go on showing it"
__farshore_option status -l color -x -a "auto always never" -d "colours of --watch"
__farshore_option sync -l wait -d "wait for its end"
__farshore_option sync -l timeout -x -d "wait no longer than so many seconds"
__farshore_option "verify failover drill objects" -l point -x -d "that point, not the newest"
__farshore_option doctor -l bandwidth -x -d "what such a link would do"
__farshore_option failover -l policy -x -d "all groups of that policy"
__farshore_option failover -l all -d "all groups for which this site is secondary"
__farshore_option failover -l fence -x -a "none best-effort required" -d "users of the other site"
__farshore_option resync -l from -x -d "the site whose data stays"
__farshore_option relocate -l to -x -d "the site that becomes primary"
__farshore_option discard -l snapshot -x -d "the snapshot, as left lists it"
__farshore_option "failover failback resync relocate fence discard forget" -l dry-run -d "only show what would be done"
__farshore_option "adopt failover failback resync relocate fence discard forget" -l yes -d "do not ask"
__farshore_option objects -l secrets -d "show what Secrets hold"
__farshore_option drill -l end -d "remove the drills of the group"
__farshore_option drill -l exec -x -d "test it with that command"
__farshore_option enroll -l site -x -d "the site that is to join"
__farshore_option enroll -l as -x -d "what this site is called"
__farshore_option enroll -l endpoint -x -d "where the other site reaches this one"
__farshore_option enroll -l pools -x -d "pools here and there"
__farshore_option enroll -l config -r -F -d "the configuration to write"
functions -e __farshore_option
