/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packets of tests/lab/wan: carries them between two TUN devices, each direction by itself, as
 * a line would.
 *
 *     wan-link FD FD RATE DELAY JITTER LOSS QUEUE SEED [IGNORED...]
 *
 * RATE in bits per second of IP packets (0: no limit), DELAY and JITTER in microseconds, LOSS in
 * packets per million, QUEUE in bytes. A packet that finds the queue before the line full is
 * dropped. Otherwise it is on the line once those before it are, for its length divided by the
 * rate, and arrives DELAY later, plus a random part of JITTER; never before the one ahead of it. A
 * lost packet has used the line. Until SIGTERM or SIGINT; then it says on stderr what became of the
 * packets.
 *
 * One thread. What it holds is bounded by the queue and by what is on the line.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S      UINT64_C(1000000000)
#define NS_PER_US     UINT64_C(1000)
#define PACKET_MAX    65536
#define IN_FLIGHT_MAX 65536 /* packets; without a rate nothing else bounds them */
#define BATCH         64    /* packets read before others get their turn */

struct packet {
    struct packet *next;
    uint64_t arrives_ns;
    size_t length;
    unsigned char bytes[];
};

struct line {
    uint64_t rate_bit_per_s;
    uint64_t delay_ns;
    uint64_t jitter_ns;
    uint64_t loss_ppm;
    uint64_t queue_bytes;
};

struct direction {
    int from, to;
    struct packet *first, **last;
    uint64_t free_ns; /* when the line has taken everything that was accepted so far */
    uint64_t arrives_ns;
    uint64_t random;
    uint64_t in_flight, carried, carried_bytes, lost, dropped;
};

static volatile sig_atomic_t ended;

static void end(int number)
{
    (void)number;
    ended = 1;
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* splitmix64: below `limit`, the same for the same seed; 0 for a limit of 0. */
static uint64_t random_below(struct direction *direction, uint64_t limit)
{
    uint64_t z = (direction->random += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    return limit ? z % limit : 0;
}

static uint64_t line_ns(const struct line *line, uint64_t bytes)
{
    return line->rate_bit_per_s ? bytes * 8 * NS_PER_S / line->rate_bit_per_s : 0;
}

/* Puts a packet on the line, or not. */
static void accept_packet(struct direction *direction, const struct line *line, uint64_t now,
                          const unsigned char *bytes, size_t length)
{
    uint64_t begins = direction->free_ns > now ? direction->free_ns : now;
    struct packet *packet;
    uint64_t arrives;

    if (begins - now + line_ns(line, length) > line_ns(line, line->queue_bytes) ||
        direction->in_flight >= IN_FLIGHT_MAX || !(packet = malloc(sizeof(*packet) + length))) {
        direction->dropped++;
        return;
    }
    direction->free_ns = begins + line_ns(line, length);
    if (random_below(direction, 1000000) < line->loss_ppm) {
        direction->lost++;
        free(packet);
        return;
    }
    arrives = direction->free_ns + line->delay_ns + random_below(direction, line->jitter_ns + 1);
    direction->arrives_ns = arrives > direction->arrives_ns ? arrives : direction->arrives_ns;
    *packet = (struct packet){.arrives_ns = direction->arrives_ns, .length = length};
    memcpy(packet->bytes, bytes, length);
    *direction->last = packet;
    direction->last = &packet->next;
    direction->in_flight++;
}

static void take_in(struct direction *direction, const struct line *line)
{
    static unsigned char bytes[PACKET_MAX];

    for (int i = 0; i < BATCH; i++) {
        ssize_t length = read(direction->from, bytes, sizeof(bytes));

        if (length <= 0) {
            return; /* EAGAIN, or a device that is down */
        }
        accept_packet(direction, line, now_ns(), bytes, (size_t)length);
    }
}

static void give_out(struct direction *direction)
{
    struct packet *packet;

    while ((packet = direction->first) && packet->arrives_ns <= now_ns()) {
        /* The kernel refuses a packet only for a device that is down. */
        if (write(direction->to, packet->bytes, packet->length) >= 0) {
            direction->carried++;
            direction->carried_bytes += packet->length;
        } else {
            direction->dropped++;
        }
        direction->first = packet->next;
        direction->last = direction->first ? direction->last : &direction->first;
        direction->in_flight--;
        free(packet);
    }
}

/* Until a packet comes, one is to be given out, or a signal. */
static void wait_for_work(struct direction directions[2], const sigset_t *signals)
{
    struct pollfd fds[2] = {{.fd = directions[0].from, .events = POLLIN},
                            {.fd = directions[1].from, .events = POLLIN}};
    uint64_t now = now_ns(), next = UINT64_MAX, left;
    struct timespec timeout;

    for (int i = 0; i < 2; i++) {
        if (directions[i].first && directions[i].first->arrives_ns < next) {
            next = directions[i].first->arrives_ns;
        }
    }
    left = next > now ? next - now : 0;
    timeout =
        (struct timespec){.tv_sec = (time_t)(left / NS_PER_S), .tv_nsec = (long)(left % NS_PER_S)};
    ppoll(fds, 2, next == UINT64_MAX ? NULL : &timeout, signals);
}

static void carry(struct direction directions[2], const struct line *line)
{
    sigset_t signals, before;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, &before);
    sigdelset(&before, SIGTERM);
    sigdelset(&before, SIGINT);
    while (!ended) {
        wait_for_work(directions, &before);
        for (int i = 0; i < 2; i++) {
            take_in(&directions[i], line);
            give_out(&directions[i]);
        }
    }
}

static uint64_t number(const char *text)
{
    char *rest;
    uint64_t value;

    errno = 0;
    value = strtoull(text, &rest, 10);
    if (errno || rest == text || *rest) {
        fprintf(stderr, "wan-link: %s is not a number\n", text);
        exit(2);
    }
    return value;
}

static struct direction direction_of(int from, int to, uint64_t seed)
{
    return (struct direction){.from = from, .to = to, .random = seed};
}

static void report(const struct direction *direction, const char *which)
{
    fprintf(stderr,
            "%s: carried %" PRIu64 " packets, %" PRIu64 " bytes; lost %" PRIu64 ", dropped %" PRIu64
            "\n",
            which, direction->carried, direction->carried_bytes, direction->lost,
            direction->dropped);
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = end};
    struct direction directions[2];
    struct line line;

    if (argc < 9) {
        fprintf(stderr, "usage: wan-link FD FD RATE DELAY JITTER LOSS QUEUE SEED\n");
        return 2;
    }
    line = (struct line){.rate_bit_per_s = number(argv[3]),
                         .delay_ns = number(argv[4]) * NS_PER_US,
                         .jitter_ns = number(argv[5]) * NS_PER_US,
                         .loss_ppm = number(argv[6]),
                         .queue_bytes = number(argv[7])};
    for (int i = 0; i < 2; i++) {
        directions[i] = direction_of((int)number(argv[1 + i]), (int)number(argv[2 - i]),
                                     number(argv[8]) + (uint64_t)i);
        directions[i].last = &directions[i].first;
        if (fcntl(directions[i].from, F_SETFL, O_NONBLOCK) < 0) {
            perror("wan-link: a TUN device");
            return 1;
        }
    }
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    /* On a busy machine a line must not be later than its packets. What is refused is no error. */
    sched_setscheduler(0, SCHED_RR, &(struct sched_param){.sched_priority = 1});
    prctl(PR_SET_TIMERSLACK, 1UL);
    carry(directions, &line);
    report(&directions[0], "there");
    report(&directions[1], "back");
    return 0;
}
