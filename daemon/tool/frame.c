/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/tool/frame.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/tool/text.h"

#define HEAD_LINES  3
#define STATE_WIDTH 16
#define LAG_WIDTH   11
#define BAR_WIDTH   13
#define BAR_SCALE   3 /* intervals that a full bar stands for */
#define MOVE_WIDTH  10
#define SPACE       "  "

#define PLAIN  ""
#define BOLD   "\033[1m"
#define DIM    "\033[2m"
#define RED    "\033[31m"
#define GREEN  "\033[32m"
#define YELLOW "\033[33m"
#define RESET  "\033[0m"

static const char *string_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static double number_of(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

/* --- a line ---------------------------------------------------------------------------------- */

struct line {
    struct fs_buf *out;
    size_t left; /* columns */
    bool colour;
};

/* As much of text as there is room for, padded to width (0: as wide as it is). Control characters
 * of names do not reach the terminal. */
static void put(struct line *line, const char *colour, size_t width, const char *text)
{
    size_t used = 0, room = width > 0 && width < line->left ? width : line->left;
    bool paint = line->colour && *colour;

    if (paint) {
        fs_buf_printf(line->out, "%s", colour);
    }
    for (const char *c = text; *c; c++) {
        bool begins = ((unsigned char)*c & 0xc0) != 0x80;
        if (begins && used == room) {
            break;
        }
        used += begins;
        fs_buf_put_u8(line->out, (unsigned char)*c < ' ' || *c == 0x7f ? '?' : (uint8_t)*c);
    }
    if (paint) {
        fs_buf_printf(line->out, RESET);
    }
    for (; width > 0 && used < room; used++) {
        fs_buf_put_u8(line->out, ' ');
    }
    line->left -= used;
}

static struct line begin(struct fs_buf *out, const struct fs_frame *frame)
{
    return (struct line){.out = out, .left = frame->columns, .colour = frame->colour};
}

static void end(const struct line *line)
{
    fs_buf_printf(line->out, "\033[K\r\n");
}

/* --- groups, in order ------------------------------------------------------------------------ */

struct entry {
    const json_t *group;
    double age_s; /* the lag; never synced: since when it is known */
    double ratio;
    bool never;
};

static int by_ratio(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->ratio != y->ratio) {
        return x->ratio < y->ratio ? 1 : -1;
    }
    return strcmp(string_of(x->group, "name"), string_of(y->group, "name"));
}

/* NULL when out of memory or without groups. */
static struct entry *sort(const json_t *groups, double now)
{
    size_t count = json_array_size(groups);
    struct entry *entries = count ? calloc(count, sizeof(*entries)) : NULL;

    for (size_t i = 0; entries && i < count; i++) {
        struct entry *entry = &entries[i];
        double interval_s;
        entry->group = json_array_get(groups, i);
        interval_s = number_of(entry->group, "interval_seconds");
        entry->never = !json_is_number(json_object_get(entry->group, "rpo_lag_seconds"));
        entry->age_s = entry->never ? now - number_of(entry->group, "known_timestamp")
                                    : number_of(entry->group, "rpo_lag_seconds");
        entry->ratio = interval_s > 0 ? entry->age_s / interval_s : 0;
    }
    if (entries) {
        qsort(entries, count, sizeof(*entries), by_ratio);
    }
    return entries;
}

static bool is_well(const char *state)
{
    return strcmp(state, "ok") == 0 || strcmp(state, "syncing") == 0;
}

static const char *state_colour(const char *state)
{
    static const char *const mild[] = {"never_synced", "late",          "paused",   "stalled",
                                       "demoted",      "writer_silent", "peer_down"};

    if (is_well(state)) {
        return GREEN;
    }
    for (size_t i = 0; i < sizeof(mild) / sizeof(mild[0]); i++) {
        if (strcmp(state, mild[i]) == 0) {
            return YELLOW;
        }
    }
    return RED;
}

static const char *lag_colour(const struct entry *entry)
{
    const json_t *alert = json_object_get(entry->group, "alert");

    if (!alert || entry->age_s <= number_of(alert, "warning_seconds")) {
        return GREEN;
    }
    return entry->age_s <= number_of(alert, "critical_seconds") ? YELLOW : RED;
}

/* "[====      ]" */
static void put_bar(struct line *line, const char *colour, double part, size_t width)
{
    char bar[64];
    size_t inner = width - 2;
    double wanted = part < 0 ? 0 : part > 1 ? 1 : part;

    memset(bar, ' ', sizeof(bar));
    memset(bar, '=', (size_t)(wanted * (double)inner + 0.5));
    bar[inner] = '\0';
    put(line, PLAIN, 0, "[");
    put(line, colour, inner, bar);
    put(line, PLAIN, 0, "]");
}

static void put_transfer(struct line *line, const json_t *sync)
{
    char text[160], rate[FS_TEXT_SIZE], eta[FS_TEXT_SIZE];
    double total = number_of(sync, "total_bytes");
    double part = total > 0 ? number_of(sync, "done_bytes") / total : 0;

    if (strcmp(string_of(sync, "phase"), "idle") == 0) {
        put(line, DIM, 0, "-");
        return;
    }
    put(line, PLAIN, MOVE_WIDTH, string_of(sync, "phase"));
    if (total <= 0) {
        return;
    }
    put(line, PLAIN, 0, " ");
    put_bar(line, GREEN, part, BAR_WIDTH);
    int n = snprintf(text, sizeof(text), " %3.0f %% %s/s", 100 * part,
                     fs_text_bytes((uint64_t)number_of(sync, "rate_bytes_per_second"), rate));
    if (json_is_number(json_object_get(sync, "eta_seconds"))) {
        snprintf(text + n, sizeof(text) - (size_t)n, ", %s left",
                 fs_text_duration(number_of(sync, "eta_seconds"), eta));
    }
    put(line, PLAIN, 0, text);
}

static void put_group(struct fs_buf *out, const struct fs_frame *frame, const struct entry *entry,
                      size_t name_width)
{
    struct line line = begin(out, frame);
    const json_t *group = entry->group;
    const char *state = string_of(group, "state");
    char text[FS_TEXT_SIZE];

    put(&line, PLAIN, name_width, string_of(group, "name"));
    put(&line, PLAIN, 0, SPACE);
    put(&line, state_colour(state), STATE_WIDTH, state);
    put(&line, PLAIN, 0, SPACE);
    put(&line, PLAIN, LAG_WIDTH, entry->never ? "never" : fs_text_duration(entry->age_s, text));
    put_bar(&line, lag_colour(entry), entry->ratio / BAR_SCALE, BAR_WIDTH);
    put(&line, PLAIN, 0, SPACE);
    put(&line, PLAIN, LAG_WIDTH, fs_text_duration(number_of(group, "interval_seconds"), text));
    put_transfer(&line, json_object_get(group, "sync"));
    end(&line);
}

/* --- the screen ------------------------------------------------------------------------------ */

static void put_site(struct fs_buf *out, const struct fs_frame *frame, const json_t *document,
                     double now)
{
    struct line line = begin(out, frame);
    const json_t *site = json_object_get(document, "site");
    const char *cluster = string_of(site, "cluster");
    char text[FS_TEXT_SIZE];
    size_t i;
    json_t *peer;

    put(&line, BOLD, 0, "Farshore ");
    put(&line, BOLD, 0, string_of(site, "name"));
    put(&line, PLAIN, 0, "  cluster ");
    put(&line, strcmp(cluster, "up") == 0 ? GREEN : RED, 0, cluster);
    json_array_foreach(json_object_get(document, "peers"), i, peer)
    {
        bool up = json_is_true(json_object_get(peer, "up"));
        put(&line, PLAIN, 0, SPACE);
        put(&line, PLAIN, 0, string_of(peer, "name"));
        put(&line, PLAIN, 0, " ");
        put(&line, up ? GREEN : RED, 0, up ? "up" : "down");
    }
    put(&line, PLAIN, 0, SPACE);
    put(&line, DIM, 0, fs_text_moment(now, text));
    end(&line);
}

static void put_summary(struct fs_buf *out, const struct fs_frame *frame,
                        const struct entry *entries, size_t count)
{
    struct line line = begin(out, frame);
    size_t unwell = 0, never = 0;
    double worst = 0;
    char text[128];

    for (size_t i = 0; i < count; i++) {
        unwell += !is_well(string_of(entries[i].group, "state"));
        never += entries[i].never;
        worst = !entries[i].never && entries[i].ratio > worst ? entries[i].ratio : worst;
    }
    snprintf(text, sizeof(text),
             "%zu groups, %zu not ok, %zu never synced; worst lag %.1f intervals", count, unwell,
             never, worst);
    put(&line, unwell ? YELLOW : PLAIN, 0, text);
    end(&line);
}

static void put_heads(struct fs_buf *out, const struct fs_frame *frame, size_t name_width)
{
    struct line line = begin(out, frame);

    put(&line, BOLD, name_width + 2, "GROUP");
    put(&line, BOLD, STATE_WIDTH + 2, "STATE");
    put(&line, BOLD, LAG_WIDTH + BAR_WIDTH + 2, "RPO LAG");
    put(&line, BOLD, LAG_WIDTH, "INTERVAL");
    put(&line, BOLD, 0, "TRANSFER");
    end(&line);
}

/* What the names need, and no more than leaves room for state and lag. */
static size_t name_width_of(const struct fs_frame *frame, const struct entry *entries, size_t count)
{
    size_t width = strlen("GROUP"), most = frame->columns > 64 ? frame->columns - 52 : 12;

    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(string_of(entries[i].group, "name"));
        width = length > width ? length : width;
    }
    return width < most ? width : most;
}

void fs_frame_render(const json_t *document, double now, struct fs_frame *frame, struct fs_buf *out)
{
    const json_t *groups = json_object_get(document, "groups");
    struct entry *entries = sort(groups, now);
    size_t count = entries ? json_array_size(groups) : 0;
    size_t room = frame->lines > HEAD_LINES + 1 ? frame->lines - HEAD_LINES - 1 : 0;
    size_t name_width = name_width_of(frame, entries, count);
    struct line last = begin(out, frame);
    char text[96];

    if (frame->scroll + room > count) {
        frame->scroll = count > room ? count - room : 0;
    }
    put_site(out, frame, document, now);
    put_summary(out, frame, entries, count);
    put_heads(out, frame, name_width);
    for (size_t i = 0; i < room; i++) {
        if (frame->scroll + i < count) {
            put_group(out, frame, &entries[frame->scroll + i], name_width);
        } else {
            fs_buf_printf(out, "\033[K\r\n");
        }
    }
    snprintf(text, sizeof(text), "%zu to %zu of %zu  q quit  arrows and Page Up/Down scroll",
             count ? frame->scroll + 1 : 0,
             frame->scroll + room < count ? frame->scroll + room : count, count);
    put(&last, frame->notice ? RED : DIM, 0, frame->notice ? frame->notice : text);
    fs_buf_printf(out, "\033[K");
    free(entries);
}
