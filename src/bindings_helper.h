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

#include "debugfs/file.h"
#include "mm/helpers.h"
#include "mm/unexported.h"
#include "trace/log.h"
#include "trace/region.h"
