/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Headers of the items that the bindings of the kernel crate do not contain.
 * bindgen generates bindings only for the items in bindings_allowlist.  Types
 * that are not listed there are those of the kernel crate.
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
#include <linux/sort.h>
#include <linux/version.h>

#include "debugfs/file.h"
#include "mm/calls.h"
#include "mm/helpers.h"
#include "trace/log.h"
#include "trace/region.h"

/*
 * Whether the module is built for Linux 7.3 or newer, where the in-tree DAMON
 * behaves differently in some cases.  The module follows the in-tree DAMON.
 */
static const bool DAMON_RS_SINCE_7_3 = LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0);
