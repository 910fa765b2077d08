/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every message decoder: the first byte picks one, the rest is the payload. What is accepted must
 * encode again to the very same bytes, so that nothing the decoder let pass gets lost.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "farshore/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void no_fini(const void *message)
{
    (void)message;
}

static void check(int r, const struct fs_error *err)
{
    if ((r != 0 && r != -EPROTO && r != -ENOMEM) || (r != 0) != fs_error_is_set(err)) {
        abort();
    }
}

#define TRY(name, fini)                                                                            \
    static void try_##name(const uint8_t *payload, size_t length, bool canonical)                  \
    {                                                                                              \
        struct fs_##name message;                                                                  \
        struct fs_error err = FS_ERROR_INIT;                                                       \
        int r = fs_##name##_decode(payload, length, &message, &err);                               \
        check(r, &err);                                                                            \
        if (r != 0) {                                                                              \
            return;                                                                                \
        }                                                                                          \
        struct fs_buf buf = FS_BUF_INIT;                                                           \
        fs_##name##_encode(&message, &buf);                                                        \
        if (buf.failed ||                                                                          \
            (canonical &&                                                                          \
             (buf.length != length || (length > 0 && memcmp(buf.data, payload, length) != 0)))) {  \
            abort();                                                                               \
        }                                                                                          \
        fs_buf_fini(&buf);                                                                         \
        fini(&message);                                                                            \
    }

TRY(hello, no_fini)
TRY(ping, no_fini)
TRY(credit, no_fini)
TRY(offer, fs_offer_fini)
TRY(accept, fs_accept_fini)
TRY(refuse, no_fini)
TRY(segment, fs_segment_fini)
TRY(progress, fs_progress_fini)
TRY(commit, fs_commit_fini)
TRY(committed, no_fini)
TRY(text, no_fini)
TRY(current_list, fs_current_list_fini)
TRY(verify, no_fini)
TRY(verify_report, no_fini)
TRY(digest_open, no_fini)
TRY(digest_ready, no_fini)
TRY(digest_want, no_fini)
TRY(digest_batch, fs_digest_batch_fini)
TRY(terms, fs_terms_fini)
TRY(move, no_fini)
TRY(move_answer, no_fini)
TRY(fence_want, no_fini)
TRY(fence_done, no_fini)
TRY(lanes, no_fini)
TRY(lane, no_fini)
TRY(objects_want, no_fini)
TRY(objects_data, no_fini)
TRY(fence_look, no_fini)
TRY(fence_seen, fs_fence_seen_fini)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct {
        void (*try)(const uint8_t *payload, size_t length, bool canonical);
        bool canonical;
    } decoders[] = {
        {try_hello, false}, /* bytes of later versions may follow */
        {try_ping, true},         {try_credit, true},        {try_offer, true},
        {try_accept, true},       {try_refuse, false}, /* reasons of later versions are folded into
                                                        * one
                                                        */
        {try_segment, true},      {try_progress, true},      {try_commit, true},
        {try_committed, true},    {try_text, true},          {try_current_list, true},
        {try_verify, true},       {try_verify_report, true}, {try_digest_open, true},
        {try_digest_ready, true}, {try_digest_want, true},   {try_digest_batch, true},
        {try_terms, false}, /* roles of later versions are folded into one */
        {try_move, true},         {try_move_answer, true},   {try_fence_want, true},
        {try_fence_done, true},   {try_objects_want, true},  {try_objects_data, true},
        {try_fence_look, true},   {try_fence_seen, true},    {try_lanes, true},
        {try_lane, true},
    };
    if (size == 0) {
        return 0;
    }
    size_t pick = data[0] % (sizeof(decoders) / sizeof(decoders[0]));
    decoders[pick].try(data + 1, size - 1, decoders[pick].canonical);
    return 0;
}
