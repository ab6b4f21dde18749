/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DAMON_RS_TRACE_REGION_H
#define _DAMON_RS_TRACE_REGION_H

/* As many as the in-tree DAMON has. */
#define DAMON_RS_MAX_PROBES	4

/* What the trace events tell of a region. */
struct damon_rs_trace_region {
	unsigned long start;
	unsigned long end;
	unsigned int nr_accesses;
	unsigned int age;
	unsigned char probe_hits[DAMON_RS_MAX_PROBES];
};

bool damon_rs_trace_aggregated_enabled(void);
void damon_rs_trace_aggregated(unsigned int target_id, unsigned int nr_regions,
			       unsigned int nr_probes,
			       const struct damon_rs_trace_region *r);
void damon_rs_trace_tuned(unsigned long sample_us);

#endif /* _DAMON_RS_TRACE_REGION_H */
