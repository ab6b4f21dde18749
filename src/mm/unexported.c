// SPDX-License-Identifier: GPL-2.0
/*
 * Has the compiler compare two declarations of each function. This does not compile if their types
 * differ. Without mm/internal.h, as in packages of kernel headers, nothing is compared.
 */

#if __has_include(<mm/internal.h>)
#include <mm/internal.h>
#endif

#include "unexported.h"
