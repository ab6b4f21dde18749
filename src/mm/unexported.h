/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Functions that only mm/internal.h declares, for builds against packages of kernel headers, which
 * do not contain that file. unexported.c has the compiler compare the declarations if it exists.
 *
 * Sorted by name.
 */
#ifndef DAMON_RS_MM_UNEXPORTED_H
#define DAMON_RS_MM_UNEXPORTED_H

#include <linux/mm_types.h>

void folio_activate(struct folio *folio);
/* In linux/swap.h up to Linux 7.2. */
void folio_deactivate(struct folio *folio);
bool folio_isolate_lru(struct folio *folio);
void folio_putback_lru(struct folio *folio);
unsigned long reclaim_pages(struct list_head *folio_list);

#endif /* DAMON_RS_MM_UNEXPORTED_H */
