/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Macros and inline functions of the kernel's headers as functions, because Rust can call nothing
 * else. These are the ones that rust/helpers of the kernel lacks.
 *
 * Sorted by header, then by name.
 */
#ifndef DAMON_RS_MM_HELPERS_H
#define DAMON_RS_MM_HELPERS_H

#include <linux/kobject.h>
#include <linux/memcontrol.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/pid.h>
#include <linux/psi_types.h>
#include <linux/rcuwait.h>
#include <linux/rmap.h>

/* linux/gfp.h */
struct folio *damon_rs_helper_folio_alloc_like(struct folio *src, int nid);

/* linux/freezer.h, linux/sched/signal.h */
bool damon_rs_helper_fatal_signal_pending(void);
bool damon_rs_helper_restart_to_freeze(void);

/* linux/hugetlb.h */
spinlock_t *damon_rs_helper_huge_pte_lockptr(struct vm_area_struct *vma, pte_t *pte);
bool damon_rs_helper_huge_pte_is_shared(pte_t *pte);
bool damon_rs_helper_is_vm_hugetlb_page(struct vm_area_struct *vma);
unsigned int damon_rs_helper_vma_huge_page_shift(struct vm_area_struct *vma);

/* linux/kobject.h */
void damon_rs_helper_kobj_attribute(struct kobj_attribute *attr,
				    ssize_t (*show)(struct kobject *kobj, struct kobj_attribute *attr, char *buf),
				    ssize_t (*store)(struct kobject *kobj, struct kobj_attribute *attr, const char *buf,
						     size_t count));

/* linux/list.h */
void damon_rs_helper_folio_list_add_tail(struct folio *folio, struct list_head *list);
void damon_rs_helper_folio_list_del(struct folio *folio);
struct folio *damon_rs_helper_folio_list_first(struct list_head *list);
struct folio *damon_rs_helper_folio_next(struct folio *folio);
void damon_rs_helper_folio_set_next(struct folio *folio, struct folio *next);

/* linux/memory_hotplug.h, linux/mmzone.h */
unsigned long damon_rs_helper_node_start_pfn(int nid);
unsigned long damon_rs_helper_node_end_pfn(int nid);
unsigned long damon_rs_helper_node_free_pages(int nid, unsigned int zone);
bool damon_rs_helper_node_has_memory(int nid);
unsigned long damon_rs_helper_node_managed_pages(int nid, unsigned int zone);
bool damon_rs_helper_section_is_online(unsigned long pfn);
#ifdef CONFIG_SPARSEMEM_VMEMMAP
struct mem_section *damon_rs_helper_whole_section(unsigned long pfn);
#endif
struct page *damon_rs_helper_pfn_to_online_page(unsigned long pfn);

/* linux/memcontrol.h, linux/cgroup.h */
#ifdef CONFIG_MEMCG
u64 damon_rs_helper_folio_memcg_id(struct folio *folio);
u64 damon_rs_helper_mem_cgroup_id(struct mem_cgroup *memcg);
struct lruvec *damon_rs_helper_mem_cgroup_lruvec(struct mem_cgroup *memcg, int nid);
bool damon_rs_helper_mem_cgroup_online(struct mem_cgroup *memcg);
int damon_rs_helper_mem_cgroup_path(struct mem_cgroup *memcg, char *buf, size_t size);
void damon_rs_helper_mem_cgroup_put(struct mem_cgroup *memcg);
#endif

/*
 * linux/migrate.h. The type of the reason that migrate_pages() takes: int up to Linux 7.2, an enum
 * since then.
 */
typedef typeof(_Generic(&migrate_pages,
	int (*)(struct list_head *, new_folio_t, free_folio_t, unsigned long, enum migrate_mode, int, unsigned int *): 0,
	default: 0U)) damon_rs_migrate_reason;

/* linux/mm.h */
bool damon_rs_helper_folio_is_mapped(struct folio *folio);
unsigned long damon_rs_helper_all_pages(void);
int damon_rs_helper_folio_nid(struct folio *folio);
unsigned long damon_rs_helper_folio_nr_pages(struct folio *folio);
void damon_rs_helper_folio_put(struct folio *folio);
bool damon_rs_helper_folio_try_get(struct folio *folio);
void damon_rs_helper_vma_iter_init(struct vma_iterator *vmi, struct mm_struct *mm, unsigned long addr);
struct vm_area_struct *damon_rs_helper_vma_next(struct vma_iterator *vmi);
struct folio *damon_rs_helper_pmd_folio(pmd_t pmd);
spinlock_t *damon_rs_helper_pmd_lockptr(struct mm_struct *mm, pmd_t *pmd);
unsigned long damon_rs_helper_frame_mask(void);
struct page *damon_rs_helper_first_page(void);
struct folio *damon_rs_helper_pte_folio(pte_t pte);

/* linux/mmap_lock.h */
bool damon_rs_helper_mmap_lock_is_contended(struct mm_struct *mm);
#ifdef CONFIG_PER_VMA_LOCK
bool damon_rs_helper_vma_is_contended(struct vm_area_struct *vma);
bool damon_rs_helper_vma_start_read_locked(struct vm_area_struct *vma);
#endif

/* linux/page-flags.h, linux/page_idle.h */
struct folio *damon_rs_helper_page_folio(struct page *page);
void damon_rs_helper_folio_clear_referenced(struct folio *folio);
void damon_rs_helper_folio_clear_young(struct folio *folio);
void damon_rs_helper_folio_set_idle(struct folio *folio);
void damon_rs_helper_folio_set_young(struct folio *folio);
void damon_rs_helper_folio_set_young_and_idle(struct folio *folio);
bool damon_rs_helper_folio_test_hugetlb(struct folio *folio);
bool damon_rs_helper_folio_test_anon(struct folio *folio);

/* linux/pagemap.h */
bool damon_rs_helper_folio_trylock(struct folio *folio);

/* linux/pgtable.h */
pmd_t *damon_rs_helper_pmd_table(pud_t pud);
unsigned long damon_rs_helper_pte_table_address(pmd_t pmd);
struct damon_rs_pte_table {
	pte_t *ptes;
	spinlock_t *lock;
};
struct damon_rs_pte_table damon_rs_helper_pte_table_lock(struct mm_struct *mm, unsigned long address);
pud_t *damon_rs_helper_pud_entry(struct mm_struct *mm, unsigned long addr);
bool damon_rs_helper_test_and_clear_young(unsigned long *entry);

/* linux/pid.h */
struct pid *damon_rs_helper_get_pid(struct pid *pid);
bool damon_rs_helper_pid_has_task(struct pid *pid);

/* linux/psi.h */
#ifdef CONFIG_PSI
bool damon_rs_helper_psi_is_enabled(struct psi_group *group);
u64 damon_rs_helper_psi_some_mem(struct psi_group *group);
#endif

/* linux/rcuwait.h */
void damon_rs_helper_prepare_to_rcuwait(struct rcuwait *w, unsigned int state);

/* linux/rmap.h */
struct rw_semaphore *damon_rs_helper_anon_vma_semaphore(struct anon_vma *anon_vma);
void damon_rs_helper_folio_vma_walk(struct page_vma_mapped_walk *walk, struct folio *folio, struct vm_area_struct *vma,
				    unsigned long addr);
void damon_rs_helper_page_vma_mapped_walk_done(struct page_vma_mapped_walk *walk);

/* linux/rwsem.h */
bool damon_rs_helper_rwsem_is_contended(struct rw_semaphore *semaphore);

/* linux/sched.h */
void damon_rs_helper_cond_resched(void);
bool damon_rs_helper_need_resched(void);

/* linux/sched/mm.h */
void damon_rs_helper_memalloc_noreclaim_restore(unsigned int flags);
unsigned int damon_rs_helper_memalloc_noreclaim_save(void);

/* linux/sched/mm.h, linux/sched/signal.h */
struct mm_struct *damon_rs_helper_get_process_mm(struct task_struct *task);

/* linux/spinlock.h */
bool damon_rs_helper_spin_is_contended(spinlock_t *lock);

/* linux/vmstat.h */
unsigned long damon_rs_helper_global_lru_pages(bool active);
unsigned long damon_rs_helper_free_pages(void);
void damon_rs_helper_folio_count_isolated(struct folio *folio, long pages);

#endif /* DAMON_RS_MM_HELPERS_H */
