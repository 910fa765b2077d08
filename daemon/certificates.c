/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/certificates.h"

#include <string.h>
#include <sys/stat.h>

#include "daemon/daemon.h"
#include "farshore/log.h"

#define CHECK_EVERY_NS (10 * FS_SEC)
#define SETTLE_NS      (1 * FS_SEC)
#define WARN_EVERY_NS  (24 * 3600 * FS_SEC)
#define WARN_DAYS      30

/* Note what the files are now; true where that is news. A file that is not there is news, too. */
static bool note_files(struct fs_certificates *certificates, const struct fs_config *config)
{
    const char *paths[] = {config->tls_cert, config->tls_key, config->tls_ca};
    bool changed = false;

    for (size_t i = 0; i < 3; i++) {
        struct stat file = {0};

        (void)stat(paths[i], &file);
        changed = changed || certificates->seen[i].s != file.st_mtim.tv_sec ||
                  certificates->seen[i].ns != file.st_mtim.tv_nsec ||
                  certificates->seen[i].inode != file.st_ino ||
                  certificates->seen[i].size != (unsigned long long)file.st_size;
        certificates->seen[i].s = file.st_mtim.tv_sec;
        certificates->seen[i].ns = file.st_mtim.tv_nsec;
        certificates->seen[i].inode = file.st_ino;
        certificates->seen[i].size = (unsigned long long)file.st_size;
    }
    return changed;
}

int fs_certificates_load(struct fs_daemon *daemon, const struct fs_config *config,
                         struct fs_error *err)
{
    struct fs_tls *tls;

    (void)note_files(&daemon->certificates, config); /* before they are read */
    daemon->certificates.changed = false;
    int rc = fs_tls_new(config->tls_cert, config->tls_key, config->tls_ca, &tls, err);

    if (rc < 0) {
        return rc;
    }
    fs_enrolment_open(config, tls);
    fs_tls_unref(daemon->tls);
    daemon->tls = tls;
    if (daemon->listener) {
        fs_tls_listener_set(daemon->listener, tls);
    }
    daemon->certificates.warn_at_ns = 0;
    return 0;
}

static void warn_of_end(struct fs_daemon *daemon)
{
    int64_t left_s = fs_tls_not_after(daemon->tls) - fs_context_wall(&daemon->ctx) / FS_SEC;

    if (left_s < (int64_t)WARN_DAYS * 24 * 3600) {
        fs_log(FS_EV_CERTIFICATE_ENDS, FS_S("file", daemon->config->tls_cert),
               FS_I("days_left", left_s / (24 * 3600)),
               FS_S("hint", "put a new one in its place: it is taken up by itself"));
    }
}

int64_t fs_certificates_run(struct fs_daemon *daemon, int64_t now_ns)
{
    struct fs_certificates *certificates = &daemon->certificates;
    struct fs_error err = FS_ERROR_INIT;

    if (now_ns >= certificates->check_at_ns) {
        certificates->check_at_ns = now_ns + CHECK_EVERY_NS;
        if (note_files(certificates, daemon->config)) {
            /* Whoever writes several files may be in the middle of it. */
            certificates->changed = true;
            certificates->check_at_ns = now_ns + SETTLE_NS;
        } else if (certificates->changed) {
            if (fs_certificates_load(daemon, daemon->config, &err) < 0) {
                fs_log(FS_EV_CERTIFICATE_REFUSED, FS_S("file", daemon->config->tls_cert),
                       FS_E(&err));
            } else {
                fs_log(FS_EV_CERTIFICATE_LOADED, FS_S("file", daemon->config->tls_cert));
            }
        }
    }
    if (now_ns >= certificates->warn_at_ns) {
        certificates->warn_at_ns = now_ns + WARN_EVERY_NS;
        warn_of_end(daemon);
    }
    return certificates->check_at_ns < certificates->warn_at_ns ? certificates->check_at_ns
                                                                : certificates->warn_at_ns;
}
