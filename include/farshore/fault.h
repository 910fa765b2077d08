/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named points in the life of a recovery point at which a test may end or stop the process. They
 * exist only where the build has FARSHORE_FAULTS; elsewhere fs_fault is nothing at all.
 *
 *   FARSHORE_FAULT=STEP[:NTH]   the process kills itself (SIGKILL) at the NTH passage of STEP
 *   FARSHORE_FAULT=@FILE        the same, STEP[:NTH] being read from FILE at each passage and
 *                               counted from when it was first seen there; FILE is removed just
 *                               before the kill, so that the next process lives. "STEP stop"
 *                               stops it there instead (SIGSTOP), until somebody continues it
 *   FARSHORE_FAULT_CLOCK=FILE   the wall clock of fs_clock_system() is off by the seconds that
 *                               FILE holds (a decimal number, 0 where there is no file)
 *
 * farshore-take has the environment of its daemon: steps of the helper end the helper only. Any
 * thread but Ceph's callbacks.
 */
#ifndef FARSHORE_FAULT_H
#define FARSHORE_FAULT_H

#include <stddef.h>
#include <stdint.h>

/*
 * The catalogue: X(name, who, meaning), in the order of a point's life. who is the process that
 * passes: the daemon as a SOURCE, its HELPER, the daemon as a TARGET, or the daemon at either
 * SITE. docs/replication.md says what a crash at each leaves behind; a test holds the catalogue,
 * that document and the code against each other.
 */
#define FS_FAULTS(X)                                                                               \
    X("lease.claim", SITE, "a start: nothing is fenced yet")                                       \
    X("lease.fenced", SITE, "one recorded instance of a predecessor was blocklisted")              \
    X("lease.taken", SITE, "the lease is stored as ours, no record is read yet")                   \
    X("group.store", SOURCE, "discovery found a group: its first record is not stored yet")        \
    X("group.stored", SOURCE, "the first record of a group is stored")                             \
    X("members.store", SOURCE, "the membership changed: not stored yet")                           \
    X("members.stored", SOURCE, "the changed membership is stored")                                \
    X("pause.store", SOURCE, "pause or resume was asked for: not stored yet")                      \
    X("pause.stored", SOURCE, "pause or resume is stored, nobody was told")                        \
    X("take.pruned", SOURCE, "snapshots of a half-taken point are gone, the record names it")      \
    X("take.stamped", SOURCE, "a volume's stamp was written")                                      \
    X("objects.indexed", SITE, "Kubernetes objects are about to be stored, nothing names them")    \
    X("objects.kept", SITE, "Kubernetes objects are stored, no point names them")                  \
    X("objects.removed", SITE, "Kubernetes objects that no point carries any more are removed")    \
    X("take.seq", SOURCE, "the seq is used up: the point is stored as half-taken")                 \
    X("quiesce.recorded", SOURCE, "the record says that something may be frozen; nothing is")      \
    X("quiesce.frozen", SOURCE, "everything is frozen, there is no snapshot")                      \
    X("quiesce.thawed", SOURCE, "everything is thawed, the record says that it may be frozen")     \
    X("helper.start", HELPER, "the images are open, nothing is made yet")                          \
    X("helper.mark", HELPER, "the mark of one volume exists")                                      \
    X("helper.group", HELPER, "the RBD group exists")                                              \
    X("helper.member", HELPER, "one volume is a member of the RBD group")                          \
    X("helper.snapshot", HELPER, "the group snapshot exists, the members are still in")            \
    X("helper.left", HELPER, "one volume was taken out of the RBD group")                          \
    X("helper.single", HELPER, "the snapshot of one volume of its own exists")                     \
    X("helper.found", HELPER, "all snapshot ids are known, the daemon does not have them")         \
    X("helper.remove", HELPER, "the writers answered, no snapshot of the point is removed yet")    \
    X("helper.removed", HELPER, "one snapshot of a point was removed")                             \
    X("take.answered", SOURCE, "the helper's answer is here, the point is stored half-taken")      \
    X("take.complete", SOURCE, "the point is stored as complete")                                  \
    X("offer.sent", SOURCE, "the offer is queued for the peer")                                    \
    X("offer.received", TARGET, "an offer arrived, nothing was done about it")                     \
    X("join.taken_over", TARGET,                                                                   \
      "stored: the volume of a group that joins, stamped as that one's")                           \
    X("open.recorded", TARGET, "stored: the images that are to be made")                           \
    X("open.created", TARGET, "one image was made; it has no lock and no stamp")                   \
    X("open.lifted", TARGET, "a parked image's lock was lifted, librbd's is not taken")            \
    X("open.held", TARGET, "one image is locked, and not marked as ours to believe")               \
    X("open.stamped", TARGET, "one image was stamped")                                             \
    X("left.kept", TARGET, "what an image held beside its points is kept in a snapshot")           \
    X("open.stored", TARGET, "the incoming transfer is stored with its positions")                 \
    X("open.restored", TARGET, "one image was taken back to the base")                             \
    X("open.resized", TARGET, "one image has the point's size")                                    \
    X("open.marked", TARGET, "one image's lock is marked: a successor may believe it")             \
    X("accept.sent", TARGET, "the acceptance is queued for the peer")                              \
    X("accept.received", SOURCE, "the acceptance is here, nothing was read yet")                   \
    X("objects.sent", SOURCE, "Kubernetes objects are queued for the peer")                        \
    X("objects.received", TARGET, "Kubernetes objects are here, and not looked at")                \
    X("compare.begin", SOURCE, "the base is gone: the difference is to be found by digests")       \
    X("compare.digested", TARGET, "a range of an image was digested, the peer does not know")      \
    X("compare.listed", SOURCE, "what differs in a range is known, nothing of it was sent")        \
    X("apply.written", TARGET, "one segment was written, no position covers it")                   \
    X("sync.flushed", TARGET, "what was written is flushed, the positions are not stored")         \
    X("sync.stored", TARGET, "positions are stored, the peer does not know")                       \
    X("finals.sent", SOURCE, "everything was sent, the commit is asked for")                       \
    X("commit.begin", TARGET, "the digests agree, nothing was done about it")                      \
    X("commit.flushed", TARGET, "flushed and checked: committing is not stored")                   \
    X("commit.committing", TARGET, "the point is stored as committing")                            \
    X("commit.snapshot", TARGET, "the snapshot of one volume exists")                              \
    X("commit.snapshots", TARGET, "every snapshot exists: committed is not stored")                \
    X("commit.committed", TARGET, "the point is stored as committed")                              \
    X("commit.noted", TARGET, "its moment is stored, older points are still there")                \
    X("retain.removed", TARGET, "one snapshot that retention let go is removed")                   \
    X("retain.gone", TARGET, "all snapshots of such a point are removed, the record names it")     \
    X("retain.stored", TARGET, "the record does not name it any more")                             \
    X("park.unmarked", TARGET, "one image's mark is removed, it is not parked")                    \
    X("park.parked", TARGET, "one image is parked, and still open")                                \
    X("answer.send", TARGET, "the images are let go, the peer was not told of the commit")         \
    X("answer.sent", TARGET, "the answer is queued for the peer")                                  \
    X("answer.received", SOURCE, "the peer has committed, nothing was stored here")                \
    X("settle.committed", SOURCE, "the point is stored as committed")                              \
    X("settle.noted", SOURCE, "its moment is stored, older points are still there")                \
    X("settle.gone", SOURCE, "all snapshots of an older point are removed, the record names it")   \
    X("settle.stored", SOURCE, "the record does not name it any more")                             \
    X("forget.pruned", TARGET, "an image of a group that is forgotten has no points any more")     \
    X("forget.unstamped", TARGET, "and no stamp; it is not let go of yet")                         \
    X("forget.record", TARGET, "all images are nobody's, the record is there")                     \
    X("release.gone", SOURCE, "a point's snapshots on images that left are removed, stored: not")  \
    X("release.stored", SOURCE, "the record does not name them any more")                          \
    X("current.note", SITE, "a group is unchanged: the moment is not stored yet")                  \
    X("current.noted", SITE, "the moment is stored, the peer does not know")                       \
    X("recover.begin", TARGET, "a predecessor's commit is about to be finished")                   \
    X("recover.snapshot", TARGET, "finishing it: the snapshot of one volume exists")               \
    X("recover.finished", TARGET, "it is stored as committed, the images are still held")          \
    X("promote.raise", TARGET, "a failover was asked for: nothing is stored yet")                  \
    X("promote.raised", TARGET, "the record says promoting, in the raised term")                   \
    X("promote.held", TARGET, "one image of the point is held")                                    \
    X("promote.restored", TARGET, "one image has the point's content")                             \
    X("promote.stamped", TARGET, "one image is stamped as primary")                                \
    X("promote.stored", TARGET, "all are stamped, the record still says promoting")                \
    X("promote.primary", TARGET, "the record says primary, the images are still held")             \
    X("promote.released", TARGET, "one image is let go of")                                        \
    X("promote.lifted", TARGET, "a predecessor's lock on one image is lifted")                     \
    X("promote.forget", TARGET, "all images are let go of, the record still knows of it")          \
    X("promote.done", TARGET, "the promotion is over, nobody was told")                            \
    X("drill.store", SITE, "a drill was asked for: nothing is stored yet")                         \
    X("drill.stored", SITE, "the drill is listed, none of its images is made")                     \
    X("drill.cloned", SITE, "one image is cloned; it still has the labels of its parent")          \
    X("drill.stamped", SITE, "one clone is stamped as the drill's")                                \
    X("drill.ready", SITE, "the drill is stored as ready, nobody was told")                        \
    X("drill.removed", SITE, "one image of a drill that ends is removed")                          \
    X("drill.forget", SITE, "all are removed, the drill is still listed")                          \
    X("follow.held", SOURCE, "this site is to yield: its images are held, nothing has changed")    \
    X("follow.store", SOURCE, "what only this site has is kept, the record says nothing of it")    \
    X("follow.stored", SOURCE, "the record says secondary, and following")                         \
    X("follow.stamped", SOURCE, "one image is stamped as secondary")                               \
    X("follow.marked", SOURCE, "one image is marked: a successor may believe it")                  \
    X("follow.done", SOURCE, "the record is following no more, the images are not parked")         \
    X("demote.store", SOURCE, "a relocation: the last point is committed, nothing is stored")      \
    X("demote.stored", SOURCE, "the record says demoted, the images are their users' yet")         \
    X("demote.held", SOURCE, "a relocation holds the images, nothing is proved")                   \
    X("demote.marked", SOURCE, "one image holds the last point, and is marked")                    \
    X("grant.store", SOURCE, "the images are parked: the next term is not granted yet")            \
    X("grant.stored", SOURCE, "the grant is stored, and the peer may not know")                    \
    X("grant.sent", SOURCE, "the peer is told, and may not have heard")                            \
    X("undo.store", SOURCE, "a relocation is taken back: the record says demoted yet")             \
    X("fence.ask", SITE, "fencing may be done: nothing is changed yet")                            \
    X("fence.asked", SITE, "one image's lock was asked for")                                       \
    X("fence.recorded", SITE, "a client that is to be fenced is recorded, and can still write")    \
    X("fence.blocklisted", SITE, "it is blocklisted; it may still be listed as on the images")     \
    X("fence.proven", SITE, "nobody is on the images, one entry says so, nobody was told")         \
    X("unfence.lifted", SITE, "a client is let in again, and still recorded as fenced")            \
    X("supersede.store", SOURCE, "a higher term was heard of: not stored yet")                     \
    X("supersede.stored", SOURCE, "the record says superseded")                                    \
    X("supersede.fenced", SOURCE, "its users are fenced as ordered, the record does not say so")

#ifdef FARSHORE_FAULTS

struct fs_fault_step {
    const char *name;
    const char *who; /* "SOURCE", ... */
    const char *meaning;
};

extern const struct fs_fault_step fs_fault_steps[]; /* ends with a NULL name */

/* The process passes a step of the catalogue (another name is a bug: it aborts). */
void fs_fault(const char *step);

/* Tests within one process: hook is called at each passage, in place of what the environment says.
 * NULL ends that. Not while others pass. */
typedef void fs_fault_fn(void *arg, const char *step);
void fs_fault_set_hook(fs_fault_fn *hook, void *arg);

/* How far the wall clock shall be off by FARSHORE_FAULT_CLOCK, in nanoseconds. */
int64_t fs_fault_wall_offset_ns(void);

#else

#define fs_fault(step) ((void)0)

#endif

#endif
