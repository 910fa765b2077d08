/* SPDX-License-Identifier: Apache-2.0 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ship/tls_private.h"

int tls_address_split(const char *address, char ret_host[TLS_HOST_SIZE],
                      char ret_port[TLS_PORT_SIZE], struct fs_error *err)
{
    const char *colon = strrchr(address, ':');
    const char *host = address;
    size_t length = colon == NULL ? 0 : (size_t)(colon - address);
    bool bracketed = length >= 2 && address[0] == '[' && address[length - 1] == ']';
    if (bracketed) {
        host++;
        length -= 2;
    }
    char *end = NULL;
    unsigned long port = colon == NULL ? 0 : strtoul(colon + 1, &end, 10);
    bool port_valid =
        colon != NULL && colon[1] >= '0' && colon[1] <= '9' && *end == '\0' && port <= UINT16_MAX;
    if (!port_valid || length >= TLS_HOST_SIZE ||
        (!bracketed && memchr(host, ':', length) != NULL)) {
        return fs_error_set(err, FS_ERR_CONFIG, EINVAL,
                            "\"%s\" is not an address: write host:port, or [address]:port for "
                            "IPv6",
                            address);
    }
    memcpy(ret_host, host, length);
    ret_host[length] = '\0';
    snprintf(ret_port, TLS_PORT_SIZE, "%lu", port);
    return 0;
}

void tls_address_format(const struct sockaddr *address, socklen_t length, char *ret_text,
                        size_t size)
{
    char host[NI_MAXHOST];
    char port[NI_MAXSERV];
    if (getnameinfo(address, length, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        snprintf(ret_text, size, "an unknown address");
        return;
    }
    bool v6 = strchr(host, ':') != NULL;
    snprintf(ret_text, size, "%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port);
}

void tls_socket_tune(int fd)
{
    int one = 1, idle = 30, interval = 10, count = 3;
    /* Little waits in the kernel, where a heart-beat could not overtake it. */
    int unsent = 512 * 1024;
    /* Each is an improvement, none is needed: failures do not matter. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
}

void tls_socket_tune_lane(int fd)
{
    int unsent = 128 * 1024;
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
}
