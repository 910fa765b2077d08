/* SPDX-License-Identifier: Apache-2.0 */
/*
 * farshore: the command-line tool. Each command is one request on the daemon's control socket;
 * what it may do and what the figures mean is the daemon's business.
 */
#include <argp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/tool/client.h"
#include "daemon/tool/doctor.h"
#include "daemon/tool/drill_test.h"
#include "daemon/tool/enroll.h"
#include "daemon/tool/show.h"
#include "daemon/tool/text.h"
#include "daemon/tool/watch.h"

#define DEFAULT_SOCKET "/run/farshore/control.sock"
#define DEFAULT_CONFIG "/etc/farshore/farshored.yaml"

enum {
    OPTION_WAIT = 256,
    OPTION_TIMEOUT,
    OPTION_YES,
    OPTION_POINT,
    OPTION_POLICY,
    OPTION_ALL,
    OPTION_DRY_RUN,
    OPTION_FENCE,
    OPTION_END,
    OPTION_EXEC,
    OPTION_COLOR,
    OPTION_BANDWIDTH,
    OPTION_FROM,
    OPTION_TO,
    OPTION_SNAPSHOT,
    OPTION_SITE,
    OPTION_AS,
    OPTION_ENDPOINT,
    OPTION_POOLS,
    OPTION_CONFIG,
    OPTION_SECRETS,
};

#define COMMANDS                                                                                   \
    "status, points, sync, pause, resume, verify, doctor, adopt, failover, failback, resync, "     \
    "relocate, fence, unfence, left, discard, forget, drill, objects, history or enroll"

struct arguments {
    const char *socket;
    const char *command;
    const char *group;
    const char *point;
    const char *policy;
    const char *from;     /* the site whose data stays */
    const char *to;       /* the site that becomes primary */
    const char *snapshot; /* to discard */
    const char *fence;
    bool all;
    bool dry_run;
    bool end;
    const char *exec; /* a shell command that tests a drill */
    bool json;
    bool yaml;
    bool secrets;
    bool wait;
    bool yes;
    bool watch;
    const char *color; /* NULL: where standard output is a terminal and NO_COLOR is not set */
    double timeout_s;
    double bandwidth; /* bytes a second; 0: not given */
    struct fs_enroll_arguments enroll;
};

struct command {
    const char *name;
    bool needs_group;
    bool takes_group;
    bool takes_output;
    bool takes_wait;
    bool takes_point;
    bool drills;     /* takes --end and --exec */
    bool takes_many; /* a policy's groups, or all, in place of one */
    bool takes_dry_run;
    bool manifests; /* takes --output=yaml and --secrets */
    bool needs_from;
    bool needs_to;
    bool needs_snapshot;
    bool takes_watch;
    bool enrolls; /* what follows is an action, and a token */
    bool waits;   /* shows progress */
    bool asks;    /* the daemon says first what it would do; --yes skips the question */
    void (*show)(const json_t *result, const struct arguments *arguments);
};

static void show_status(const json_t *result, const struct arguments *arguments)
{
    fs_show_status(result, arguments->group != NULL, stdout);
}

static void show_points(const json_t *result, const struct arguments *arguments)
{
    (void)arguments;
    fs_show_points(result, stdout);
}

static void show_adopt(const json_t *result, const struct arguments *arguments)
{
    const char *reason = json_string_value(json_object_get(result, "reason"));
    const char *peer = json_string_value(json_object_get(result, "peer"));

    if (json_is_true(json_object_get(result, "adopting"))) {
        printf("Done with the next transfer from %s, which comes by itself: see `farshore status "
               "%s`.\n",
               peer ? peer : "the peer", arguments->group);
    } else {
        printf("%s\n\nWhat was written is kept in a snapshot farshore.left.* of each such image. "
               "Then the images go back to the newest recovery point, and replication goes on.\n",
               reason ? reason : "");
    }
}

static void show_verify(const json_t *result, const struct arguments *arguments)
{
    (void)arguments;
    fs_show_verify(result, stdout);
}

static void show_failover(const json_t *result, const struct arguments *arguments)
{
    (void)arguments;
    fs_show_failover(result, stdout);
}

static void show_follow(const json_t *result, const struct arguments *arguments)
{
    (void)arguments;
    fs_show_follow(result, stdout);
}

static void show_fences(const json_t *result, const struct arguments *arguments)
{
    (void)arguments;
    fs_show_fences(result, stdout);
}

static void show_left(const json_t *result, const struct arguments *arguments)
{
    (void)arguments;
    fs_show_left(result, stdout);
}

static void show_drill(const json_t *result, const struct arguments *arguments)
{
    fs_show_drill(result, arguments->group, stdout);
}

static void show_objects(const json_t *result, const struct arguments *arguments)
{
    if (!arguments->yaml) {
        fs_show_objects(result, stdout);
    } else if (!fs_show_manifests(result, stdout)) {
        fputs("farshore: cannot write the objects as YAML\n", stderr);
    }
}

static void show_history(const json_t *result, const struct arguments *arguments)
{
    (void)arguments;
    fs_show_history(result, stdout);
}

/* clang-format off: a table reads as one. */
static const struct command commands[] = {
    {"status", .takes_group = true, .takes_output = true, .takes_watch = true, .show = show_status},
    {"points", .needs_group = true, .takes_output = true, .show = show_points},
    {"sync", .needs_group = true, .takes_wait = true},
    {"pause", .needs_group = true},
    {"resume", .needs_group = true},
    {"verify", .needs_group = true, .takes_output = true, .takes_point = true, .waits = true,
     .show = show_verify},
    {"doctor", .takes_output = true},
    {"adopt", .needs_group = true, .asks = true, .show = show_adopt},
    {"failover", .takes_group = true, .takes_many = true, .takes_output = true, .takes_point = true,
     .takes_dry_run = true, .waits = true, .asks = true, .show = show_failover},
    {"failback", .needs_group = true, .takes_output = true, .takes_dry_run = true, .waits = true,
     .asks = true, .show = show_follow},
    {"resync", .needs_group = true, .needs_from = true, .takes_output = true, .takes_dry_run = true,
     .waits = true, .asks = true, .show = show_follow},
    {"relocate", .needs_group = true, .needs_to = true, .takes_output = true, .takes_dry_run = true,
     .waits = true, .asks = true, .show = show_follow},
    {"fence", .needs_group = true, .takes_output = true, .takes_dry_run = true, .waits = true,
     .asks = true, .show = show_fences},
    {"unfence", .needs_group = true, .takes_output = true, .waits = true, .show = show_fences},
    {"left", .needs_group = true, .takes_output = true, .show = show_left},
    {"discard", .needs_group = true, .needs_snapshot = true, .takes_output = true,
     .takes_dry_run = true, .waits = true, .asks = true, .show = show_follow},
    {"forget", .needs_group = true, .takes_output = true, .takes_dry_run = true, .waits = true,
     .asks = true, .show = show_follow},
    {"drill", .needs_group = true, .takes_output = true, .takes_point = true, .drills = true,
     .show = show_drill},
    {"objects", .needs_group = true, .takes_output = true, .takes_point = true, .manifests = true,
     .show = show_objects},
    {"history", .needs_group = true, .takes_output = true, .show = show_history},
    {"enroll", .takes_output = true, .enrolls = true},
};
/* clang-format on */

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

const char *argp_program_version = "farshore " FARSHORE_VERSION;

static const struct argp_option options[] = {
    {"socket", 'S', "PATH", 0,
     "The daemon's control socket (else FARSHORE_SOCKET, else " DEFAULT_SOCKET ")", 0},
    {"output", 'o', "FORMAT", 0,
     "status, points, verify, failover, failback, resync, relocate, fence, unfence, left, discard, "
     "forget, "
     "drill, objects, history: table (default) or json; objects: yaml, too",
     0},
    {"wait", OPTION_WAIT, NULL, 0, "sync: wait until the new point is at the peer", 0},
    {"timeout", OPTION_TIMEOUT, "SECONDS", 0, "sync --wait: wait no longer than that", 0},
    {"watch", 'w', NULL, 0, "status: go on showing it, live", 0},
    {"color", OPTION_COLOR, "WHEN", 0, "status -w: auto (default), always or never", 0},
    {"bandwidth", OPTION_BANDWIDTH, "RATE", 0, "doctor: what a link of that rate would do", 0},
    {"point", OPTION_POINT, "POINT", 0,
     "verify, failover, drill, objects: that point, by its name or id", 0},
    {"secrets", OPTION_SECRETS, NULL, 0, "objects: show what Secrets hold", 0},
    {"policy", OPTION_POLICY, "POLICY", 0, "failover: all groups of that policy", 0},
    {"all", OPTION_ALL, NULL, 0, "failover: all groups for which this site is secondary", 0},
    {"from", OPTION_FROM, "SITE", 0, "resync: the site whose data stays", 0},
    {"to", OPTION_TO, "SITE", 0, "relocate: the site that becomes primary", 0},
    {"snapshot", OPTION_SNAPSHOT, "NAME", 0, "discard: the snapshot, as left lists it", 0},
    {"dry-run", OPTION_DRY_RUN, NULL, 0,
     "failover, failback, resync, relocate, fence, discard, forget: only show what would be done",
     0},
    {"fence", OPTION_FENCE, "MODE", 0,
     "failover: none, best-effort or required, whatever the policy says", 0},
    {"end", OPTION_END, NULL, 0, "drill: remove the group's drills", 0},
    {"exec", OPTION_EXEC, "COMMAND", 0, "drill: test it with that shell command", 0},
    {"yes", OPTION_YES, NULL, 0,
     "adopt, failover, failback, resync, relocate, fence, discard, forget: do not ask", 0},
    {"site", OPTION_SITE, "SITE", 0, "enroll invite: the site that is to join", 0},
    {"as", OPTION_AS, "NAME", 0, "enroll invite: what this site is called, where it is new", 0},
    {"endpoint", OPTION_ENDPOINT, "HOST:PORT", 0,
     "enroll invite: where the other site reaches this one", 0},
    {"pools", OPTION_POOLS, "HERE:THERE,...", 0,
     "enroll invite, of a new site: the pools to protect (default rbd:rbd)", 0},
    {"config", OPTION_CONFIG, "FILE", 0,
     "enroll: the configuration to write (default " DEFAULT_CONFIG ")", 0},
    {0},
};

static void parse_timeout(const char *text, struct arguments *arguments, struct argp_state *state)
{
    char *end;
    arguments->timeout_s = strtod(text, &end);
    if (*end || !(arguments->timeout_s > 0 && arguments->timeout_s < 1e9)) {
        argp_error(state, "--timeout: \"%s\" is not a number of seconds", text);
    }
}

static void check_arguments(const struct arguments *arguments, struct argp_state *state)
{
    const struct command *command = arguments->command ? find_command(arguments->command) : NULL;
    if (!command) {
        argp_error(state, "which command? " COMMANDS);
        return;
    }
    if (command->needs_group && !arguments->group) {
        argp_error(state, "%s: which group? (farshore status lists them)", command->name);
    }
    if (command->takes_many && !arguments->group + !arguments->policy + !arguments->all != 2) {
        argp_error(state, "%s: a group, --policy or --all, and only one of them", command->name);
    }
    if ((arguments->policy || arguments->all) && !command->takes_many) {
        argp_error(state, "%s: has no --policy and no --all", command->name);
    }
    if (arguments->fence && !command->takes_many) {
        argp_error(state, "%s: has no --fence", command->name);
    }
    if (arguments->dry_run && !command->takes_dry_run) {
        argp_error(state, "%s: has no --dry-run", command->name);
    }
    if (command->needs_from && !arguments->from) {
        argp_error(state, "%s: --from which site? Its data stays, this site's is given up",
                   command->name);
    }
    if (!command->needs_to != !arguments->to) {
        argp_error(state, command->needs_to ? "%s: --to which site?" : "%s: has no --to",
                   command->name);
    }
    if (!command->needs_snapshot != !arguments->snapshot) {
        argp_error(state,
                   command->needs_snapshot ? "%s: --snapshot of which name? See farshore left"
                                           : "%s: has no --snapshot",
                   command->name);
    }
    if (arguments->from && !command->needs_from) {
        argp_error(state, "%s: has no --from", command->name);
    }
    if ((arguments->end || arguments->exec) && !command->drills) {
        argp_error(state, "%s: has no --end and no --exec", command->name);
    }
    if (arguments->end && (arguments->exec || arguments->point)) {
        argp_error(state, "--end goes with neither --exec nor --point");
    }
    if ((arguments->yaml || arguments->secrets) && !command->manifests) {
        argp_error(state, "%s: has no --output=yaml and no --secrets", command->name);
    }
    if (arguments->json && !command->takes_output) {
        argp_error(state, "%s: has no --output", command->name);
    }
    if ((arguments->wait || arguments->timeout_s > 0) && !command->takes_wait) {
        argp_error(state, "%s: has no --wait and no --timeout", command->name);
    }
    if (arguments->point && !command->takes_point) {
        argp_error(state, "%s: has no --point", command->name);
    }
    if ((arguments->watch || arguments->color) && !command->takes_watch) {
        argp_error(state, "%s: has no --watch and no --color", command->name);
    }
    if (arguments->watch && arguments->json) {
        argp_error(state, "--watch and --output=json do not go together");
    }
    const struct fs_enroll_arguments *enroll = &arguments->enroll;
    if (!command->enrolls &&
        (enroll->site || enroll->as || enroll->endpoint || enroll->pools || enroll->config)) {
        argp_error(state, "%s: has no --site, --as, --endpoint, --pools and --config",
                   command->name);
    }
    if (arguments->bandwidth > 0 && strcmp(command->name, "doctor") != 0) {
        argp_error(state, "%s: has no --bandwidth", command->name);
    }
    if (arguments->yes && !command->asks) {
        argp_error(state, "%s: asks nothing, so it has no --yes", command->name);
    }
    if (arguments->timeout_s > 0 && !arguments->wait) {
        argp_error(state, "--timeout goes with --wait");
    }
}

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case 'S':
        arguments->socket = value;
        return 0;
    case 'o':
        arguments->json = strcmp(value, "json") == 0;
        arguments->yaml = strcmp(value, "yaml") == 0;
        if (!arguments->json && !arguments->yaml && strcmp(value, "table") != 0) {
            argp_error(state, "--output: \"%s\" is neither table nor json", value);
        }
        return 0;
    case OPTION_WAIT:
        arguments->wait = true;
        return 0;
    case OPTION_POINT:
        arguments->point = value;
        return 0;
    case 'w':
        arguments->watch = true;
        return 0;
    case OPTION_BANDWIDTH:
        if (!fs_text_parse_rate(value, &arguments->bandwidth)) {
            argp_error(state, "--bandwidth: \"%s\" is no rate, as 100Mbit/s", value);
        }
        return 0;
    case OPTION_COLOR:
        arguments->color = value;
        if (strcmp(value, "auto") != 0 && strcmp(value, "always") != 0 &&
            strcmp(value, "never") != 0) {
            argp_error(state, "--color: \"%s\" is neither auto, always nor never", value);
        }
        return 0;
    case OPTION_POLICY:
        arguments->policy = value;
        return 0;
    case OPTION_ALL:
        arguments->all = true;
        return 0;
    case OPTION_END:
        arguments->end = true;
        return 0;
    case OPTION_EXEC:
        arguments->exec = value;
        return 0;
    case OPTION_FROM:
        arguments->from = value;
        return 0;
    case OPTION_TO:
        arguments->to = value;
        return 0;
    case OPTION_FENCE:
        arguments->fence = value;
        return 0;
    case OPTION_SNAPSHOT:
        arguments->snapshot = value;
        return 0;
    case OPTION_DRY_RUN:
        arguments->dry_run = true;
        return 0;
    case OPTION_YES:
        arguments->yes = true;
        return 0;
    case OPTION_SITE:
        arguments->enroll.site = value;
        return 0;
    case OPTION_AS:
        arguments->enroll.as = value;
        return 0;
    case OPTION_ENDPOINT:
        arguments->enroll.endpoint = value;
        return 0;
    case OPTION_POOLS:
        arguments->enroll.pools = value;
        return 0;
    case OPTION_CONFIG:
        arguments->enroll.config = value;
        return 0;
    case OPTION_SECRETS:
        arguments->secrets = true;
        return 0;
    case OPTION_TIMEOUT:
        parse_timeout(value, arguments, state);
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num == 0) {
            arguments->command = value;
            if (!find_command(value)) {
                argp_error(state, "no command \"%s\": " COMMANDS, value);
            }
            return 0;
        }
        if (state->arg_num == 1) {
            arguments->group = value;
            return 0;
        }
        if (state->arg_num == 2 && find_command(arguments->command)->enrolls) {
            arguments->enroll.token = value;
            return 0;
        }
        argp_error(state, "\"%s\" is one argument too many", value);
        return 0;
    case ARGP_KEY_END:
        check_arguments(arguments, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {
    .options = options,
    .parser = parse_option,
    .args_doc = "status [GROUP]\npoints GROUP\nsync GROUP\npause GROUP\nresume GROUP\n"
                "verify GROUP\ndoctor\nadopt GROUP\nfailover GROUP\nfailover "
                "--policy=POLICY\nfailover --all\n"
                "failback GROUP\nresync --from=SITE GROUP\nrelocate --to=SITE GROUP\n"
                "left GROUP\ndiscard --snapshot=NAME GROUP\nforget GROUP\n"
                "fence GROUP\nunfence GROUP\n"
                "drill GROUP\ndrill --end GROUP\nobjects GROUP\nhistory GROUP\n"
                "enroll invite --site=SITE\nenroll join TOKEN",
    .doc = "Ask and steer the Farshore daemon of this site.\v"
           "GROUP is a group's name or UUID. Exit status: 0 done, 1 failed, 2 usage, 3 refused and "
           "nothing changed, 4 done and something found, 5 the daemon cannot be reached, 6 still "
           "running when the wait ended. "
           "farshore(1) tells the rest.",
};

static void show_progress(void *arg, const json_t *sync)
{
    const bool *terminal = arg;
    if (*terminal) {
        fputs("\r\033[K", stderr);
    }
    if (json_object_get(sync, "operation")) {
        fs_show_operation_progress(sync, stderr);
    } else if (json_object_get(sync, "different_objects")) {
        fs_show_verify_progress(sync, stderr);
    } else {
        fs_show_progress(sync, stderr);
    }
    if (!*terminal) {
        fputc('\n', stderr);
    }
}

static json_t *make_request(const struct arguments *arguments)
{
    bool is_doctor = strcmp(arguments->command, "doctor") == 0; /* it examines the status */
    json_t *request = json_pack("{s:s}", "command", is_doctor ? "status" : arguments->command);
    if (request && arguments->group) {
        json_object_set_new(request, "group", json_string(arguments->group));
    }
    if (request && arguments->point) {
        json_object_set_new(request, "point", json_string(arguments->point));
    }
    if (request && arguments->policy) {
        json_object_set_new(request, "policy", json_string(arguments->policy));
    }
    if (request && arguments->from) {
        json_object_set_new(request, "from", json_string(arguments->from));
    }
    if (request && arguments->snapshot) {
        json_object_set_new(request, "snapshot", json_string(arguments->snapshot));
    }
    if (request && arguments->to) {
        json_object_set_new(request, "to", json_string(arguments->to));
    }
    if (request && arguments->fence) {
        json_object_set_new(request, "fence", json_string(arguments->fence));
    }
    if (request && arguments->all) {
        json_object_set_new(request, "all", json_true());
    }
    if (request && arguments->end) {
        json_object_set_new(request, "end", json_true());
    }
    if (request && arguments->secrets) {
        json_object_set_new(request, "secrets", json_true());
    }
    if (request && arguments->wait) {
        json_object_set_new(request, "wait", json_true());
    }
    if (request && arguments->yes && !arguments->dry_run) {
        json_object_set_new(request, "yes", json_true());
    }
    return request;
}

static void show_result(const struct arguments *arguments, const json_t *result)
{
    const struct command *command = find_command(arguments->command);
    if (arguments->json) {
        json_dumpf(result, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
        putchar('\n');
    } else if (command->show) {
        command->show(result, arguments);
    }
}

/* FS_EXIT_FOUND where something is to be mended. */
static int examine(const struct arguments *arguments, const json_t *status)
{
    json_t *report = fs_doctor_examine(status, (double)time(NULL), arguments->bandwidth);
    size_t findings = fs_doctor_findings(report);

    if (arguments->json) {
        json_dumpf(report, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
        putchar('\n');
    } else {
        fs_show_doctor(report, stdout);
    }
    json_decref(report);
    return findings > 0 ? FS_EXIT_FOUND : FS_EXIT_DONE;
}

static bool wants_colour(const struct arguments *arguments)
{
    if (arguments->color && strcmp(arguments->color, "auto") != 0) {
        return strcmp(arguments->color, "always") == 0;
    }
    const char *refused = getenv("NO_COLOR");
    return isatty(STDOUT_FILENO) && !(refused && *refused);
}

/* Exit status of one request; what came of it is shown. */
static int ask(const struct arguments *arguments)
{
    bool terminal = isatty(STDERR_FILENO);
    bool waits = arguments->wait || find_command(arguments->command)->waits;
    struct fs_client_answer answer;
    struct fs_error err = FS_ERROR_INIT;
    json_t *request = make_request(arguments);
    if (!request) {
        fputs("farshore: the group's name is not UTF-8\n", stderr);
        return FS_EXIT_USAGE;
    }
    if (arguments->watch) {
        int status = fs_watch(arguments->socket, request, wants_colour(arguments));
        json_decref(request);
        return status;
    }
    fs_client_ask(arguments->socket, request, arguments->timeout_s, waits ? show_progress : NULL,
                  &terminal, &answer, &err);
    json_decref(request);
    if (waits && terminal) {
        fputs("\r\033[K", stderr);
    }
    if (answer.exit == FS_EXIT_DONE && strcmp(arguments->command, "doctor") == 0) {
        answer.exit = examine(arguments, answer.result);
    } else if (answer.result) {
        show_result(arguments, answer.result);
        if (arguments->exec) {
            answer.exit = fs_drill_test(arguments->socket, arguments->group, arguments->exec,
                                        answer.result, &err);
        }
    }
    if (fs_error_is_set(&err)) {
        fprintf(stderr, "farshore: %s\n", err.message);
    }
    json_decref(answer.result);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fputs("farshore: cannot write the output\n", stderr);
        return FS_EXIT_FAILED;
    }
    return answer.exit;
}

/* No request: it may be that there is no daemon yet. */
static int enroll(const struct arguments *arguments)
{
    struct fs_enroll_arguments given = arguments->enroll;

    given.action = arguments->group;
    given.socket = arguments->socket;
    given.json = arguments->json;
    given.config = given.config ? given.config : DEFAULT_CONFIG;
    const char *problem = fs_enroll_check(&given);
    if (problem) {
        fprintf(stderr, "farshore: %s\n", problem);
        return FS_EXIT_USAGE;
    }
    return fs_enroll(&given);
}

static bool is_confirmed(void)
{
    char line[16] = "";

    fputs("Go on? [y/N] ", stderr);
    return fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y');
}

int main(int argc, char **argv)
{
    argp_err_exit_status = FS_EXIT_USAGE;
    const char *socket = getenv("FARSHORE_SOCKET");
    struct arguments arguments = {.socket = socket && *socket ? socket : DEFAULT_SOCKET};
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);

    if (find_command(arguments.command)->enrolls) {
        return enroll(&arguments);
    }
    int status = ask(&arguments);
    if (status != FS_EXIT_DONE || !find_command(arguments.command)->asks || arguments.yes ||
        arguments.dry_run) {
        return status;
    }
    if (!is_confirmed()) {
        fputs("farshore: nothing was changed; --yes does it without a question\n", stderr);
        return FS_EXIT_REFUSED;
    }
    arguments.yes = true;
    return ask(&arguments);
}
