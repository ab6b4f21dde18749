// SPDX-License-Identifier: GPL-2.0
/*
 * A process that has memory of one kind and leaves it alone, but for what it is told to do.
 *
 *   holder KIND BYTES [FILE]
 *
 *   anon      pages of 4 KiB, private
 *   shmem     the same, shared memory
 *   file      pages of FILE, private and not written to
 *   plain     private, aligned to huge pages; which pages it gets is up to the kernel
 *   thp       private, in huge pages
 *   split     the same, mapped page by page
 *   locked    as anon, in the first half by mlock()
 *   pinned    as anon, the first page of each 16 in use by a pipe
 *   forked    as anon, with a child that has all of it too
 *   zero      as anon, of which only the pages of the second half were written to
 *   holes     as anon, every other 64 KiB unmapped
 *   empty     as plain, nothing touched
 *
 * The first line of its output is a JSON object: {"pid":…,"area":[start,end]}.
 * Then it obeys lines on its standard input, and answers each with a number:
 *
 *   check     reads every page; the number of those with wrong contents
 *   write     writes to every page; 0
 *   resident  the number of pages that are in memory, mapped or not
 *   hot N     reads the first N bytes from now on all the time; 0
 *   exit      ends
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "rounds.h"

#define PAGE	4096UL
#define HUGE	(2UL << 20)
#define CHUNK	(64UL << 10)
#define PACE_NS	2000000L

static const char *kind;
static char *area;
static unsigned long size;

static bool is(const char *name)
{
	return !strcmp(kind, name);
}

static bool is_hole(unsigned long at)
{
	return is("holes") && at / CHUNK % 2;
}

static char contents(unsigned long at)
{
	return is("zero") && at < size / 2 ? 0 : 1 + at / PAGE % 100;
}

/* Fills every page, with something that another process's copy of it does not have by chance. */
static void fill(void)
{
	for (unsigned long at = 0; at < size; at += PAGE)
		if (!is_hole(at) && contents(at))
			memset(area + at, contents(at), PAGE);
}

static char *map_aligned(unsigned long length)
{
	char *start = mmap(NULL, length + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *aligned = (char *)(((unsigned long)start + HUGE - 1) & ~(HUGE - 1));

	if (start == MAP_FAILED)
		die("mmap");
	/* nothing of it that is not the area */
	if (aligned > start && munmap(start, aligned - start))
		die("munmap");
	if (munmap(aligned + length, HUGE - (aligned - start)))
		die("munmap");
	return aligned;
}

static void pin_pages(void)
{
	unsigned long left = size / PAGE / 16;
	int pipes[2];

	for (unsigned long at = 0; at < size; at += 16 * PAGE) {
		struct iovec page = { area + at, PAGE };

		/* a pipe of a user's holds 16 pages by default */
		if (left-- % 16 == 0 || !at)
			if (pipe(pipes))
				die("pipe");
		if (vmsplice(pipes[1], &page, 1, SPLICE_F_NONBLOCK) != (ssize_t)PAGE)
			die("vmsplice");
	}
}

static void map_file(const char *name)
{
	char page[PAGE];
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (fd < 0)
		die(name);
	for (unsigned long at = 0; at < size; at += PAGE) {
		memset(page, contents(at), PAGE);
		if (write(fd, page, PAGE) != (ssize_t)PAGE)
			die("write");
	}
	if (fsync(fd))
		die("fsync");
	area = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (area == MAP_FAILED)
		die("mmap");
	for (unsigned long at = 0; at < size; at += PAGE)
		(void)*(volatile char *)(area + at);
}

static void map_area(const char *file)
{
	if (is("file"))
		return map_file(file);
	if (is("shmem")) {
		area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (area == MAP_FAILED)
			die("mmap");
		return fill();
	}
	area = map_aligned(size);
	if (is("empty"))
		return;
	if (is("thp") || is("split")) {
		if (madvise(area, size, MADV_HUGEPAGE))
			die("madvise");
	} else if (!is("plain")) {
		madvise(area, size, MADV_NOHUGEPAGE);
	}
	for (unsigned long at = 0; at < size; at += PAGE)
		if (is_hole(at) && munmap(area + at, PAGE))
			die("munmap");
	fill();
	/* protection that differs within what an entry maps takes an entry a page */
	for (unsigned long at = 0; is("split") && at < size; at += HUGE)
		if (mprotect(area + at + PAGE, PAGE, PROT_READ))
			die("mprotect");
	for (unsigned long at = 0; is("zero") && at < size / 2; at += PAGE)
		(void)*(volatile char *)(area + at);
	if (is("locked") && mlock(area, size / 2))
		die("mlock");
	if (is("pinned"))
		pin_pages();
}

static unsigned long check(void)
{
	unsigned long wrong = 0;

	for (unsigned long at = 0; at < size; at += PAGE)
		wrong += !is_hole(at) && *(volatile char *)(area + at) != contents(at);
	return wrong;
}

static unsigned long resident(void)
{
	static unsigned char in_memory[CHUNK / PAGE];
	unsigned long pages = 0;

	for (unsigned long at = 0; at < size; at += CHUNK) {
		if (is_hole(at))
			continue;
		if (mincore(area + at, CHUNK, in_memory))
			die("mincore");
		for (unsigned long i = 0; i < CHUNK / PAGE; i++)
			pages += in_memory[i] & 1;
	}
	return pages;
}

static void obey(void)
{
	struct pollfd in = { .fd = 0, .events = POLLIN };
	struct timespec pace = { 0, PACE_NS };
	unsigned long hot = 0;
	char line[32];

	for (;;) {
		if (poll(&in, 1, hot ? 0 : -1) > 0) {
			unsigned long answer = 0;

			if (!fgets(line, sizeof(line), stdin) || !strcmp(line, "exit\n"))
				exit(0);
			if (!strcmp(line, "check\n"))
				answer = check();
			else if (!strcmp(line, "resident\n"))
				answer = resident();
			else if (!strcmp(line, "write\n"))
				fill();
			else if (sscanf(line, "hot %lu", &hot) != 1)
				die(line);
			printf("%lu\n", answer);
		}
		if (!hot)
			continue;
		for (unsigned long at = 0; at < hot; at += PAGE)
			(void)*(volatile char *)(area + at);
		switch_address_space();
		nanosleep(&pace, NULL);
	}
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: holder KIND BYTES [FILE]\n");
		return 2;
	}
	kind = argv[1];
	size = strtoul(argv[2], NULL, 0);
	/* lines at once, and none of them twice after a fork */
	setvbuf(stdin, NULL, _IONBF, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	/* before there is any memory that it would share */
	start_peer();
	map_area(argc > 3 ? argv[3] : "");
	if (is("forked")) {
		pid_t child = fork();

		if (child < 0)
			die("fork");
		if (!child) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				pause();
		}
	}
	printf("{\"pid\":%d,\"area\":[%lu,%lu]}\n", getpid(), (unsigned long)area, (unsigned long)area + size);
	obey();
}
