/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Calls of functions that the kernel does not export. For each function, damon_rs_found_NAME() sets
 * its address, once, and damon_rs_call_NAME() calls it.
 *
 * These are static calls, which are direct calls of the CPU. An indirect call would be fatal with
 * CONFIG_X86_KERNEL_IBT: the kernel removes the ENDBR instruction from functions that it never
 * calls indirectly.
 *
 * Sorted by the header that declares the function.
 */
#ifndef DAMON_RS_MM_CALLS_H
#define DAMON_RS_MM_CALLS_H

#include <linux/hugetlb.h>
#include <linux/ioport.h>
#include <linux/kallsyms.h>
#include <linux/memcontrol.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/rmap.h>
#include <linux/types.h>

#include "helpers.h"
#include "unexported.h"

/* CALL(name, result type, parameters, arguments) */
#define DAMON_RS_CALLS_ALWAYS(CALL)										\
	CALL(walk_system_ram_res, int,										\
	     (u64 start, u64 end, void *arg, int (*func)(struct resource *, void *)), (start, end, arg, func))	\
	CALL(kallsyms_on_each_match_symbol, int,								\
	     (int (*fn)(void *, unsigned long), const char *name, void *data), (fn, name, data))		\
	CALL(folio_lock_anon_vma_read, struct anon_vma *, (const struct folio *folio, struct rmap_walk_control *rwc),	\
	     (folio, rwc))											\
	CALL(page_vma_mapped_walk, bool, (struct page_vma_mapped_walk *pvmw), (pvmw))				\
	CALL(rmap_walk, void, (struct folio *folio, struct rmap_walk_control *rwc), (folio, rwc))		\
	CALL(rmap_walk_locked, void, (struct folio *folio, struct rmap_walk_control *rwc), (folio, rwc))	\
	CALL(folio_activate, void, (struct folio *folio), (folio))						\
	CALL(folio_deactivate, void, (struct folio *folio), (folio))						\
	CALL(folio_isolate_lru, bool, (struct folio *folio), (folio))						\
	CALL(folio_putback_lru, void, (struct folio *folio), (folio))						\
	CALL(reclaim_pages, unsigned long, (struct list_head *folio_list), (folio_list))

#ifdef CONFIG_HUGETLB_PAGE
#define DAMON_RS_CALLS_HUGETLB(CALL)										\
	CALL(huge_pte_offset, pte_t *, (struct mm_struct *mm, unsigned long addr, unsigned long sz), (mm, addr, sz))	\
	CALL(hugetlb_vma_lock_read, void, (struct vm_area_struct *vma), (vma))					\
	CALL(hugetlb_vma_unlock_read, void, (struct vm_area_struct *vma), (vma))
#else
#define DAMON_RS_CALLS_HUGETLB(CALL)
#endif

#ifdef CONFIG_MEMCG
#define DAMON_RS_CALLS_MEMCG(CALL)										\
	CALL(lruvec_page_state, unsigned long, (struct lruvec *lruvec, enum node_stat_item idx), (lruvec, idx))	\
	CALL(mem_cgroup_flush_stats, void, (struct mem_cgroup *memcg), (memcg))					\
	CALL(mem_cgroup_get_from_id, struct mem_cgroup *, (u64 id), (id))					\
	CALL(mem_cgroup_iter, struct mem_cgroup *,								\
	     (struct mem_cgroup *root, struct mem_cgroup *prev, struct mem_cgroup_reclaim_cookie *reclaim),	\
	     (root, prev, reclaim))										\
	CALL(mem_cgroup_iter_break, void, (struct mem_cgroup *root, struct mem_cgroup *prev), (root, prev))
#else
#define DAMON_RS_CALLS_MEMCG(CALL)
#endif

#ifdef CONFIG_MIGRATION
#define DAMON_RS_CALLS_MIGRATION(CALL)										\
	CALL(migrate_pages, int,										\
	     (struct list_head *l, new_folio_t new, free_folio_t free, unsigned long private, enum migrate_mode mode,	\
	      damon_rs_migrate_reason reason, unsigned int *ret_succeeded),					\
	     (l, new, free, private, mode, reason, ret_succeeded))
#else
#define DAMON_RS_CALLS_MIGRATION(CALL)
#endif

#ifdef CONFIG_ADVISE_SYSCALLS
#define DAMON_RS_CALLS_ADVICE(CALL)										\
	CALL(do_madvise, int, (struct mm_struct *mm, unsigned long start, size_t len_in, int behavior),		\
	     (mm, start, len_in, behavior))
#else
#define DAMON_RS_CALLS_ADVICE(CALL)
#endif

#ifdef CONFIG_MMU_NOTIFIER
#define DAMON_RS_CALLS_NOTIFIER(CALL)										\
	CALL(__mmu_notifier_clear_young, bool, (struct mm_struct *mm, unsigned long start, unsigned long end),	\
	     (mm, start, end))											\
	CALL(__mmu_notifier_test_young, bool, (struct mm_struct *mm, unsigned long address), (mm, address))
#else
#define DAMON_RS_CALLS_NOTIFIER(CALL)
#endif

#define DAMON_RS_CALLS(CALL)		\
	DAMON_RS_CALLS_HUGETLB(CALL)	\
	DAMON_RS_CALLS_ALWAYS(CALL)	\
	DAMON_RS_CALLS_MEMCG(CALL)	\
	DAMON_RS_CALLS_MIGRATION(CALL)	\
	DAMON_RS_CALLS_ADVICE(CALL)	\
	DAMON_RS_CALLS_NOTIFIER(CALL)

#define DAMON_RS_DECLARE_CALL(name, result, parameters, arguments)	\
	void damon_rs_found_##name(unsigned long address);		\
	result damon_rs_call_##name parameters;
DAMON_RS_CALLS(DAMON_RS_DECLARE_CALL)

#endif /* DAMON_RS_MM_CALLS_H */
