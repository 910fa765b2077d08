/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workloads as objects of the API: VirtualMachines (KubeVirt), Deployments and StatefulSets. Which
 * volumes one uses, what of it says whether it runs, and the patches that stop and start it. What
 * it said before it was stopped is kept in an annotation of the object itself. Pure, any thread;
 * what is returned is the caller's, and NULL when out of memory where nothing else is said.
 */
#ifndef FARSHORE_KUBE_RUN_H
#define FARSHORE_KUBE_RUN_H

#include <stdbool.h>

#include <jansson.h>

/* Holds the run of a workload that Farshore stopped, as JSON. */
#define FS_KUBE_RUN_ANNOTATION "farshore.io/run"
/* The manager of all fields that Farshore sets. */
#define FS_KUBE_MANAGER "farshore"

bool fs_kube_is_vm(const json_t *object);

/*
 * The run of a workload: {"runStrategy": TEXT} or {"running": BOOL} of a VirtualMachine, whichever
 * it has, {"replicas": N} of the others; of one that Farshore stopped, what it was before, and
 * {"runStrategy": "Manual", "instance": true} where it had been started. NULL: no workload.
 */
json_t *fs_kube_run(const json_t *object);
/* The same as the object says it now, whoever stopped it. */
json_t *fs_kube_run_now(const json_t *object);
/* Also a Manual one that nobody is known to have started. */
bool fs_kube_run_is_halted(const json_t *run);
/* A Manual one that runs: KubeVirt is to be told to start it, once it is patched. */
bool fs_kube_run_is_by_hand(const json_t *run);
#define FS_KUBE_SUBRESOURCES "/apis/subresources.kubevirt.io/v1"
/* The run that halts what has this one. */
json_t *fs_kube_run_halted(const json_t *run);

/* A merge patch, guarded by the object's resourceVersion; NULL where it is stopped already.
 * instance: the machine has one. */
json_t *fs_kube_stop_patch(const json_t *object, bool instance);
/* A merge patch to this run, which takes the annotation off; not guarded. */
json_t *fs_kube_start_patch(const json_t *run);

/* Does the workload use the PVC of that name in its own namespace? */
bool fs_kube_uses_claim(const json_t *object, const char *claim);

/* The VirtualMachineInstance is on its way to another node. */
bool fs_kube_is_migrating(const json_t *vmi);

/* A guest agent is connected to the VirtualMachineInstance. */
bool fs_kube_has_agent(const json_t *vmi);

/* "VirtualMachine shop/web"; cut where it is longer. */
#define FS_KUBE_TITLE_SIZE 360
char *fs_kube_title(const json_t *object, char ret_title[FS_KUBE_TITLE_SIZE]);

/* A member that is a text, or "". */
const char *fs_kube_text(const json_t *object, const char *key);

#endif
