/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/tool/drill_test.h"

#include <stdlib.h>
#include <sys/wait.h>

#include "daemon/tool/client.h"
#include "daemon/tool/json.h"
#include "farshore/buf.h"

/* As a shell tells it: above 128 for a signal. */
static int exit_of(int status)
{
    if (status < 0) {
        return 127;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool set_environment(const char *group, const json_t *drill)
{
    struct fs_buf images = FS_BUF_INIT;
    size_t i;
    json_t *image;

    json_array_foreach(json_object_get(drill, "images"), i, image)
    {
        fs_buf_printf(&images, "%s%s %s", i > 0 ? "\n" : "", string_of(image, "image"),
                      string_of(image, "of"));
    }
    fs_buf_put_u8(&images, 0);
    bool ok = !images.failed && setenv("FARSHORE_GROUP", group, 1) == 0 &&
              setenv("FARSHORE_DRILL", string_of(drill, "id"), 1) == 0 &&
              setenv("FARSHORE_POINT", string_of(drill, "point"), 1) == 0 &&
              setenv("FARSHORE_IMAGES", (const char *)images.data, 1) == 0;
    fs_buf_fini(&images);
    return ok;
}

int fs_drill_test(const char *socket_path, const char *group, const char *command,
                  const json_t *result, struct fs_error *err)
{
    const json_t *drill = json_object_get(result, "drill");
    struct fs_client_answer answer;

    if (fflush(stdout) != 0 || !set_environment(group, drill)) {
        fs_error_set(err, FS_ERR_PERMANENT, ENOMEM, "out of memory");
        return FS_EXIT_FAILED;
    }
    /* The operator's own command, with the operator's own rights. NOLINTNEXTLINE(cert-env33-c) */
    int status = exit_of(system(command));
    json_t *request = json_pack("{s:s, s:s, s:s, s:i}", "command", "drill", "group", group, "note",
                                string_of(drill, "id"), "exit", status);
    if (!request) {
        fs_error_set(err, FS_ERR_PERMANENT, ENOMEM, "out of memory");
        return FS_EXIT_FAILED;
    }
    fs_client_ask(socket_path, request, 0, NULL, NULL, &answer, err);
    json_decref(request);
    json_decref(answer.result);
    fprintf(stderr, "farshore: the test ended with %d\n", status);
    return answer.exit;
}
