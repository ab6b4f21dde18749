// SPDX-License-Identifier: GPL-2.0
/*
 * Tracepoints can be defined in C only. Each event has one function here for mm/tracepoints.rs.
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
