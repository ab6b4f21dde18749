// SPDX-License-Identifier: GPL-2.0
/*
 * Everything at once, against a loaded or not loaded module of DAMON.
 *
 *   stress --module FILE [--seconds N] [--seed N] [--kdamonds N] [--patience N] [--in-time] [--stuck]
 *
 * Threads and processes switch kdamonds on and off, commit, walk, read, rebuild
 * the tree, are killed while they wait, unload and load the module; the
 * monitored processes change their address spaces, fork, execute, end; memory
 * goes off line and on line, is compacted, swapped, merged.  What has to hold
 * meanwhile: each answer is one of those that are right for what was asked, each
 * caller gets its answer, what files say makes sense, the memory of the targets
 * stays as they left it.  And in the end: nothing is left.
 *
 * What each worker chooses follows from the seed. When it comes to it does not,
 * so that a seed gives the same load again, not the same run.
 *
 * The last line says how much was done, and what broke.  Exit status 0: nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stress.h"

struct options opt = {
	.seconds = 60,
	.patience_s = 30,
	.kdamonds = 5,
};

/* What a run must have done at least once, to have tried anything. */
static const enum op needed[] = {
	OP_ON, OP_OFF, OP_COMMIT, OP_STATS, OP_BYTES, OP_REGIONS, OP_CLEAR,
	OP_WRITE, OP_NR, OP_READ, OP_STATUS, OP_KILL, OP_UNLOAD, OP_LOAD,
	OP_COMPACT, OP_TARGET_KILL,
};

static void on_signal(int signal)
{
	/* wakes who waits */
}

/* Callers may wait for a kdamond that nobody would switch off any more. */
static void switch_all_off(void)
{
	for (unsigned int k = 0; k < opt.kdamonds; k++)
		put("off", "%u/state", k);
}

static void check_off(void)
{
	char text[32], path[32];

	for (unsigned int k = 0; k < opt.kdamonds; k++) {
		snprintf(path, sizeof(path), "%u/state", k);
		if (!read_file(path, text, sizeof(text)) && strcmp(text, "off\n"))
			broken("%s says \"%s\" after the end", path, text);
	}
}

/* What was not done yet, NULL if nothing. */
static const char *not_done(void)
{
	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++)
		if (!count(needed[i], 0))
			return op_name(needed[i]);
	return count(OP_CATCH, EINTR) ? NULL : "a caller that a signal wakes";
}

#define PROGRESS_SECONDS	10
/* How much longer than it should it goes on until everything was tried. */
#define MORE_SECONDS	600

/* Lets the workers work until @seconds after @begun, and says now and then how far they are. */
static void wait_until(uint64_t begun, unsigned long seconds)
{
	while (now_ns() - begun < seconds * NSEC_PER_SEC) {
		unsigned long passed = (now_ns() - begun) / NSEC_PER_SEC;
		unsigned long next = (passed / PROGRESS_SECONDS + 1) * PROGRESS_SECONDS;

		next = next < seconds ? next : seconds;
		while (now_ns() - begun < next * NSEC_PER_SEC)
			sleep_ms(100);
		print_progress(next);
	}
}

/* The run itself, in a process of its own: one that hangs can be left behind. */
static void run(void)
{
	uint64_t begun = now_ns(), started;
	unsigned long seconds;
	char n[16];
	int err;

	if (tree_exists()) {
		err = unload_module();
		if (err)
			broken("the loaded module cannot be unloaded: %s", strerror(err));
	}
	/*
	 * All processors are busy from here on.  khugepaged has the lowest
	 * priority, and RCU waits for it when it is preempted in the middle of
	 * something: ours must not be higher.
	 */
	setpriority(PRIO_PROCESS, 0, 19);
	if (!opt.stuck)
		set_up_machine();
	err = load_module();
	if (err)
		broken("%s cannot be loaded: %s", opt.module, strerror(err));
	if (opt.stuck) {
		add_worker("waiter", turn_stuck);
		start_workers();
		sleep_ms(opt.seconds * 1000);
		broken("one waits for ever, and nobody noticed");
	}
	add_worker("switcher", turn_switch);
	add_worker("switcher", turn_switch);
	add_worker("committer", turn_commit);
	add_worker("committer", turn_commit);
	add_worker("walker", turn_walk);
	add_worker("walker", turn_walk);
	add_worker("reader", turn_read);
	add_worker("reader", turn_read);
	add_worker("builder", turn_build);
	add_worker("signaller", turn_signal);
	add_worker("unloader", turn_unload);
	add_worker("memory", turn_memory);
	add_worker("herder", turn_targets);
	/* this thread, in the end */
	add_worker("main", NULL);
	snprintf(n, sizeof(n), "%u", opt.kdamonds);
	begin(&workers[0], OP_NR, "nr_kdamonds");
	end(&workers[0], put(n, "nr_kdamonds"));
	start_workers();
	printf("stress: %u threads begin after %llu s\n", nr_workers,
	       (unsigned long long)((now_ns() - begun) / NSEC_PER_SEC));
	started = now_ns();
	wait_until(started, opt.seconds);
	/* a machine that is too slow to try everything in this time gets more */
	for (seconds = opt.seconds; seconds < opt.seconds + (opt.in_time ? 0 : MORE_SECONDS) && not_done();
	     seconds += PROGRESS_SECONDS)
		wait_until(started, seconds + PROGRESS_SECONDS);
	/* never ended: all that follows is watched as one unloading */
	begin(&workers[nr_workers - 1], OP_UNLOAD, "the end of the run");
	end_workers(switch_all_off);
	printf("stress: all workers have ended after %llu s\n",
	       (unsigned long long)((now_ns() - begun) / NSEC_PER_SEC));

	switch_all_off();
	check_off();
	tear_down_machine();
	err = unload_module();
	if (err)
		broken("the module cannot be unloaded in the end: %s", strerror(err));
	check_unloaded();
	print_counts();
	if (not_done() && !opt.in_time)
		broken("not once done: %s", not_done());
	printf("stress: %llu s, %u threads, %u kdamonds, %d targets, seed %llu: "
	       "%lu on, %lu off, %lu commits, %lu walks, %lu other commands, %lu values, %lu directories rebuilt, "
	       "%lu files read, %lu callers killed, %lu interrupted, %lu targets killed, %lu memory blocks off line, "
	       "%lu unloads%s%s; nothing broke\n",
	       (unsigned long long)((now_ns() - begun) / NSEC_PER_SEC), nr_workers, opt.kdamonds, NR_TARGETS,
	       (unsigned long long)opt.seed, count(OP_ON, 0), count(OP_OFF, 0), count(OP_COMMIT, 0),
	       count(OP_REGIONS, 0) + count(OP_BYTES, 0),
	       count(OP_STATS, 0) + count(OP_CLEAR, 0) + count(OP_QUOTAS, 0) + count(OP_INTERVALS, 0) +
	       count(OP_COMMIT_GOALS, 0),
	       count(OP_WRITE, 0), count(OP_NR, 0), count(OP_READ, 0) + count(OP_STATUS, 0), count(OP_KILL, 0),
	       count(OP_CATCH, EINTR), count(OP_TARGET_KILL, 0), count(OP_OFFLINE, 0), count(OP_UNLOAD, 0),
	       not_done() ? "; for which there was no time: " : "", not_done() ? not_done() : "");
	fflush(stdout);
	_exit(0);
}

/* Starts the run and waits for its end, or for what broke. */
static int supervise(void)
{
	struct sigaction action = { .sa_handler = on_signal };
	char text[600] = "";
	size_t len = 0;
	int fds[2], status;
	ssize_t n;
	pid_t child;

	if (pipe2(fds, O_CLOEXEC))
		return 1;
	printf("stress: seed %llu\n", (unsigned long long)opt.seed);
	fflush(stdout);
	child = fork();
	if (child < 0)
		return 1;
	if (!child) {
		close(fds[0]);
		verdict_fd = fds[1];
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* not to be restarted: callers are to see EINTR */
		sigaction(SIGINT, &action, NULL);
		run();
	}
	close(fds[1]);
	do {
		n = read(fds[0], text + len, sizeof(text) - 1 - len);
	} while (n < 0 && errno == EINTR);
	if (n > 0) {
		text[n] = 0;
		/* not waited for: it may hang */
		kill(child, SIGKILL);
		printf("stress: broken (seed %llu): %s\n", (unsigned long long)opt.seed, text);
		return 1;
	}
	/* it has ended; every holder of the other end has */
	if (waitpid(child, &status, 0) != child || status) {
		printf("stress: broken: the run ended with status %x\n", status);
		return 1;
	}
	return 0;
}

static const char usage[] =
"usage: stress --module FILE [options]\n"
"  --seconds N    how long, default 60\n"
"  --seed N       for all choices, default: the time\n"
"  --kdamonds N   default 5\n"
"  --patience N   seconds that one operation may take, default 30\n"
"  --in-time      do not go on until everything was done once, but say what was not\n"
"  --stuck        nothing but a caller that waits for ever, for the watchdog to find\n";

int main(int argc, char **argv)
{
	static const struct option longopts[] = {
		{ "module", 1, NULL, 'm' },	{ "seconds", 1, NULL, 's' },
		{ "seed", 1, NULL, 'S' },	{ "kdamonds", 1, NULL, 'k' },
		{ "patience", 1, NULL, 'p' },	{ "target", 1, NULL, 't' },
		{ "in-time", 0, NULL, 'i' },
		{ "slot", 1, NULL, 'l' },	{ "stuck", 0, NULL, 'w' },
		{ 0 },
	};
	static char self[300];
	uint64_t target_seed = 0;
	bool target = false;
	unsigned int slot = 0;
	ssize_t n;
	int c;

	opt.seed = now_ns() / NSEC_PER_MSEC % 1000000;
	while ((c = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
		switch (c) {
		case 'm': opt.module = optarg; break;
		case 's': opt.seconds = strtoul(optarg, NULL, 0); break;
		case 'S': opt.seed = strtoull(optarg, NULL, 0); break;
		case 'k': opt.kdamonds = strtoul(optarg, NULL, 0); break;
		case 'p': opt.patience_s = strtoul(optarg, NULL, 0); break;
		case 't':
			target = true;
			target_seed = strtoull(optarg, NULL, 0);
			break;
		case 'l': slot = strtoul(optarg, NULL, 0); break;
		case 'i': opt.in_time = true; break;
		case 'w': opt.stuck = true; break;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (target)
		run_target(target_seed, slot);
	if (!opt.module || !opt.kdamonds || !opt.patience_s) {
		fputs(usage, stderr);
		return 2;
	}
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0)
		return 1;
	opt.self = self;
	opt.name = strstr(opt.module, "damon_rs.ko") ? "damon_rs" : "damon";
	setvbuf(stdout, NULL, _IOLBF, 0);
	return supervise();
}
