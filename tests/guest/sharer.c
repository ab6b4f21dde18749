// SPDX-License-Identifier: GPL-2.0
/*
 * Two tasks that share memory, all of which is accessed in every round.
 *
 *   sharer KIND [FILE]
 *
 *   process  only one task, named twice
 *   thread   a thread of the process
 *   leader   a process whose main thread has ended, while another one runs
 *   vm       a child with the same address space (CLONE_VM)
 *   vfork    the same, while vfork() lasts
 *   hugetlb  a child that shares page tables of hugetlbfs
 *   written  a child that maps the same FILE, which is accessed by write() alone
 *
 * With "+thp" behind it, the memory of the first five is transparent huge pages.
 *
 * The output is one JSON object: {"pids":[…],"start":…,"size":…}, where "size"
 * is the number of bytes of all that is accessed.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "rounds.h"

#define PAGE		4096UL
#define HUGE		(2UL << 20)
#define TABLE		(1UL << 30)	/* of one PMD table */
#define NR_PAGES	4
#define PACE_NS		2000000L

static char stack[65536] __attribute__((aligned(16)));
static bool written, huge;
static char *area;
static int fd = -1;

static char *map(unsigned long size, int flags, int file, char *at)
{
	char *start = mmap(at, size, PROT_READ | PROT_WRITE, flags, file, 0);

	if (start == MAP_FAILED)
		die("mmap");
	return start;
}

/* Memory at a multiple of `align`, without page tables of its own so far. */
static char *map_aligned(unsigned long size, unsigned long align)
{
	char *start = map(size + align, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, NULL);

	return (char *)(((unsigned long)start + align - 1) & ~(align - 1));
}

static unsigned long unit(void)
{
	return huge ? HUGE : PAGE;
}

static void populate(void)
{
	for (unsigned long i = 0; i < NR_PAGES; i++)
		*(volatile char *)(area + i * unit()) = 1;
}

/* Only reads: a write after a fork would split a transparent huge page. */
static void access_all(void)
{
	char byte = 1;

	for (unsigned long i = 0; i < NR_PAGES; i++) {
		if (!written)
			(void)*(volatile char *)(area + i * unit());
		else if (pwrite(fd, &byte, 1, i * PAGE) != 1)
			die("pwrite");
	}
}

static void rounds(void)
{
	struct timespec pace = { 0, PACE_NS };

	start_peer();
	for (;;) {
		access_all();
		switch_address_space();
		nanosleep(&pace, NULL);
	}
}

static void print(pid_t first, pid_t second)
{
	printf("{\"pids\":[%d,%d],\"start\":%lu,\"size\":%lu}\n", first, second,
	       (unsigned long)area, NR_PAGES * unit());
}

static int wait_for_ever(void *arg)
{
	for (;;)
		pause();
}

static int run_on(void *arg)
{
	rounds();
	return 0;
}

static pid_t start_task(int (*function)(void *), int flags)
{
	pid_t task = clone(function, stack + sizeof(stack), flags, NULL);

	if (task < 0)
		die("clone");
	return task;
}

/* A child that has touched the memory, and waits. */
static pid_t start_child(void)
{
	int ready[2];
	char byte = 0;
	pid_t child;

	if (pipe(ready))
		die("pipe");
	child = fork();
	if (child < 0)
		die("fork");
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		populate();
		if (write(ready[1], &byte, 1) != 1)
			die("write");
		wait_for_ever(NULL);
	}
	if (read(ready[0], &byte, 1) != 1)
		die("read");
	return child;
}

int main(int argc, char **argv)
{
	char *kind = argc > 1 ? argv[1] : "";
	char *plus = strstr(kind, "+thp");

	setvbuf(stdout, NULL, _IOLBF, 0);
	pin(0);
	if (plus) {
		*plus = 0;
		huge = true;
	}
	if (!strcmp(kind, "hugetlb")) {
		huge = true;
		fd = memfd_create("shared", MFD_HUGETLB);
		if (fd < 0 || ftruncate(fd, TABLE))
			die("memfd");
		area = map_aligned(TABLE, TABLE);
		map(TABLE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, area);
	} else if (!strcmp(kind, "written")) {
		written = true;
		fd = open(argc > 2 ? argv[2] : "", O_RDWR | O_CREAT | O_TRUNC, 0600);
		if (fd < 0 || ftruncate(fd, NR_PAGES * PAGE))
			die("file");
		area = map(NR_PAGES * PAGE, MAP_SHARED, fd, NULL);
	} else {
		area = map_aligned(NR_PAGES * unit(), HUGE);
		if (madvise(area, NR_PAGES * unit(), huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
			die("madvise");
	}
	populate();

	if (!strcmp(kind, "process")) {
		print(getpid(), getpid());
	} else if (!strcmp(kind, "thread")) {
		print(getpid(), start_task(wait_for_ever, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD));
	} else if (!strcmp(kind, "leader")) {
		print(getpid(), getpid());
		start_task(run_on, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_FILES | CLONE_FS);
		syscall(SYS_exit, 0);
	} else if (!strcmp(kind, "vm")) {
		print(getpid(), start_task(wait_for_ever, CLONE_VM | SIGCHLD));
	} else if (!strcmp(kind, "vfork")) {
		pid_t parent = getpid();

		/* the parent waits in vfork() until the child is killed */
		switch (vfork()) {
		case -1:
			die("vfork");
			break;
		case 0:
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			print(parent, getpid());
			rounds();
		}
		return 1;
	} else if (!strcmp(kind, "hugetlb") || written) {
		print(getpid(), start_child());
	} else {
		fprintf(stderr, "usage: sharer KIND [FILE]\n");
		return 2;
	}
	rounds();
}
