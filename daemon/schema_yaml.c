/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "daemon/schema_parts.h"

void fs_schema_finding_at(struct fs_schema_loader *loader, size_t line, size_t column,
                          const char *format, va_list args)
{
    char message[400];

    if (++loader->findings > FS_SCHEMA_FINDINGS_MAX) {
        return;
    }
    vsnprintf(message, sizeof(message), format, args);
    fs_error_set(loader->err, FS_ERR_CONFIG, EINVAL, "%s:%zu:%zu: %s", loader->file, line + 1,
                 column + 1, message);
    if (loader->errors) {
        fprintf(loader->errors, "%s:%zu:%zu: %s\n", loader->file, line + 1, column + 1, message);
        if (loader->findings == FS_SCHEMA_FINDINGS_MAX) {
            fprintf(loader->errors, "%s: further findings are left out\n", loader->file);
        }
    }
}

static void __attribute__((format(printf, 3, 4)))
finding_at_mark(struct fs_schema_loader *loader, const yaml_mark_t *mark, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fs_schema_finding_at(loader, mark->line, mark->column, format, args);
    va_end(args);
}

void fs_schema_finding(struct fs_schema_loader *loader, const yaml_node_t *node, const char *format,
                       ...)
{
    va_list args;

    va_start(args, format);
    fs_schema_finding_at(loader, node ? node->start_mark.line : 0,
                         node ? node->start_mark.column : 0, format, args);
    va_end(args);
}

/* Where a byte is that the reader choked on; it does not say so itself. */
static yaml_mark_t mark_of_offset(const char *text, size_t length, size_t offset)
{
    yaml_mark_t mark = {0};

    for (size_t i = 0; i < offset && i < length; i++) {
        if (text[i] == '\n') {
            mark.line++;
            mark.column = 0;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) {
            mark.column++;
        }
    }
    return mark;
}

static void parser_finding(struct fs_schema_loader *loader, const yaml_parser_t *parser,
                           const void *text, size_t length)
{
    const char *problem = parser->problem ? parser->problem : "cannot be parsed";

    switch (parser->error) {
    case YAML_MEMORY_ERROR:
        loader->out_of_memory = true;
        break;
    case YAML_READER_ERROR: {
        yaml_mark_t mark = mark_of_offset(text, length, parser->problem_offset);

        finding_at_mark(loader, &mark, "not YAML: %s (the file must be UTF-8 text)", problem);
        break;
    }
    default:
        finding_at_mark(loader, &parser->problem_mark, "not YAML: %s%s%s", problem,
                        parser->context ? ", " : "", parser->context ? parser->context : "");
    }
}

static void screen_properties(struct fs_schema_loader *loader, const yaml_event_t *event,
                              const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor) {
        finding_at_mark(loader, &event->start_mark,
                        "anchor \"&%.64s\": anchors and aliases are refused, write the value out",
                        (const char *)anchor);
    }
    if (tag) {
        finding_at_mark(loader, &event->start_mark, "tag \"%.64s\": tags are refused, leave it out",
                        (const char *)tag);
    }
}

/* What one event may be; false ends the screening. */
static bool screen_event(struct fs_schema_loader *loader, const yaml_event_t *event,
                         unsigned *documents, unsigned *depth)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++*documents > 1) {
            finding_at_mark(loader, &event->start_mark,
                            "a second document begins: the file must hold one");
            return false;
        }
        break;
    case YAML_ALIAS_EVENT:
        finding_at_mark(loader, &event->start_mark,
                        "alias \"*%.64s\": anchors and aliases are refused, write the value out",
                        (const char *)event->data.alias.anchor);
        break;
    case YAML_SCALAR_EVENT:
        screen_properties(loader, event, event->data.scalar.anchor, event->data.scalar.tag);
        if (memchr(event->data.scalar.value, 0, event->data.scalar.length)) {
            finding_at_mark(loader, &event->start_mark, "a NUL character is refused");
        }
        break;
    case YAML_SEQUENCE_START_EVENT:
        screen_properties(loader, event, event->data.sequence_start.anchor,
                          event->data.sequence_start.tag);
        ++*depth;
        break;
    case YAML_MAPPING_START_EVENT:
        screen_properties(loader, event, event->data.mapping_start.anchor,
                          event->data.mapping_start.tag);
        ++*depth;
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        --*depth;
        break;
    default:
        break;
    }
    if (*depth > FS_SCHEMA_DEPTH_MAX) {
        finding_at_mark(loader, &event->start_mark, "nested more than %d levels deep",
                        FS_SCHEMA_DEPTH_MAX);
        return false;
    }
    return true;
}

bool fs_schema_screen(struct fs_schema_loader *loader, const void *text, size_t length)
{
    yaml_parser_t parser;
    unsigned documents = 0;
    unsigned depth = 0;
    bool more = true;

    if (length > FS_SCHEMA_TEXT_MAX) {
        fs_schema_finding(loader, NULL, "the file has more than %u bytes", FS_SCHEMA_TEXT_MAX);
        return false;
    }
    if (!yaml_parser_initialize(&parser)) {
        loader->out_of_memory = true;
        return false;
    }
    yaml_parser_set_input_string(&parser, text, length);
    while (more) {
        yaml_event_t event;

        if (!yaml_parser_parse(&parser, &event)) {
            parser_finding(loader, &parser, text, length);
            break;
        }
        more =
            screen_event(loader, &event, &documents, &depth) && event.type != YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return loader->findings == 0 && !loader->out_of_memory;
}

bool fs_schema_compose(struct fs_schema_loader *loader, const void *text, size_t length)
{
    yaml_parser_t parser;

    if (!yaml_parser_initialize(&parser)) {
        loader->out_of_memory = true;
        return false;
    }
    yaml_parser_set_input_string(&parser, text, length);

    bool ok = yaml_parser_load(&parser, &loader->document);

    if (!ok) {
        parser_finding(loader, &parser, text, length);
    }
    yaml_parser_delete(&parser);
    return ok;
}
