/* SPDX-License-Identifier: Apache-2.0 */
/* What both ends of a stream share. LOOP. */
#ifndef FARSHORE_SHIP_STREAM_H
#define FARSHORE_SHIP_STREAM_H

#include "farshore/session.h"

/* Send one message: FS_STREAM_SEND(session, FS_FRAME_COMMIT, stream, commit, &commit). The session
 * ends when memory is short. */
#define FS_STREAM_SEND(session, type, stream, name, message)                                       \
    do {                                                                                           \
        struct fs_buf fs_stream_buf = FS_BUF_INIT;                                                 \
        size_t fs_stream_at = fs_frame_begin(&fs_stream_buf, (type), FS_FRAME_CRITICAL, (stream)); \
        fs_##name##_encode((message), &fs_stream_buf);                                             \
        fs_frame_finish(&fs_stream_buf, fs_stream_at);                                             \
        fs_session_send((session), &fs_stream_buf);                                                \
        fs_buf_fini(&fs_stream_buf);                                                               \
    } while (0)

#endif
