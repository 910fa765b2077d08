/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One step at a time, after a stretch of samples each. What the link does shows in the transport's
 * queue. What the CPU does shows in how long the workers encode, and whether they compute all that
 * while: where others want the same cores (Ceph's daemons, virtual machines), they do not. A slow
 * source or a slow target leave both idle, and move nothing.
 *
 * Between two levels, of which one is too slow and the other too weak, it would swing for ever:
 * each time that it has to take a rise back it waits twice as long before the next one.
 */
#include "farshore/tuner.h"

#include <assert.h>

#include "farshore/clock.h"

#define STRETCH_NS      (200 * FS_MSEC)
#define STRETCH_SAMPLES 16
/* After so long without a segment the stretch begins anew. */
#define FORGET_NS (1 * FS_SEC)
/* Parts of what all workers could do. */
#define CPU_BUSY      0.5
#define CPU_SATURATED 0.7
/* A worker that computes less of its time than this has to share its core; where workers run for
 * less than that part of the time it is no matter. */
#define CPU_CONTENDED 0.8
#define CPU_LITTLE    0.3
/* What a byte on the wire costs in encryption and copies, both ends together: measured as 4 on a
 * busy machine (2 GHz, AES in hardware), here on the safe side. Compression that costs less than
 * the bytes that it saves would have cost is not given up. */
#define SEND_NS_PER_BYTE 2
/* Looking at samples is no slower than this. */
#define SAMPLED_BYTES_PER_NS 4
/* A higher level must save so much more, or it is not worth its time. */
#define WORTH_SHARE 0.98
/* So long a link has to have room until it is not scarce any more. */
#define ROOMY_STRETCHES 4
/* So long it has to be waited for, deltas or not, until past mistakes are forgotten. */
#define THIN_FOR_SURE 16
#define PATIENCE_MAX  64u
/* What comes over with deltas, whatever the link: the base is read twice at the source and once at
 * the target. Measured as 42 MB/s of content, on two cores that had both clusters, too. A link that
 * carries more than this without them is better off so. */
#define DELTA_BYTES_PER_S 40e6
/* All calls that may be under way have something to read, and a chunk that is being built is a
 * small part of it. */
#define AHEAD_BYTES_MIN (UINT64_C(32) << 20)

/* Levels with a real difference, and the memory of zstd's context for a whole segment (measured).
 */
static const struct {
    int level;
    unsigned mib;
} steps[] = {{FS_LEVEL_NONE, 0}, {-7, 1}, {-3, 1}, {1, 1}, {3, 2}, {6, 4}, {9, 14},
             {12, 14},           {19, 19}};

#define N_STEPS    (sizeof(steps) / sizeof(steps[0]))
#define FIRST_STEP 3

void fs_tuner_init(struct fs_tuner *tuner, size_t threads, uint64_t memory_bytes)
{
    *tuner = (struct fs_tuner){
        .threads = threads > 0 ? threads : 1, .adapts = true, .patience = 1, .doubt = 1};
    tuner->top = N_STEPS - 1;
    while (tuner->top > FIRST_STEP &&
           ((uint64_t)steps[tuner->top].mib << 20) * tuner->threads > memory_bytes) {
        tuner->top--;
    }
    tuner->step = FIRST_STEP;
}

void fs_tuner_fix(struct fs_tuner *tuner, int level)
{
    assert(level >= FS_LEVEL_MIN && level <= FS_LEVEL_MAX);
    tuner->adapts = false;
    tuner->fixed = level;
}

void fs_tuner_adapt(struct fs_tuner *tuner)
{
    tuner->adapts = true;
}

int fs_tuner_level(const struct fs_tuner *tuner)
{
    return tuner->adapts ? steps[tuner->step].level : tuner->fixed;
}

static void begin_stretch(struct fs_tuner *tuner, int64_t now_ns, uint64_t sent_bytes)
{
    tuner->began_ns = now_ns;
    tuner->sent_before = sent_bytes;
    tuner->samples = tuner->idle = tuner->held = tuner->full = tuner->deltas = 0;
    tuner->run_ns = tuner->cpu_ns = tuner->compress_ns = 0;
    tuner->content_bytes = tuner->payload_bytes = 0;
}

static void fall(struct fs_tuner *tuner)
{
    if (tuner->step == 0) {
        return;
    }
    if (tuner->rose) {
        tuner->patience = tuner->patience * 2 > PATIENCE_MAX ? PATIENCE_MAX : tuner->patience * 2;
    }
    tuner->step--;
    tuner->rose = tuner->on_trial = false;
    tuner->waited = 0;
}

static void rise(struct fs_tuner *tuner, double payload_share)
{
    if (tuner->step == tuner->top || ++tuner->waited < tuner->patience) {
        return;
    }
    if (tuner->rose && tuner->patience > 1) {
        tuner->patience /= 2; /* the one before was right */
    }
    tuner->step++;
    tuner->rose = tuner->on_trial = true;
    tuner->payload_share = payload_share;
    tuner->waited = 0;
}

/* Whether a lower level would leave more of the CPU to others: not where compression costs less
 * than sending what it saves, nor where the samples say that all goes as it is. */
static bool saves_cpu(const struct fs_tuner *tuner)
{
    uint64_t saved = tuner->payload_bytes < tuner->content_bytes
                         ? tuner->content_bytes - tuner->payload_bytes
                         : 0;
    uint64_t cost_ns = (uint64_t)tuner->compress_ns;
    return cost_ns >= SEND_NS_PER_BYTE * saved &&
           cost_ns > tuner->content_bytes / SAMPLED_BYTES_PER_NS;
}

/*
 * A transfer begins with a link that has room, and a short one ends before it is full: that alone
 * does not make a thin link wide. Nor does a CPU that has more to do, as with deltas, where the
 * link is full all the same. Where deltas make the link wait for the disks or the CPU, of either
 * site, and the link could carry more content without them, they were a mistake: each time it takes
 * twice as long to make it again.
 */
static void judge_link(struct fs_tuner *tuner, bool waited_for, bool has_room)
{
    tuner->thin = waited_for ? tuner->thin + 1 : 0;
    tuner->roomy = has_room && !waited_for ? tuner->roomy + 1 : 0;
    if (!tuner->scarce && tuner->thin >= tuner->doubt) {
        tuner->scarce = true;
    } else if (tuner->scarce && tuner->thin >= THIN_FOR_SURE) {
        tuner->doubt = 1;
    } else if (tuner->scarce && tuner->roomy >= ROOMY_STRETCHES) {
        tuner->scarce = false;
        tuner->doubt = tuner->doubt * 2 > PATIENCE_MAX ? PATIENCE_MAX : tuner->doubt * 2;
    }
}

static double content_share(const struct fs_tuner *tuner)
{
    return tuner->content_bytes > 0 ? (double)tuner->payload_bytes / (double)tuner->content_bytes
                                    : 1;
}

/* What the link carries, and how much of the content that is without deltas: the latter over some
 * hundred megabytes, for a volume has places of many kinds. */
static void learn_rates(struct fs_tuner *tuner, double seconds, bool full, uint64_t sent_bytes)
{
    if (full && sent_bytes > tuner->sent_before) { /* else it is another connection */
        double rate = (double)(sent_bytes - tuner->sent_before) / seconds;
        tuner->full_rate = tuner->full_rate > 0 ? (3 * tuner->full_rate + rate) / 4 : rate;
    }
    if (tuner->deltas == 0) {
        tuner->plain_content += (double)tuner->content_bytes - tuner->plain_content / 16;
        tuner->plain_payload += (double)tuner->payload_bytes - tuner->plain_payload / 16;
    }
}

static double plain_share(const struct fs_tuner *tuner)
{
    return tuner->plain_content > 0 ? tuner->plain_payload / tuner->plain_content : 0;
}

/* Whether the content that deltas bring over would have filled the link without them. */
static bool deltas_win(const struct fs_tuner *tuner, double seconds)
{
    double rate = (double)tuner->content_bytes / seconds;
    return tuner->deltas > 0 && plain_share(tuner) > 0 &&
           rate * plain_share(tuner) >= tuner->full_rate;
}

static void end_stretch(struct fs_tuner *tuner, int64_t now_ns, uint64_t sent_bytes)
{
    double seconds = (double)(now_ns - tuner->began_ns) / (double)FS_SEC;
    double elapsed = (double)(now_ns - tuner->began_ns) * (double)tuner->threads;
    double busy = (double)tuner->run_ns / elapsed;
    bool contended =
        busy >= CPU_LITTLE && (double)tuner->cpu_ns < CPU_CONTENDED * (double)tuner->run_ns;
    bool idle = tuner->idle * 2 >= tuner->samples;
    bool full = tuner->full * 4 >= tuner->samples * 3;
    bool has_room = (tuner->idle + tuner->held) * 2 >= tuner->samples;
    double share = content_share(tuner);

    learn_rates(tuner, seconds, full, sent_bytes);
    judge_link(tuner, full && busy < CPU_SATURATED, has_room && !deltas_win(tuner, seconds));
    if (!tuner->adapts) {
        return;
    }

    /* A link that deltas leave idle is not a wide one. */
    bool too_slow = !tuner->scarce && idle && (busy >= CPU_BUSY || contended) && saves_cpu(tuner);
    bool in_vain = tuner->on_trial && share > WORTH_SHARE * tuner->payload_share;

    if (too_slow || in_vain) {
        fall(tuner);
    } else if (full && busy < CPU_SATURATED && !contended) {
        tuner->on_trial = false;
        rise(tuner, share);
    } else {
        tuner->on_trial = false;
        tuner->waited = 0;
    }
}

bool fs_tuner_link_is_scarce(const struct fs_tuner *tuner)
{
    return tuner->scarce;
}

bool fs_tuner_deltas_pay(const struct fs_tuner *tuner)
{
    return tuner->scarce && tuner->full_rate < DELTA_BYTES_PER_S * plain_share(tuner);
}

uint64_t fs_tuner_queue(const struct fs_tuner *tuner)
{
    return tuner->scarce ? (uint64_t)tuner->full_rate : UINT64_MAX;
}

uint64_t fs_tuner_ahead(const struct fs_tuner *tuner)
{
    if (!tuner->scarce || plain_share(tuner) <= 0) {
        return UINT64_MAX;
    }
    double bytes = tuner->full_rate / plain_share(tuner);
    return bytes > (double)AHEAD_BYTES_MIN ? (uint64_t)bytes : AHEAD_BYTES_MIN;
}

void fs_tuner_encoded(struct fs_tuner *tuner, const struct fs_tuner_sample *sample, int64_t now_ns)
{
    if (tuner->samples == 0 || now_ns - tuner->newest_ns > FORGET_NS) {
        begin_stretch(tuner, now_ns, sample->sent_bytes);
    }
    tuner->newest_ns = now_ns;
    if (sample->level != fs_tuner_level(tuner)) {
        return; /* it was under way when the level changed */
    }
    tuner->samples++;
    tuner->idle += sample->link == FS_LINK_IDLE;
    tuner->held += sample->link == FS_LINK_HELD;
    tuner->full += sample->link == FS_LINK_FULL;
    tuner->deltas += sample->delta;
    tuner->run_ns += sample->run_ns;
    tuner->cpu_ns += sample->cpu_ns;
    tuner->compress_ns += sample->compress_ns;
    tuner->content_bytes += sample->content_bytes;
    tuner->payload_bytes += sample->payload_bytes;
    if (tuner->samples >= STRETCH_SAMPLES && now_ns - tuner->began_ns >= STRETCH_NS) {
        end_stretch(tuner, now_ns, sample->sent_bytes);
        tuner->samples = 0;
    }
}
