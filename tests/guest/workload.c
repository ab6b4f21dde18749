// SPDX-License-Identifier: GPL-2.0
/*
 * A process whose memory accesses are known.
 *
 * It maps one area, touches every page of a small hot part of it each round and
 * nothing else, and writes down where the hot part is and since when.  What
 * DAMON finds can then be compared with what was really accessed.
 *
 * Lines of the log:
 *
 *   {"event":"ready","t_ns":…,"pid":…,"area":[start,end],"page":4096}
 *   {"event":"phase","t_ns":…,"phase":0,"hot":[start,end]}   hot: null when idle
 *   {"event":"phase_end","t_ns":…,"phase":0,"rounds":…,"max_gap_us":…}
 *   {"event":"map","t_ns":…,"extra":[start,end]} and "unmap", "mremap"
 *   {"event":"exit","t_ns":…,"rounds":…}
 *
 * "max_gap_us" is the longest time from one round to the next: where it exceeds
 * DAMON's sampling interval the machine was too busy for the log to be true.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "rounds.h"

#define HUGE_SZ		(2 * MIB)
#define MAX_PHASES	64

/* A hot part at @offset of the area for @ms milliseconds; @idle: no accesses. */
struct phase {
	unsigned long offset;
	unsigned long ms;
	bool idle;
};

enum thp { THP_NONE, THP_HOT, THP_ALL };

static struct {
	unsigned long size;
	unsigned long hot;
	unsigned long stride;		/* touch one page in this many */
	unsigned long pace_us;		/* from the start of a round to the next */
	unsigned long exit_ms;		/* 0: never */
	unsigned long churn;		/* bytes to map and unmap in every round */
	unsigned long fork_ms;		/* fork a child this often, 0: never */
	unsigned long mremap_ms;	/* move the extra mapping, 0: never */
	enum thp thp;
	int cpu;
	bool write;
	bool loop;
	bool control;
	bool populate;
	struct phase phases[MAX_PHASES];
	int nr_phases;
} opt = {
	.size = 256 * MIB,
	.hot = 16 * MIB,
	.stride = 1,
	.pace_us = 4000,
	.cpu = 0,
	.populate = true,
};

static char *area;			/* opt.size bytes, aligned to HUGE_SZ */
static char *extra;			/* a second mapping, on demand */
static unsigned long extra_sz;
static unsigned long page_sz;
static unsigned long rounds;

static void log_range(const char *event, const char *name, char *start,
		      unsigned long size)
{
	log_event(event, ",\"%s\":[%lu,%lu]", name, (unsigned long)start,
		  (unsigned long)start + size);
}

/* OFFSET:MS or idle:MS */
static void add_phase(const char *text)
{
	struct phase *p = &opt.phases[opt.nr_phases];
	const char *colon = strchr(text, ':');

	if (!colon || opt.nr_phases == MAX_PHASES) {
		fprintf(stderr, "workload: not a phase: %s\n", text);
		exit(2);
	}
	p->idle = !strncmp(text, "idle:", 5);
	if (!p->idle)
		p->offset = parse_size(text);
	p->ms = strtoul(colon + 1, NULL, 0);
	opt.nr_phases++;
}

static void touch(char *start, unsigned long size, unsigned long step)
{
	volatile char *p = start;
	volatile char *end = start + size;

	if (opt.write) {
		for (; p < end; p += step)
			*p = (char)rounds;
	} else {
		for (; p < end; p += step)
			(void)*p;
	}
}

/* Writes to each page once, so that it is neither a hole nor the zero page. */
static void populate(char *start, unsigned long size)
{
	volatile char *p;

	for (p = start; p < start + size; p += page_sz)
		*p = 1;
}

static void map_area(void)
{
	char *map = mmap(NULL, opt.size + HUGE_SZ, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	unsigned long head;

	if (map == MAP_FAILED)
		die("mmap");
	area = (char *)(((unsigned long)map + HUGE_SZ - 1) & ~(HUGE_SZ - 1));
	head = area - map;
	if (head)
		munmap(map, head);
	if (head < HUGE_SZ)
		munmap(area + opt.size, HUGE_SZ - head);

	if (opt.thp == THP_ALL) {
		madvise(area, opt.size, MADV_HUGEPAGE);
	} else {
		madvise(area, opt.size, MADV_NOHUGEPAGE);
		if (opt.thp == THP_HOT)
			for (int i = 0; i < opt.nr_phases; i++)
				madvise(area + opt.phases[i].offset, opt.hot,
					MADV_HUGEPAGE);
	}
	/* cheaper than a page fault for each page, and with the same effect */
	if (opt.populate && madvise(area, opt.size, MADV_POPULATE_WRITE))
		populate(area, opt.size);
}

static void map_extra(unsigned long size)
{
	extra = mmap(NULL, size, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (extra == MAP_FAILED)
		die("mmap extra");
	extra_sz = size;
	madvise(extra, size, MADV_NOHUGEPAGE);
	populate(extra, size);
	log_range("map", "extra", extra, extra_sz);
}

static void unmap_extra(void)
{
	munmap(extra, extra_sz);
	log_range("unmap", "extra", extra, extra_sz);
	extra = NULL;
}

/* Moves the extra mapping to an address that the kernel chooses. */
static void mremap_extra(void)
{
	char *hole, *moved;

	if (!extra)
		map_extra(4 * MIB);
	hole = mmap(NULL, extra_sz, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (hole == MAP_FAILED)
		die("mmap hole");
	moved = mremap(extra, extra_sz, extra_sz, MREMAP_MAYMOVE | MREMAP_FIXED,
		       hole);
	if (moved == MAP_FAILED)
		die("mremap");
	extra = moved;
}

static void churn(void)
{
	char *map = mmap(NULL, opt.churn, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED)
		die("mmap churn");
	populate(map, opt.churn);
	munmap(map, opt.churn);
}

static void fork_once(void)
{
	pid_t child = fork();

	if (child < 0)
		die("fork");
	if (!child) {
		/* writes break the copy-on-write sharing of some pages */
		populate(area, MIB);
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

/* The hot part as it is now. */
static struct {
	unsigned long offset;
	bool idle;
	int nr;
	unsigned long rounds;
	uint64_t max_gap_ns;
	bool open;
} hot = { .nr = -1 };

static void end_phase(void)
{
	if (!hot.open)
		return;
	log_event("phase_end", ",\"phase\":%d,\"rounds\":%lu,\"max_gap_us\":%llu",
		  hot.nr, hot.rounds, (unsigned long long)hot.max_gap_ns / 1000);
	hot.open = false;
}

static void begin_phase(unsigned long offset, bool idle)
{
	end_phase();
	hot.nr++;
	hot.offset = offset > opt.size - opt.hot ? opt.size - opt.hot : offset;
	hot.idle = idle;
	hot.rounds = 0;
	hot.max_gap_ns = 0;
	if (idle)
		log_event("phase", ",\"phase\":%d,\"hot\":null", hot.nr);
	else
		log_event("phase", ",\"phase\":%d,\"hot\":[%lu,%lu]", hot.nr,
			  (unsigned long)area + hot.offset,
			  (unsigned long)area + hot.offset + opt.hot);
	hot.open = true;
}

static void finish(int code)
{
	end_phase();
	log_event("exit", ",\"rounds\":%lu", rounds);
	exit(code);
}

/*
 * With --control, commands come from standard input, a line each; the log line
 * that they cause is the answer:
 *   hot OFFSET | idle | map SIZE | unmap | mremap | exit CODE
 */
static void run_command(const char *line)
{
	if (!strncmp(line, "hot ", 4)) {
		begin_phase(parse_size(line + 4), false);
	} else if (!strcmp(line, "idle")) {
		begin_phase(hot.offset, true);
	} else if (!strncmp(line, "map ", 4)) {
		map_extra(parse_size(line + 4));
	} else if (!strcmp(line, "unmap")) {
		if (extra)
			unmap_extra();
	} else if (!strcmp(line, "mremap")) {
		mremap_extra();
		log_range("mremap", "extra", extra, extra_sz);
	} else if (!strncmp(line, "exit", 4)) {
		finish(atoi(line + 4));
	} else {
		fprintf(stderr, "workload: unknown command: %s\n", line);
		finish(2);
	}
}

static void poll_commands(void)
{
	static char buf[256];
	static size_t len;
	struct pollfd fd = { .fd = 0, .events = POLLIN };
	char *newline;
	ssize_t n;

	while (poll(&fd, 1, 0) > 0) {
		n = read(0, buf + len, sizeof(buf) - 1 - len);
		if (n <= 0)
			finish(0);
		len += n;
		buf[len] = 0;
		while ((newline = strchr(buf, '\n'))) {
			*newline = 0;
			run_command(buf);
			len -= newline + 1 - buf;
			memmove(buf, newline + 1, len + 1);
		}
	}
}

/* Due at @next, and again @ms later each time it was. */
static bool due(uint64_t now, uint64_t *next, unsigned long ms)
{
	if (!ms || now < *next)
		return false;
	*next = now + ms * 1000000ULL;
	return true;
}

static void run(void)
{
	uint64_t start = now_ns(), last = 0, next_fork = 0, next_mremap = 0;
	uint64_t phase_end = 0;
	int i = 0;

	if (opt.nr_phases) {
		begin_phase(opt.phases[0].offset, opt.phases[0].idle);
		phase_end = start + opt.phases[0].ms * 1000000ULL;
	} else {
		begin_phase(opt.size / 2, false);
	}

	for (;;) {
		uint64_t now = now_ns();

		if (opt.exit_ms && now >= start + opt.exit_ms * 1000000ULL)
			finish(0);
		if (phase_end && now >= phase_end) {
			if (++i == opt.nr_phases) {
				if (!opt.loop)
					finish(0);
				i = 0;
			}
			begin_phase(opt.phases[i].offset, opt.phases[i].idle);
			phase_end += opt.phases[i].ms * 1000000ULL;
			last = 0;
		}
		if (opt.control)
			poll_commands();

		if (!hot.idle)
			touch(area + hot.offset, opt.hot, page_sz * opt.stride);
		if (opt.churn)
			churn();
		if (due(now, &next_fork, opt.fork_ms))
			fork_once();
		if (due(now, &next_mremap, opt.mremap_ms))
			mremap_extra();
		switch_address_space();

		rounds++;
		hot.rounds++;
		if (last && now - last > hot.max_gap_ns)
			hot.max_gap_ns = now - last;
		last = now;
		if (now + opt.pace_us * 1000 > now_ns())
			sleep_until(now + opt.pace_us * 1000);
	}
}

static const char usage[] =
"usage: workload [options]\n"
"  --log FILE         where the ground truth goes (default: standard output)\n"
"  --size SIZE        the area, default 256M\n"
"  --hot SIZE         its hot part, default 16M\n"
"  --phase OFF:MS     hot part at OFF of the area for MS milliseconds, then the\n"
"                     next phase; after the last one, exit. 'idle:MS': none\n"
"  --loop             start again after the last phase\n"
"  --pace-us US       from round to round, default 4000\n"
"  --stride N         touch one page in N\n"
"  --write            write to the pages instead of reading them\n"
"  --thp none|hot|all transparent huge pages\n"
"  --no-populate      leave the cold part unmapped\n"
"  --churn SIZE       map, write and unmap SIZE in each round\n"
"  --fork-ms MS       fork a child this often\n"
"  --mremap-ms MS     move a mapping this often\n"
"  --exit-ms MS       exit after this time\n"
"  --control          read commands from standard input\n"
"  --cpu N            run on this CPU, default 0\n";

int main(int argc, char **argv)
{
	static const struct option longopts[] = {
		{ "log", 1, NULL, 'l' },	{ "size", 1, NULL, 's' },
		{ "hot", 1, NULL, 'h' },	{ "phase", 1, NULL, 'p' },
		{ "loop", 0, NULL, 'L' },	{ "pace-us", 1, NULL, 'u' },
		{ "stride", 1, NULL, 'S' },	{ "write", 0, NULL, 'w' },
		{ "thp", 1, NULL, 't' },	{ "no-populate", 0, NULL, 'n' },
		{ "churn", 1, NULL, 'c' },	{ "fork-ms", 1, NULL, 'f' },
		{ "mremap-ms", 1, NULL, 'm' },	{ "exit-ms", 1, NULL, 'e' },
		{ "control", 0, NULL, 'C' },	{ "cpu", 1, NULL, 'P' },
		{ 0 },
	};
	int c;

	fix_addresses(argv);
	page_sz = sysconf(_SC_PAGESIZE);
	while ((c = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
		switch (c) {
		case 'l':
			open_log(optarg);
			break;
		case 's': opt.size = parse_size(optarg); break;
		case 'h': opt.hot = parse_size(optarg); break;
		case 'p': add_phase(optarg); break;
		case 'L': opt.loop = true; break;
		case 'u': opt.pace_us = strtoul(optarg, NULL, 0); break;
		case 'S': opt.stride = strtoul(optarg, NULL, 0); break;
		case 'w': opt.write = true; break;
		case 't':
			opt.thp = !strcmp(optarg, "all") ? THP_ALL :
				  !strcmp(optarg, "hot") ? THP_HOT : THP_NONE;
			break;
		case 'n': opt.populate = false; break;
		case 'c': opt.churn = parse_size(optarg); break;
		case 'f': opt.fork_ms = strtoul(optarg, NULL, 0); break;
		case 'm': opt.mremap_ms = strtoul(optarg, NULL, 0); break;
		case 'e': opt.exit_ms = strtoul(optarg, NULL, 0); break;
		case 'C': opt.control = true; break;
		case 'P': opt.cpu = atoi(optarg); break;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (opt.hot > opt.size || !opt.stride) {
		fputs(usage, stderr);
		return 2;
	}

	pin(opt.cpu);
	start_peer();
	map_area();
	log_event("ready", ",\"pid\":%d,\"area\":[%lu,%lu],\"page\":%lu", getpid(),
		  (unsigned long)area, (unsigned long)area + opt.size, page_sz);
	run();
}
