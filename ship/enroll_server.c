/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answering end. Everything is done on the loop: a question is some hundred bytes, a signature
 * takes less than a millisecond. Who says nothing, or too much, is let go of; who has neither a
 * certificate nor an invitation to hope for is not listened to at all.
 */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "farshore/file.h"
#include "ship/enroll_private.h"
#include "ship/tls_private.h"

#define GUESTS_MAX 8
#define GUEST_NS   (10 * FS_SEC)
#define HEAD       sizeof(uint32_t)

struct guest {
    struct fs_enroll_server *server;
    struct guest *next; /* newest first */
    struct fs_transport *transport;
    struct event *timeout;
    bool answered;
    size_t length; /* that arrived */
    uint8_t bytes[HEAD + FS_ENROLL_MESSAGE_MAX];
};

struct fs_enroll_server {
    struct fs_enroll_server_options options;
    struct guest *guests;
    size_t n_guests;
};

static void free_guest(struct guest *guest)
{
    struct guest **at = &guest->server->guests;

    while (*at != guest) {
        at = &(*at)->next;
    }
    *at = guest->next;
    guest->server->n_guests--;
    guest->transport->ops->close(guest->transport);
    if (guest->timeout) {
        event_free(guest->timeout);
    }
    free(guest);
}

/* --- the answer ------------------------------------------------------------------------------ */

/* Who asks may have what they ask for. */
static int authenticate(const struct guest *guest, const struct fs_enroll_authority *authority,
                        const struct fs_enroll_question *question, struct fs_error *err)
{
    const struct fs_transport *transport = guest->transport;
    int64_t now_s = fs_clock_wall(guest->server->options.clock) / FS_SEC;
    uint8_t shown[FS_PKI_HASH], asked[FS_PKI_HASH];

    if (question->invited) {
        return fs_enroll_use(authority, now_s, question->site, question->secret, err);
    }
    int rc = fs_pki_request_key(question->request, asked, err);
    if (rc < 0) {
        return rc;
    }
    /* The same key: whoever has it could go on as that site anyway. */
    if (!fs_tls_peer_key(transport, shown) || !transport->peer_is(transport, question->site) ||
        memcmp(shown, asked, sizeof(shown)) != 0) {
        return fs_error_set(err, FS_ERR_PEER, EACCES,
                            "a certificate is renewed only for the site and the key that it is of");
    }
    return 0;
}

static int sign(const struct fs_enroll_authority *authority,
                const struct fs_enroll_question *question, struct fs_enroll_answer *answer,
                struct fs_error *err)
{
    char *ca = NULL, *key = NULL, *cert = NULL;
    int rc = fs_file_read(authority->ca, sizeof(answer->ca) - 1, &ca, err);

    if (rc == 0) {
        rc = fs_file_read(authority->key, FS_PKI_TEXT_MAX, &key, err);
    }
    if (rc == 0) {
        rc = fs_pki_sign(ca, key, question->request, question->site, FS_PKI_SITE_DAYS, &cert, err);
    }
    if (rc == 0) {
        (void)snprintf(answer->ca, sizeof(answer->ca), "%s", ca);
        (void)snprintf(answer->cert, sizeof(answer->cert), "%s", cert);
    }
    fs_pki_free_key(key);
    free(ca);
    free(cert);
    return rc;
}

static void send_answer(struct guest *guest, const struct fs_enroll_answer *answer)
{
    char *text = fs_enroll_answer_encode(answer);
    struct fs_buf buf = FS_BUF_INIT;

    if (text) {
        fs_buf_put_u32(&buf, (uint32_t)strlen(text));
        fs_buf_put(&buf, text, strlen(text));
    }
    free(text);
    if (buf.failed) {
        buf.length = 0;
    }
    /* The asking end closes; who does not is let go of in time. */
    guest->transport->ops->send(guest->transport, &buf);
}

static void respond(struct guest *guest)
{
    const struct fs_enroll_server_options *options = &guest->server->options;
    struct fs_enroll_answer *answer = calloc(1, sizeof(*answer));
    struct fs_enroll_authority authority;
    struct fs_enroll_question question = {0};
    struct fs_error err = FS_ERROR_INIT;
    int rc = answer ? fs_enroll_question_decode((const char *)guest->bytes + HEAD,
                                                guest->length - HEAD, &question, &err)
                    : fs_error_set(&err, FS_ERR_TRANSIENT, ENOMEM, "out of memory");

    guest->answered = true;
    if (rc == 0) {
        rc = options->authority(options->arg, &authority, &err);
    }
    if (rc == 0) {
        rc = authenticate(guest, &authority, &question, &err);
    }
    if (rc == 0) {
        options->consent(options->arg, question.site, answer);
        if (answer->refusal[0]) {
            rc = fs_error_set(&err, FS_ERR_CONFIG, EACCES, "%s", answer->refusal);
        } else {
            rc = sign(&authority, &question, answer, &err);
        }
    }
    options->told(options->arg, question.site, guest->transport->address, !question.invited, &err);
    if (answer) {
        if (rc < 0) {
            (void)snprintf(answer->refusal, sizeof(answer->refusal), "%s", err.message);
        }
        send_answer(guest, answer);
        fs_enroll_answer_fini(answer);
    }
    free(answer);
}

/* --- the connection -------------------------------------------------------------------------- */

static uint8_t *on_room(void *arg, size_t *ret_length)
{
    struct guest *guest = arg;

    *ret_length = sizeof(guest->bytes) - guest->length;
    return *ret_length > 0 ? guest->bytes + guest->length : NULL;
}

static void on_received(void *arg, size_t length)
{
    struct guest *guest = arg;
    struct fs_cursor cursor = fs_cursor_of(guest->bytes, HEAD);

    guest->length += length;
    if (guest->length < HEAD) {
        return;
    }
    uint32_t announced = fs_cursor_get_u32(&cursor);
    if (guest->answered || announced == 0 || announced > FS_ENROLL_MESSAGE_MAX ||
        guest->length > HEAD + announced) {
        free_guest(guest);
    } else if (guest->length == HEAD + announced) {
        respond(guest);
    }
}

static void on_drained(void *arg)
{
    (void)arg;
}

static void on_closed(void *arg, const struct fs_error *err)
{
    (void)err;
    free_guest(arg);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    free_guest(arg);
}

static const struct fs_transport_events guest_events = {
    .room = on_room,
    .received = on_received,
    .drained = on_drained,
    .closed = on_closed,
};

void fs_enroll_server_accept(void *arg, struct fs_transport *transport)
{
    struct fs_enroll_server *server = arg;
    const struct fs_enroll_server_options *options = &server->options;
    struct timeval timeout = tls_timeval(GUEST_NS);
    struct fs_enroll_authority authority;
    struct fs_error ignored = FS_ERROR_INIT;
    uint8_t key[FS_PKI_HASH];
    bool expected = options->authority(options->arg, &authority, &ignored) == 0 &&
                    (fs_tls_peer_key(transport, key) ||
                     fs_enroll_is_invited(&authority, fs_clock_wall(options->clock) / FS_SEC));
    struct guest *guest = expected ? calloc(1, sizeof(*guest)) : NULL;

    if (!guest) {
        transport->ops->close(transport);
        return;
    }
    if (server->n_guests == GUESTS_MAX) {
        struct guest *oldest = server->guests;
        while (oldest->next) {
            oldest = oldest->next;
        }
        free_guest(oldest);
    }
    guest->server = server;
    guest->transport = transport;
    guest->next = server->guests;
    server->guests = guest;
    server->n_guests++;
    transport->events = &guest_events;
    transport->events_arg = guest;
    guest->timeout = evtimer_new(options->base, on_timeout, guest);
    if (!guest->timeout || event_add(guest->timeout, &timeout) < 0) {
        free_guest(guest);
    }
}

struct fs_enroll_server *fs_enroll_server_new(const struct fs_enroll_server_options *options)
{
    struct fs_enroll_server *server = calloc(1, sizeof(*server));

    if (server) {
        server->options = *options;
    }
    return server;
}

void fs_enroll_server_free(struct fs_enroll_server *server)
{
    while (server && server->guests) {
        free_guest(server->guests);
    }
    free(server);
}
