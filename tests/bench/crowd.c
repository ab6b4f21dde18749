// SPDX-License-Identifier: GPL-2.0
/*
 * Small processes that have memory and sleep: crowd COUNT SIZE KIND
 *
 * Each maps SIZE bytes of a KIND of memory, and a line of standard output says
 * "PID START END" of it.  All end with standard input.
 *
 *   anon    each page is there
 *   shared  each page is there, one of 64 MiB that are mapped again and again
 *   sparse  one page in 2 MiB is there, and with it all tables of pages
 */
#define _GNU_SOURCE
#include <stdbool.h>
#include <sys/mman.h>

#include "rounds.h"

#define TABLE_SZ	(2 * MIB)
#define REPEATED_SZ	(64 * MIB)

static char *map(unsigned long size, const char *kind, int file)
{
	unsigned long piece;
	bool sparse = !strcmp(kind, "sparse");
	char *area = mmap(NULL, size + TABLE_SZ, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (area == MAP_FAILED)
		die("mmap");
	area = (char *)(((unsigned long)area + TABLE_SZ - 1) & ~(TABLE_SZ - 1));
	if (!strcmp(kind, "shared")) {
		for (char *at = area; at < area + size; at += piece) {
			piece = area + size - at;
			if (piece > REPEATED_SZ)
				piece = REPEATED_SZ;
			if (mmap(at, piece, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
				 file, 0) == MAP_FAILED)
				die("mmap");
			if (madvise(at, piece, MADV_POPULATE_WRITE))
				die("populate");
		}
		return area;
	}
	if (madvise(area, size, MADV_NOHUGEPAGE))
		die("madvise");
	if (!sparse && madvise(area, size, MADV_POPULATE_WRITE))
		die("populate");
	for (char *at = area; sparse && at < area + size; at += TABLE_SZ)
		*(volatile char *)at = 1;
	return area;
}

int main(int argc, char **argv)
{
	unsigned long count, size;
	int end[2], file;
	char byte;

	if (argc != 4) {
		fprintf(stderr, "usage: crowd COUNT SIZE anon|shared|sparse\n");
		return 2;
	}
	count = strtoul(argv[1], NULL, 0);
	size = parse_size(argv[2]);
	file = memfd_create("crowd", 0);
	if (file < 0 || ftruncate(file, REPEATED_SZ) || pipe(end))
		die("pipe");
	for (; count; count--) {
		switch (fork()) {
		case -1:
			die("fork");
			break;
		case 0:
			close(end[1]);
			char *area = map(size, argv[3], file);

			printf("%d %lu %lu\n", getpid(), (unsigned long)area,
			       (unsigned long)area + size);
			fflush(stdout);
			/* returns when the first process is gone */
			return read(end[0], &byte, 1) < 0;
		}
	}
	fflush(stdout);
	close(STDOUT_FILENO);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}
