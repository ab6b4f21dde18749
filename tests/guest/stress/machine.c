// SPDX-License-Identifier: GPL-2.0
/*
 * Workers that change the machine under DAMON: the module, memory, the
 * processes that are monitored.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stress.h"

/* As many as there can be numbers of processes. */
#define MAX_PIDS	(1 << 22)

_Atomic pid_t target_pids[NR_TARGETS];
static _Atomic bool was[MAX_PIDS];
static pid_t bystander;

/* ---- the module ---- */

int load_module(void)
{
	int fd = open(opt.module, O_RDONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return errno;
	if (syscall(SYS_finit_module, fd, "", 0))
		err = errno;
	close(fd);
	return err;
}

int unload_module(void)
{
	return syscall(SYS_delete_module, opt.name, O_NONBLOCK) ? errno : 0;
}

unsigned int count_kdamonds(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	char path[300], comm[32];
	unsigned int nr = 0;

	while (dir && (entry = readdir(dir))) {
		if (!atoi(entry->d_name))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		if (!read_path(path, comm, sizeof(comm)) && !strncmp(comm, "kdamond.", 8))
			nr++;
	}
	if (dir)
		closedir(dir);
	return nr;
}

/* Nothing may be left of a module that is gone. */
void check_unloaded(void)
{
	static const char *const names[] = {
		"/sys/kernel/mm/%s", "/sys/module/%s", "/sys/kernel/tracing/events/%s",
	};
	char path[300];

	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), names[i], opt.name);
		if (!access(path, F_OK))
			broken("%s is there without the module", path);
	}
	if (!access("/sys/kernel/debug/damon_rs", F_OK))
		broken("the status file is there without the module");
	/* the in-tree DAMON has threads of the same name */
	if (!strcmp(opt.name, "damon") && count_kdamonds())
		broken("%u kdamonds run without the module", count_kdamonds());
}

void turn_unload(struct worker *w)
{
	char n[16];
	int err;

	/* in small steps, so that the end of the run is not missed */
	for (unsigned long steps = 50 + roll(w, 100); steps && !atomic_load(&over); steps--)
		sleep_ms(100);
	do {
		begin(w, OP_UNLOAD, "unload");
		err = unload_module();
		end(w, err);
		sleep_ms(roll(w, 5));
	} while (err && !atomic_load(&over));
	if (err)
		return;
	check_unloaded();
	sleep_ms(roll(w, 300));
	begin(w, OP_LOAD, "load");
	end(w, load_module());
	snprintf(n, sizeof(n), "%u", opt.kdamonds);
	begin(w, OP_NR, "%s to nr_kdamonds", n);
	end(w, put(n, "nr_kdamonds"));
}

/* ---- memory ---- */

/* Writes in a process that is killed if it takes too long. */
static int write_in_time(struct worker *w, const char *path, const char *text)
{
	unsigned long start = beaten_seconds();
	bool killed = false;
	int status;
	pid_t child = fork();

	if (child < 0)
		return errno;
	if (!child)
		_exit(write_path(path, text));
	atomic_store(&w->child, child);
	while (!waitpid(child, &status, WNOHANG)) {
		if (beaten_seconds() - start > 10) {
			killed = true;
			kill(child, SIGKILL);
		}
		sleep_ms(5);
	}
	atomic_store(&w->child, 0);
	return killed ? ETIMEDOUT : WEXITSTATUS(status);
}

#define MEMORY	"/sys/devices/system/memory"

/* A block of memory that can go, as a number; -1 if there is none. */
static int movable_block(struct worker *w)
{
	int found[256], nr = 0;
	struct dirent *entry;
	char path[300], zones[128];
	DIR *dir = opendir(MEMORY);

	while (dir && nr < 256 && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, "memory", 6))
			continue;
		snprintf(path, sizeof(path), MEMORY "/%s/valid_zones", entry->d_name);
		if (!read_path(path, zones, sizeof(zones)) && !strncmp(zones, "Movable", 7))
			found[nr++] = atoi(entry->d_name + 6);
	}
	if (dir)
		closedir(dir);
	return nr ? found[roll(w, nr)] : -1;
}

static void replug(struct worker *w)
{
	int block = movable_block(w), err;
	char path[64];

	if (block < 0)
		return;
	snprintf(path, sizeof(path), MEMORY "/memory%d/state", block);
	begin(w, OP_OFFLINE, "memory%d", block);
	err = write_in_time(w, path, "offline");
	end(w, err);
	if (err)
		return;
	sleep_ms(roll(w, 500));
	begin(w, OP_ONLINE, "memory%d", block);
	end(w, write_in_time(w, path, "online_movable"));
}

void turn_memory(struct worker *w)
{
	static const char *const drops[] = { "1", "2", "3" };

	switch (roll(w, 8)) {
	case 0:
	case 1:
	case 2:
		replug(w);
		break;
	case 3:
	case 4:
		begin(w, OP_COMPACT, "compact_memory");
		end(w, write_path("/proc/sys/vm/compact_memory", "1"));
		break;
	case 5:
		begin(w, OP_DROP, "drop_caches");
		end(w, write_path("/proc/sys/vm/drop_caches", drops[roll(w, 3)]));
		break;
	default:
		begin(w, OP_KSM, "ksm");
		end(w, write_path("/sys/kernel/mm/ksm/run", roll(w, 8) ? "1" : "2"));
	}
	sleep_ms(500 + roll(w, 1500));
}

/* ---- targets ---- */

bool was_target(pid_t pid)
{
	return pid > 0 && pid < MAX_PIDS && atomic_load(&was[pid]);
}

static pid_t start_target(uint64_t seed, unsigned int slot)
{
	char seed_text[32], slot_text[32];
	char *argv[] = { "stress", "--target", seed_text, "--slot", slot_text, NULL };
	pid_t child;

	snprintf(seed_text, sizeof(seed_text), "%llu", (unsigned long long)seed);
	snprintf(slot_text, sizeof(slot_text), "%u", slot);
	child = fork();
	if (child < 0)
		broken("fork: %s", strerror(errno));
	if (!child) {
		execv(opt.self, argv);
		_exit(127);
	}
	return child;
}

void turn_targets(struct worker *w)
{
	unsigned int slot = roll(w, NR_TARGETS);
	pid_t pid = atomic_load(&target_pids[slot]);
	int status;

	if (pid && !roll(w, 10)) {
		begin(w, OP_TARGET_KILL, "target %u", slot);
		kill(pid, SIGKILL);
		/* its number may be another's from here on: nobody is to ask for it again */
		atomic_store(&target_pids[slot], 0);
		while (waitpid(pid, &status, 0) < 0)
			;
		end(w, 0);
		pid = 0;
	} else if (pid && waitpid(pid, &status, WNOHANG) == pid) {
		atomic_store(&target_pids[slot], 0);
		/* 0: it had lived long enough */
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			broken("target %u ended with status %x%s", slot, status,
			       status == 3 << 8 ? ": its memory changed" :
			       status == 6 << 8 ? ": its memory is missing" : "");
		pid = 0;
	}
	if (!pid) {
		begin(w, OP_TARGET_START, "target %u", slot);
		pid = start_target(random64(w), slot);
		if (pid >= MAX_PIDS)
			broken("process number %d", pid);
		atomic_store(&was[pid], true);
		atomic_store(&target_pids[slot], pid);
		end(w, 0);
	}
	sleep_ms(20 + roll(w, 200));
}

static void run(const char *command)
{
	/* what a kernel lacks is not tested */
	if (system(command))
		printf("stress: without: %s\n", command);
}

void set_up_machine(void)
{
	run("{ [ -b /dev/zram0 ] && echo 256M >/sys/block/zram0/disksize && "
	    "mkswap /dev/zram0 && swapon /dev/zram0; } >/dev/null 2>&1");
	/* grace periods would be most of the time that unloading takes */
	run("{ echo 1 >/sys/kernel/rcu_expedited; } 2>/dev/null");
	run("{ echo 16 >/proc/sys/vm/nr_hugepages; } 2>/dev/null");
	run("{ echo 200 >/sys/kernel/mm/ksm/sleep_millisecs && echo 1 >/sys/kernel/mm/ksm/run; } 2>/dev/null");
	bystander = start_target(opt.seed, NR_TARGETS);
	for (unsigned int slot = 0; slot < NR_TARGETS; slot++) {
		pid_t pid = start_target(opt.seed + slot, slot);

		atomic_store(&was[pid], true);
		atomic_store(&target_pids[slot], pid);
	}
}

void tear_down_machine(void)
{
	for (unsigned int slot = 0; slot < NR_TARGETS; slot++)
		if (atomic_load(&target_pids[slot]))
			kill(atomic_load(&target_pids[slot]), SIGKILL);
	kill(bystander, SIGKILL);
	while (wait(NULL) > 0)
		;
	run("{ echo 2 >/sys/kernel/mm/ksm/run; echo 0 >/proc/sys/vm/nr_hugepages; } 2>/dev/null");
	run("{ swapoff -a && echo 1 >/sys/block/zram0/reset; } >/dev/null 2>&1");
}
