// SPDX-License-Identifier: GPL-2.0
/*
 * A clock that tells a hang from a slow machine.
 *
 * Without KVM the guest's clocks run with the host's, and its instructions do
 * not: on a busy host an operation may take ten times as long as on an idle one.
 * So a limit in seconds is an assertion about the host.  CPU time is no better:
 * the guest is not told when its processors do not run.
 *
 * The metronome is a process of its own that does the same thing again and again:
 * it sleeps for a tenth of a second, forks a child and waits for its end.  Each
 * time is a beat.  The fork takes work of the kind that operations take (page
 * tables, slabs, locks, the scheduler, all with the checks that this kernel has),
 * at the priority that the workers have.  Where that is slow, for whatever reason,
 * beats are slow as well.  An operation that does not end within some hundreds of
 * beats is stuck: the machine had time for it.
 *
 * Nothing else counts: the callers' own progress is no measure, since all of them
 * may wait for the one that is stuck.
 *
 * A process, and not a thread of the run: it has locks of its own, an address
 * space of its own, and is never a target.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stress.h"

static _Atomic unsigned long *done;

static void beat_for_ever(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	run_last();
	for (;;) {
		pid_t child;

		sleep_ms(1000 / BEATS_PER_SECOND);
		child = fork();
		if (!child)
			_exit(0);
		/* without memory for a child, the beat is one of those that do not count */
		if (child > 0 && waitpid(child, NULL, 0) == child)
			atomic_fetch_add(done, 1);
	}
}

/* Its process, or -1. */
pid_t start_metronome(void)
{
	pid_t child;

	done = mmap(NULL, sizeof(*done), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (done == MAP_FAILED)
		return -1;
	child = fork();
	if (!child)
		beat_for_ever();
	return child;
}

unsigned long beats(void)
{
	return atomic_load(done);
}

/* Never shorter than seconds of the guest's clock. */
unsigned long beaten_seconds(void)
{
	return beats() / BEATS_PER_SECOND;
}
