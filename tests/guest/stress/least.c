// SPDX-License-Identifier: GPL-2.0
/*
 * What a run counts, by kind, and how much of each kind it must have done: a run
 * that has done nothing cannot fail.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stress.h"

static struct kind {
	const char *name;
	enum op first, last;	/* of these operations, those that ended with */
	int err;
	unsigned long least;
} kinds[] = {
	{ "on", OP_ON, OP_ON, 0, 1 },
	{ "off", OP_OFF, OP_OFF, 0, 1 },
	{ "commits", OP_COMMIT, OP_COMMIT, 0, 1 },
	{ "goal-commits", OP_COMMIT_GOALS, OP_COMMIT_GOALS, 0, 0 },
	{ "stats", OP_STATS, OP_STATS, 0, 1 },
	{ "walks", OP_BYTES, OP_REGIONS, 0, 2 },
	{ "bytes", OP_BYTES, OP_BYTES, 0, 1 },
	{ "regions", OP_REGIONS, OP_REGIONS, 0, 1 },
	{ "clears", OP_CLEAR, OP_CLEAR, 0, 1 },
	{ "quotas", OP_QUOTAS, OP_QUOTAS, 0, 0 },
	{ "intervals", OP_INTERVALS, OP_INTERVALS, 0, 0 },
	{ "bad-commands", OP_BAD_COMMAND, OP_BAD_COMMAND, EINVAL, 1 },
	{ "values", OP_WRITE, OP_WRITE, 0, 1 },
	{ "bad-values", OP_BAD_WRITE, OP_BAD_WRITE, EINVAL, 1 },
	{ "directories", OP_NR, OP_NR, 0, 1 },
	{ "reads", OP_READ, OP_READ, 0, 1 },
	{ "status-reads", OP_STATUS, OP_STATUS, 0, 1 },
	{ "killed-callers", OP_KILL, OP_KILL, 0, 1 },
	{ "caught-signals", OP_CATCH, OP_CATCH, 0, 1 },
	{ "unloads", OP_UNLOAD, OP_UNLOAD, 0, 1 },
	{ "loads", OP_LOAD, OP_LOAD, 0, 1 },
	{ "offline", OP_OFFLINE, OP_OFFLINE, 0, 0 },
	{ "online", OP_ONLINE, OP_ONLINE, 0, 0 },
	{ "compactions", OP_COMPACT, OP_COMPACT, 0, 1 },
	{ "cache-drops", OP_DROP, OP_DROP, 0, 0 },
	{ "merges", OP_KSM, OP_KSM, 0, 0 },
	{ "targets", OP_TARGET_START, OP_TARGET_START, 0, 0 },
	{ "killed-targets", OP_TARGET_KILL, OP_TARGET_KILL, 0, 1 },
};

#define NR_KINDS	(sizeof(kinds) / sizeof(*kinds))

/* Takes over KIND=N[,KIND=N…]. Complains and returns false if it is not that. */
bool ask_least(const char *all)
{
	const char *text = all;

	while (*text) {
		size_t len = strcspn(text, "=,"), i;
		char *rest;

		for (i = 0; i < NR_KINDS; i++)
			if (strlen(kinds[i].name) == len && !strncmp(kinds[i].name, text, len))
				break;
		if (i == NR_KINDS) {
			fprintf(stderr, "stress: no such kind: %.*s; there are", (int)len, text);
			for (i = 0; i < NR_KINDS; i++)
				fprintf(stderr, " %s", kinds[i].name);
			fputc('\n', stderr);
			return false;
		}
		text += len;
		if (text[0] != '=' || text[1] < '0' || text[1] > '9')
			break;
		kinds[i].least = strtoul(text + 1, &rest, 10);
		if (!*rest)
			return true;
		if (*rest != ',')
			break;
		text = rest + 1;
	}
	fprintf(stderr, "stress: \"%s\" is not KIND=N[,KIND=N…]\n", all);
	return false;
}

static unsigned long did(const struct kind *kind)
{
	unsigned long sum = 0;

	for (enum op op = kind->first; op <= kind->last; op++)
		sum += count(op, kind->err);
	return sum;
}

/* The number of kinds of which too little was done; each is printed if @tell. */
unsigned int too_little(bool tell)
{
	unsigned int nr = 0;

	for (size_t i = 0; i < NR_KINDS; i++) {
		if (did(&kinds[i]) >= kinds[i].least)
			continue;
		nr++;
		if (tell)
			printf("too little: %s %lu of at least %lu\n", kinds[i].name, did(&kinds[i]), kinds[i].least);
	}
	return nr;
}

/* The line that a script reads. */
void print_did(void)
{
	printf("did:");
	for (size_t i = 0; i < NR_KINDS; i++)
		printf(" %s=%lu", kinds[i].name, did(&kinds[i]));
	putchar('\n');
}

/* The same for a reader. */
void tell_did(char *buf, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; i < NR_KINDS && len < size; i++) {
		size_t from = len;

		len += snprintf(buf + len, size - len, "%s%lu %s", i ? ", " : "", did(&kinds[i]), kinds[i].name);
		for (; from < len && from < size && buf[from]; from++)
			if (buf[from] == '-')
				buf[from] = ' ';
	}
}
