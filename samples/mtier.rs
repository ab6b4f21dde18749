// SPDX-License-Identifier: GPL-2.0

//! Memory tiering between a fast NUMA node 0 and a slow node 1.
//!
//! One kdamond promotes hot memory from node 1 to node 0 until node 0 is used to the wanted share.
//! Another one demotes cold memory from node 0 to node 1 to keep a share of node 0 free.

use damon::{
    engine::{
        AccessPattern,
        Action,
        AddrRange,
        AttrsParams,
        Filter,
        FilterKind,
        Filters,
        Goal,
        GoalMetric,
        IntervalsGoal,
        Micros,
        MinMax,
        QuotaParams,
        SchemeParams,
        Weights, //
    },
    kdamond::{
        self,
        Kdamond,
        Params,
        ANY_PAGES, //
    },
    mm::node_addresses,
    ops::{
        OpsId,
        Space, //
    },
    service::{
        Enabled,
        Flag,
        Number,
        Service, //
    },
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

damon::service_module! {
    SWITCH: Tiers,
    name: "damon_sample_mtier",
    beside: "damon_rs_sample_mtier",
    description: "DAMON sample: memory tiering",
}

static NODE0_START: Number<u64> = Number::new(0);
static NODE0_END: Number<u64> = Number::new(0);
static NODE1_START: Number<u64> = Number::new(0);
static NODE1_END: Number<u64> = Number::new(0);
static NODE0_USED_BP: Number<u64> = Number::new(9970);
static NODE0_FREE_BP: Number<u64> = Number::new(50);
static DETECT: Flag = Flag::new(false);

damon::parameters! {
    0o600 node0_start_addr: Number<u64> = &NODE0_START, "Start address of node 0";
    0o600 node0_end_addr: Number<u64> = &NODE0_END, "End address of node 0";
    0o600 node1_start_addr: Number<u64> = &NODE1_START, "Start address of node 1";
    0o600 node1_end_addr: Number<u64> = &NODE1_END, "End address of node 1";
    0o600 node0_mem_used_bp: Number<u64> = &NODE0_USED_BP,
        "Target used memory of node 0 in basis points, for promotion";
    0o600 node0_mem_free_bp: Number<u64> = &NODE0_FREE_BP,
        "Target free memory of node 0 in basis points, for demotion";
    0o600 detect_node_addresses: Flag = &DETECT, "Detect the addresses of the nodes";
    0o600 enabled: Enabled<Tiers> = &Enabled(&SWITCH), "Enable or disable migration";
}

struct Tiers {
    promotion: Arc<Kdamond>,
    _demotion: Arc<Kdamond>,
}

impl Service for Tiers {
    fn start() -> Result<Self> {
        let promotion = Way {
            from: (1, &NODE1_START, &NODE1_END),
            to: 0,
            action: Action::MigrateHot,
            nr_accesses: MinMax {
                min: 1,
                max: u32::MAX,
            },
            goal: (GoalMetric::NodeMemUsedBp(0), &NODE0_USED_BP),
            young: true,
        };
        let demotion = Way {
            from: (0, &NODE0_START, &NODE0_END),
            to: 1,
            action: Action::MigrateCold,
            nr_accesses: MinMax { min: 0, max: 0 },
            goal: (GoalMetric::NodeMemFreeBp(0), &NODE0_FREE_BP),
            young: false,
        };
        Ok(Self {
            promotion: promotion.start()?,
            _demotion: demotion.start()?,
        })
    }

    fn kdamond(&self) -> &Kdamond {
        &self.promotion
    }
}

/// One direction of migration.
struct Way {
    /// The source node, and the parameters with its start and end address.
    from: (i32, &'static Number<u64>, &'static Number<u64>),
    to: i32,
    action: Action,
    nr_accesses: MinMax<u32>,
    goal: (GoalMetric, &'static Number<u64>),
    /// `true`: only young pages are migrated; `false`: only pages that are not young.
    young: bool,
}

impl Way {
    fn start(self) -> Result<Arc<Kdamond>> {
        let (nid, start, end) = self.from;
        let (start, end) = if DETECT.get() {
            node_addresses(nid).ok_or(EINVAL)?
        } else {
            (start.get(), end.get())
        };
        let attrs = AttrsParams {
            goal: IntervalsGoal {
                access_bp: 400,
                aggrs: 3,
                min_sample_us: Micros::from_millis(5),
                max_sample_us: Micros::from_secs(10),
            },
            ..AttrsParams::default()
        };
        let params = Params::new(OpsId::Paddr, attrs)?
            .target(Space::Physical, &[AddrRange { start, end }])?
            .scheme(self.scheme()?)?;
        let kdamond = kdamond::new()?;
        kdamond.start(params)?;
        Ok(kdamond)
    }

    fn scheme(self) -> Result<SchemeParams> {
        let pattern = AccessPattern {
            nr_accesses: self.nr_accesses,
            ..ANY_PAGES
        };
        let (metric, wanted) = (self.goal.0, self.goal.1.get());
        if wanted == 0 {
            return Err(EINVAL);
        }
        let mut goals = KVec::with_capacity(1, GFP_KERNEL)?;
        goals.push_within_capacity(Goal {
            metric,
            target_value: wanted,
        })?;
        Ok(SchemeParams {
            apply_interval: Micros::from_secs(1),
            target_nid: Some(self.to),
            filters: Filters::new(&[Filter {
                kind: FilterKind::Young,
                matching: true,
                allow: self.young,
            }])?,
            quota: QuotaParams {
                bytes: 200 << 20,
                reset_interval: Micros::from_secs(1),
                goals,
                weights: Weights {
                    sz: 0,
                    nr_accesses: 100,
                    age: 100,
                },
                ..QuotaParams::default()
            },
            ..SchemeParams::new(pattern, self.action)
        })
    }
}
