/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/base.h"

bool fs_base_find(const struct fs_snap_list *snaps, const struct fs_record_content *content,
                  struct fs_base *ret_base)
{
    *ret_base = (struct fs_base){0};
    if (!content || !content->snap_id) {
        return false;
    }
    ret_base->content = fs_snap_list_find(snaps, content->snap_id);
    ret_base->from = ret_base->content;
    if (ret_base->content && ret_base->content->type != RBD_SNAP_NAMESPACE_TYPE_USER) {
        ret_base->from = fs_snap_list_find(snaps, content->mark_id);
    }
    return ret_base->from && ret_base->from->type == RBD_SNAP_NAMESPACE_TYPE_USER &&
           ret_base->from->name[0] != '\0';
}
