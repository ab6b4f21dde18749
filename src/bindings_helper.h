/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Headers with what the bindings of the kernel crate lack. bindgen makes bindings of the items in bindings_allowlist;
 * all their types are those of the kernel crate, unless they are listed there too.
 *
 * Sorted alphabetically.
 */
#include <linux/hugetlb.h>
#include <linux/kprobes.h>
#include <linux/memory.h>
#include <linux/migrate.h>
#include <linux/mman.h>
#include <linux/psi.h>
#include <linux/rmap.h>
#include <linux/version.h>

#include "debugfs/file.h"
#include "mm/calls.h"
#include "mm/helpers.h"
#include "trace/log.h"
#include "trace/region.h"

/* What the in-tree DAMON does otherwise from a series on is done so here when built for that series or a later one. */
static const bool DAMON_RS_SINCE_7_3 = LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0);
