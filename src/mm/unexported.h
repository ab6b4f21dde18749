/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions that only mm/internal.h of the kernel's source declares, for those who build with its headers alone.
 * unexported.c has the compiler compare them wherever there is the source.
 *
 * Sorted by name.
 */
#ifndef DAMON_RS_MM_UNEXPORTED_H
#define DAMON_RS_MM_UNEXPORTED_H

#include <linux/mm_types.h>

void folio_activate(struct folio *folio);
/* Up to Linux 7.2 in linux/swap.h. */
void folio_deactivate(struct folio *folio);
bool folio_isolate_lru(struct folio *folio);
void folio_putback_lru(struct folio *folio);
unsigned long reclaim_pages(struct list_head *folio_list);

#endif /* DAMON_RS_MM_UNEXPORTED_H */
