// SPDX-License-Identifier: GPL-2.0
/*
 * The functions that calls.h declares.
 */

#include <linux/static_call.h>

#include "calls.h"

#define DEFINE_CALL(name, result, parameters, arguments)			\
	DEFINE_STATIC_CALL_NULL(damon_rs_##name, name);				\
										\
	void damon_rs_found_##name(unsigned long address)			\
	{									\
		static_call_update(damon_rs_##name, (void *)address);		\
	}									\
										\
	result damon_rs_call_##name parameters					\
	{									\
		return static_call(damon_rs_##name)arguments;			\
	}

DAMON_RS_CALLS(DEFINE_CALL)
