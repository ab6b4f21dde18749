// SPDX-License-Identifier: GPL-2.0
/*
 * Makes one system call in which the N-th allocation fails.
 *
 * A program of its own, because the interpreter of a larger one allocates
 * memory at times of its choosing.  This one has all of its memory mapped and
 * locked before it begins, so that every allocation between the order to fail
 * one (/proc/thread-self/fail-nth) and the end of the call is the call's.
 *
 * Requests are lines on standard input, fields separated by tabs:
 *
 *   write N FILE TEXT    write(2) of TEXT and a newline, the file opened before
 *   read N FILE          read(2) up to the end, the file opened before
 *   open N FILE r|w      open(2)
 *   insmod N FILE        finit_module(2), the file opened before
 *   rmmod N NAME         delete_module(2)
 *   prone 0|1            from now on this process is among those of which a
 *                        share of all allocations fails
 *   tree DIR             no fault: each file below DIR and what is in it
 *   count NAME           no fault: how many tasks have a name that begins so
 *
 * N is the number of the allocation that fails, from 1; 0 for none.  The answer
 * is a line "ERRNO LEFT RESULT": 0 or the error, how much of N is left when the
 * call returns (0: the fault happened), and what the call returned.  The one to
 * tree is a line with a number of bytes, and so many bytes.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TREE_SZ	(8UL << 20)
#define MAX_DEPTH	16

static char line[16384], buffer[65536];
static char *tree, *tree_end;
static int fail_nth;

static void die(const char *what)
{
	fprintf(stderr, "inject: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- the tree ---- */

static void append(const char *text, size_t len)
{
	if (tree_end + len > tree + TREE_SZ) {
		fprintf(stderr, "inject: the tree is too large\n");
		exit(1);
	}
	memcpy(tree_end, text, len);
	tree_end += len;
}

static int by_name(const void *a, const void *b)
{
	return strverscmp(*(char *const *)a, *(char *const *)b);
}

/* A line for each file: its path, and its contents or the error. */
static void append_file(int dir, const char *path, const char *name)
{
	int fd = openat(dir, name, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, buffer, sizeof(buffer));
	int err = errno;

	if (fd >= 0)
		close(fd);
	append(path, strlen(path));
	append(name, strlen(name));
	append("=", 1);
	/* A file that only takes commands is listed as well. */
	if (n < 0)
		n = snprintf(buffer, sizeof(buffer), "(%s)\n", strerror(err));
	if (!n || buffer[n - 1] != '\n')
		buffer[n++] = '\n';
	append(buffer, n);
}

static void walk(int at, const char *name, const char *path, int depth)
{
	int dir = openat(at, name, O_RDONLY | O_DIRECTORY);
	char **names = NULL, child[1024];
	struct dirent *entry;
	int nr = 0;
	DIR *list;

	/* It may have gone meanwhile. */
	if (dir < 0 || depth == MAX_DEPTH)
		return;
	append(path, strlen(path));
	append("\n", 1);
	list = fdopendir(dir);
	while ((entry = readdir(list))) {
		bool sub = entry->d_type == DT_DIR;

		if (entry->d_name[0] == '.')
			continue;
		names = realloc(names, (nr + 1) * sizeof(*names));
		if (!names || asprintf(&names[nr++], "%s%s", sub ? "/" : "",
				       entry->d_name) < 0)
			die("memory");
	}
	if (nr)
		qsort(names, nr, sizeof(*names), by_name);
	for (int i = 0; i < nr; i++) {
		char *its = names[i];

		if (*its == '/') {
			snprintf(child, sizeof(child), "%s%s/", path, its + 1);
			walk(dir, its + 1, child, depth + 1);
		} else {
			append_file(dir, path, its);
		}
		free(its);
	}
	free(names);
	closedir(list);
}

/* ---- faults ---- */

static void set_fail_nth(const char *n)
{
	if (write(fail_nth, n, strlen(n)) < 0)
		die("fail-nth");
}

static unsigned long left(void)
{
	char text[32];
	ssize_t n = pread(fail_nth, text, sizeof(text) - 1, 0);

	if (n <= 0)
		die("fail-nth");
	text[n] = 0;
	return strtoul(text, NULL, 10);
}

static long perform(const char *what, int fd, const char *arg)
{
	long result, sum = 0;

	switch (*what) {
	case 'w':
		return write(fd, arg, strlen(arg));
	case 'r':
		if (what[1] == 'm')
			return syscall(SYS_delete_module, arg, O_NONBLOCK);
		while ((result = read(fd, buffer, sizeof(buffer))) > 0)
			sum += result;
		return result < 0 ? result : sum;
	case 'i':
		return syscall(SYS_finit_module, fd, "", 0);
	default:
		return -1;
	}
}

static void answer(int err, unsigned long rest, long result)
{
	printf("%d %lu %ld\n", err, rest, result);
	fflush(stdout);
}

static void run(char *what, char *n, char *name, char *arg)
{
	bool writes = *what == 'w';
	unsigned long rest = 0;
	long result;
	int fd = -1, err;

	if (strcmp(what, "rmmod") && strcmp(what, "open")) {
		fd = open(name, writes ? O_WRONLY : O_RDONLY);
		if (fd < 0) {
			answer(errno, 0, -1);
			return;
		}
	}
	if (writes)
		strcat(arg, "\n");
	if (strcmp(n, "0"))
		set_fail_nth(n);
	if (*what == 'o')
		result = fd = open(name, *arg == 'w' ? O_WRONLY : O_RDONLY);
	else
		result = perform(what, fd, *what == 'r' ? name : arg);
	err = result < 0 ? errno : 0;
	if (strcmp(n, "0")) {
		rest = left();
		set_fail_nth("0");
	}
	if (fd >= 0)
		close(fd);
	answer(err, rest, result);
}

static void count_tasks(const char *name)
{
	struct dirent *entry;
	DIR *proc = opendir("/proc");
	long found = 0;
	char path[300];

	if (!proc)
		die("/proc");
	while ((entry = readdir(proc))) {
		ssize_t n;
		int fd;

		if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		fd = open(path, O_RDONLY);
		/* It may have ended meanwhile. */
		if (fd < 0)
			continue;
		n = read(fd, buffer, sizeof(buffer));
		close(fd);
		found += n > (ssize_t)strlen(name) && !memcmp(buffer, name, strlen(name));
	}
	closedir(proc);
	answer(0, 0, found);
}

static void set_prone(const char *value)
{
	int fd = open("/proc/self/make-it-fail", O_WRONLY);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		die("make-it-fail");
	close(fd);
	answer(0, 0, 0);
}

int main(void)
{
	fail_nth = open("/proc/thread-self/fail-nth", O_RDWR);
	if (fail_nth < 0)
		die("fail-nth");
	tree = malloc(TREE_SZ);
	if (!tree || mlockall(MCL_CURRENT | MCL_FUTURE))
		die("memory");
	/* What buffers there are is mapped by the first use. */
	memset(tree, 0, TREE_SZ);
	memset(buffer, 0, sizeof(buffer));
	answer(0, 0, 0);

	while (fgets(line, sizeof(line) - 1, stdin)) {
		char *fields[4] = { "", "", "", "" };
		char *rest = line;

		line[strcspn(line, "\n")] = 0;
		for (int i = 0; i < 4 && rest; i++)
			fields[i] = i == 3 ? rest : strsep(&rest, "\t");
		if (!strcmp(fields[0], "tree")) {
			tree_end = tree;
			walk(AT_FDCWD, fields[1], "", 0);
			printf("%zd\n", tree_end - tree);
			fwrite(tree, 1, tree_end - tree, stdout);
			fflush(stdout);
		} else if (!strcmp(fields[0], "count")) {
			count_tasks(fields[1]);
		} else if (!strcmp(fields[0], "prone")) {
			set_prone(fields[1]);
		} else {
			run(fields[0], fields[1], fields[2], fields[3]);
		}
	}
	return 0;
}
