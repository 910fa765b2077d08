/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Kubernetes says of volumes: persistent volume claims (PVCs) and the RBD images behind them.
 * Plain data, made by daemon/kube/ and read by discovery; moved between threads as a whole.
 */
#ifndef FARSHORE_CLAIM_H
#define FARSHORE_CLAIM_H

#include <stdbool.h>
#include <stddef.h>

/* Texts are owned and never NULL unless it says so. */
struct fs_claim {
    char *ns; /* Kubernetes namespace of the claim */
    char *name;
    char *vm;  /* the VirtualMachine that names it, or NULL */
    char *app; /* the name that all disks of that VM, and of VMs that share a disk with it, are
                  grouped by where no label says otherwise; NULL without a VM */
    /* JSON objects. labels: its own, or those of the other disks of its VM; NULL: nothing selects
     * it. group_labels: those of all disks of its VM together; NULL: as labels. */
    char *labels;
    char *group_labels;
    char *pool, *rados_ns, *image; /* "" where problem says why they are not known */
    char *problem;                 /* NULL, or why it cannot be protected */
};

struct fs_claims {
    struct fs_claim *list; /* owned; in the order of namespace and name */
    size_t count;
    /* Image metadata is no source of labels of its own: it counts only for images that carry
     * Farshore's stamp and that no claim knows. */
    bool only;
};

void fs_claims_fini(struct fs_claims *claims);

#endif
