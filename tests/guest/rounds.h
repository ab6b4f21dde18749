/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What programs share that access memory in rounds and tell what they access.
 *
 * Each round ends with a message to a child and its answer, both on one CPU.
 * That makes the CPU switch to another address space and back.  Hardware drops
 * cached translations by itself sooner or later; QEMU's emulation keeps one
 * until it is told to flush, and a translation that is kept never sets the
 * accessed bit again that DAMON has cleared.
 *
 * The log is a file of JSON objects, one a line, times of CLOCK_MONOTONIC.
 */
#ifndef _ROUNDS_H
#define _ROUNDS_H

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define MIB		(1UL << 20)
#define NSEC_PER_SEC	1000000000ULL

static FILE *log_file;		/* NULL: standard output */
static int to_peer[2], from_peer[2];

static inline void die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	exit(1);
}

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

/* Begins a line of the log; the caller may add to it. */
static inline void log_begin(const char *event)
{
	if (!log_file)
		log_file = stdout;
	fprintf(log_file, "{\"event\":\"%s\",\"t_ns\":%llu", event,
		(unsigned long long)now_ns());
}

static inline void log_end(void)
{
	fputs("}\n", log_file);
	fflush(log_file);
}

static inline void log_event(const char *event, const char *fmt, ...)
{
	va_list ap;

	log_begin(event);
	va_start(ap, fmt);
	vfprintf(log_file, fmt, ap);
	va_end(ap);
	log_end();
}

static inline void open_log(const char *path)
{
	log_file = fopen(path, "w");
	if (!log_file)
		die(path);
}

static inline unsigned long parse_size(const char *text)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 0);
	if (*end == 'K' || *end == 'k')
		value <<= 10, end++;
	else if (*end == 'M' || *end == 'm')
		value <<= 20, end++;
	else if (*end == 'G' || *end == 'g')
		value <<= 30, end++;
	if (errno || end == text || (*end && *end != ':')) {
		fprintf(stderr, "%s: not a size: %s\n",
			program_invocation_short_name, text);
		exit(2);
	}
	return value;
}

/*
 * Starts the program again without address space randomization, which would
 * put up to 1 GiB of nothing between the program and its heap; DAMON monitors
 * the heap and the program as one region.
 */
static inline void fix_addresses(char **argv)
{
	int persona = personality(0xffffffff);

	if (persona < 0 || (persona & ADDR_NO_RANDOMIZE))
		return;
	personality(persona | ADDR_NO_RANDOMIZE);
	execv("/proc/self/exe", argv);
	die("exec");
}

static inline void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

/* Answers every byte, and has an address space of its own to do it in. */
static inline void start_peer(void)
{
	pid_t parent = getpid();
	char byte;

	if (pipe(to_peer) || pipe(from_peer))
		die("pipe");
	switch (fork()) {
	case -1:
		die("fork");
		break;
	case 0:
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(0);
		close(to_peer[1]);
		close(from_peer[0]);
		while (read(to_peer[0], &byte, 1) == 1 &&
		       write(from_peer[1], &byte, 1) == 1)
			;
		_exit(0);
	}
	close(to_peer[0]);
	close(from_peer[1]);
}

static inline void switch_address_space(void)
{
	char byte = 0;

	if (write(to_peer[1], &byte, 1) != 1 || read(from_peer[0], &byte, 1) != 1)
		die("peer");
}

static inline void sleep_until(uint64_t t)
{
	struct timespec ts = { t / NSEC_PER_SEC, t % NSEC_PER_SEC };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

#endif /* _ROUNDS_H */
