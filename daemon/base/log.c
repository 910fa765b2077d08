/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Repeats: a message is "the same" when event and text fields are alike. Of one message the first
 * REPEAT_FIRST within REPEAT_WINDOW are written and the rest are counted; the count comes out as
 * one `repeated` line when the window is over. Levels info and debug are never held back: they
 * tell of one cycle each, and a short interval makes many of them.
 */
#include "farshore/log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "daemon/base/log_recent.h"
#include "farshore/buf.h"
#include "farshore/clock.h"

#define FIELDS_MAX    32
#define REPEAT_FIRST  5
#define REPEAT_WINDOW (10 * FS_SEC)
#define REPEAT_SLOTS  256

struct catalogue_entry {
    const char *name;
    enum fs_log_level level;
};

static const struct catalogue_entry catalogue[FS_EVENT_COUNT] = {
#define CATALOGUE_ENTRY(constant, name, level, meaning) [constant] = {name, level},
    FS_EVENTS(CATALOGUE_ENTRY)
#undef CATALOGUE_ENTRY
};

struct repeat {
    uint64_t key; /* 0: free */
    int64_t since_ns;
    unsigned count; /* in this window, those held back included */
    enum fs_event event;
    char group[256]; /* for the line that tells the count */
    char error[256];
};

static struct {
    /* Set once. */
    bool journal;
    enum fs_log_level most;

    pthread_mutex_t lock;
    struct repeat repeats[REPEAT_SLOTS]; /* guarded by lock */
} state = {.most = FS_LOG_INFO, .lock = PTHREAD_MUTEX_INITIALIZER};

void fs_log_init(bool journal, enum fs_log_level most)
{
    state.journal = journal;
    state.most = most;
}

static const char *level_name(enum fs_log_level level)
{
    switch (level) {
    case FS_LOG_ERROR:
        return "error";
    case FS_LOG_WARNING:
        return "warning";
    case FS_LOG_NOTICE:
        return "notice";
    case FS_LOG_INFO:
        return "info";
    case FS_LOG_DEBUG:
        return "debug";
    }
    return "unknown";
}

static bool needs_quotes(const char *text)
{
    if (!*text) {
        return true;
    }
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c <= ' ' || *c == '=' || *c == '"' || *c == '\\' || *c == 0x7f) {
            return true;
        }
    }
    return false;
}

/* One line stays one line, whatever a peer or an image's name holds. */
static void put_quoted(struct fs_buf *buf, const char *text)
{
    fs_buf_put_u8(buf, '"');
    for (const char *c = text; *c; c++) {
        switch (*c) {
        case '"':
        case '\\':
            fs_buf_printf(buf, "\\%c", *c);
            break;
        case '\n':
            fs_buf_put(buf, "\\n", 2);
            break;
        case '\t':
            fs_buf_put(buf, "\\t", 2);
            break;
        default:
            if ((unsigned char)*c < ' ' || *c == 0x7f) {
                fs_buf_printf(buf, "\\x%02x", (unsigned char)*c);
            } else {
                fs_buf_put_u8(buf, (uint8_t)*c);
            }
        }
    }
    fs_buf_put_u8(buf, '"');
}

static bool is_left_out(const struct fs_field *field)
{
    return field->type == FS_FIELD_STRING && !field->s;
}

static void put_field(struct fs_buf *buf, const struct fs_field *field)
{
    const char *text = field->s;

    if (is_left_out(field)) {
        return;
    }
    fs_buf_printf(buf, " %s=", field->key);
    switch (field->type) {
    case FS_FIELD_INT:
        fs_buf_printf(buf, "%" PRId64, field->i);
        break;
    case FS_FIELD_UINT:
        fs_buf_printf(buf, "%" PRIu64, field->u);
        break;
    case FS_FIELD_STRING:
        if (text && needs_quotes(text)) {
            put_quoted(buf, text);
        } else if (text) {
            fs_buf_put(buf, text, strlen(text));
        }
        break;
    }
}

static void write_stderr(enum fs_event event, enum fs_log_level level,
                         const struct fs_field *fields)
{
    struct fs_buf line = FS_BUF_INIT;
    struct timespec now;
    struct tm utc;
    char stamp[32];

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
    fs_buf_printf(&line, "time=%s.%03ldZ level=%s event=%s", stamp, now.tv_nsec / 1000000,
                  level_name(level), catalogue[event].name);
    for (const struct fs_field *field = fields; field->key; field++) {
        put_field(&line, field);
    }
    fs_buf_put_u8(&line, '\n');
    if (!line.failed) {
        /* One write, so that lines of several threads do not mix. Nobody to tell of a failure. */
        ssize_t written = write(STDERR_FILENO, line.data, line.length);

        (void)written;
    }
    fs_buf_fini(&line);
}

/* NAME=value, appended to text; the vector gets the length only for now, as text may still move. */
static void journal_field(struct fs_buf *text, struct iovec *vector, int *n_vectors,
                          const char *prefix, const struct fs_field *field)
{
    size_t start = text->length;

    fs_buf_printf(text, "%s", prefix);
    for (const char *c = field->key; *c; c++) {
        fs_buf_put_u8(text, (uint8_t)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c));
    }
    switch (field->type) {
    case FS_FIELD_INT:
        fs_buf_printf(text, "=%" PRId64, field->i);
        break;
    case FS_FIELD_UINT:
        fs_buf_printf(text, "=%" PRIu64, field->u);
        break;
    case FS_FIELD_STRING:
        fs_buf_printf(text, "=%s", field->s);
        break;
    }
    vector[(*n_vectors)++].iov_len = text->length - start;
}

static void write_journal(enum fs_event event, enum fs_log_level level,
                          const struct fs_field *fields)
{
    struct fs_buf message = FS_BUF_INIT;
    struct fs_buf text = FS_BUF_INIT;
    struct iovec vector[FIELDS_MAX + 3];
    int n_vectors = 0;

    fs_buf_printf(&message, "%s", catalogue[event].name);
    for (const struct fs_field *field = fields; field->key; field++) {
        put_field(&message, field);
    }
    fs_buf_put_u8(&message, '\0');
    if (message.failed) {
        fs_buf_fini(&message);
        return;
    }

    journal_field(&text, vector, &n_vectors, "", &FS_S("message", (const char *)message.data));
    journal_field(&text, vector, &n_vectors, "", &FS_I("priority", level));
    journal_field(&text, vector, &n_vectors, "FARSHORE_", &FS_S("event", catalogue[event].name));
    for (const struct fs_field *field = fields; field->key; field++) {
        if (!is_left_out(field) && n_vectors < FIELDS_MAX + 3) {
            journal_field(&text, vector, &n_vectors, "FARSHORE_", field);
        }
    }
    if (!text.failed) {
        size_t offset = 0;

        for (int i = 0; i < n_vectors; i++) {
            vector[i].iov_base = text.data + offset;
            offset += vector[i].iov_len;
        }
        sd_journal_sendv(vector, n_vectors);
    }
    fs_buf_fini(&text);
    fs_buf_fini(&message);
}

/* The group has a place of its own. */
static void remember(enum fs_event event, enum fs_log_level level, const struct fs_field *fields)
{
    struct fs_buf text = FS_BUF_INIT;

    for (const struct fs_field *field = fields; field->key; field++) {
        if (strcmp(field->key, "group") != 0) {
            put_field(&text, field);
        }
    }
    fs_buf_put_u8(&text, '\0');
    if (!text.failed) {
        const char *first = (const char *)text.data;
        fs_log_recent_add(catalogue[event].name, level, fields, *first == ' ' ? first + 1 : first);
    }
    fs_buf_fini(&text);
}

static void emit(enum fs_event event, enum fs_log_level level, const struct fs_field *fields)
{
    if (level > state.most) {
        return;
    }
    if (state.journal) {
        write_journal(event, level, fields);
    } else {
        write_stderr(event, level, fields);
    }
}

/* FNV-1a, with the terminating NUL, so that "ab","c" and "a","bc" differ. */
static uint64_t hash_text(uint64_t hash, const char *text)
{
    do {
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    } while (*text++);
    return hash;
}

static uint64_t repeat_key(enum fs_event event, const struct fs_field *fields)
{
    uint64_t hash = hash_text(UINT64_C(0xcbf29ce484222325), catalogue[event].name);

    for (const struct fs_field *field = fields; field->key; field++) {
        if (field->type == FS_FIELD_STRING && field->s) {
            hash = hash_text(hash_text(hash, field->key), field->s);
        }
    }
    return hash ? hash : 1;
}

static void repeat_end_locked(struct repeat *repeat)
{
    if (repeat->key && repeat->count > REPEAT_FIRST) {
        const struct fs_field fields[] = {
            FS_S("of", catalogue[repeat->event].name),
            FS_U("times", repeat->count - REPEAT_FIRST),
            FS_S("group", repeat->group[0] ? repeat->group : NULL),
            FS_S("error", repeat->error[0] ? repeat->error : NULL),
            {0},
        };

        /* As loud as what it stands for. */
        emit(FS_EV_REPEATED, catalogue[repeat->event].level, fields);
    }
    repeat->key = 0;
}

static void copy_field(const struct fs_field *fields, const char *key, char *ret_text, size_t size)
{
    ret_text[0] = '\0';
    for (const struct fs_field *field = fields; field->key; field++) {
        if (field->type == FS_FIELD_STRING && field->s && strcmp(field->key, key) == 0) {
            snprintf(ret_text, size, "%s", field->s);
            return;
        }
    }
}

/* True when the message is to be written; otherwise it was counted. */
static bool repeat_admit_locked(enum fs_event event, const struct fs_field *fields, int64_t now_ns)
{
    uint64_t key = repeat_key(event, fields);
    struct repeat *oldest = &state.repeats[0];

    for (size_t i = 0; i < REPEAT_SLOTS; i++) {
        struct repeat *repeat = &state.repeats[i];

        if (repeat->key == key && now_ns - repeat->since_ns < REPEAT_WINDOW) {
            repeat->count++;
            return repeat->count <= REPEAT_FIRST;
        }
        if (repeat->key == key) {
            oldest = repeat;
            break;
        }
        if (oldest->key && (!repeat->key || repeat->since_ns < oldest->since_ns)) {
            oldest = repeat;
        }
    }
    repeat_end_locked(oldest);
    *oldest = (struct repeat){.key = key, .since_ns = now_ns, .count = 1, .event = event};
    copy_field(fields, "group", oldest->group, sizeof(oldest->group));
    copy_field(fields, "error", oldest->error, sizeof(oldest->error));
    return true;
}

void fs_log_fields(enum fs_event event, const struct fs_field *fields)
{
    enum fs_log_level level = catalogue[event].level;

    if (level > state.most) {
        return;
    }
    if (level <= FS_LOG_NOTICE) {
        pthread_mutex_lock(&state.lock);

        bool admitted = repeat_admit_locked(event, fields, fs_clock_boot(fs_clock_system()));

        pthread_mutex_unlock(&state.lock);
        if (!admitted) {
            return;
        }
        remember(event, level, fields);
    }
    emit(event, level, fields);
}

void fs_log_flush_repeats(void)
{
    int64_t now_ns = fs_clock_boot(fs_clock_system());

    pthread_mutex_lock(&state.lock);
    for (size_t i = 0; i < REPEAT_SLOTS; i++) {
        struct repeat *repeat = &state.repeats[i];

        if (repeat->key && now_ns - repeat->since_ns >= REPEAT_WINDOW) {
            repeat_end_locked(repeat);
        }
    }
    pthread_mutex_unlock(&state.lock);
}
