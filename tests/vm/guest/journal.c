/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs in the guest of the vm tests: it appends numbered records to a file on each of two
 * disks, every one durable before the next begins, and tells the console which are: what was
 * acknowledged to a user must not be lost beyond what a failover says. Afterwards it reads them
 * back.
 *
 *   journal write A B   record n to A, fsync, record n to B, fsync, "@ ack n"; goes on from what is
 * there, until a line comes to standard input. At no instant is B ahead of A. journal check A "LAST
 * clean", or "LAST broken at BYTE: why"
 *
 * A record is a block of the file system, every byte of which follows from its number.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD 4096
#define WORDS  (RECORD / sizeof(uint64_t))

struct journal {
    const char *path;
    int fd;
    uint64_t last; /* number of the last whole record, 0: none */
};

/* Bytes that neither compress nor come twice (splitmix64). */
static void make_record(uint64_t number, uint64_t record[WORDS])
{
    uint64_t state = number << 20;

    record[0] = number;
    for (size_t i = 1; i < WORDS; i++) {
        uint64_t z = state += 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        record[i] = z ^ (z >> 31);
    }
}

static bool holds_record(int fd, uint64_t number)
{
    uint64_t found[WORDS], wanted[WORDS];
    off_t at = (off_t)((number - 1) * RECORD);

    make_record(number, wanted);
    return pread(fd, found, RECORD, at) == RECORD && memcmp(found, wanted, RECORD) == 0;
}

/* 0, or -errno where the file is there and cannot be read. */
static int open_journal(struct journal *journal, const char *path)
{
    *journal = (struct journal){.path = path, .fd = open(path, O_RDWR | O_CREAT, 0644)};
    if (journal->fd < 0) {
        return -errno;
    }
    while (holds_record(journal->fd, journal->last + 1)) {
        journal->last++;
    }
    return 0;
}

static int check(const char *path)
{
    struct journal journal;
    struct stat st;
    int r = open_journal(&journal, path);

    if (r < 0 || fstat(journal.fd, &st) < 0) {
        printf("0 broken at 0: %s\n", strerror(r < 0 ? -r : errno));
        return 1;
    }
    /* One record is written at a time, so at most one may be there in part. */
    if (st.st_size > (off_t)((journal.last + 1) * RECORD)) {
        printf("%" PRIu64 " broken at %" PRIu64 ": of %jd bytes\n", journal.last,
               journal.last * RECORD, (intmax_t)st.st_size);
        return 1;
    }
    printf("%" PRIu64 " clean\n", journal.last);
    return 0;
}

/* 0, or -errno. */
static int append(struct journal *journal, uint64_t number)
{
    uint64_t record[WORDS];

    make_record(number, record);
    ssize_t n = pwrite(journal->fd, record, RECORD, (off_t)((number - 1) * RECORD));
    if (n != RECORD) {
        return n < 0 ? -errno : -EIO;
    }
    if (fsync(journal->fd) < 0) {
        return -errno;
    }
    journal->last = number;
    return 0;
}

static bool told_to_end(void)
{
    struct pollfd order = {.fd = STDIN_FILENO, .events = POLLIN};

    return poll(&order, 1, 0) > 0;
}

static int write_records(const char *paths[2])
{
    struct journal journals[2];

    for (int i = 0; i < 2; i++) {
        int r = open_journal(&journals[i], paths[i]);
        if (r < 0) {
            printf("@ failed %s 0 %s\n", paths[i], strerror(-r));
            return 1;
        }
    }
    for (uint64_t n = journals[1].last + 1; !told_to_end(); n++) {
        for (int i = 0; i < 2; i++) {
            int r = n > journals[i].last ? append(&journals[i], n) : 0;
            if (r < 0) {
                printf("@ failed %s %" PRIu64 " %s\n", paths[i], n, strerror(-r));
                return 1;
            }
        }
        printf("@ ack %" PRIu64 "\n", n);
    }
    return 0;
}

int main(int argc, char **argv)
{
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 3 && strcmp(argv[1], "check") == 0) {
        return check(argv[2]);
    }
    if (argc == 4 && strcmp(argv[1], "write") == 0) {
        return write_records((const char *[2]){argv[2], argv[3]});
    }
    (void)fprintf(stderr, "journal write A B | journal check A\n");
    return 2;
}
