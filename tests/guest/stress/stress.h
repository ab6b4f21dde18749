/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of the stress program share.
 *
 *   stress.c     options, the run from begin to end, what it says
 *   worker.c     what a worker is doing, which answers are right, who is stuck
 *   metronome.c  the clock for that
 *   least.c      what is counted, and how much of it there must be
 *   tree.c       files of DAMON's tree
 *   callers.c    workers that use the tree
 *   machine.c    workers that change the machine: module, memory, targets
 *   target.c     the monitored processes
 */
#ifndef STRESS_H
#define STRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MIB		(1UL << 20)
#define NSEC_PER_SEC	1000000000ULL
#define NSEC_PER_MSEC	1000000ULL

#define NR_TARGETS	4
#define MAX_WORKERS	64
#define MAX_ERRNO	140

/* ---- worker.c ---- */

/* What a worker can do. Each has the answers that are right, see worker.c. */
enum op {
	OP_ON, OP_OFF, OP_COMMIT, OP_COMMIT_GOALS, OP_STATS, OP_BYTES,
	OP_REGIONS, OP_CLEAR, OP_QUOTAS, OP_INTERVALS, OP_BAD_COMMAND,
	OP_WRITE, OP_BAD_WRITE, OP_NR, OP_READ, OP_STATUS, OP_LIST,
	OP_CATCH, OP_KILL,
	OP_LOAD, OP_UNLOAD, OP_OFFLINE, OP_ONLINE, OP_COMPACT, OP_DROP, OP_KSM,
	OP_TARGET_START, OP_TARGET_KILL,
	NR_OPS
};

struct worker {
	const char *role;
	void (*turn)(struct worker *w);		/* NULL: it has no thread of its own */
	unsigned int index;
	uint64_t random;
	/* What it is at now, for the watchdog. */
	_Atomic uint64_t since_ns;		/* 0: nothing */
	_Atomic unsigned long since_beat;
	_Atomic int op;
	char what[160];
	_Atomic pid_t tid;
	_Atomic pid_t child;			/* a process that it waits for */
};

extern struct worker workers[MAX_WORKERS];
extern unsigned int nr_workers;

void add_worker(const char *role, void (*turn)(struct worker *w));
void start_workers(void);
/* Lets all of them end their turns; @meanwhile is called time and again. */
void end_workers(void (*meanwhile)(void));

/* An operation begins and ends: @err is 0 or an errno. */
void begin(struct worker *w, enum op op, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void end(struct worker *w, int err);

/* Something is not as it has to be. Ends the run; does not return. */
void broken(const char *fmt, ...)
	__attribute__((format(printf, 1, 2), noreturn));

unsigned long count(enum op op, int err);
void print_counts(void);
void print_progress(unsigned long seconds);

uint64_t now_ns(void);
void sleep_ms(unsigned long ms);
/* Behind all that the machine does by itself. */
void run_last(void);
uint64_t random64(struct worker *w);
/* From 0 to @below - 1. */
unsigned long roll(struct worker *w, unsigned long below);

/* Whether the workers are to stop. */
extern _Atomic bool over;
extern int verdict_fd;

/* ---- stress.c ---- */

extern struct options {
	const char *module;		/* the .ko file */
	const char *name;		/* of the module and its directories */
	unsigned long seconds;
	unsigned long patience;		/* beaten seconds that one operation may take */
	unsigned long more;		/* beaten seconds beyond, for what is missing */
	unsigned int kdamonds;
	uint64_t seed;
	bool stuck;			/* only one worker, which waits for ever */
	const char *self;		/* this program's file */
} opt;

/* ---- metronome.c ---- */

#define BEATS_PER_SECOND	10

pid_t start_metronome(void);
unsigned long beats(void);
unsigned long beaten_seconds(void);

/* ---- least.c ---- */

bool ask_least(const char *text);
unsigned int too_little(bool tell);
void print_did(void);
void tell_did(char *buf, size_t size);

/* ---- tree.c ---- */

/* Each returns 0 or an errno. @path is below kdamonds/. */
int write_file(const char *path, const char *text);
int read_file(const char *path, char *buf, size_t size);
int write_path(const char *path, const char *text);
int read_path(const char *path, char *buf, size_t size);
int put(const char *text, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void tree_path(char *buf, size_t size, const char *path);
bool tree_exists(void);
/* Reads up to @most files below a directory of sysfs, in whatever order they come. */
void read_below(struct worker *w, const char *path, unsigned int *most);
/* Ends with a kdamond that could be switched on; what came between is right. */
void configure(struct worker *w, unsigned int kdamond);

/* ---- callers.c and machine.c ---- */

void turn_switch(struct worker *w);
void turn_commit(struct worker *w);
void turn_walk(struct worker *w);
void turn_read(struct worker *w);
void turn_build(struct worker *w);
void turn_signal(struct worker *w);
/* Ends only if a kdamond does. */
void turn_stuck(struct worker *w);

void turn_unload(struct worker *w);
void turn_memory(struct worker *w);
void turn_targets(struct worker *w);
int load_module(void);
int unload_module(void);
void check_unloaded(void);
unsigned int count_kdamonds(void);
void set_up_machine(void);
void tear_down_machine(void);

/* The processes to monitor, by number; 0 where there is none now. */
extern _Atomic pid_t target_pids[NR_TARGETS];
/* Whether this number was ever one of them. */
bool was_target(pid_t pid);

/* ---- target.c ---- */

/* A process that is monitored. Never returns. */
void run_target(uint64_t seed, unsigned int slot) __attribute__((noreturn));

/*
 * Where targets map what they map, and where a process maps that nobody
 * monitors. Far apart, and in the middle of a gap that three-regions leaves out.
 */
#define TARGET_BASE	0x100000000000UL
#define TARGET_SPAN	0x001000000000UL	/* for each */
#define BYSTANDER_BASE	0x300000000000UL
#define BYSTANDER_SZ	(16 * MIB)

#endif
