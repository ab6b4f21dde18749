// SPDX-License-Identifier: GPL-2.0
/*
 * Nothing but a comparison: two declarations of one function must have the same type, or this does not compile.
 */

#if __has_include(<mm/internal.h>)
#include <mm/internal.h>
#endif

#include "unexported.h"
