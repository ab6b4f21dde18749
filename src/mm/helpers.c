// SPDX-License-Identifier: GPL-2.0
/*
 * The functions that helpers.h declares. They contain as little logic as possible: decisions are
 * made in Rust.
 */

#include <linux/bitmap.h>
#include <linux/cgroup.h>
#include <linux/freezer.h>
#include <linux/gfp.h>
#include <linux/hugetlb.h>
#include <linux/list.h>
#include <linux/memcontrol.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/mmap_lock.h>
#include <linux/page-flags.h>
#include <linux/page_idle.h>
#include <linux/pagemap.h>
#include <linux/pgtable.h>
#include <linux/pid.h>
#include <linux/psi_types.h>
#include <linux/rcuwait.h>
#include <linux/rmap.h>
#include <linux/sched.h>
#include <linux/sched/jobctl.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/spinlock.h>
#include <linux/vmstat.h>

#include "helpers.h"

/*
 * Like alloc_migration_target() for folios on LRU lists, but on node @nid only. There is no direct
 * reclaim, because the caller has called memalloc_noreclaim_save(). No reserves are used, and a
 * failure causes no warning.
 */
struct folio *damon_rs_helper_folio_alloc_like(struct folio *src, int nid)
{
	return __folio_alloc((folio_test_large(src) ? GFP_TRANSHUGE : (GFP_HIGHUSER_MOVABLE & ~__GFP_RECLAIM) | GFP_NOWAIT) |
			     __GFP_THISNODE | __GFP_NOMEMALLOC | __GFP_NOWARN, folio_order(src), nid, NULL);
}

/* Returns the mm of a thread, or of another one of its process, with a reference. Under RCU. */
struct mm_struct *damon_rs_helper_get_process_mm(struct task_struct *task)
{
	struct mm_struct *mm = get_task_mm(task);
	struct task_struct *thread;

	if (mm)
		return mm;
	for_each_thread(task, thread) {
		mm = get_task_mm(thread);
		if (mm)
			break;
	}
	return mm;
}

bool damon_rs_helper_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}

/*
 * Returns whether the current thread is to be frozen. In this case it has to return -ERESTARTNOINTR
 * from its system call, for which a signal must be pending.
 */
bool damon_rs_helper_restart_to_freeze(void)
{
	if (!freezing(current) && !(READ_ONCE(current->jobctl) & JOBCTL_TRAP_FREEZE))
		return false;
	restart_syscall();
	return true;
}

spinlock_t *damon_rs_helper_huge_pte_lockptr(struct vm_area_struct *vma, pte_t *pte)
{
	return huge_pte_lockptr(hstate_vma(vma), vma->vm_mm, pte);
}

bool damon_rs_helper_huge_pte_is_shared(pte_t *pte)
{
	return hugetlb_pmd_shared(pte);
}

bool damon_rs_helper_is_vm_hugetlb_page(struct vm_area_struct *vma)
{
	return is_vm_hugetlb_page(vma);
}

unsigned int damon_rs_helper_vma_huge_page_shift(struct vm_area_struct *vma)
{
	return huge_page_shift(hstate_vma(vma));
}

/* The members are set in C because they are parts of anonymous unions after Linux 7.2. */
void damon_rs_helper_kobj_attribute(struct kobj_attribute *attr,
				    ssize_t (*show)(struct kobject *kobj, struct kobj_attribute *attr, char *buf),
				    ssize_t (*store)(struct kobject *kobj, struct kobj_attribute *attr, const char *buf,
						     size_t count))
{
	attr->show = show;
	attr->store = store;
}

void damon_rs_helper_folio_list_add_tail(struct folio *folio, struct list_head *list)
{
	list_add_tail(&folio->lru, list);
}

void damon_rs_helper_folio_list_del(struct folio *folio)
{
	list_del(&folio->lru);
}

struct folio *damon_rs_helper_folio_list_first(struct list_head *list)
{
	return list_first_entry_or_null(list, struct folio, lru);
}

struct folio *damon_rs_helper_folio_next(struct folio *folio)
{
	return (struct folio *)folio->lru.next;
}

void damon_rs_helper_folio_set_next(struct folio *folio, struct folio *next)
{
	folio->lru.next = (struct list_head *)next;
}

unsigned long damon_rs_helper_node_start_pfn(int nid)
{
	return node_online(nid) ? node_start_pfn(nid) : 0;
}

unsigned long damon_rs_helper_node_end_pfn(int nid)
{
	return node_online(nid) ? node_end_pfn(nid) : 0;
}

unsigned long damon_rs_helper_node_free_pages(int nid, unsigned int zone)
{
	return zone_page_state(&NODE_DATA(nid)->node_zones[zone], NR_FREE_PAGES);
}

bool damon_rs_helper_node_has_memory(int nid)
{
	return nid >= 0 && nid < MAX_NUMNODES && node_state(nid, N_MEMORY);
}

unsigned long damon_rs_helper_node_managed_pages(int nid, unsigned int zone)
{
	return zone_managed_pages(&NODE_DATA(nid)->node_zones[zone]);
}

bool damon_rs_helper_section_is_online(unsigned long pfn)
{
	return pfn_to_section_nr(pfn) < NR_MEM_SECTIONS && online_section_nr(pfn_to_section_nr(pfn));
}

#ifdef CONFIG_SPARSEMEM_VMEMMAP
/*
 * Returns the section of a PFN, NULL if not all of its subsections are present. Must be called
 * under RCU, which protects `usage`.
 */
struct mem_section *damon_rs_helper_whole_section(unsigned long pfn)
{
	struct mem_section *section = pfn_to_section_nr(pfn) < NR_MEM_SECTIONS ? __pfn_to_section(pfn) : NULL;
	struct mem_section_usage *usage = section ? READ_ONCE(section->usage) : NULL;

	return usage && bitmap_full(usage->subsection_map, SUBSECTIONS_PER_SECTION) ? section : NULL;
}
#endif

struct page *damon_rs_helper_pfn_to_online_page(unsigned long pfn)
{
	return pfn_to_online_page(pfn);
}

/* The second operand is folio_raw_mapping() of mm/internal.h. */
bool damon_rs_helper_folio_is_mapped(struct folio *folio)
{
	return folio_mapped(folio) && ((unsigned long)READ_ONCE(folio->mapping) & ~FOLIO_MAPPING_FLAGS);
}

unsigned long damon_rs_helper_all_pages(void)
{
	return totalram_pages();
}

int damon_rs_helper_folio_nid(struct folio *folio)
{
	return folio_nid(folio);
}

unsigned long damon_rs_helper_folio_nr_pages(struct folio *folio)
{
	return folio_nr_pages(folio);
}

void damon_rs_helper_folio_put(struct folio *folio)
{
	folio_put(folio);
}

bool damon_rs_helper_folio_try_get(struct folio *folio)
{
	return folio_try_get(folio);
}

#ifdef CONFIG_MEMCG
u64 damon_rs_helper_folio_memcg_id(struct folio *folio)
{
	return mem_cgroup_id(folio_memcg_check(folio));
}

struct lruvec *damon_rs_helper_mem_cgroup_lruvec(struct mem_cgroup *memcg, int nid)
{
	return mem_cgroup_lruvec(memcg, NODE_DATA(nid));
}

u64 damon_rs_helper_mem_cgroup_id(struct mem_cgroup *memcg)
{
	return mem_cgroup_id(memcg);
}

bool damon_rs_helper_mem_cgroup_online(struct mem_cgroup *memcg)
{
	return mem_cgroup_online(memcg);
}

int damon_rs_helper_mem_cgroup_path(struct mem_cgroup *memcg, char *buf, size_t size)
{
	return cgroup_path(memcg->css.cgroup, buf, size);
}

void damon_rs_helper_mem_cgroup_put(struct mem_cgroup *memcg)
{
	mem_cgroup_put(memcg);
}
#endif

void damon_rs_helper_vma_iter_init(struct vma_iterator *vmi, struct mm_struct *mm, unsigned long addr)
{
	vma_iter_init(vmi, mm, addr);
}

struct vm_area_struct *damon_rs_helper_vma_next(struct vma_iterator *vmi)
{
	return vma_next(vmi);
}

struct folio *damon_rs_helper_pmd_folio(pmd_t pmd)
{
	return pfn_folio(pmd_pfn(pmd));
}

spinlock_t *damon_rs_helper_pmd_lockptr(struct mm_struct *mm, pmd_t *pmd)
{
	return pmd_lockptr(mm, pmd);
}

/*
 * Returns zero if page table entries do not contain the physical address (Xen PV), or if there is
 * no array of all struct pages.
 */
unsigned long damon_rs_helper_frame_mask(void)
{
	return IS_ENABLED(CONFIG_SPARSEMEM_VMEMMAP) && !boot_cpu_has(X86_FEATURE_XENPV) ? PTE_PFN_MASK : 0;
}

struct page *damon_rs_helper_first_page(void)
{
	return pfn_to_page(0);
}

struct folio *damon_rs_helper_pte_folio(pte_t pte)
{
	return pfn_folio(pte_pfn(pte));
}

bool damon_rs_helper_mmap_lock_is_contended(struct mm_struct *mm)
{
	return mmap_lock_is_contended(mm);
}

#ifdef CONFIG_PER_VMA_LOCK
bool damon_rs_helper_vma_is_contended(struct vm_area_struct *vma)
{
	return refcount_read(&vma->vm_refcnt) & VM_REFCNT_EXCLUDE_READERS_FLAG;
}

bool damon_rs_helper_vma_start_read_locked(struct vm_area_struct *vma)
{
	return vma_start_read_locked(vma);
}
#endif

struct folio *damon_rs_helper_page_folio(struct page *page)
{
	return page_folio(page);
}

void damon_rs_helper_folio_clear_referenced(struct folio *folio)
{
	folio_clear_referenced(folio);
}

void damon_rs_helper_folio_clear_young(struct folio *folio)
{
	folio_test_clear_young(folio);
}

void damon_rs_helper_folio_set_idle(struct folio *folio)
{
	folio_set_idle(folio);
}

void damon_rs_helper_folio_set_young(struct folio *folio)
{
	folio_set_young(folio);
}

void damon_rs_helper_folio_set_young_and_idle(struct folio *folio)
{
	folio_set_young(folio);
	folio_set_idle(folio);
}

bool damon_rs_helper_folio_test_hugetlb(struct folio *folio)
{
	return folio_test_hugetlb(folio);
}

bool damon_rs_helper_folio_trylock(struct folio *folio)
{
	return folio_trylock(folio);
}

bool damon_rs_helper_folio_test_anon(struct folio *folio)
{
	return folio_test_anon(folio);
}

pmd_t *damon_rs_helper_pmd_table(pud_t pud)
{
	return pmd_offset(&pud, 0);
}

unsigned long damon_rs_helper_pte_table_address(pmd_t pmd)
{
	return PFN_PHYS(pmd_pfn(pmd));
}

/* pte_lockptr() for a page table at a physical address. */
#ifdef CONFIG_SPLIT_PTE_PTLOCKS
#define TABLE_LOCK(mm, address) ptlock_ptr(page_ptdesc(pfn_to_page(PHYS_PFN(address))))
#else
#define TABLE_LOCK(mm, address) (&(mm)->page_table_lock)
#endif

/*
 * Locks a page table. This is pte_offset_map_lock() without the checks of the PMD entry before and
 * after, which are left to the caller.
 */
struct damon_rs_pte_table damon_rs_helper_pte_table_lock(struct mm_struct *mm, unsigned long address)
{
	struct damon_rs_pte_table table = { .ptes = __va(address), .lock = TABLE_LOCK(mm, address) };

	spin_lock(table.lock);
	return table;
}

/*
 * Returns NULL if there is no PUD table. The entries of the levels above keep pointing to a table
 * as long as the caller's lock keeps a VMA that the table serves.
 */
pud_t *damon_rs_helper_pud_entry(struct mm_struct *mm, unsigned long addr)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4d = pgd_present(*pgd) ? p4d_offset(pgd, addr) : NULL;

	return p4d && p4d_present(*p4d) ? pud_offset(p4d, addr) : NULL;
}

bool damon_rs_helper_test_and_clear_young(unsigned long *entry)
{
	return test_and_clear_bit(_PAGE_BIT_ACCESSED, entry);
}

struct pid *damon_rs_helper_get_pid(struct pid *pid)
{
	return get_pid(pid);
}

bool damon_rs_helper_pid_has_task(struct pid *pid)
{
	return pid_has_task(pid, PIDTYPE_PID);
}

#ifdef CONFIG_PSI
/* False if PSI was disabled at boot: psi_init() then leaves the group as it is. */
bool damon_rs_helper_psi_is_enabled(struct psi_group *group)
{
	return READ_ONCE(group->enabled);
}

u64 damon_rs_helper_psi_some_mem(struct psi_group *group)
{
	return READ_ONCE(group->total[PSI_AVGS][PSI_MEM_SOME]);
}
#endif

/* The beginning of rcuwait_wait_event(). */
void damon_rs_helper_prepare_to_rcuwait(struct rcuwait *w, unsigned int state)
{
	prepare_to_rcuwait(w);
	set_current_state(state);
}

struct rw_semaphore *damon_rs_helper_anon_vma_semaphore(struct anon_vma *anon_vma)
{
	return &anon_vma->root->rwsem;
}

void damon_rs_helper_folio_vma_walk(struct page_vma_mapped_walk *walk, struct folio *folio, struct vm_area_struct *vma,
				    unsigned long addr)
{
	DEFINE_FOLIO_VMA_WALK(made, folio, vma, addr, 0);

	*walk = made;
}

void damon_rs_helper_page_vma_mapped_walk_done(struct page_vma_mapped_walk *walk)
{
	page_vma_mapped_walk_done(walk);
}

bool damon_rs_helper_rwsem_is_contended(struct rw_semaphore *semaphore)
{
	return rwsem_is_contended(semaphore);
}

void damon_rs_helper_cond_resched(void)
{
	cond_resched();
}

bool damon_rs_helper_need_resched(void)
{
	return need_resched();
}

void damon_rs_helper_memalloc_noreclaim_restore(unsigned int flags)
{
	memalloc_noreclaim_restore(flags);
}

unsigned int damon_rs_helper_memalloc_noreclaim_save(void)
{
	return memalloc_noreclaim_save();
}

bool damon_rs_helper_spin_is_contended(spinlock_t *lock)
{
	return spin_is_contended(lock);
}

unsigned long damon_rs_helper_global_lru_pages(bool active)
{
	return global_node_page_state(active ? NR_ACTIVE_ANON : NR_INACTIVE_ANON) +
	       global_node_page_state(active ? NR_ACTIVE_FILE : NR_INACTIVE_FILE);
}

unsigned long damon_rs_helper_free_pages(void)
{
	return global_zone_page_state(NR_FREE_PAGES);
}

void damon_rs_helper_folio_count_isolated(struct folio *folio, long pages)
{
	node_stat_mod_folio(folio, NR_ISOLATED_ANON + folio_is_file_lru(folio), pages);
}
