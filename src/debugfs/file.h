/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DAMON_RS_DEBUGFS_FILE_H
#define _DAMON_RS_DEBUGFS_FILE_H

#include <linux/types.h>

struct dentry;
struct seq_file;

/* A file: what writes it, and for what. */
struct damon_rs_debugfs_file {
	int (*show)(struct seq_file *m, void *unused);
	/* The private data of the seq_file. */
	void *data;
};

/*
 * Creates a directory and, in it, a file that is read as a whole.  Who has the
 * file open keeps the module from being unloaded.  Returns the directory, or an
 * error; without memory for any of both there is none, and the error is -ENOMEM.
 */
struct dentry *damon_rs_debugfs_create(const char *dir, const char *name,
				       struct damon_rs_debugfs_file *file);

#endif /* _DAMON_RS_DEBUGFS_FILE_H */
