// SPDX-License-Identifier: GPL-2.0
/*
 * The files of DAMON's tree: how they are reached, and values for them.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stress.h"

void tree_path(char *buf, size_t size, const char *path)
{
	snprintf(buf, size, "/sys/kernel/mm/%s/admin/kdamonds/%s", opt.name, path);
}

bool tree_exists(void)
{
	char path[300];

	snprintf(path, sizeof(path), "/sys/kernel/mm/%s", opt.name);
	return !access(path, F_OK);
}

/* One write(2), as `echo` does it. */
int write_path(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return errno;
	if (write(fd, text, strlen(text)) < 0)
		err = errno;
	close(fd);
	return err;
}

int read_path(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;
	ssize_t n;

	if (fd < 0)
		return errno;
	n = read(fd, buf, size - 1);
	if (n < 0)
		err = errno;
	buf[n < 0 ? 0 : n] = 0;
	close(fd);
	return err;
}

int write_file(const char *path, const char *text)
{
	char full[300];

	tree_path(full, sizeof(full), path);
	return write_path(full, text);
}

int read_file(const char *path, char *buf, size_t size)
{
	char full[300];

	tree_path(full, sizeof(full), path);
	return read_path(full, buf, size);
}

int put(const char *text, const char *fmt, ...)
{
	char path[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	return write_file(path, text);
}

/* What a file says must be one of the things that it can say. */
static void check_content(struct worker *w, const char *path, const char *text)
{
	const char *name = strrchr(path, '/') + 1;
	char comm[32], proc[64];
	char *rest;
	long value;

	if (!strcmp(name, "state")) {
		if (strcmp(text, "on\n") && strcmp(text, "off\n"))
			broken("%s %u: %s says \"%s\"", w->role, w->index, path, text);
		return;
	}
	value = strtol(text, &rest, 10);
	if (!strcmp(name, "pid")) {
		if (rest == text || (value != -1 && value < 2))
			broken("%s %u: %s says \"%s\"", w->role, w->index, path, text);
		snprintf(proc, sizeof(proc), "/proc/%ld/comm", value);
		if (value != -1 && !read_path(proc, comm, sizeof(comm)) &&
		    *comm && strncmp(comm, "kdamond.", 8))
			broken("%s %u: %s says %ld, which is %s", w->role, w->index,
			       path, value, comm);
	} else if (!strcmp(name, "pid_target")) {
		/* -1: a number that no process has is taken, and refused by "on" */
		if (rest == text || (value && value != -1 && !was_target(value)))
			broken("%s %u: %s says \"%s\", which was never asked for",
			       w->role, w->index, path, text);
	} else if (strstr(path, "/tried_regions/") &&
		   (!strcmp(name, "start") || !strcmp(name, "end"))) {
		unsigned long addr = strtoul(text, &rest, 10);

		if (rest == text ||
		    (addr > BYSTANDER_BASE && addr < BYSTANDER_BASE + BYSTANDER_SZ))
			broken("%s %u: %s says \"%s\", where no target has anything",
			       w->role, w->index, path, text);
	}
}

static void read_one(struct worker *w, const char *path)
{
	char text[4200];
	int err;

	begin(w, OP_READ, "read %s", path);
	err = read_path(path, text, sizeof(text));
	end(w, err);
	if (!err)
		check_content(w, path, text);
}

void read_below(struct worker *w, const char *path, unsigned int *most)
{
	struct dirent *entry;
	char below[400];
	DIR *dir;

	begin(w, OP_LIST, "list %s", path);
	dir = opendir(path);
	end(w, dir ? 0 : errno);
	while (dir && *most && !atomic_load(&over)) {
		begin(w, OP_LIST, "list %s", path);
		errno = 0;
		entry = readdir(dir);
		end(w, entry ? 0 : errno);
		if (!entry)
			break;
		if (entry->d_name[0] == '.')
			continue;
		if (snprintf(below, sizeof(below), "%s/%s", path, entry->d_name) >= (int)sizeof(below))
			broken("%s is too long", path);
		if (entry->d_type == DT_DIR) {
			read_below(w, below, most);
		} else if (entry->d_type == DT_REG) {
			read_one(w, below);
			--*most;
		}
	}
	if (dir)
		closedir(dir);
}

static int set(struct worker *w, enum op op, const char *text, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int set(struct worker *w, enum op op, const char *text, const char *fmt, ...)
{
	char path[120];
	va_list ap;
	int err;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	begin(w, op, "%s to %s", text, path);
	err = write_file(path, text);
	end(w, err);
	return err;
}

static const char *number(char *buf, unsigned long value)
{
	sprintf(buf, "%lu", value);
	return buf;
}

/* Intervals and numbers of regions that make sense together. */
static int set_attrs(struct worker *w, unsigned int k)
{
	static const unsigned long samples_us[] = { 5000, 20000, 20000, 100000, 100000, 1000000, 3600000000 };
	unsigned long sample = samples_us[roll(w, sizeof(samples_us) / sizeof(*samples_us))];
	char n[32];
	int err;

	err = set(w, OP_WRITE, number(n, sample), "%u/contexts/0/monitoring_attrs/intervals/sample_us", k);
	err = err ?: set(w, OP_WRITE, number(n, sample * (1 + roll(w, 10))),
			 "%u/contexts/0/monitoring_attrs/intervals/aggr_us", k);
	err = err ?: set(w, OP_WRITE, number(n, sample * (1 + roll(w, 40))),
			 "%u/contexts/0/monitoring_attrs/intervals/update_us", k);
	err = err ?: set(w, OP_WRITE, number(n, 3 + roll(w, 8)),
			 "%u/contexts/0/monitoring_attrs/nr_regions/min", k);
	return err ?: set(w, OP_WRITE, number(n, roll(w, 20) ? 12 + roll(w, 40) : 300),
			  "%u/contexts/0/monitoring_attrs/nr_regions/max", k);
}

static bool has(unsigned int k, const char *name)
{
	char path[200], full[300];

	snprintf(path, sizeof(path), "%u/%s", k, name);
	tree_path(full, sizeof(full), path);
	return !access(full, F_OK);
}

static int set_targets(struct worker *w, unsigned int k, bool fixed)
{
	unsigned int nr = roll(w, 4) ? 1 : 1 + roll(w, NR_TARGETS);
	char n[32];
	int err = 0;

	if (has(k, "contexts/0/targets/0") && roll(w, 4))
		nr = 1;
	else
		err = set(w, OP_NR, number(n, nr), "%u/contexts/0/targets/nr_targets", k);

	for (unsigned int i = 0; !err && i < nr; i++) {
		unsigned int slot = roll(w, NR_TARGETS);
		pid_t pid = atomic_load(&target_pids[slot]);
		unsigned long start = TARGET_BASE + slot * TARGET_SPAN;

		if (pid)
			err = set(w, OP_WRITE, number(n, pid), "%u/contexts/0/targets/%u/pid_target", k, i);
		if (err || !fixed)
			continue;
		err = set(w, OP_NR, "2", "%u/contexts/0/targets/%u/regions/nr_regions", k, i);
		for (int r = 0; !err && r < 2; r++) {
			err = set(w, OP_WRITE, number(n, start + r * 64 * MIB),
				  "%u/contexts/0/targets/%u/regions/%d/start", k, i, r);
			err = err ?: set(w, OP_WRITE, number(n, start + r * 64 * MIB + 32 * MIB),
					 "%u/contexts/0/targets/%u/regions/%d/end", k, i, r);
		}
	}
	return err;
}

static int set_schemes(struct worker *w, unsigned int k)
{
	/* what "stat" is tried on is known at once; for the others a walk waits */
	static const char *const actions[] = { "stat", "stat", "willneed", "willneed", "pageout" };
	/* the last one is longer than a run: only a signal or an end ends a walk */
	static const char *const applies_us[] = { "0", "0", "0", "10000", "3600000000" };
	unsigned int nr = roll(w, 12) ? 1 + roll(w, 2) : 0;
	char n[32];
	int err = 0;

	if (has(k, "contexts/0/schemes/0") && roll(w, 4))
		nr = 1;
	else
		err = set(w, OP_NR, number(n, nr), "%u/contexts/0/schemes/nr_schemes", k);

	for (unsigned int i = 0; !err && i < nr; i++) {
		err = set(w, OP_WRITE, actions[roll(w, 30) ? roll(w, 4) : 4], "%u/contexts/0/schemes/%u/action", k, i);
		err = err ?: set(w, OP_WRITE, applies_us[roll(w, 5)], "%u/contexts/0/schemes/%u/apply_interval_us", k, i);
		err = err ?: set(w, OP_WRITE, "18446744073709551615", "%u/contexts/0/schemes/%u/access_pattern/sz/max", k, i);
		err = err ?: set(w, OP_WRITE, "4294967295", "%u/contexts/0/schemes/%u/access_pattern/nr_accesses/max", k, i);
		err = err ?: set(w, OP_WRITE, "4294967295", "%u/contexts/0/schemes/%u/access_pattern/age/max", k, i);
	}
	return err;
}

void configure(struct worker *w, unsigned int k)
{
	bool fixed = !roll(w, 4);
	char n[32];

	/* making a directory takes longer than all else: mostly those that are there will do */
	if ((!has(k, "contexts/0") || !roll(w, 20)) && set(w, OP_NR, "1", "%u/contexts/nr_contexts", k))
		return;
	/* while another one configures it, that one may as well go on */
	if (set(w, OP_WRITE, fixed ? "fvaddr" : "vaddr", "%u/contexts/0/operations", k) ||
	    set(w, OP_WRITE, roll(w, 6) ? "N" : "Y", "%u/contexts/0/pause", k) ||
	    set(w, OP_WRITE, number(n, roll(w, 3) ? 0 : roll(w, 50)), "%u/refresh_ms", k) ||
	    set_attrs(w, k) || set_targets(w, k, fixed))
		return;
	set_schemes(w, k);
}
