// SPDX-License-Identifier: GPL-2.0
/*
 * Has the compiler compare two declarations of each function. This does not compile if their types
 * differ. Without mm/internal.h, as in packages of kernel headers, nothing is compared. Then only
 * the kernel series for which they were compared before are accepted: a call with a wrong prototype
 * would corrupt memory. See Documentation/mm/damon/porting.rst.
 */

#include <linux/version.h>

#if __has_include(<mm/internal.h>)
#include <mm/internal.h>
#elif LINUX_VERSION_CODE < KERNEL_VERSION(7, 2, 0) || LINUX_VERSION_CODE >= KERNEL_VERSION(7, 4, 0)
#error "damon-rs supports Linux 7.2 and 7.3; for another series, build against the kernel's source tree"
#endif

#include "unexported.h"
