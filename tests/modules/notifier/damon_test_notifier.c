// SPDX-License-Identifier: GPL-2.0
/*
 * A secondary MMU for tests: one that has always just accessed a range of addresses of a process, and lets nobody else
 * know than those who ask it as an MMU notifier.
 *
 *   insmod damon_test_notifier.ko pid=PID start=ADDRESS end=ADDRESS
 *
 * /sys/module/damon_test_notifier/parameters counts how often it was asked: clear_young, test_young, and outside for
 * questions about anything but the range.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>

static int pid;
module_param(pid, int, 0400);

static unsigned long start;
module_param(start, ulong, 0400);

static unsigned long end;
module_param(end, ulong, 0400);

static atomic_long_t nr_clear_young, nr_test_young, nr_outside;

static int get_counter(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%ld\n", atomic_long_read(param->arg));
}

static const struct kernel_param_ops counter_ops = { .get = get_counter };

module_param_cb(clear_young, &counter_ops, &nr_clear_young, 0400);
module_param_cb(test_young, &counter_ops, &nr_test_young, 0400);
module_param_cb(outside, &counter_ops, &nr_outside, 0400);

static bool overlaps(unsigned long from, unsigned long to)
{
	if (from < end && to > start)
		return true;
	atomic_long_inc(&nr_outside);
	return false;
}

static bool clear_young(struct mmu_notifier *notifier, struct mm_struct *mm, unsigned long from, unsigned long to)
{
	atomic_long_inc(&nr_clear_young);
	return overlaps(from, to);
}

static bool test_young(struct mmu_notifier *notifier, struct mm_struct *mm, unsigned long address)
{
	atomic_long_inc(&nr_test_young);
	return overlaps(address, address + 1);
}

static const struct mmu_notifier_ops ops = {
	.clear_young = clear_young,
	.test_young = test_young,
};

static struct mmu_notifier notifier = { .ops = &ops };
static struct mm_struct *watched;

static int __init notifier_init(void)
{
	struct pid *struct_pid = find_get_pid(pid);
	struct task_struct *task = get_pid_task(struct_pid, PIDTYPE_PID);
	struct mm_struct *mm;
	int err;

	put_pid(struct_pid);
	if (!task)
		return -ESRCH;
	mm = get_task_mm(task);
	put_task_struct(task);
	if (!mm)
		return -ESRCH;

	err = mmu_notifier_register(&notifier, mm);
	if (!err) {
		mmgrab(mm);
		watched = mm;
	}
	mmput(mm);
	return err;
}

static void __exit notifier_exit(void)
{
	mmu_notifier_unregister(&notifier, watched);
	mmdrop(watched);
}

module_init(notifier_init);
module_exit(notifier_exit);

MODULE_DESCRIPTION("A secondary MMU for tests of DAMON");
MODULE_LICENSE("GPL");
