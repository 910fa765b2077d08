/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a mem_store, for mem_*.c. */
#ifndef FARSHORE_SCENARIO_MEM_PRIVATE_H
#define FARSHORE_SCENARIO_MEM_PRIVATE_H

#include "tests/scenario/mem_store.h"

/* --- contents: sparse, copied by reference --------------------------------------------------- */

#define MEM_BLOCK 4096u

struct mem_block {
    unsigned refs;
    uint8_t bytes[MEM_BLOCK];
};

struct mem_content {
    uint64_t size;
    size_t n_blocks;
    struct mem_block **blocks; /* NULL: a hole */
};

void mem_content_init(struct mem_content *content, uint64_t size);
void mem_content_fini(struct mem_content *content);
void mem_content_copy(const struct mem_content *content, struct mem_content *ret_copy);
void mem_content_resize(struct mem_content *content, uint64_t size);
void mem_content_write(struct mem_content *content, uint64_t offset, const void *data,
                       uint64_t length);
void mem_content_zero(struct mem_content *content, uint64_t offset, uint64_t length);
void mem_content_read(const struct mem_content *content, uint64_t offset, void *data,
                      uint64_t length);
bool mem_content_equal(const struct mem_content *a, const struct mem_content *b);
/* The bytes of a block, zeroes for a hole or beyond the end. */
const uint8_t *mem_content_block(const struct mem_content *content, size_t index);

/* --- the store ------------------------------------------------------------------------------- */

struct mem_snap {
    uint64_t id;
    struct fs_uuid point; /* what its name says in a real cluster */
    struct mem_content content;
    uint64_t generation; /* of the image when it was taken */
};

struct mem_image {
    struct mem_store *store;
    struct fs_image_ref ref;
    struct fs_geometry geometry; /* its size is head.size */
    struct mem_content head;
    struct mem_content durable; /* of the head, at the last flush; targets only */
    bool trashed;               /* has no name any more */
    bool volatile_head;         /* head and durable may differ */
    uint64_t generation;        /* one more with each change */
    struct fs_uuid owner;       /* the stamp: group; zero: not ours */
    struct fs_uuid beside;      /* a source's stamp: of its group, which joins another; or zero */
    bool released;              /* the stamp: primary, and nobody holds it */
    bool in_use;                /* by a client of its users */
    bool believed;              /* held or parked, and it holds what the record says */
    uint64_t left;              /* the newest snapshot of what was kept aside; 0: none */
    size_t n_snaps;
    struct mem_snap **snaps;
    struct mem_image *next;
};

struct mem_fault {
    uint64_t countdown; /* 0: none */
    uint64_t times;
    enum fs_error_class class;
    int code;
};

/* Kubernetes objects that a point of a group carries, packed. */
struct mem_captured {
    struct fs_uuid group;
    struct fs_captured captured;
    struct fs_buf packed;
    struct mem_captured *next;
};

struct mem_pool {
    char name[FS_POOL_SIZE];
    int64_t id;
    struct mem_pool *next;
};

struct mem_store {
    struct fs_source source;
    struct fs_sink sink;
    struct fs_operator operators;
    struct fs_history_entry history[FS_HISTORY_MAX]; /* of all groups */
    size_t n_history;
    const struct fs_fence *users; /* borrowed */
    size_t n_users;
    char fsid[FS_NAME_SIZE];
    struct fs_mailbox *mailbox;
    const struct fs_clock *clock;
    uint64_t random;
    uint64_t next_id;
    struct mem_pool *pools;
    struct mem_image *images;
    struct mem_captured *captured;
    size_t n_records;
    struct fs_record **records;
    struct mem_fault faults[MEM_OP_COUNT];
    bool held[MEM_OP_COUNT];
    struct mem_action *parked;
    bool shuffle;
    uint64_t started[MEM_OP_COUNT];
    uint64_t in_flight[MEM_OP_COUNT];
    uint64_t crash_countdown;
    bool crashed;
};

/* One operation under way. finish does the work, calls done and frees the rest of the action's
 * object; err is what it shall fail with. */
struct mem_action {
    struct fs_letter letter;
    struct mem_store *store;
    enum mem_op kind;
    unsigned laps;
    bool dying; /* a take or a commit in which the process dies: finish crashes the store */
    struct fs_error err;
    void (*finish)(struct mem_action *action);
    struct mem_action *next;
};

/* calloc that cannot fail. */
void *mem_alloc(size_t count, size_t size);
uint64_t mem_random(struct mem_store *store);
/* Counts, applies faults and the crash, and lets finish run later. */
void mem_start(struct mem_store *store, enum mem_op kind, struct mem_action *action,
               void (*finish)(struct mem_action *action));

/* Passes a fault point (farshore/fault.h). True: the process died of it, nothing may follow. */
bool mem_pass(struct mem_store *store, const char *step);
/* After the work of an action: its error where the process died of it. */
void mem_died(struct mem_action *action);

struct mem_image *mem_store_find_ref(struct mem_store *store, const struct fs_image_ref *ref);
struct mem_snap *mem_image_snap(struct mem_image *image, uint64_t id);
/* The id of the point's snapshot: the one that is there, or a new one. */
uint64_t mem_image_take_snap(struct mem_image *image, const struct fs_uuid *point);
void mem_image_drop_snap(struct mem_image *image, uint64_t id);
void mem_image_flush(struct mem_image *image);
/* What a target's write does: not durable before the next flush. */
void mem_image_soften(struct mem_image *image);

struct mem_captured *mem_captured_find(const struct mem_store *store, const struct fs_uuid *group,
                                       const struct fs_captured *captured);
/* packed is copied. */
void mem_captured_keep(struct mem_store *store, const struct fs_uuid *group,
                       const struct fs_captured *captured, const struct fs_buf *packed);
/* What no point of the record names goes. */
void mem_captured_sweep(struct mem_store *store, const struct fs_record *record);

/* Guarded by version; -ESTALE. On success record->version is the new one. */
void mem_record_remove(struct mem_store *store, const struct fs_uuid *group);
int mem_record_store(struct mem_store *store, struct fs_record *record, struct fs_error *err);
struct fs_record **mem_record_slot(const struct mem_store *store, const struct fs_uuid *group);

/* The volumes of admission->joining become the record's, stored. False where the process died. */
bool mem_join(struct mem_store *store, const struct fs_admission *admission,
              struct fs_record *record, struct fs_error *err);
/* Do both sites start a volume that the base does not have from the same content? */
bool mem_same_seeds(struct fs_record *record, const struct fs_offer *offer,
                    const struct fs_uuid *base_id);

/* Of the sink's table. */
void mem_sink_note_current(struct fs_sink *sink, const struct fs_current *entries, size_t count,
                           fs_sink_io_fn *done, void *arg);

extern const struct fs_operator_ops mem_operator_ops;
extern const struct fs_source_ops mem_source_ops;
extern const struct fs_sink_ops mem_sink_ops;

#endif
