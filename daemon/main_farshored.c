/* SPDX-License-Identifier: Apache-2.0 */
/* farshored: the Farshore daemon of a site. */
#include <argp.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/daemon.h"
#include "farshore/fault.h"
#include "farshore/log.h"

#define EXIT_CONFIGURATION 2
#define DEFAULT_CONFIG     "/etc/farshore/farshored.yaml"

enum { OPTION_CHECK = 256, OPTION_LOG_LEVEL, OPTION_FAULT_POINTS };

struct arguments {
    const char *config;
    bool check;
    enum fs_log_level level;
};

const char *argp_program_version = "farshored " FARSHORE_VERSION;

static const struct argp_option options[] = {
    {"config", 'c', "FILE", 0, "The configuration (default " DEFAULT_CONFIG ")", 0},
    {"check", OPTION_CHECK, NULL, 0, "Check the configuration, print every finding, and exit", 0},
    {"log-level", OPTION_LOG_LEVEL, "LEVEL", 0,
     "Log up to: error, warning, notice, info (default) or debug", 0},
#ifdef FARSHORE_FAULTS
    {"fault-points", OPTION_FAULT_POINTS, NULL, 0, "List the fault points of this test build", 0},
#endif
    {0},
};

static int parse_level(const char *text, enum fs_log_level *ret_level)
{
    static const struct {
        const char *name;
        enum fs_log_level level;
    } levels[] = {
        {"error", FS_LOG_ERROR}, {"warning", FS_LOG_WARNING}, {"notice", FS_LOG_NOTICE},
        {"info", FS_LOG_INFO},   {"debug", FS_LOG_DEBUG},
    };

    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        if (strcmp(levels[i].name, text) == 0) {
            *ret_level = levels[i].level;
            return 0;
        }
    }
    return -EINVAL;
}

#ifdef FARSHORE_FAULTS
static void list_fault_points(void)
{
    for (const struct fs_fault_step *step = fs_fault_steps; step->name; step++) {
        printf("%s\t%s\t%s\n", step->name, step->who, step->meaning);
    }
    exit(EXIT_SUCCESS);
}
#endif

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;

    switch (key) {
    case 'c':
        arguments->config = value;
        return 0;
    case OPTION_CHECK:
        arguments->check = true;
        return 0;
    case OPTION_LOG_LEVEL:
        if (parse_level(value, &arguments->level) < 0) {
            argp_error(state, "--log-level: \"%s\" is not error, warning, notice, info or debug",
                       value);
        }
        return 0;
#ifdef FARSHORE_FAULTS
    case OPTION_FAULT_POINTS:
        list_fault_points();
        return 0;
#endif
    case ARGP_KEY_ARG:
        argp_error(state, "\"%s\" is one argument too many", value);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {
    .options = options,
    .parser = parse_option,
    .doc = "Replicate Ceph RBD volumes to another site. Runs in the foreground.\v"
           "Exit status: 0 told to stop, 1 failed, 2 usage or configuration. farshored(8) and "
           "farshored.yaml(5) tell the rest.",
};

/*
 * Buffers of segments and reads are 1 to 4 MiB. By default malloc maps each afresh and the kernel
 * clears it page by page, which costs more CPU time than what is done with it.
 */
static void keep_buffers(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, 16 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, 64 << 20);
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.config = DEFAULT_CONFIG, .level = FS_LOG_INFO};
    struct fs_error err = FS_ERROR_INIT;
    struct fs_config *config;

    keep_buffers();
    argp_err_exit_status = EXIT_CONFIGURATION;
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);
    if (fs_config_load(arguments.config, stderr, &config, &err) < 0) {
        fprintf(stderr, "farshored: %s\n", err.message);
        return EXIT_CONFIGURATION;
    }
    if (arguments.check) {
        fs_config_free(config);
        printf("%s: good\n", arguments.config);
        return EXIT_SUCCESS;
    }
    /* The service manager says that stderr is the journal: then fields can be native. */
    fs_log_init(getenv("JOURNAL_STREAM") != NULL, arguments.level);
    return fs_daemon_run(arguments.config, config);
}
