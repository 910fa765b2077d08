/* SPDX-License-Identifier: Apache-2.0 */
#include "source_writer.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "source_lab.h"

extern char **environ;

/* The child: writes 4 KiB blocks that begin with a counter until stdin ends. */
int writer_run(const char *images)
{
    struct lab lab;
    rbd_image_t handles[8];
    char names[512], *rest = names, *name;
    unsigned count = 0;
    uint64_t block[512] = {0};
    int64_t longest_ms = 0;
    struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};

    lab_open(&lab, NULL);
    snprintf(names, sizeof(names), "%s", images);
    while ((name = strsep(&rest, ",")) && count < 8) {
        CEPH(rbd_open(lab.ioctx, name, &handles[count++], NULL));
    }
    for (block[0] = 1; poll(&fd, 1, 0) == 0; block[0]++) {
        for (unsigned i = 0; i < count; i++) {
            int64_t began_ms = now_ms();
            ssize_t rc = rbd_write(handles[i], 0, sizeof(block), (char *)block);

            if (rc < 0) {
                printf("error %zd\n", rc);
                return EXIT_FAILURE;
            }
            rbd_write(handles[i], (block[0] % 1024) * sizeof(block), sizeof(block), (char *)block);
            if (now_ms() - began_ms > longest_ms) {
                longest_ms = now_ms() - began_ms;
            }
        }
        if (block[0] == 3) {
            puts("writing");
            fflush(stdout);
        }
    }
    printf("rounds %" PRIu64 " longest_ms %" PRId64 "\n", block[0], longest_ms);
    for (unsigned i = 0; i < count; i++) {
        CEPH(rbd_close(handles[i]));
    }
    lab_close(&lab);
    return EXIT_SUCCESS;
}

void writer_start(struct writer *writer, const char *images)
{
    char *argv[] = {(char *)"check_source", (char *)"writer", (char *)images, NULL};
    posix_spawn_file_actions_t actions;
    int in[2], out[2];
    char line[64];

    CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    CHECK(posix_spawn(&writer->pid, "/proc/self/exe", &actions, NULL, argv, environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    writer->in = in[1];
    writer->out = fdopen(out[0], "r");
    CHECK(fgets(line, sizeof(line), writer->out) && strcmp(line, "writing\n") == 0);
}

/* Returns its longest wait; fails where a write did. */
int64_t writer_stop(struct writer *writer)
{
    char line[128];
    uint64_t rounds;
    int64_t longest_ms;
    int status;

    close(writer->in);
    CHECK(fgets(line, sizeof(line), writer->out));
    fclose(writer->out);
    CHECK(waitpid(writer->pid, &status, 0) == writer->pid);
    if (sscanf(line, "rounds %" SCNu64 " longest_ms %" SCNd64, &rounds, &longest_ms) != 2 ||
        status != 0) {
        FAIL("the writer: %s", line);
    }
    printf("  writer: %s", line);
    return longest_ms;
}
