// SPDX-License-Identifier: GPL-2.0
/*
 * What each worker is doing, which answers of the kernel are right, and who
 * waits for too long.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "stress.h"

/*
 * What the kernel may answer. While others rebuild the tree and unload the
 * module, every path may be gone (ENOENT) or go while it is used (ENODEV), and
 * every change may meet another one (EBUSY).
 */
#define GONE	ENOENT, ENODEV

static const struct {
	const char *name;
	int allowed[10];
} ops[NR_OPS] = {
	/* EINVAL: parameters that make no sense, or a target that is gone; ENOMEM: a scheme that makes none */
	[OP_ON]		 = { "on", { GONE, EBUSY, EINVAL, ENOMEM, EOPNOTSUPP } },
	/* EINVAL: never on; EPERM: not any more */
	[OP_OFF]	 = { "off", { GONE, EINVAL, EPERM } },
	[OP_COMMIT]	 = { "commit", { GONE, EINVAL, ENOMEM, ECANCELED, EOPNOTSUPP } },
	[OP_COMMIT_GOALS] = { "commit goals", { GONE, EINVAL, ECANCELED, EOPNOTSUPP } },
	[OP_STATS]	 = { "stats", { GONE, EINVAL, ECANCELED } },
	/* EBUSY: another walk */
	[OP_BYTES]	 = { "bytes", { GONE, EBUSY, EINVAL, ECANCELED } },
	[OP_REGIONS]	 = { "regions", { GONE, EBUSY, EINVAL, ECANCELED } },
	[OP_CLEAR]	 = { "clear", { GONE, EINVAL } },
	[OP_QUOTAS]	 = { "effective quotas", { GONE, EINVAL, ECANCELED } },
	[OP_INTERVALS]	 = { "tuned intervals", { GONE, EINVAL, ECANCELED } },
	[OP_BAD_COMMAND] = { "bad command", { GONE, EINVAL } },
	[OP_WRITE]	 = { "write", { GONE } },
	/* refused, for whatever reason; only that it is answered counts */
	[OP_BAD_WRITE]	 = { "bad write", { GONE, EINVAL, ERANGE, EBUSY, EACCES, E2BIG } },
	[OP_NR]		 = { "nr", { GONE, EBUSY } },
	[OP_READ]	 = { "read", { GONE } },
	[OP_STATUS]	 = { "status", { ENOENT } },
	[OP_LIST]	 = { "list", { GONE } },
	/* a caller that gets signals; the same answers as without one */
	[OP_CATCH]	 = { "caught signal", { GONE, EBUSY, EINVAL, ENOMEM, ECANCELED, EPERM, EOPNOTSUPP } },
	[OP_KILL]	 = { "killed caller", { 0 } },
	[OP_LOAD]	 = { "load", { 0 } },
	/* the status file is open */
	[OP_UNLOAD]	 = { "unload", { EAGAIN, EBUSY } },
	/* what is in there cannot move, or not within the time that it gets */
	[OP_OFFLINE]	 = { "offline", { EBUSY, EAGAIN, EINTR, EINVAL, ENOMEM, ENOENT, ETIMEDOUT } },
	[OP_ONLINE]	 = { "online", { EINVAL, EBUSY, ENOMEM, EAGAIN, EINTR, ETIMEDOUT } },
	[OP_COMPACT]	 = { "compact", { ENOENT, EINTR } },
	[OP_DROP]	 = { "drop caches", { ENOENT } },
	[OP_KSM]	 = { "ksm", { ENOENT, EBUSY, ENOMEM } },
	[OP_TARGET_START] = { "target", { 0 } },
	[OP_TARGET_KILL] = { "target killed", { 0 } },
};

/*
 * So many looks of the watchdog, each a second of sleep, without a beat: no machine that works takes so long to
 * fork once. What hangs is not the module's caller then, but the machine.
 */
#define SILENCE		600

struct worker workers[MAX_WORKERS];
unsigned int nr_workers;
_Atomic bool over;
int verdict_fd = -1;

static pthread_t threads[MAX_WORKERS];
static _Atomic unsigned long counts[NR_OPS][MAX_ERRNO];
static _Atomic uint64_t spent_ns[NR_OPS], longest_ns[NR_OPS];
static _Atomic unsigned long longest_beats;
static pthread_mutex_t breaking = PTHREAD_MUTEX_INITIALIZER;

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

void sleep_ms(unsigned long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

/*
 * All processors are busy during a run.  khugepaged has the lowest priority, and RCU waits for it when it is preempted
 * in the middle of something: ours must not be higher.
 */
void run_last(void)
{
	setpriority(PRIO_PROCESS, 0, 19);
}

/* splitmix64 */
uint64_t random64(struct worker *w)
{
	uint64_t z = w->random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

unsigned long roll(struct worker *w, unsigned long below)
{
	return random64(w) % below;
}

unsigned long count(enum op op, int err)
{
	return counts[op][err];
}

static const char *errno_name(int err)
{
	const char *name = strerrorname_np(err);

	return name ? name : "?";
}

/* Tells the process that waits for the verdict, which then ends this one. */
void broken(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* the first one only */
	pthread_mutex_lock(&breaking);
	if (verdict_fd < 0 || write(verdict_fd, text, strlen(text)) < 0) {
		fprintf(stderr, "stress: %s\n", text);
		_exit(1);
	}
	for (;;)
		pause();
}

void begin(struct worker *w, enum op op, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w->what, sizeof(w->what), fmt, ap);
	va_end(ap);
	atomic_store(&w->op, op);
	atomic_store(&w->since_beat, beats());
	atomic_store(&w->since_ns, now_ns());
}

void end(struct worker *w, int err)
{
	enum op op = atomic_load(&w->op);
	uint64_t ns = now_ns() - atomic_load(&w->since_ns), longest;
	unsigned long its_beats = beats() - atomic_load(&w->since_beat), most = atomic_load(&longest_beats);

	atomic_store(&w->since_ns, 0);
	while (its_beats > most && !atomic_compare_exchange_weak(&longest_beats, &most, its_beats))
		;
	atomic_fetch_add(&spent_ns[op], ns);
	longest = atomic_load(&longest_ns[op]);
	while (ns > longest && !atomic_compare_exchange_weak(&longest_ns[op], &longest, ns))
		;
	if (err < 0 || err >= MAX_ERRNO)
		broken("%s %u: %s: error %d", w->role, w->index, w->what, err);
	atomic_fetch_add(&counts[op][err], 1);
	if (!err)
		return;
	for (size_t i = 0; i < sizeof(ops[op].allowed) / sizeof(int); i++)
		if (ops[op].allowed[i] == err)
			return;
	broken("%s %u: %s (%s): %s must not be the answer", w->role, w->index,
	       w->what, ops[op].name, errno_name(err));
}

/* One line: how much was done, and who is at one thing for longest. */
void print_progress(unsigned long seconds)
{
	unsigned long done = 0, refused = 0;
	uint64_t now = now_ns(), oldest = now;
	struct worker *slow = NULL;

	for (int op = 0; op < NR_OPS; op++)
		for (int err = 0; err < MAX_ERRNO; err++)
			*(err ? &refused : &done) += counts[op][err];
	for (unsigned int i = 0; i < nr_workers; i++) {
		uint64_t since = atomic_load(&workers[i].since_ns);

		if (since && since < oldest) {
			oldest = since;
			slow = &workers[i];
		}
	}
	printf("stress: %lu s: %lu operations done, %lu refused; %lu on, %lu unloads", seconds, done, refused,
	       counts[OP_ON][0], counts[OP_UNLOAD][0]);
	if (slow)
		printf("; %s %u is at \"%s\" for %llu ms", slow->role, slow->index, slow->what,
		       (unsigned long long)((now - oldest) / NSEC_PER_MSEC));
	putchar('\n');
}

void print_counts(void)
{
	for (int op = 0; op < NR_OPS; op++) {
		printf("%17s: %7lu", ops[op].name, counts[op][0]);
		for (int err = 1; err < MAX_ERRNO; err++)
			if (counts[op][err])
				printf(", %lu %s", counts[op][err], errno_name(err));
		printf("; %llu ms, at most %llu\n", (unsigned long long)(spent_ns[op] / NSEC_PER_MSEC),
		       (unsigned long long)(longest_ns[op] / NSEC_PER_MSEC));
	}
	printf("stress: the longest took %lu of %lu beats\n", longest_beats, opt.patience * BEATS_PER_SECOND);
}

static void print_file(const char *what, const char *fmt, ...)
{
	char path[128], buf[4096];
	ssize_t n, total = 0;
	va_list ap;
	int fd;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return;
	printf("  %s:\n", what);
	while ((n = read(fd, buf, sizeof(buf))) > 0 && total < 65536) {
		total += n;
		fwrite(buf, 1, n, stdout);
	}
	putchar('\n');
	close(fd);
}

static void print_threads(pid_t pid)
{
	char path[64];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			print_file("its stack", "/proc/%d/task/%s/stack", pid, entry->d_name);
	if (dir)
		closedir(dir);
}

static void print_kdamonds(void)
{
	struct dirent *entry;
	char path[300], comm[32];
	DIR *dir = opendir("/proc");

	while (dir && (entry = readdir(dir))) {
		pid_t pid = atoi(entry->d_name);

		if (!pid)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		if (!read_path(path, comm, sizeof(comm)) && !strncmp(comm, "kdamond.", 8)) {
			printf("  %.*s, process %d\n", (int)strcspn(comm, "\n"), comm, pid);
			print_file("its stack", "/proc/%d/stack", pid);
		}
	}
	if (dir)
		closedir(dir);
}

static void print_stuck(struct worker *w)
{
	pid_t tid = atomic_load(&w->tid), child = atomic_load(&w->child);

	printf("stress: %s %u (thread %d) is at \"%s\" for %llu ms, %lu beats\n", w->role,
	       w->index, tid, w->what, (unsigned long long)((now_ns() - atomic_load(&w->since_ns)) / NSEC_PER_MSEC),
	       beats() - atomic_load(&w->since_beat));
	print_file("waits in", "/proc/self/task/%d/wchan", tid);
	print_file("its stack", "/proc/self/task/%d/stack", tid);
	if (child) {
		printf("  it waits for process %d\n", child);
		print_threads(child);
	}
}

/* Whether its operation does not end within the beats that it gets. */
static bool is_stuck(struct worker *w)
{
	unsigned long patience = opt.patience * BEATS_PER_SECOND, its_beats;
	uint64_t since = atomic_load(&w->since_ns);

	if (!since)
		return false;
	/* what the kernel does by itself there is long, and not what is tested */
	if (atomic_load(&w->op) >= OP_LOAD)
		patience *= 4;
	its_beats = beats() - atomic_load(&w->since_beat);
	/* and all of that was about the same operation */
	return its_beats > patience && atomic_load(&w->since_ns) == since;
}

/* The metronome itself must get on: a machine that forks no more is broken. */
static void check_metronome(void)
{
	static unsigned long last, looks;

	looks = beats() == last ? looks + 1 : 0;
	last = beats();
	if (looks > SILENCE)
		broken("the metronome is silent: %lu looks, and no child was forked and waited for", looks);
}

/* Looks now and then whether an operation does not end. */
static void *watch(void *unused)
{
	for (;;) {
		struct worker *stuck = NULL;

		sleep_ms(1000);
		check_metronome();
		for (unsigned int i = 0; i < nr_workers; i++)
			if (is_stuck(&workers[i]))
				stuck = &workers[i];
		if (!stuck)
			continue;
		for (unsigned int i = 0; i < nr_workers; i++)
			if (atomic_load(&workers[i].since_ns))
				print_stuck(&workers[i]);
		print_kdamonds();
		print_counts();
		fflush(stdout);
		/* the kernel's list of who waits, to its log */
		write_path("/proc/sysrq-trigger", "w");
		broken("%s %u is stuck for %lu s: %s", stuck->role, stuck->index,
		       opt.patience, stuck->what);
	}
	return unused;
}

void add_worker(const char *role, void (*turn)(struct worker *w))
{
	struct worker *w = &workers[nr_workers];

	if (nr_workers == MAX_WORKERS)
		broken("too many workers");
	w->role = role;
	w->turn = turn;
	w->index = nr_workers++;
	w->random = opt.seed * 1000003 + w->index;
}

static void *work(void *data)
{
	struct worker *w = data;

	atomic_store(&w->tid, (pid_t)syscall(SYS_gettid));
	while (!atomic_load(&over)) {
		w->turn(w);
		/* who comes in vain is not to slow down the unloading */
		if (!tree_exists())
			sleep_ms(50);
	}
	return NULL;
}

static void start_thread(pthread_t *thread, void *(*function)(void *), void *data)
{
	pthread_attr_t attr;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 512 * 1024);
	err = pthread_create(thread, &attr, function, data);
	pthread_attr_destroy(&attr);
	if (err)
		broken("a thread cannot be made: %s", strerror(err));
}

void start_workers(void)
{
	pthread_t watchdog;

	start_thread(&watchdog, watch, NULL);
	for (unsigned int i = 0; i < nr_workers; i++)
		if (workers[i].turn)
			start_thread(&threads[i], work, &workers[i]);
}

void end_workers(void (*meanwhile)(void))
{
	atomic_store(&over, true);
	for (unsigned int i = 0; i < nr_workers; i++)
		while (workers[i].turn && pthread_tryjoin_np(threads[i], NULL) == EBUSY) {
			meanwhile();
			sleep_ms(20);
		}
}
