// SPDX-License-Identifier: GPL-2.0
/*
 * Workers that use DAMON's tree, each in its own way and all at the same time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stress.h"

static const struct {
	enum op op;
	const char *text;
} commands[] = {
	{ OP_COMMIT, "commit" },
	{ OP_COMMIT_GOALS, "commit_schemes_quota_goals" },
	{ OP_STATS, "update_schemes_stats" },
	{ OP_BYTES, "update_schemes_tried_bytes" },
	{ OP_REGIONS, "update_schemes_tried_regions" },
	{ OP_REGIONS, "update_schemes_tried_regions" },
	{ OP_CLEAR, "clear_schemes_tried_regions" },
	{ OP_QUOTAS, "update_schemes_effective_quotas" },
	{ OP_INTERVALS, "update_tuned_intervals" },
	{ OP_BAD_COMMAND, "of" },
	{ OP_BAD_COMMAND, "" },
};

#define NR_COMMANDS	(sizeof(commands) / sizeof(*commands))

static unsigned int any_kdamond(struct worker *w)
{
	return roll(w, opt.kdamonds);
}

/* One that runs, mostly, if there is any: what is asked of others is refused at once. */
static unsigned int running_kdamond(struct worker *w)
{
	unsigned int k = any_kdamond(w);
	char path[32], text[32];

	if (!roll(w, 4))
		return k;
	for (unsigned int i = 0; i < opt.kdamonds; i++) {
		unsigned int next = (k + i) % opt.kdamonds;

		snprintf(path, sizeof(path), "%u/state", next);
		if (!read_file(path, text, sizeof(text)) && !strcmp(text, "on\n"))
			return next;
	}
	return k;
}

static int state(struct worker *w, unsigned int k, enum op op, const char *text)
{
	int err;

	begin(w, op, "%s to %u/state", text, k);
	/* an empty write never gets to the module */
	err = put(*text ? text : "\n", "%u/state", k);
	end(w, err);
	return err;
}

void turn_switch(struct worker *w)
{
	unsigned int k = any_kdamond(w);

	switch (roll(w, 6)) {
	case 0:
	case 1:
		state(w, k, OP_OFF, "off");
		break;
	case 2:
		/* off and on again, as quickly as it gets */
		state(w, k, OP_OFF, "off");
		state(w, k, OP_ON, "on");
		break;
	default:
		if (state(w, k, OP_ON, "on") == EBUSY)
			break;
		configure(w, k);
		state(w, k, OP_ON, "on");
	}
	sleep_ms(roll(w, 20));
}

void turn_commit(struct worker *w)
{
	unsigned int k = running_kdamond(w);
	const char *pause = roll(w, 3) ? "N" : "Y";

	switch (roll(w, 4)) {
	case 0:
		configure(w, k);
		break;
	case 1:
		begin(w, OP_WRITE, "%s to %u/contexts/0/pause", pause, k);
		end(w, put(pause, "%u/contexts/0/pause", k));
		break;
	case 2:
		begin(w, OP_WRITE, "%u/contexts/0/targets/0/obsolete_target", k);
		end(w, put(roll(w, 4) ? "N" : "Y", "%u/contexts/0/targets/0/obsolete_target", k));
		break;
	}
	state(w, k, OP_COMMIT, "commit");
	if (!roll(w, 4))
		state(w, k, OP_COMMIT_GOALS, "commit_schemes_quota_goals");
	sleep_ms(roll(w, 10));
}

void turn_walk(struct worker *w)
{
	unsigned int i = 2 + roll(w, NR_COMMANDS - 2);

	state(w, running_kdamond(w), commands[i].op, commands[i].text);
	sleep_ms(roll(w, 10));
}

static void read_status(struct worker *w)
{
	static const char head[] = "{\"version\":";
	char text[65536];
	int err;

	begin(w, OP_STATUS, "the status file");
	err = read_path("/sys/kernel/debug/damon_rs/status", text, sizeof(text));
	end(w, err);
	if (!err && strncmp(text, head, strlen(head)))
		broken("the status file says \"%.40s\"", text);
}

void turn_read(struct worker *w)
{
	static const char *const below[] = {
		"", "/contexts", "/contexts/0/schemes", "/contexts/0/targets",
		"/contexts/0/schemes/0/tried_regions", "/contexts/0/schemes/0/stats",
	};
	unsigned int most = 100 + roll(w, 400);
	char path[300], name[64];

	snprintf(name, sizeof(name), "%u%s", any_kdamond(w), below[roll(w, 6)]);
	tree_path(path, sizeof(path), name);
	read_below(w, path, &most);
	if (!roll(w, 3))
		read_status(w);
	sleep_ms(roll(w, 5));
}

/* Numbers of directories, and writes that must be refused. */
void turn_build(struct worker *w)
{
	static const char *const lists[] = {
		"contexts/nr_contexts", "contexts/0/targets/nr_targets",
		"contexts/0/targets/0/regions/nr_regions", "contexts/0/schemes/nr_schemes",
		"contexts/0/schemes/0/filters/nr_filters", "contexts/0/schemes/0/core_filters/nr_filters",
		"contexts/0/schemes/0/ops_filters/nr_filters", "contexts/0/schemes/0/dests/nr_dests",
		"contexts/0/schemes/0/quotas/goals/nr_goals",
		"contexts/0/monitoring_attrs/probes/nr_probes",
	};
	static const char *const files[] = {
		"refresh_ms", "contexts/nr_contexts", "contexts/0/operations", "contexts/0/pause",
		"contexts/0/monitoring_attrs/intervals/sample_us",
		"contexts/0/targets/nr_targets", "contexts/0/targets/0/pid_target",
		"contexts/0/schemes/nr_schemes", "contexts/0/schemes/0/action", "pid",
		"contexts/0/avail_operations",
	};
	static const char *const bad[] = {
		"-1", "x", "18446744073709551616", "-9223372036854775809", "0x", " ", "\n", "\t1 2",
	};
	unsigned int k = any_kdamond(w), i;
	char n[32];

	switch (roll(w, 16)) {
	case 0:
		/* what takes all with it, rarely: the others are to have something to work on */
		if (roll(w, 10))
			break;
		sprintf(n, "%u", opt.kdamonds);
		begin(w, OP_NR, "%s to nr_kdamonds", n);
		end(w, put(n, "nr_kdamonds"));
		break;
	case 1:
	case 2:
	case 3:
		i = roll(w, sizeof(files) / sizeof(*files));
		begin(w, OP_BAD_WRITE, "a bad value to %u/%s", k, files[i]);
		end(w, put(bad[roll(w, 8)], "%u/%s", k, files[i]));
		break;
	default:
		i = roll(w, 12) ? 1 + roll(w, sizeof(lists) / sizeof(*lists) - 1) : 0;
		/* at most four probes, and one context; and that is what all others need */
		sprintf(n, "%lu", i ? roll(w, 5) : roll(w, 8) ? 1 : 0);
		begin(w, OP_NR, "%s to %u/%s", n, k, lists[i]);
		end(w, put(n, "%u/%s", k, lists[i]));
	}
	sleep_ms(roll(w, 60));
}

/* A process that writes a command, and gets a signal while it waits. */
void turn_signal(struct worker *w)
{
	static const char *const texts[] = {
		"update_schemes_tried_regions", "update_schemes_tried_regions",
		"update_schemes_stats", "commit", "off", "on",
	};
	const char *text = texts[roll(w, 6)];
	bool kills = roll(w, 2);
	char name[32], path[300];
	int status, err = 0;
	pid_t child;

	snprintf(name, sizeof(name), "%u/state", running_kdamond(w));
	tree_path(path, sizeof(path), name);
	child = fork();
	if (child < 0)
		broken("fork: %s", strerror(errno));
	if (!child)
		_exit(write_path(path, text));
	atomic_store(&w->child, child);
	sleep_ms(roll(w, 40));
	begin(w, kills ? OP_KILL : OP_CATCH, "%s for %s to %s", kills ? "SIGKILL" : "SIGINT", text, name);
	/* a signal that comes before it waits wakes nobody */
	while (!waitpid(child, &status, WNOHANG)) {
		kill(child, kills ? SIGKILL : SIGINT);
		sleep_ms(5);
	}
	atomic_store(&w->child, 0);
	if (WIFEXITED(status))
		err = WEXITSTATUS(status);
	else if (!kills || WTERMSIG(status) != SIGKILL)
		broken("a caller that wrote %s to %s ended with status %x", text, name, status);
	/* one that is killed may have had any answer before */
	end(w, kills ? 0 : err);
}

/* Waits for the regions of a kdamond that looks at none within an hour. */
void turn_stuck(struct worker *w)
{
	static const char *const hours[] = {
		"monitoring_attrs/intervals/aggr_us", "monitoring_attrs/intervals/update_us",
		"schemes/0/apply_interval_us",
	};
	char pid[32];
	int err;

	sprintf(pid, "%d", getpid());
	err = put("1", "nr_kdamonds");
	err = err ?: put("1", "0/contexts/nr_contexts");
	err = err ?: put("vaddr", "0/contexts/0/operations");
	err = err ?: put("1", "0/contexts/0/targets/nr_targets");
	err = err ?: put(pid, "0/contexts/0/targets/0/pid_target");
	err = err ?: put("1", "0/contexts/0/schemes/nr_schemes");
	for (unsigned int i = 0; i < sizeof(hours) / sizeof(*hours); i++)
		err = err ?: put("3600000000", "0/contexts/0/%s", hours[i]);
	err = err ?: put("on", "0/state");
	if (err)
		broken("nothing to wait for: %s", strerror(err));
	state(w, 0, OP_REGIONS, "update_schemes_tried_regions");
}
