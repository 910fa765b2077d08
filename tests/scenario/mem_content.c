/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scenario/mem_private.h"

#include <assert.h>
#include <stdlib.h>

static const uint8_t zeroes[MEM_BLOCK];

static void unref(struct mem_block *block)
{
    if (block && --block->refs == 0) {
        free(block);
    }
}

static size_t blocks_of(uint64_t size)
{
    return (size_t)((size + MEM_BLOCK - 1) / MEM_BLOCK);
}

void mem_content_init(struct mem_content *content, uint64_t size)
{
    assert(size <= UINT64_C(1) << 30);
    content->size = size;
    content->n_blocks = blocks_of(size);
    content->blocks = mem_alloc(content->n_blocks + 1, sizeof(content->blocks[0]));
}

void mem_content_fini(struct mem_content *content)
{
    for (size_t i = 0; i < content->n_blocks; i++) {
        unref(content->blocks[i]);
    }
    free(content->blocks);
    *content = (struct mem_content){0};
}

void mem_content_copy(const struct mem_content *content, struct mem_content *ret_copy)
{
    mem_content_init(ret_copy, content->size);
    for (size_t i = 0; i < content->n_blocks; i++) {
        ret_copy->blocks[i] = content->blocks[i];
        if (content->blocks[i]) {
            content->blocks[i]->refs++;
        }
    }
}

void mem_content_resize(struct mem_content *content, uint64_t size)
{
    struct mem_content other;
    if (size < content->size) { /* what grows again reads as zeroes */
        mem_content_zero(content, size, content->size - size);
    }
    mem_content_init(&other, size);
    for (size_t i = 0; i < other.n_blocks && i < content->n_blocks; i++) {
        other.blocks[i] = content->blocks[i];
        content->blocks[i] = NULL;
    }
    mem_content_fini(content);
    *content = other;
}

/* A block of one's own to write into. */
static struct mem_block *own(struct mem_content *content, size_t index)
{
    struct mem_block *block = content->blocks[index];
    if (!block || block->refs > 1) {
        struct mem_block *copy = mem_alloc(1, sizeof(*copy));
        copy->refs = 1;
        if (block) {
            memcpy(copy->bytes, block->bytes, MEM_BLOCK);
            unref(block);
        }
        content->blocks[index] = copy;
    }
    return content->blocks[index];
}

void mem_content_write(struct mem_content *content, uint64_t offset, const void *data,
                       uint64_t length)
{
    const uint8_t *from = data;
    assert(offset <= content->size && length <= content->size - offset);
    while (length > 0) {
        size_t at = offset % MEM_BLOCK;
        size_t part = MEM_BLOCK - at < length ? MEM_BLOCK - at : (size_t)length;
        memcpy(own(content, offset / MEM_BLOCK)->bytes + at, from, part);
        from += part;
        offset += part;
        length -= part;
    }
}

void mem_content_zero(struct mem_content *content, uint64_t offset, uint64_t length)
{
    assert(offset <= content->size && length <= content->size - offset);
    while (length > 0) {
        size_t at = offset % MEM_BLOCK;
        size_t part = MEM_BLOCK - at < length ? MEM_BLOCK - at : (size_t)length;
        struct mem_block **block = &content->blocks[offset / MEM_BLOCK];
        if (part == MEM_BLOCK) {
            unref(*block);
            *block = NULL;
        } else if (*block) {
            memset(own(content, offset / MEM_BLOCK)->bytes + at, 0, part);
        }
        offset += part;
        length -= part;
    }
}

const uint8_t *mem_content_block(const struct mem_content *content, size_t index)
{
    return index < content->n_blocks && content->blocks[index] ? content->blocks[index]->bytes
                                                               : zeroes;
}

void mem_content_read(const struct mem_content *content, uint64_t offset, void *data,
                      uint64_t length)
{
    uint8_t *to = data;
    assert(offset <= content->size && length <= content->size - offset);
    while (length > 0) {
        size_t at = offset % MEM_BLOCK;
        size_t part = MEM_BLOCK - at < length ? MEM_BLOCK - at : (size_t)length;
        memcpy(to, mem_content_block(content, offset / MEM_BLOCK) + at, part);
        to += part;
        offset += part;
        length -= part;
    }
}

bool mem_content_equal(const struct mem_content *a, const struct mem_content *b)
{
    if (a->size != b->size) {
        return false;
    }
    for (size_t i = 0; i < a->n_blocks; i++) {
        if (a->blocks[i] != b->blocks[i] &&
            memcmp(mem_content_block(a, i), mem_content_block(b, i), MEM_BLOCK) != 0) {
            return false;
        }
    }
    return true;
}
