// SPDX-License-Identifier: GPL-2.0
/*
 * Everything at once, against a loaded or not loaded module of DAMON.
 *
 *   stress --module FILE [--seconds N] [--least KIND=N[,KIND=N…]] [--more N] [--seed N] [--kdamonds N]
 *          [--patience N] [--stuck]
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
 * A run must have done so much of each kind of thing (see least.c); --least asks
 * for more.  It goes on until it has, for --more seconds at most, and else fails.
 * The line before the last says what was done, for a script, and the last for a
 * reader, and what broke.  Exit status 0: nothing; 1: something, or too little was
 * done; 2: the arguments are wrong.
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
#include <sys/wait.h>
#include <unistd.h>

#include "stress.h"

struct options opt = {
	.seconds = 60,
	.patience = 90,
	.more = 600,
	.kdamonds = 5,
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

#define PROGRESS_SECONDS	10

/*
 * Lets the workers work: for as long as was asked for, and then until they have done enough.  The latter is limited by
 * the metronome: a busy host is no reason to have done less.
 */
static void let_work(void)
{
	uint64_t begun = now_ns();
	unsigned long said = 0, since = 0;
	bool planned = true;

	for (;;) {
		unsigned long passed = (now_ns() - begun) / NSEC_PER_SEC;

		if (planned && passed >= opt.seconds) {
			planned = false;
			since = beaten_seconds();
		}
		if (!planned && (!too_little(false) || beaten_seconds() - since >= opt.more))
			return;
		if (passed / PROGRESS_SECONDS > said) {
			said = passed / PROGRESS_SECONDS;
			print_progress(passed);
		}
		sleep_ms(100);
	}
}

/* The run itself, in a process of its own: one that hangs can be left behind. */
static void run(void)
{
	uint64_t begun = now_ns();
	unsigned int few;
	char n[16], done[1000];
	int err;

	if (tree_exists()) {
		err = unload_module();
		if (err)
			broken("the loaded module cannot be unloaded: %s", strerror(err));
	}
	run_last();
	if (!opt.stuck)
		set_up_machine();
	err = load_module();
	if (err)
		broken("%s cannot be loaded: %s", opt.module, strerror(err));
	if (opt.stuck) {
		add_worker("waiter", turn_stuck);
		start_workers();
		/* the watchdog ends it */
		while (beaten_seconds() < 4 * opt.patience)
			sleep_ms(1000);
		broken("one waits for ever, and the watchdog does not see it");
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
	let_work();
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
	few = too_little(true);
	print_did();
	if (few)
		broken("too little of %u kinds", few);
	tell_did(done, sizeof(done));
	printf("stress: %llu s, %u threads, %u kdamonds, %d targets, seed %llu: %s; nothing broke\n",
	       (unsigned long long)((now_ns() - begun) / NSEC_PER_SEC), nr_workers, opt.kdamonds, NR_TARGETS,
	       (unsigned long long)opt.seed, done);
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

	printf("stress: seed %llu\n", (unsigned long long)opt.seed);
	fflush(stdout);
	/* before there is a pipe: it must not hold an end; it ends with this process */
	if (start_metronome() < 0 || pipe2(fds, O_CLOEXEC))
		return 1;
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
"  --least KIND=N[,KIND=N…]  what must have been done; it goes on until it has\n"
"  --more N       for so many seconds at most, default 600; then too little is a failure\n"
"  --seed N       for all choices, default: the time\n"
"  --kdamonds N   default 5\n"
"  --patience N   seconds that one operation may take, default 90\n"
"  --stuck        nothing but a caller that waits for ever, for the watchdog to find\n"
"Seconds of --more and --patience are ten beats each of a process that sleeps, forks and waits again and again:\n"
"on a busy host they are longer, as is all that is done meanwhile.\n";

int main(int argc, char **argv)
{
	static const struct option longopts[] = {
		{ "module", 1, NULL, 'm' },	{ "seconds", 1, NULL, 's' },
		{ "seed", 1, NULL, 'S' },	{ "kdamonds", 1, NULL, 'k' },
		{ "patience", 1, NULL, 'p' },	{ "target", 1, NULL, 't' },
		{ "least", 1, NULL, 'L' },	{ "more", 1, NULL, 'M' },
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
		case 'p': opt.patience = strtoul(optarg, NULL, 0); break;
		case 'M': opt.more = strtoul(optarg, NULL, 0); break;
		case 'L':
			if (!ask_least(optarg))
				return 2;
			break;
		case 't':
			target = true;
			target_seed = strtoull(optarg, NULL, 0);
			break;
		case 'l': slot = strtoul(optarg, NULL, 0); break;
		case 'w': opt.stuck = true; break;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (target)
		run_target(target_seed, slot);
	if (!opt.module || !opt.kdamonds || !opt.patience) {
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
