/* SPDX-License-Identifier: Apache-2.0 */
#include "farshore/claim.h"

#include <stdlib.h>

void fs_claims_fini(struct fs_claims *claims)
{
    for (size_t i = 0; i < claims->count; i++) {
        struct fs_claim *claim = &claims->list[i];

        free(claim->ns);
        free(claim->name);
        free(claim->vm);
        free(claim->app);
        free(claim->labels);
        free(claim->group_labels);
        free(claim->pool);
        free(claim->rados_ns);
        free(claim->image);
        free(claim->problem);
    }
    free(claims->list);
    *claims = (struct fs_claims){0};
}
