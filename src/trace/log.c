// SPDX-License-Identifier: GPL-2.0
/*
 * Debug messages.  Dynamic debug needs a static descriptor for each call site,
 * which only the pr_debug() macro of C defines.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/printk.h>
#include <linux/types.h>

#include "log.h"

void damon_rs_debug(const u8 text[DAMON_RS_DEBUG_LINE])
{
	pr_debug("%.*s\n", DAMON_RS_DEBUG_LINE, text);
}
