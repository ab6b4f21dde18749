// SPDX-License-Identifier: GPL-2.0
/*
 * A process that accesses its memory after a script, again and again.
 *
 * It maps one area and waits.  At each "go" on standard input it runs through
 * the phases of its script once; in between it accesses nothing.  A phase has
 * parts of the area, and for each part how often and how densely it is accessed.
 * The log tells when each phase began, so that the rate at which any page was
 * accessed at any time is known.
 *
 *   {"event":"ready","t_ns":…,"pid":…,"area":[start,end],"page":4096}
 *   {"event":"physical","t_ns":…,"runs":[[virtual,physical,bytes],…]}  --physical
 *   {"event":"begin","t_ns":…}                                         at "go"
 *   {"event":"phase","t_ns":…,"parts":[[start,end,every,stride,pick],…]}
 *   {"event":"done","t_ns":…,"rounds":…,"max_gap_us":…}
 *
 * "max_gap_us" is the longest time between the starts of two rounds.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "rounds.h"

#define HUGE_SZ		(2 * MIB)
#define MAX_PHASES	256
#define MAX_PARTS	1024

struct part {
	unsigned long offset, size;
	unsigned long every;	/* access it in one round of so many */
	unsigned long stride;	/* one page in so many */
	unsigned long pick;	/* so many pages a round, at random; 0: all */
};

struct phase {
	unsigned long ms;
	int first, nr;		/* its parts */
};

static struct {
	unsigned long size;
	unsigned long pace_us;	/* from the start of a round to the next */
	bool populate, physical;
} opt = {
	.size = 256 * MIB,
	.pace_us = 4000,
	.populate = true,
};

static struct part parts[MAX_PARTS];
static struct phase phases[MAX_PHASES];
static int nr_parts, nr_phases;

static char *area;		/* opt.size bytes, aligned to HUGE_SZ */
static unsigned long page_sz;
static uint64_t seed = 1;

/* OFFSET:SIZE:EVERY:STRIDE:PICK */
static bool add_part(char *text)
{
	unsigned long values[5];
	struct part *p = &parts[nr_parts];

	if (!nr_phases || nr_parts == MAX_PARTS)
		return false;
	for (int i = 0; i < 5; i++) {
		values[i] = parse_size(text);
		text = strchr(text, ':');
		if (!text != (i == 4))
			return false;
		text += !!text;
	}
	*p = (struct part){ values[0], values[1], values[2], values[3], values[4] };
	if (!p->size || !p->every || !p->stride || p->size > opt.size ||
	    p->offset > opt.size - p->size)
		return false;
	nr_parts++;
	phases[nr_phases - 1].nr++;
	return true;
}

static bool add_phase(const char *text)
{
	if (nr_phases == MAX_PHASES)
		return false;
	phases[nr_phases++] = (struct phase){ strtoul(text, NULL, 0), nr_parts, 0 };
	return true;
}

/* Splitmix64: what is picked at random differs from run to run. */
static unsigned long random_below(unsigned long n)
{
	uint64_t z = seed += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return (z ^ (z >> 31)) % n;
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
	madvise(area, opt.size, MADV_NOHUGEPAGE);
	if (opt.populate && madvise(area, opt.size, MADV_POPULATE_WRITE))
		die("populate");
	/* What was never written to is the zero page, which DAMON does not count. */
	for (int i = 0; i < nr_parts; i++)
		if (madvise(area + parts[i].offset, parts[i].size, MADV_POPULATE_WRITE))
			die("populate a part");
}

/* Where the populated pages are in physical memory, as ranges in ascending order of their virtual address. */
static void log_physical(void)
{
	unsigned long virt = 0, phys = 0, size = 0;
	uint64_t entries[512];
	int fd = open("/proc/self/pagemap", O_RDONLY);
	const char *comma = "";

	if (fd < 0)
		die("pagemap");
	log_begin("physical");
	fputs(",\"runs\":[", log_file);
	/* One page more than there are, which ends the last range. */
	for (unsigned long n = 0; n <= opt.size / page_sz; n++) {
		unsigned long at = (unsigned long)area + n * page_sz;
		unsigned long frame = 0;

		if (n < opt.size / page_sz) {
			if (n % 512 == 0 &&
			    pread(fd, entries, sizeof(entries), at / page_sz * 8) !=
			    sizeof(entries))
				die("pagemap");
			/* bit 63: present; 54 down to 0: the frame */
			if (entries[n % 512] >> 63)
				frame = (entries[n % 512] & ((1ULL << 55) - 1)) * page_sz;
		}
		if (frame && size && frame == phys + size) {
			size += page_sz;
			continue;
		}
		if (size) {
			fprintf(log_file, "%s[%lu,%lu,%lu]", comma, virt, phys, size);
			comma = ",";
		}
		virt = at;
		phys = frame;
		size = frame ? page_sz : 0;
	}
	fputs("]", log_file);
	log_end();
	close(fd);
}

static void log_phase(const struct phase *phase)
{
	log_begin("phase");
	fputs(",\"parts\":[", log_file);
	for (int i = 0; i < phase->nr; i++) {
		const struct part *p = &parts[phase->first + i];

		fprintf(log_file, "%s[%lu,%lu,%lu,%lu,%lu]", i ? "," : "",
			(unsigned long)area + p->offset,
			(unsigned long)area + p->offset + p->size,
			p->every, p->stride, p->pick);
	}
	fputs("]", log_file);
	log_end();
}

static void access_part(const struct part *p)
{
	volatile char *start = area + p->offset;

	if (p->pick) {
		for (unsigned long n = 0; n < p->pick; n++)
			(void)start[random_below(p->size / page_sz) * page_sz];
	} else {
		for (unsigned long at = 0; at < p->size; at += p->stride * page_sz)
			(void)start[at];
	}
}

static void run(void)
{
	uint64_t next, last = 0, max_gap = 0, phase_end;
	unsigned long rounds = 0;

	log_event("begin", "");
	next = phase_end = now_ns();
	for (int i = 0; i < nr_phases; i++) {
		log_phase(&phases[i]);
		phase_end += phases[i].ms * 1000000ULL;
		for (;;) {
			uint64_t now = now_ns();

			if (now >= phase_end)
				break;
			if (last && now - last > max_gap)
				max_gap = now - last;
			last = now;
			/* Parts with a period take turns: no two of them begin together. */
			for (int part = 0; part < phases[i].nr; part++) {
				const struct part *p = &parts[phases[i].first + part];

				if ((rounds + part) % p->every == 0)
					access_part(p);
			}
			rounds++;
			switch_address_space();
			next += opt.pace_us * 1000;
			if (next < now)
				next = now;	/* too slow: "max_gap_us" tells */
			sleep_until(next);
		}
	}
	log_event("done", ",\"rounds\":%lu,\"max_gap_us\":%llu", rounds,
		  (unsigned long long)max_gap / 1000);
}

static const char usage[] =
"usage: patterns [options]\n"
"  --log FILE      where the ground truth goes (default: standard output)\n"
"  --size SIZE     the area, default 256M\n"
"  --no-populate   leave what no part covers unmapped\n"
"  --physical      log where the pages are in physical memory\n"
"  --pace-us US    from round to round, default 4000\n"
"  --seed N        of what is picked at random\n"
"  --phase MS      a phase of the script; its parts follow\n"
"  --part OFFSET:SIZE:EVERY:STRIDE:PICK\n"
"                  access SIZE bytes at OFFSET in every EVERY-th round: each\n"
"                  STRIDE-th page, or PICK pages at random if PICK is not 0\n";

int main(int argc, char **argv)
{
	static const struct option longopts[] = {
		{ "log", 1, NULL, 'l' },	{ "size", 1, NULL, 's' },
		{ "no-populate", 0, NULL, 'n' },	{ "physical", 0, NULL, 'y' },
		{ "pace-us", 1, NULL, 'u' },	{ "seed", 1, NULL, 'e' },
		{ "phase", 1, NULL, 'p' },	{ "part", 1, NULL, 'a' },
		{ 0 },
	};
	char line[64];
	bool fine = true;
	int c;

	fix_addresses(argv);
	page_sz = sysconf(_SC_PAGESIZE);
	while ((c = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
		switch (c) {
		case 'l': open_log(optarg); break;
		case 's': opt.size = parse_size(optarg); break;
		case 'n': opt.populate = false; break;
		case 'y': opt.physical = true; break;
		case 'u': opt.pace_us = strtoul(optarg, NULL, 0); break;
		case 'e': seed = strtoul(optarg, NULL, 0); break;
		case 'p': fine = fine && add_phase(optarg); break;
		case 'a': fine = fine && add_part(optarg); break;
		default: fine = false;
		}
	}
	if (!fine || !nr_phases || !opt.pace_us) {
		fputs(usage, stderr);
		return 2;
	}

	/* Wake up when asked to, not when it suits the kernel. */
	prctl(PR_SET_TIMERSLACK, 1);
	pin(0);
	start_peer();
	map_area();
	if (opt.physical)
		log_physical();
	log_event("ready", ",\"pid\":%d,\"area\":[%lu,%lu],\"page\":%lu", getpid(),
		  (unsigned long)area, (unsigned long)area + opt.size, page_sz);
	while (fgets(line, sizeof(line), stdin)) {
		if (strcmp(line, "go\n")) {
			fprintf(stderr, "patterns: unknown command: %s", line);
			return 2;
		}
		run();
	}
	return 0;
}
