/* SPDX-License-Identifier: Apache-2.0 */
/* TLS over loopback sockets, with certificates that are made here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "farshore/tls.h"

static char dir[] = "/tmp/farshore-test-tls-XXXXXX";

/* --- certificates --------------------------------------------------------------------------- */

struct identity {
    EVP_PKEY *key;
    X509 *cert;
};

static struct identity our_ca;

static char *path_of(const char *name, const char *suffix)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof(paths[0]), "%s/%s.%s", dir, name, suffix);
    return path;
}

static void add_extension(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(cert, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* Signed by issuer (NULL: by itself, a CA); valid from now + from to now + to seconds. Written to
 * NAME.crt and NAME.key. san NULL: none. */
static struct identity make(const char *name, const char *cn, const char *san,
                            const struct identity *issuer, long from, long to)
{
    static long serial = 1;
    struct identity made = {EVP_EC_gen("P-256"), X509_new()};
    assert_non_null(made.key);
    X509_set_version(made.cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made.cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(made.cert), from);
    X509_gmtime_adj(X509_getm_notAfter(made.cert), to);
    X509_set_pubkey(made.cert, made.key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made.cert), "CN", MBSTRING_UTF8,
                               (const unsigned char *)cn, -1, -1, 0);
    X509_set_issuer_name(made.cert,
                         X509_get_subject_name(issuer == NULL ? made.cert : issuer->cert));
    add_extension(made.cert, NID_basic_constraints,
                  issuer == NULL ? "critical,CA:TRUE" : "CA:FALSE");
    if (san != NULL) {
        add_extension(made.cert, NID_subject_alt_name, san);
    }
    assert_true(X509_sign(made.cert, issuer == NULL ? made.key : issuer->key, EVP_sha256()) > 0);

    FILE *file = fopen(path_of(name, "crt"), "w");
    assert_int_equal(PEM_write_X509(file, made.cert), 1);
    fclose(file);
    file = fopen(path_of(name, "key"), "w");
    assert_int_equal(PEM_write_PrivateKey(file, made.key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
    return made;
}

static void drop(struct identity *identity)
{
    EVP_PKEY_free(identity->key);
    X509_free(identity->cert);
}

static int make_certificates(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(dir));
    const long year = 365 * 86400L;
    our_ca = make("ca", "our CA", NULL, NULL, -60, year);
    struct identity other = make("other-ca", "another CA", NULL, NULL, -60, year);
    struct identity made[] = {
        make("east", "east", "DNS:east", &our_ca, -60, year),
        make("west", "ignored", "DNS:west,DNS:west-2,DNS:*.example.net", &our_ca, -60, year),
        make("no-san", "south", NULL, &our_ca, -60, year),
        make("stranger", "east", "DNS:east", &other, -60, year),
        make("expired", "east", "DNS:east", &our_ca, -year, -60),
    };
    for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
        drop(&made[i]);
    }
    drop(&other);
    return 0;
}

static int remove_certificates(void **state)
{
    (void)state;
    drop(&our_ca);
    char command[128];
    snprintf(command, sizeof(command), "rm -r '%s'", dir);
    return system(command);
}

static struct fs_tls *load(const char *name, const char *ca)
{
    struct fs_tls *tls;
    struct fs_error err = FS_ERROR_INIT;
    if (fs_tls_new(path_of(name, "crt"), path_of(name, "key"), path_of(ca, "crt"), &tls, &err) <
        0) {
        fail_msg("%s", err.message);
    }
    return tls;
}

/* --- a loop with two ends ------------------------------------------------------------------- */

struct peer {
    struct fs_transport *transport;
    struct fs_error closed;
    uint64_t received, drained;
    uint64_t sum; /* of what was received, by position */
    size_t unit;  /* the most room that it gives at once; 0: all it has */
    uint8_t room[64 * 1024];
};

struct world {
    struct event_base *base;
    struct fs_tls_listener *listener;
    char address[64];
    struct peer server, client;
    struct fs_error dial_err;
    bool dialed;
    unsigned accepted;
};

static uint64_t mix(uint64_t sum, uint64_t position, const uint8_t *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        sum += (position + i + 1) * (data[i] + 1u);
    }
    return sum;
}

static uint8_t *on_room(void *arg, size_t *ret_length)
{
    struct peer *peer = arg;
    *ret_length = peer->unit == 0 ? sizeof(peer->room) : peer->unit;
    return peer->room;
}

static void on_received(void *arg, size_t length)
{
    struct peer *peer = arg;
    assert_in_range(length, 1, peer->unit == 0 ? sizeof(peer->room) : peer->unit);
    peer->sum = mix(peer->sum, peer->received, peer->room, length);
    peer->received += length;
}

static void on_drained(void *arg)
{
    struct peer *peer = arg;
    peer->drained++;
    assert_true(peer->transport->ops->pending(peer->transport) < FS_TRANSPORT_LOW);
}

static void on_closed(void *arg, const struct fs_error *err)
{
    struct peer *peer = arg;
    assert_false(fs_error_is_set(&peer->closed));
    assert_true(fs_error_is_set(err));
    peer->closed = *err;
}

static const struct fs_transport_events transport_events = {on_room, on_received, on_drained,
                                                            on_closed};

static void own(struct peer *peer, struct fs_transport *transport)
{
    peer->transport = transport;
    transport->events = &transport_events;
    transport->events_arg = peer;
}

static void on_accepted(void *arg, struct fs_transport *transport)
{
    struct world *world = arg;
    world->accepted++;
    assert_false(transport->dialed);
    if (world->server.transport != NULL) {
        transport->ops->close(transport);
        return;
    }
    own(&world->server, transport);
}

static void on_dialed(void *arg, struct fs_transport *transport, const struct fs_error *err)
{
    struct world *world = arg;
    world->dialed = true;
    world->dial_err = *err;
    if (transport != NULL) {
        assert_true(transport->dialed);
        own(&world->client, transport);
    } else {
        assert_true(fs_error_is_set(err));
    }
}

static void open_world(struct world *world, struct fs_tls *tls, unsigned max_handshakes,
                       int64_t handshake_ns)
{
    memset(world, 0, sizeof(*world));
    world->base = event_base_new();
    struct fs_error err = FS_ERROR_INIT;
    if (fs_tls_listen(world->base, tls, "127.0.0.1:0", max_handshakes, handshake_ns, on_accepted,
                      world, &world->listener, &err) < 0) {
        fail_msg("%s", err.message);
    }
    snprintf(world->address, sizeof(world->address), "127.0.0.1:%u",
             fs_tls_listener_port(world->listener));
    fs_tls_unref(tls); /* the listener has its own */
}

static void close_peer(struct peer *peer)
{
    if (peer->transport != NULL) {
        peer->transport->ops->close(peer->transport);
        peer->transport = NULL;
    }
}

static void close_world(struct world *world)
{
    close_peer(&world->client);
    close_peer(&world->server);
    fs_tls_listener_free(world->listener);
    event_base_free(world->base);
}

/* Runs the loop until done or for ten seconds. */
#define RUN_UNTIL(world, done)                                                                     \
    do {                                                                                           \
        int64_t run_end = fs_clock_boot(fs_clock_system()) + 10 * FS_SEC;                          \
        while (!(done) && fs_clock_boot(fs_clock_system()) < run_end) {                            \
            run_for(world, 50);                                                                    \
        }                                                                                          \
        assert_true(done);                                                                         \
    } while (0)

static void run_for(struct world *world, int ms)
{
    struct timeval time = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    event_base_loopexit(world->base, &time);
    event_base_loop(world->base, EVLOOP_ONCE);
}

static void dial(struct world *world, struct fs_tls *tls)
{
    assert_non_null(fs_tls_dial(world->base, tls, world->address, 5 * FS_SEC, on_dialed, world));
    assert_false(world->dialed);
    fs_tls_unref(tls);
    RUN_UNTIL(world, world->dialed);
}

static void connect_both(struct world *world)
{
    open_world(world, load("west", "ca"), 4, 5 * FS_SEC);
    dial(world, load("east", "ca"));
    if (world->client.transport == NULL) {
        fail_msg("%s", world->dial_err.message);
    }
    RUN_UNTIL(world, world->server.transport != NULL);
}

static void check_says(const struct fs_error *err, const char *words)
{
    if (strstr(err->message, words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", err->message, words);
    }
}

/* --- files ---------------------------------------------------------------------------------- */

static void check_load(const char *cert, const char *key, const char *ca, int code,
                       const char *words)
{
    struct fs_tls *tls;
    struct fs_error err = FS_ERROR_INIT;
    assert_int_equal(
        fs_tls_new(path_of(cert, "crt"), path_of(key, "key"), path_of(ca, "crt"), &tls, &err),
        -code);
    assert_null(tls);
    assert_int_equal(err.class, FS_ERR_CONFIG);
    check_says(&err, words);
}

static void test_load_names_the_bad_file(void **state)
{
    (void)state;
    FILE *file = fopen(path_of("garbage", "crt"), "w");
    fputs("not PEM\n", file);
    fclose(file);
    assert_int_equal(link(path_of("garbage", "crt"), path_of("garbage", "key")), 0);

    check_load("missing", "east", "ca", ENOENT, "missing.crt");
    check_load("east", "missing", "ca", ENOENT, "missing.key");
    check_load("east", "east", "missing", ENOENT, "missing.crt");
    check_load("garbage", "east", "ca", EINVAL, "tls.cert");
    check_load("east", "garbage", "ca", EINVAL, "tls.key");
    check_load("east", "east", "garbage", EINVAL, "tls.ca");
    check_load("east", "west", "ca", EINVAL, "not the key of the certificate");
    check_load("expired", "expired", "ca", EKEYEXPIRED, "renew");
}

static void test_not_after_is_the_certificates(void **state)
{
    (void)state;
    struct fs_tls *tls = load("east", "ca");
    int64_t left = fs_tls_not_after(tls) - fs_clock_wall(fs_clock_system()) / FS_SEC;
    assert_in_range(left, 364 * 86400, 365 * 86400);
    fs_tls_unref(tls);
}

/* --- handshakes ----------------------------------------------------------------------------- */

static void test_handshake_tells_who_the_peer_is(void **state)
{
    (void)state;
    struct world world;
    connect_both(&world);
    const struct fs_transport *client = world.client.transport, *server = world.server.transport;
    assert_true(client->peer_is(client, "west"));
    assert_true(client->peer_is(client, "west-2"));
    assert_false(client->peer_is(client, "ignored")); /* a CN beside DNS names */
    assert_false(client->peer_is(client, "east"));
    assert_false(client->peer_is(client, "a.example.net"));
    assert_false(client->peer_is(client, ".example.net"));
    assert_false(client->peer_is(client, ""));
    assert_true(server->peer_is(server, "east"));
    assert_non_null(strstr(client->address, "127.0.0.1:"));
    close_world(&world);
}

static void test_handshake_cn_counts_without_dns_names(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, load("no-san", "ca"), 4, 5 * FS_SEC);
    dial(&world, load("east", "ca"));
    assert_true(world.client.transport->peer_is(world.client.transport, "south"));
    assert_false(world.client.transport->peer_is(world.client.transport, "north"));
    close_world(&world);
}

static void test_handshake_unknown_ca_of_listener_fails_dial(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, load("stranger", "ca"), 4, 5 * FS_SEC);
    dial(&world, load("east", "ca"));
    assert_null(world.client.transport);
    assert_int_equal(world.dial_err.class, FS_ERR_CONFIG);
    check_says(&world.dial_err, "unknown CA");
    assert_int_equal(world.accepted, 0);
    close_world(&world);
}

static void test_handshake_unknown_ca_of_dialer_is_told_by_closed(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, load("west", "ca"), 4, 5 * FS_SEC);
    dial(&world, load("stranger", "ca"));
    RUN_UNTIL(&world, fs_error_is_set(&world.client.closed));
    check_says(&world.client.closed, "does not know the CA of our certificate");
    assert_int_equal(world.accepted, 0);
    close_world(&world);
}

static void test_handshake_expired_peer_is_refused(void **state)
{
    (void)state;
    struct world world;
    struct identity made = make("short", "east", "DNS:east", &our_ca, -60, 3);
    drop(&made);
    struct fs_tls *tls = load("short", "ca"); /* expires while it is loaded */
    sleep(4);
    open_world(&world, tls, 4, 5 * FS_SEC);
    dial(&world, load("east", "ca"));
    assert_null(world.client.transport);
    check_says(&world.dial_err, "has expired");
    close_world(&world);
}

/* --- clients that are not ours -------------------------------------------------------------- */

static int connect_raw(const struct world *world)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)fs_tls_listener_port(world->listener)),
        .sin_addr = {htonl(INADDR_LOOPBACK)},
    };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* True when the other side has hung up. */
static bool hung_up(int fd)
{
    char bytes[1024];
    ssize_t n;
    do {
        n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    } while (n > 0);
    return n == 0 || (n < 0 && errno != EAGAIN);
}

/* A handshake by a plain OpenSSL client; the server must not accept it. */
static void check_foreign(const char *cert, int version, const unsigned char *alpn)
{
    struct world world;
    open_world(&world, load("west", "ca"), 4, 5 * FS_SEC);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(ctx, version);
    if (alpn != NULL) {
        assert_int_equal(SSL_CTX_set_alpn_protos(ctx, alpn, alpn[0] + 1u), 0);
    }
    if (cert != NULL) {
        assert_int_equal(SSL_CTX_use_certificate_file(ctx, path_of(cert, "crt"), SSL_FILETYPE_PEM),
                         1);
        assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, path_of(cert, "key"), SSL_FILETYPE_PEM),
                         1);
    }
    int fd = connect_raw(&world);
    evutil_make_socket_nonblocking(fd);
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    SSL_set_connect_state(ssl);
    bool over = false;
    for (unsigned i = 0; i < 200 && !over; i++) {
        char byte;
        int r = SSL_is_init_finished(ssl) ? SSL_read(ssl, &byte, 1) : SSL_do_handshake(ssl);
        int why = SSL_get_error(ssl, r);
        over = r != 1 && why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE;
        run_for(&world, 20);
    }
    assert_true(over);
    assert_int_equal(world.accepted, 0);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
    close_world(&world);
}

static const unsigned char alpn_ours[] = "\x0a"
                                         "farshore/1";
static const unsigned char alpn_http[] = "\x02"
                                         "h2";

static void test_foreign_client_is_refused(void **state)
{
    (void)state;
    check_foreign("east", TLS1_2_VERSION, alpn_ours);
    check_foreign(NULL, TLS1_3_VERSION, alpn_ours);
    check_foreign("east", TLS1_3_VERSION, alpn_http);
    check_foreign("east", TLS1_3_VERSION, NULL);
    check_foreign("stranger", TLS1_3_VERSION, alpn_ours);
    check_foreign("expired", TLS1_3_VERSION, alpn_ours);
}

static void test_garbage_is_refused(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, load("west", "ca"), 4, 5 * FS_SEC);
    int fd = connect_raw(&world);
    assert_int_equal(write(fd, "GET / HTTP/1.1\r\n\r\n", 18), 18);
    RUN_UNTIL(&world, hung_up(fd));
    assert_int_equal(world.accepted, 0);
    close(fd);
    close_world(&world);
}

static void test_silent_connections_are_bounded_in_number_and_time(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, load("west", "ca"), 2, FS_SEC);
    int fds[4];
    for (unsigned i = 0; i < 4; i++) {
        fds[i] = connect_raw(&world);
    }
    run_for(&world, 200);
    assert_true(hung_up(fds[0])); /* the oldest make room */
    assert_true(hung_up(fds[1]));
    assert_false(hung_up(fds[2]));
    assert_false(hung_up(fds[3]));
    RUN_UNTIL(&world, hung_up(fds[2]) && hung_up(fds[3]));
    for (unsigned i = 0; i < 4; i++) {
        close(fds[i]);
    }
    dial(&world, load("east", "ca")); /* and there is room again */
    RUN_UNTIL(&world, world.accepted == 1);
    close_world(&world);
}

static void test_listener_freed_during_handshakes_leaves_nothing(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, load("west", "ca"), 4, 5 * FS_SEC);
    int fd = connect_raw(&world);
    run_for(&world, 100);
    close_world(&world);
    assert_true(hung_up(fd));
    close(fd);
}

/* --- dialing -------------------------------------------------------------------------------- */

static void check_dial_fails(const char *address, enum fs_error_class class, const char *words)
{
    struct world world;
    open_world(&world, load("west", "ca"), 4, 5 * FS_SEC);
    snprintf(world.address, sizeof(world.address), "%s", address);
    dial(&world, load("east", "ca"));
    assert_null(world.client.transport);
    assert_int_equal(world.dial_err.class, class);
    check_says(&world.dial_err, words);
    close_world(&world);
}

static void test_dial_says_what_is_wrong(void **state)
{
    (void)state;
    check_dial_fails("127.0.0.1:1", FS_ERR_TRANSIENT, "cannot connect to 127.0.0.1:1");
    check_dial_fails("[::1]:1", FS_ERR_TRANSIENT, "cannot connect to [::1]:1");
    check_dial_fails("east", FS_ERR_CONFIG, "is not an address");
    check_dial_fails("::1:7430", FS_ERR_CONFIG, "is not an address");
    check_dial_fails("east:70000", FS_ERR_CONFIG, "is not an address");
    check_dial_fails(":7430", FS_ERR_CONFIG, "names no host");
}

static void test_dial_resolves_names(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, load("west", "ca"), 4, 5 * FS_SEC);
    snprintf(world.address, sizeof(world.address), "localhost:%u",
             fs_tls_listener_port(world.listener));
    dial(&world, load("east", "ca"));
    assert_non_null(world.client.transport);
    close_world(&world);
}

static void test_dial_to_silence_ends_in_time(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, load("west", "ca"), 4, 5 * FS_SEC);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof(address);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(fd, 1), 0); /* connects, and says nothing */
    getsockname(fd, (struct sockaddr *)&address, &length);
    snprintf(world.address, sizeof(world.address), "127.0.0.1:%u", ntohs(address.sin_port));
    struct fs_tls *tls = load("east", "ca");
    assert_non_null(fs_tls_dial(world.base, tls, world.address, FS_SEC / 2, on_dialed, &world));
    fs_tls_unref(tls);
    RUN_UNTIL(&world, world.dialed);
    assert_int_equal(world.dial_err.code, ETIMEDOUT);
    close(fd);
    close_world(&world);
}

static void test_dial_cancelled_at_any_moment_calls_nothing(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, load("west", "ca"), 16, 5 * FS_SEC);
    const char *hosts[] = {"127.0.0.1", "localhost"};
    for (unsigned turns = 0; turns < 12; turns++) {
        char address[64];
        snprintf(address, sizeof(address), "%s:%u", hosts[turns % 2],
                 fs_tls_listener_port(world.listener));
        struct fs_tls *tls = load("east", "ca");
        struct fs_tls_dial *d =
            fs_tls_dial(world.base, tls, address, 5 * FS_SEC, on_dialed, &world);
        fs_tls_unref(tls);
        for (unsigned i = 0; i < turns / 2 && !world.dialed; i++) {
            event_base_loop(world.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        }
        if (!world.dialed) {
            fs_tls_dial_cancel(d);
        }
        world.dialed = false;
        close_peer(&world.client);
        run_for(&world, 50);
        assert_false(world.dialed);
        close_peer(&world.server);
        world.server = world.client = (struct peer){0};
    }
    close_world(&world);
}

/* --- bytes ---------------------------------------------------------------------------------- */

static void send_bytes(struct peer *peer, size_t length, uint64_t *position, uint64_t *sum)
{
    struct fs_buf buf = FS_BUF_INIT;
    assert_true(fs_buf_reserve(&buf, length));
    for (size_t i = 0; i < length; i++) {
        buf.data[i] = (uint8_t)((*position + i) * 2654435761u >> 13);
    }
    buf.length = length;
    *sum = mix(*sum, *position, buf.data, length);
    *position += length;
    peer->transport->ops->send(peer->transport, &buf);
    assert_null(buf.data);
}

static void test_transfer_both_ways_is_exact(void **state)
{
    (void)state;
    struct world world;
    connect_both(&world);
    uint64_t there = 0, there_sum = 0, back = 0, back_sum = 0;
    const uint64_t total = 8u << 20;
    world.server.unit = 10007; /* less than a record */
    for (unsigned i = 0; there < total || back < total; i++) {
        /* From one byte to 1.5 MiB; as long as there is room, as a session would. */
        size_t length = (size_t)(i * 7919u % (i % 3 == 0 ? 1500000 : 3000)) + 1;
        if (there < total &&
            world.client.transport->ops->pending(world.client.transport) < 4u << 20) {
            send_bytes(&world.client, length, &there, &there_sum);
        }
        if (back < total &&
            world.server.transport->ops->pending(world.server.transport) < 4u << 20) {
            send_bytes(&world.server, length, &back, &back_sum);
        }
        event_base_loop(world.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        assert_false(fs_error_is_set(&world.client.closed));
        assert_false(fs_error_is_set(&world.server.closed));
    }
    RUN_UNTIL(&world, world.server.received == there && world.client.received == back);
    assert_int_equal(world.server.sum, there_sum);
    assert_int_equal(world.client.sum, back_sum);
    assert_int_equal(world.client.transport->ops->pending(world.client.transport), 0);
    close_world(&world);
}

static void test_pending_waits_while_the_peer_does_not_run(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, load("west", "ca"), 4, 5 * FS_SEC);
    dial(&world, load("east", "ca"));
    RUN_UNTIL(&world, world.server.transport != NULL);
    uint64_t position = 0, sum = 0;
    send_bytes(&world.client, 8u << 20, &position, &sum);
    assert_int_equal(world.client.transport->ops->pending(world.client.transport), 8u << 20);
    assert_int_equal(world.client.drained, 0);
    RUN_UNTIL(&world, world.server.received == position);
    assert_int_equal(world.client.drained, 1);
    close_world(&world);
}

static void test_close_is_seen_after_the_last_bytes(void **state)
{
    (void)state;
    struct world world;
    connect_both(&world);
    uint64_t position = 0, sum = 0;
    send_bytes(&world.client, 300000, &position, &sum);
    RUN_UNTIL(&world, world.client.transport->ops->pending(world.client.transport) == 0);
    close_peer(&world.client);
    RUN_UNTIL(&world, fs_error_is_set(&world.server.closed));
    assert_int_equal(world.server.received, 300000);
    assert_int_equal(world.server.sum, sum);
    check_says(&world.server.closed, "closed the connection");
    /* Sending into a closed connection does nothing. */
    send_bytes(&world.server, 1000, &position, &sum);
    close_world(&world);
}

static void test_listener_set_serves_the_new_certificate(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, load("west", "ca"), 4, 5 * FS_SEC);
    struct fs_tls *tls = load("no-san", "ca");
    fs_tls_listener_set(world.listener, tls);
    fs_tls_unref(tls);
    dial(&world, load("east", "ca"));
    assert_true(world.client.transport->peer_is(world.client.transport, "south"));
    close_world(&world);
}

static void test_lanes_are_told_from_sessions(void **state)
{
    (void)state;
    struct world world, lanes = {0};
    connect_both(&world);
    struct fs_tls *east = load("east", "ca");
    for (unsigned heard = 0; heard < 2; heard++) {
        close_peer(&world.client);
        world.dialed = false;
        assert_non_null(
            fs_tls_dial_lane(world.base, east, world.address, 5 * FS_SEC, on_dialed, &world));
        RUN_UNTIL(&world, world.dialed);
        assert_non_null(world.client.transport);
        if (heard == 0) { /* nobody wants lanes */
            world.client.closed = FS_ERROR_INIT;
            RUN_UNTIL(&world, fs_error_is_set(&world.client.closed));
            fs_tls_listener_on_lane(world.listener, on_accepted, &lanes);
        }
    }
    RUN_UNTIL(&world, lanes.accepted == 1);
    assert_true(lanes.server.transport->peer_is(lanes.server.transport, "east"));
    assert_int_equal(world.accepted, 1);
    fs_tls_unref(east);
    close_peer(&lanes.server);
    close_world(&world);
}

static void test_listen_says_what_is_wrong(void **state)
{
    (void)state;
    const char *bad[] = {"nonsense", "192.0.2.77:0", "example.invalid:7430"};
    struct event_base *base = event_base_new();
    struct fs_tls *tls = load("west", "ca");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct fs_tls_listener *listener;
        struct fs_error err = FS_ERROR_INIT;
        assert_true(
            fs_tls_listen(base, tls, bad[i], 1, FS_SEC, on_accepted, NULL, &listener, &err) < 0);
        assert_null(listener);
        assert_int_equal(err.class, FS_ERR_CONFIG);
        check_says(&err, bad[i]);
    }
    fs_tls_unref(tls);
    event_base_free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load_names_the_bad_file),
        cmocka_unit_test(test_not_after_is_the_certificates),
        cmocka_unit_test(test_handshake_tells_who_the_peer_is),
        cmocka_unit_test(test_handshake_cn_counts_without_dns_names),
        cmocka_unit_test(test_handshake_unknown_ca_of_listener_fails_dial),
        cmocka_unit_test(test_handshake_unknown_ca_of_dialer_is_told_by_closed),
        cmocka_unit_test(test_handshake_expired_peer_is_refused),
        cmocka_unit_test(test_foreign_client_is_refused),
        cmocka_unit_test(test_garbage_is_refused),
        cmocka_unit_test(test_silent_connections_are_bounded_in_number_and_time),
        cmocka_unit_test(test_listener_freed_during_handshakes_leaves_nothing),
        cmocka_unit_test(test_dial_says_what_is_wrong),
        cmocka_unit_test(test_dial_resolves_names),
        cmocka_unit_test(test_dial_to_silence_ends_in_time),
        cmocka_unit_test(test_dial_cancelled_at_any_moment_calls_nothing),
        cmocka_unit_test(test_transfer_both_ways_is_exact),
        cmocka_unit_test(test_pending_waits_while_the_peer_does_not_run),
        cmocka_unit_test(test_close_is_seen_after_the_last_bytes),
        cmocka_unit_test(test_listener_set_serves_the_new_certificate),
        cmocka_unit_test(test_lanes_are_told_from_sessions),
        cmocka_unit_test(test_listen_says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
