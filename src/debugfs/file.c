// SPDX-License-Identifier: GPL-2.0
/*
 * A debugfs file with an owner.
 *
 * debugfs accesses the file operations again when the file is closed, so the
 * module that contains them must stay loaded until then.  That is ensured by
 * .owner, which the debugfs abstraction of the kernel crate does not set.
 */

#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/seq_file.h>

#include "file.h"

static int damon_rs_debugfs_open(struct inode *inode, struct file *file)
{
	struct damon_rs_debugfs_file *ours = inode->i_private;

	return single_open(file, ours->show, ours->data);
}

static const struct file_operations damon_rs_debugfs_fops = {
	.owner = THIS_MODULE,
	.open = damon_rs_debugfs_open,
	.read = seq_read,
	.llseek = seq_lseek,
	.release = single_release,
};

struct dentry *damon_rs_debugfs_create(const char *dir, const char *name,
				       struct damon_rs_debugfs_file *file)
{
	struct dentry *parent = debugfs_create_dir(dir, NULL);
	struct dentry *its;

	its = debugfs_create_file(name, 0400, parent, file,
				  &damon_rs_debugfs_fops);
	/*
	 * Other errors are ignored: the file is optional, and debugfs may be
	 * disabled.
	 */
	if (its == ERR_PTR(-ENOMEM)) {
		debugfs_remove(parent);
		return its;
	}
	return parent;
}
