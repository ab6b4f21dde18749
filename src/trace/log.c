// SPDX-License-Identifier: GPL-2.0
/*
 * Dynamic debug needs a descriptor that the C preprocessor makes.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/printk.h>
#include <linux/types.h>

#include "log.h"

void damon_rs_debug(const u8 text[DAMON_RS_DEBUG_LINE])
{
	pr_debug("%.*s\n", DAMON_RS_DEBUG_LINE, text);
}
