/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/tool/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

char *fs_text_duration(double seconds, char ret_text[FS_TEXT_SIZE])
{
    if (seconds < 1) {
        snprintf(ret_text, FS_TEXT_SIZE, "%.0f ms", fmax(seconds, 0) * 1000);
        return ret_text;
    }
    if (seconds < 59.95) {
        snprintf(ret_text, FS_TEXT_SIZE, "%.1f s", seconds);
        return ret_text;
    }
    unsigned long s = (unsigned long)llround(fmin(seconds, 1e15));
    if (s < 3600) {
        snprintf(ret_text, FS_TEXT_SIZE, "%lu m %02lu s", s / 60, s % 60);
    } else if (s < 86400) {
        snprintf(ret_text, FS_TEXT_SIZE, "%lu h %02lu m", s / 3600, s / 60 % 60);
    } else {
        snprintf(ret_text, FS_TEXT_SIZE, "%lu d %lu h", s / 86400, s / 3600 % 24);
    }
    return ret_text;
}

char *fs_text_bytes(uint64_t bytes, char ret_text[FS_TEXT_SIZE])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1023.95 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        value /= 1024;
        unit++;
    }
    snprintf(ret_text, FS_TEXT_SIZE, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return ret_text;
}

bool fs_text_parse_rate(const char *text, double *ret_bytes_per_s)
{
    static const struct {
        const char *unit;
        double bytes;
    } units[] = {
        {"kbit/s", 125}, {"Mbit/s", 125e3},  {"Gbit/s", 125e6},
        {"kB/s", 1e3},   {"MB/s", 1e6},      {"GB/s", 1e9},
        {"KiB/s", 1024}, {"MiB/s", 1048576}, {"GiB/s", 1073741824},
    };
    char *end;
    double value = strtod(text, &end);

    if (end == text || !(value > 0 && value < 1e12)) {
        return false;
    }
    end += strspn(end, " ");
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].unit) == 0) {
            *ret_bytes_per_s = value * units[i].bytes;
            return true;
        }
    }
    return false;
}

char *fs_text_moment(double epoch_s, char ret_text[FS_TEXT_SIZE])
{
    time_t moment = (time_t)epoch_s;
    struct tm tm;
    if (!localtime_r(&moment, &tm) || !strftime(ret_text, FS_TEXT_SIZE, "%F %T", &tm)) {
        snprintf(ret_text, FS_TEXT_SIZE, "?");
    }
    return ret_text;
}

struct fs_table {
    size_t columns;
    size_t count;
    size_t capacity;
    char **cells; /* owned */
};

static void *must(void *memory)
{
    if (!memory) {
        fputs("farshore: out of memory\n", stderr);
        abort();
    }
    return memory;
}

struct fs_table *fs_table_new(size_t columns)
{
    struct fs_table *table = must(calloc(1, sizeof(*table)));
    table->columns = columns;
    return table;
}

void fs_table_free(struct fs_table *table)
{
    if (!table) {
        return;
    }
    for (size_t i = 0; i < table->count; i++) {
        free(table->cells[i]);
    }
    free(table->cells);
    free(table);
}

void fs_table_cell(struct fs_table *table, const char *format, ...)
{
    if (table->count == table->capacity) {
        table->capacity = table->capacity ? 2 * table->capacity : 64;
        table->cells = must(realloc(table->cells, table->capacity * sizeof(char *)));
    }
    va_list args;
    va_start(args, format);
    char *text = NULL;
    if (vasprintf(&text, format, args) < 0) {
        text = NULL;
    }
    va_end(args);
    table->cells[table->count++] = must(text);
}

/* Columns on the screen: UTF-8 continuation bytes take none. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

void fs_table_print(const struct fs_table *table, FILE *out)
{
    for (size_t i = 0; i < table->count; i++) {
        size_t column = i % table->columns;
        fputs(table->cells[i], out);
        if (column + 1 == table->columns || i + 1 == table->count) {
            fputc('\n', out);
            continue;
        }
        size_t widest = 0;
        for (size_t j = column; j < table->count; j += table->columns) {
            size_t width = width_of(table->cells[j]);
            widest = width > widest ? width : widest;
        }
        fprintf(out, "%*s", (int)(widest - width_of(table->cells[i]) + 2), "");
    }
}
