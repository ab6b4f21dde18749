// SPDX-License-Identifier: GPL-2.0
/*
 * A process that is monitored, and does all that changes an address space.
 *
 * Each page that it has written begins with a word that tells where it belongs.
 * A page must begin with that or with zeroes, whatever anybody does to accessed
 * bits, tables and folios meanwhile: else it exits with status 3.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stress.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

#define PAGE		4096UL
#define HUGE_SZ		(2 * MIB)
#define MAX_AREAS	12
#define MAX_SZ		(8 * MIB)

struct area {
	char *start;
	unsigned long size;
	uint64_t id;
	bool alike;		/* all its pages are the same, for KSM */
	bool shared;		/* what a child writes is seen here too */
	bool huge;		/* of the pool of huge pages */
};

static struct area areas[MAX_AREAS];
static unsigned int nr_areas;
static uint64_t next_id;
static char *stable;
static unsigned long base, span;
static struct worker self;

static uint64_t stamp(const struct area *area, unsigned long page)
{
	return area->id << 32 | (area->alike ? 1 : page + 1);
}

static void verify(const struct area *area, unsigned long page)
{
	uint64_t found = *(volatile uint64_t *)(area->start + page * PAGE);

	if (found && found != stamp(area, page)) {
		fprintf(stderr, "stress: page %lu of area %llu at %p begins with %llx\n", page,
			(unsigned long long)area->id, area->start, (unsigned long long)found);
		_exit(3);
	}
}

static void touch(const struct area *area, bool write)
{
	unsigned long pages = area->size / PAGE;
	unsigned long first = roll(&self, pages), nr = 1 + roll(&self, 60);

	for (unsigned long page = first; page < pages && page < first + nr; page++) {
		verify(area, page);
		if (write)
			*(volatile uint64_t *)(area->start + page * PAGE) = stamp(area, page);
	}
}

/*
 * What was given back of the pool of huge pages (MADV_DONTNEED), or is shared with
 * a child, may find the pool empty. No other memory may be missing.
 */
static void on_bus_error(int signal, siginfo_t *info, void *unused)
{
	char *at = info->si_addr;

	for (unsigned int i = 0; i < nr_areas; i++)
		if (areas[i].huge && at >= areas[i].start && at < areas[i].start + areas[i].size)
			_exit(0);
	_exit(6);
}

static void map_area(void)
{
	static const int hints[] = { MADV_NORMAL, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_MERGEABLE };
	unsigned long size = PAGE * (1 + roll(&self, MAX_SZ / PAGE));
	struct area *area = &areas[nr_areas];
	int flags = MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE;
	char *at = (char *)base + HUGE_SZ * roll(&self, span / HUGE_SZ);
	int hint = hints[roll(&self, 4)];

	if (nr_areas == MAX_AREAS)
		return;
	area->huge = false;
	area->shared = !roll(&self, 4);
	flags |= area->shared ? MAP_SHARED : MAP_PRIVATE;
	if (!roll(&self, 12)) {
		area->huge = true;
		size = HUGE_SZ;
		flags |= MAP_HUGETLB;
		flags &= ~MAP_NORESERVE;
	}
	area->start = mmap(at, size, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (area->start == MAP_FAILED)
		return;
	area->size = size;
	area->id = ++next_id;
	area->alike = hint == MADV_MERGEABLE;
	madvise(area->start, size, hint);
	nr_areas++;
	touch(area, true);
}

static void unmap_area(struct area *area)
{
	munmap(area->start, area->size);
	*area = areas[--nr_areas];
}

/* Shorter at its end, or somewhere else, or both. */
static void change_area(struct area *area)
{
	unsigned long size = area->size;
	char *to = (char *)base + HUGE_SZ * roll(&self, span / HUGE_SZ), *moved;

	if (roll(&self, 2) && size > PAGE)
		size -= PAGE * roll(&self, size / PAGE);
	/* to where nothing is */
	moved = mmap(to, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (moved == MAP_FAILED)
		return;
	to = mremap(area->start, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, moved);
	if (to == MAP_FAILED) {
		munmap(moved, size);
		return;
	}
	if (size < area->size)
		munmap(area->start + size, area->size - size);
	area->start = to;
	area->size = size;
}

static void advise(struct area *area)
{
	static const int all[] = {
		MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_COLLAPSE, MADV_COLLAPSE, MADV_DONTNEED,
		MADV_FREE, MADV_COLD, MADV_PAGEOUT, MADV_PAGEOUT, MADV_WILLNEED,
		MADV_POPULATE_READ, MADV_POPULATE_WRITE,
	};
	unsigned long pages = area->size / PAGE;
	unsigned long first = roll(&self, pages);

	/* what cannot be done is refused */
	madvise(area->start + first * PAGE, (1 + roll(&self, pages - first)) * PAGE,
		all[roll(&self, sizeof(all) / sizeof(*all))]);
}

static void protect(struct area *area)
{
	unsigned long pages = area->size / PAGE;
	unsigned long first = roll(&self, pages);
	char *start = area->start + first * PAGE;
	unsigned long size = (1 + roll(&self, pages - first)) * PAGE;

	mprotect(start, size, roll(&self, 2) ? PROT_NONE : PROT_READ);
	sleep_ms(roll(&self, 3));
	if (mprotect(start, size, PROT_READ | PROT_WRITE)) {
		/* too many areas for another split, say: it is not used again */
		unmap_area(area);
	}
}

static void fork_child(void)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		return;
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (unsigned int i = 0; i < nr_areas; i++)
			touch(&areas[i], roll(&self, 2));
		_exit(0);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status))
		_exit(WEXITSTATUS(status));
}

static void exec_again(unsigned int slot)
{
	char seed[32], slot_text[32];
	char *argv[] = { "stress", "--target", seed, "--slot", slot_text, NULL };

	snprintf(seed, sizeof(seed), "%llu", (unsigned long long)random64(&self));
	snprintf(slot_text, sizeof(slot_text), "%u", slot);
	execv("/proc/self/exe", argv);
	_exit(4);
}

/* Faults in another thread, while the first one holds the locks for changes. */
static void *keep_busy(void *unused)
{
	for (unsigned long i = 0;; i++) {
		((volatile char *)stable)[i % 256 * PAGE] = 1;
		if (i % 256 == 255) {
			madvise(stable, 128 * PAGE, MADV_DONTNEED);
			/* 128 faults each time: the callers are to have most of the time */
			sleep_ms(200);
		}
	}
	return unused;
}

void run_target(uint64_t seed, unsigned int slot)
{
	struct sigaction action = { .sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO };
	bool watched = slot < NR_TARGETS;
	pthread_t thread;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigaction(SIGBUS, &action, NULL);
	self.random = seed;
	base = watched ? TARGET_BASE + slot * TARGET_SPAN : BYSTANDER_BASE;
	span = watched ? 256 * MIB : BYSTANDER_SZ;
	stable = mmap(NULL, 256 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stable == MAP_FAILED || pthread_create(&thread, NULL, keep_busy, NULL))
		_exit(5);
	for (;;) {
		struct area *area;
		unsigned long what = roll(&self, 1000);

		if (!nr_areas || what < 80) {
			map_area();
			if (!nr_areas)
				sleep_ms(1);
			continue;
		}
		area = &areas[roll(&self, nr_areas)];
		if (what < 140)
			unmap_area(area);
		else if (what < 230)
			change_area(area);
		else if (what < 330)
			advise(area);
		else if (what < 380)
			protect(area);
		else if (what < 400)
			fork_child();
		else if (what < 402 && watched)
			exec_again(slot);
		else if (what < 403 && watched)
			_exit(0);
		else
			touch(area, what & 1);
		sleep_ms(roll(&self, 100));
	}
}
