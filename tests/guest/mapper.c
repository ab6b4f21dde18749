// SPDX-License-Identifier: GPL-2.0
/*
 * A process that maps memory of one kind, and accesses some of it in every round.
 *
 *   mapper KIND [FILE]
 *
 *   anon, file, shmem   pages of 4 KiB, private or of a file
 *   written             pages of a file that is accessed by write() alone; it is
 *                       mapped until the first command
 *   ksm                 pages of which there are two each, for KSM to merge
 *   packet              the ring of a packet socket: pages of a driver's
 *   forked              private pages that only a child accesses
 *   thp                 transparent huge pages
 *   split               the same, mapped page by page
 *   hugetlb, hugetlbfs  pages of hugetlb's, private or shared
 *
 * The first line of its output is a JSON object:
 *
 *   {"pid":…,"size":bytes of a page,"hot":[addresses],"cold":[…],"twin":[…]}
 *
 * "hot" are addresses in the pages that are accessed, "cold" in the others,
 * "twin" those of the other copies of the hot ones (ksm).  Then it obeys lines
 * on its standard input, "hot" and "idle", and answers each with a line when it
 * has done a round in the new way.  It begins idle.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "rounds.h"

#define PAGE		4096UL
#define HUGE		(2UL << 20)
#define NR_SMALL	64
#define NR_HUGE		8
#define PACE_NS		2000000L

enum kind { ANON, FILE_, SHMEM, WRITTEN, KSM, PACKET, FORKED, THP, SPLIT, HUGETLB, HUGETLBFS };

static const char *const names[] = {
	[ANON] = "anon", [FILE_] = "file", [SHMEM] = "shmem", [WRITTEN] = "written",
	[KSM] = "ksm", [PACKET] = "packet", [FORKED] = "forked", [THP] = "thp", [SPLIT] = "split",
	[HUGETLB] = "hugetlb", [HUGETLBFS] = "hugetlbfs",
};

static enum kind kind;
static char *area, *twin;
static unsigned long unit = PAGE, nr = NR_SMALL;
static int fd = -1;

static char *map(unsigned long size, int flags, int file)
{
	char *start = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, file, 0);

	if (start == MAP_FAILED)
		die("mmap");
	return start;
}

/* Private memory without huge pages, each page with contents of its own. */
static char *map_small(unsigned long size)
{
	char *start = map(size, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	madvise(start, size, MADV_NOHUGEPAGE);
	for (unsigned long at = 0; at < size; at += PAGE)
		memset(start + at, 1 + at / PAGE, PAGE);
	return start;
}

static char *map_thp(unsigned long size)
{
	char *start = map(size + HUGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	start = (char *)(((unsigned long)start + HUGE - 1) & ~(HUGE - 1));
	if (madvise(start, size, MADV_HUGEPAGE))
		die("madvise");
	memset(start, 1, size);
	return start;
}

static void map_ring(unsigned long size)
{
	struct tpacket_req ring = {
		.tp_block_size = size, .tp_block_nr = 1,
		.tp_frame_size = PAGE, .tp_frame_nr = size / PAGE,
	};

	fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof(ring)))
		die("ring");
	area = map(size, MAP_SHARED, fd);
}

static void map_area(const char *file)
{
	unsigned long size;

	if (kind >= THP) {
		unit = HUGE;
		nr = NR_HUGE;
	}
	size = nr * unit;
	switch (kind) {
	case FILE_:
	case WRITTEN:
		fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);
		if (fd < 0 || ftruncate(fd, size))
			die(file);
		area = map(size, MAP_SHARED, fd);
		break;
	case SHMEM:
		area = map(size, MAP_SHARED | MAP_ANONYMOUS, -1);
		break;
	case PACKET:
		map_ring(size);
		break;
	case KSM:
		area = map_small(size);
		twin = map_small(size);
		if (madvise(area, size, MADV_MERGEABLE) || madvise(twin, size, MADV_MERGEABLE))
			die("madvise");
		return;
	case THP:
	case SPLIT:
		area = map_thp(size);
		break;
	case HUGETLB:
		area = map(size, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1);
		break;
	case HUGETLBFS:
		area = map(size, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1);
		break;
	default:
		area = map_small(size);
		return;
	}
	memset(area, 1, size);
	/* protection that differs within what an entry maps takes an entry a page */
	for (unsigned long i = 0; kind == SPLIT && i < nr; i++)
		if (mprotect(area + i * unit + PAGE, PAGE, PROT_READ))
			die("mprotect");
}

static void print_addresses(const char *name, char *start, unsigned long from, unsigned long to)
{
	printf(",\"%s\":[", name);
	for (unsigned long i = from; i < to; i++)
		printf("%s%lu", i == from ? "" : ",", (unsigned long)start + i * unit);
	printf("]");
}

static void access_hot(void)
{
	char byte = 1;

	/* of a huge page the last small one: each counts for all of it */
	for (unsigned long at = 0; at < nr / 2 * unit; at += unit) {
		if (kind != WRITTEN)
			(void)*(volatile char *)(area + at + unit - PAGE);
		else if (pwrite(fd, &byte, 1, at) != 1)
			die("pwrite");
	}
}

static void rounds(void)
{
	struct pollfd in = { .fd = 0, .events = POLLIN };
	struct timespec pace = { 0, PACE_NS };
	char line[16] = "idle\n";
	bool answer = false;

	for (;;) {
		if (poll(&in, 1, 0) > 0) {
			if (!fgets(line, sizeof(line), stdin))
				exit(0);
			/* whoever wants to know where it is knows by now */
			if (kind == WRITTEN && area && !munmap(area, nr * unit))
				area = NULL;
			answer = true;
		}
		if (!strcmp(line, "hot\n"))
			access_hot();
		switch_address_space();
		if (answer)
			puts("done");
		answer = false;
		nanosleep(&pace, NULL);
	}
}

int main(int argc, char **argv)
{
	while (argc > 1 && kind < HUGETLBFS && strcmp(argv[1], names[kind]))
		kind++;
	if (argc < 2 || strcmp(argv[1], names[kind])) {
		fprintf(stderr, "usage: mapper KIND [FILE]\n");
		return 2;
	}
	/* lines at once, and none of them twice after a fork */
	setvbuf(stdin, NULL, _IONBF, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	pin(0);
	map_area(argc > 2 ? argv[2] : "");

	printf("{\"pid\":%d,\"size\":%lu", getpid(), unit);
	print_addresses("hot", area, 0, nr / 2);
	print_addresses("cold", area, nr / 2, nr);
	print_addresses("twin", twin ? twin : area, 0, nr / 2);
	puts("}");

	if (kind == FORKED) {
		pid_t child = fork();

		if (child < 0)
			die("fork");
		if (child) {
			waitpid(child, NULL, 0);
			return 0;
		}
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	}
	start_peer();
	rounds();
}
