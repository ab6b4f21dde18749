// SPDX-License-Identifier: GPL-2.0
/*
 * Definitions of the tracepoints, which are possible only in C.  glue/tracepoints.rs
 * calls the functions below.  All may be called in any context.
 */

#include <linux/types.h>

#include "region.h"

#define CREATE_TRACE_POINTS
#include "damon.h"

bool damon_rs_trace_aggregated_enabled(void)
{
	return trace_damon_aggregated_enabled() ||
		trace_damon_region_aggregated_enabled();
}

/* The sysfs interface supports one context per kdamond, so its index is always 0. */
#define CONTEXT_IDX	0

bool damon_rs_trace_before_apply_enabled(void)
{
	return trace_damos_before_apply_enabled();
}

void damon_rs_trace_before_apply(unsigned int scheme_idx,
				 unsigned int target_idx,
				 const struct damon_rs_trace_region *r,
				 unsigned int nr_regions)
{
	trace_damos_before_apply(CONTEXT_IDX, scheme_idx, target_idx, r,
				 nr_regions);
}

void damon_rs_trace_esz(unsigned int scheme_idx, unsigned long esz)
{
	trace_damos_esz(CONTEXT_IDX, scheme_idx, esz);
}

bool damon_rs_trace_stat_enabled(void)
{
	return trace_damos_stat_after_apply_interval_enabled();
}

void damon_rs_trace_stat(unsigned int scheme_idx,
			 const struct damon_rs_trace_stat *stat)
{
	trace_damos_stat_after_apply_interval(CONTEXT_IDX, scheme_idx, stat);
}

void damon_rs_trace_tuned(unsigned long sample_us)
{
	trace_damon_monitor_intervals_tune(sample_us);
}

void damon_rs_trace_aggregated(unsigned int target_id, unsigned int nr_regions,
			       unsigned int nr_probes,
			       const struct damon_rs_trace_region *r)
{
	trace_damon_aggregated(target_id, r, nr_regions);
	trace_damon_region_aggregated(target_id, r, nr_regions, nr_probes);
}
