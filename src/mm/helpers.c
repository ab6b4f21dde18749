// SPDX-License-Identifier: GPL-2.0
/*
 * The functions that helpers.h declares. Each is a single expression: whatever decides something is in Rust.
 */

#include <linux/cgroup.h>
#include <linux/hugetlb.h>
#include <linux/memcontrol.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/mmu_notifier.h>
#include <linux/page-flags.h>
#include <linux/page_idle.h>
#include <linux/pagemap.h>
#include <linux/pgtable.h>
#include <linux/pid.h>
#include <linux/rmap.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

#include "helpers.h"

spinlock_t *damon_rs_helper_huge_pte_lockptr(struct vm_area_struct *vma, pte_t *pte)
{
	return huge_pte_lockptr(hstate_vma(vma), vma->vm_mm, pte);
}

bool damon_rs_helper_is_vm_hugetlb_page(struct vm_area_struct *vma)
{
	return is_vm_hugetlb_page(vma);
}

unsigned int damon_rs_helper_vma_huge_page_shift(struct vm_area_struct *vma)
{
	return huge_page_shift(hstate_vma(vma));
}

struct page *damon_rs_helper_pfn_to_online_page(unsigned long pfn)
{
	return pfn_to_online_page(pfn);
}

/* folio_raw_mapping() of mm/internal.h: the pointer without the flags in its lowest bits. */
bool damon_rs_helper_folio_is_mapped(struct folio *folio)
{
	return folio_mapped(folio) && ((unsigned long)READ_ONCE(folio->mapping) & ~FOLIO_MAPPING_FLAGS);
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

struct folio *damon_rs_helper_pte_folio(pte_t pte)
{
	return pfn_folio(pte_pfn(pte));
}

spinlock_t *damon_rs_helper_pte_lockptr(struct mm_struct *mm, pmd_t pmd)
{
	return pte_lockptr(mm, &pmd);
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

bool damon_rs_helper_mm_has_notifiers(struct mm_struct *mm)
{
	return mm_has_notifiers(mm);
}

struct folio *damon_rs_helper_page_folio(struct page *page)
{
	return page_folio(page);
}

void damon_rs_helper_folio_set_idle(struct folio *folio)
{
	folio_set_idle(folio);
}

void damon_rs_helper_folio_set_young(struct folio *folio)
{
	folio_set_young(folio);
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

bool damon_rs_helper_p4d_none(p4d_t p4d)
{
	return p4d_none(p4d);
}

p4d_t *damon_rs_helper_p4d_offset(pgd_t *pgd, unsigned long addr)
{
	return p4d_offset(pgd, addr);
}

bool damon_rs_helper_pgd_none(pgd_t pgd)
{
	return pgd_none(pgd);
}

pgd_t *damon_rs_helper_pgd_offset(struct mm_struct *mm, unsigned long addr)
{
	return pgd_offset(mm, addr);
}

pmd_t *damon_rs_helper_pmd_table(pud_t pud)
{
	return pmd_offset(&pud, 0);
}

pte_t *damon_rs_helper_pte_table(pmd_t pmd)
{
	return pte_offset_kernel(&pmd, 0);
}

bool damon_rs_helper_pud_is_table(pud_t pud)
{
	return pud_present(pud) && !pud_leaf(pud);
}

pud_t *damon_rs_helper_pud_offset(p4d_t *p4d, unsigned long addr)
{
	return pud_offset(p4d, addr);
}

bool damon_rs_helper_test_and_clear_young(unsigned long *entry)
{
	return test_and_clear_bit(_PAGE_BIT_ACCESSED, entry);
}

struct pid *damon_rs_helper_get_pid(struct pid *pid)
{
	return get_pid(pid);
}

/* What DEFINE_FOLIO_VMA_WALK() makes. */
void damon_rs_helper_folio_vma_walk(struct page_vma_mapped_walk *walk, struct folio *folio, struct vm_area_struct *vma,
				    unsigned long addr)
{
	*walk = (struct page_vma_mapped_walk) {
		.pfn = folio_pfn(folio),
		.nr_pages = folio_nr_pages(folio),
		.pgoff = folio_pgoff(folio),
		.vma = vma,
		.address = addr,
	};
}

void damon_rs_helper_page_vma_mapped_walk_done(struct page_vma_mapped_walk *walk)
{
	page_vma_mapped_walk_done(walk);
}

void damon_rs_helper_cond_resched(void)
{
	cond_resched();
}

bool damon_rs_helper_need_resched(void)
{
	return need_resched();
}

bool damon_rs_helper_spin_is_contended(spinlock_t *lock)
{
	return spin_is_contended(lock);
}
