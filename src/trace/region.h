/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DAMON_RS_TRACE_REGION_H
#define _DAMON_RS_TRACE_REGION_H

/* Maximum number of probes of a context, as DAMON_MAX_PROBES in the in-tree DAMON. */
#define DAMON_RS_MAX_PROBES	4

/* The state of a region in a trace event.  Addresses are in the unit of the operations. */
struct damon_rs_trace_region {
	unsigned long start;
	unsigned long end;
	unsigned int nr_accesses;
	unsigned int age;
	unsigned char probe_hits[DAMON_RS_MAX_PROBES];
};

/* Statistics of a scheme since it was started. */
struct damon_rs_trace_stat {
	unsigned long nr_tried;
	unsigned long sz_tried;
	unsigned long nr_applied;
	unsigned long sz_applied;
	unsigned long sz_ops_filter_passed;
	unsigned long qt_exceeds;
	unsigned long nr_snapshots;
};

bool damon_rs_trace_before_apply_enabled(void);
void damon_rs_trace_before_apply(unsigned int scheme_idx,
				 unsigned int target_idx,
				 const struct damon_rs_trace_region *r,
				 unsigned int nr_regions);
void damon_rs_trace_esz(unsigned int scheme_idx, unsigned long esz);
bool damon_rs_trace_stat_enabled(void);
void damon_rs_trace_stat(unsigned int scheme_idx,
			 const struct damon_rs_trace_stat *stat);
bool damon_rs_trace_aggregated_enabled(void);
void damon_rs_trace_aggregated(unsigned int target_id, unsigned int nr_regions,
			       unsigned int nr_probes,
			       const struct damon_rs_trace_region *r);
void damon_rs_trace_tuned(unsigned long sample_us);

#endif /* _DAMON_RS_TRACE_REGION_H */
