/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DAMON_RS_DEBUGFS_FILE_H
#define _DAMON_RS_DEBUGFS_FILE_H

#include <linux/types.h>

struct dentry;
struct seq_file;

/**
 * struct damon_rs_debugfs_file - Content of a debugfs file
 * @show: Writes the whole content to @m.  May sleep.
 * @data: Private data of the seq_file that is passed to @show.
 */
struct damon_rs_debugfs_file {
	int (*show)(struct seq_file *m, void *unused);
	void *data;
};

/**
 * damon_rs_debugfs_create() - Create a directory with one read-only file
 * @dir: Name of the directory, in the root of debugfs.
 * @name: Name of the file.
 * @file: Content of the file.  Must stay valid until the directory is removed.
 *
 * The module cannot be unloaded while the file is open.  May sleep.
 *
 * Return: The directory, to be passed to debugfs_remove().  ERR_PTR(-ENOMEM) if
 * the directory or the file could not be allocated; then neither is left.
 * Another ERR_PTR if the directory could not be created for another reason.
 * Other errors of creating the file are ignored.
 */
struct dentry *damon_rs_debugfs_create(const char *dir, const char *name,
				       struct damon_rs_debugfs_file *file);

#endif /* _DAMON_RS_DEBUGFS_FILE_H */
