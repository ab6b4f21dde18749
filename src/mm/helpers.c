// SPDX-License-Identifier: GPL-2.0
/*
 * The functions that helpers.h declares. Each is a single expression: whatever decides something is in Rust.
 */

#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/mmu_notifier.h>
#include <linux/page-flags.h>
#include <linux/page_idle.h>
#include <linux/pgtable.h>
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

#include "helpers.h"

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

void damon_rs_helper_folio_set_idle(struct folio *folio)
{
	folio_set_idle(folio);
}

void damon_rs_helper_folio_set_young(struct folio *folio)
{
	folio_set_young(folio);
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
