// SPDX-License-Identifier: GPL-2.0
/*
 * A process that changes its address space all the time, and tells how long that takes: churn KIND
 *
 * It maps memory to be monitored, and says "PID" once.  For each number on standard
 * input it does so many operations, and says "TOTAL LONGEST": nanoseconds that they
 * took together, and that the longest took.
 *
 *   map      map 64 KiB, write to each page, unmap them
 *   fault    drop 64 KiB of what is monitored, write to each page
 *   protect  make a page of what is monitored read-only and writable again: its
 *            area is split in three and put together
 *   holes    as "map", with 1,000 areas of a page each that have holes in between
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "rounds.h"

#define SIZE		(64 * MIB)
#define PIECE		(64UL << 10)
#define AREAS		1000

static unsigned long page_sz;
static char *area;

static void check(int failed, const char *what)
{
	if (failed)
		die(what);
}

static void write_to(char *start)
{
	for (unsigned long at = 0; at < PIECE; at += page_sz)
		((volatile char *)start)[at] = 1;
}

static char *map(unsigned long size)
{
	char *start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(start == MAP_FAILED, "mmap");
	check(madvise(start, size, MADV_NOHUGEPAGE), "madvise");
	return start;
}

static void remap(unsigned long n)
{
	char *start = map(PIECE);

	(void)n;
	write_to(start);
	check(munmap(start, PIECE), "munmap");
}

static void fault(unsigned long n)
{
	char *start = area + n * PIECE % SIZE;

	check(madvise(start, PIECE, MADV_DONTNEED), "drop");
	write_to(start);
}

static void protect(unsigned long n)
{
	char *start = area + page_sz + n * PIECE % SIZE;

	check(mprotect(start, page_sz, PROT_READ), "mprotect");
	check(mprotect(start, page_sz, PROT_READ | PROT_WRITE), "mprotect");
}

int main(int argc, char **argv)
{
	const char *kind = argc == 2 ? argv[1] : "";
	void (*operation)(unsigned long n) = !strcmp(kind, "fault") ? fault : !strcmp(kind, "protect") ? protect : remap;
	unsigned long count;

	fix_addresses(argv);
	page_sz = sysconf(_SC_PAGESIZE);
	area = map(SIZE);
	check(madvise(area, SIZE, MADV_POPULATE_WRITE), "populate");
	if (!strcmp(kind, "holes"))
		for (unsigned long n = 0; n < AREAS; n++)
			check(munmap(area + n * PIECE + page_sz, PIECE - page_sz), "munmap");
	printf("%d\n", getpid());
	fflush(stdout);
	while (scanf("%lu", &count) == 1) {
		uint64_t begin = now_ns(), longest = 0, last = begin;

		for (unsigned long n = 0; n < count; n++) {
			operation(n);
			uint64_t now = now_ns();

			if (now - last > longest)
				longest = now - last;
			last = now;
		}
		printf("%llu %llu\n", (unsigned long long)(last - begin),
		       (unsigned long long)longest);
		fflush(stdout);
	}
	return 0;
}
