// SPDX-License-Identifier: GPL-2.0

//! Plans of several steps that lead somewhere: a kdamond that can run, a scheme with all that a scheme
//! can have, a directory that is not there yet.

use crate::{
    class::Command,
    fuzzer::Fuzzer,
    grammar::Part,
    model::{
        Hop,
        Route, //
    },
    steps::{
        Step,
        Writing, //
    },
};

/// Kdamonds, at most.
const KDAMONDS: usize = 5;

impl Fuzzer {
    /// A way to a directory of a kind. Where there is none yet, the plan makes it.
    pub fn plan_way(&mut self, way: &[Part]) -> Route {
        let (mut route, mut kind) = (Route::new(), 0);
        for part in way {
            let its = &self.model.grammar.kinds[kind];
            match (part, its.list) {
                (Part::Sub(index), _) => {
                    route.push(Hop::Sub(*index));
                    kind = its.subs[*index].1;
                }
                (Part::Item, Some((file, entry))) => {
                    let there = self.model.dir(&route).map_or(0, |dir| dir.items.len());
                    if there == 0 {
                        let name = its.files[file].name.clone();
                        let text = b"1\n".to_vec();
                        let make = Step::Write(route.clone(), name, text, Writing::Truncating);
                        self.plan.push_back(make);
                    }
                    route.push(Hop::Item(self.rng.usize(0..there.max(1))));
                    kind = entry;
                }
                (Part::Item, None) => break,
            }
        }
        route
    }

    fn plan_choice(&mut self, path: &str, name: &str, values: &[&str]) {
        let value = *self.rng.choice(values).unwrap_or(&"0");
        self.plan_write(path, name, value);
    }

    /// Gives a scheme some of each thing that a scheme can have. Almost all values are good.
    fn plan_scheme(&mut self, path: &str) {
        // Those that take pages away from the machine are as good as any other here, but slow.
        self.plan_choice(
            path,
            "action",
            &[
                "stat",
                "stat",
                "willneed",
                "cold",
                "pageout",
                "hugepage",
                "nohugepage",
                "collapse",
                "lru_prio",
                "lru_deprio",
                "migrate_hot",
                "migrate_cold",
            ],
        );
        self.plan_choice(path, "apply_interval_us", &["0", "0", "10000", "100000"]);
        self.plan_choice(path, "target_nid", &["-1", "0", "1"]);
        self.plan_quota(&format!("{path}/quotas"));
        self.plan_filters(path);
        let dests = format!("{path}/dests");
        let nr_dests = self.rng.usize(0..=2);
        self.plan_write(&dests, "nr_dests", &nr_dests.to_string());
        for dest in 0..nr_dests {
            let dest = format!("{dests}/{dest}");
            self.plan_choice(&dest, "id", &["0", "1", "4294967295"]);
            self.plan_choice(&dest, "weight", &["0", "1", "100", "4294967295"]);
        }
        if self.rng.u8(0..3) == 0 {
            let marks = format!("{path}/watermarks");
            self.plan_choice(&marks, "metric", &["none", "free_mem_rate"]);
            self.plan_choice(&marks, "interval_us", &["0", "5000", "100000"]);
            self.plan_choice(
                &marks,
                "high",
                &["0", "500", "1000", "18446744073709551615"],
            );
            self.plan_choice(&marks, "mid", &["0", "300", "1000"]);
            self.plan_choice(&marks, "low", &["0", "1", "1001"]);
        }
    }

    fn plan_quota(&mut self, path: &str) {
        self.plan_choice(path, "ms", &["0", "0", "1", "100", "18446744073709551615"]);
        self.plan_choice(
            path,
            "bytes",
            &["0", "4096", "1048576", "18446744073709551615"],
        );
        self.plan_choice(path, "reset_interval_ms", &["0", "1", "20", "1000"]);
        self.plan_choice(path, "goal_tuner", &["consist", "temporal"]);
        self.plan_choice(path, "fail_charge_num", &["0", "1", "4294967295"]);
        self.plan_choice(path, "fail_charge_denom", &["0", "1", "1000"]);
        for name in ["sz_permil", "nr_accesses_permil", "age_permil"] {
            self.plan_choice(
                &format!("{path}/weights"),
                name,
                &["0", "1", "1000", "4294967295"],
            );
        }
        let nr_goals = self.rng.usize(0..=2);
        let goals = format!("{path}/goals");
        self.plan_write(&goals, "nr_goals", &nr_goals.to_string());
        for goal in 0..nr_goals {
            let goal = format!("{goals}/{goal}");
            self.plan_choice(
                &goal,
                "target_metric",
                &[
                    "user_input",
                    "some_mem_psi_us",
                    "node_mem_used_bp",
                    "node_mem_free_bp",
                    "active_mem_bp",
                    "inactive_mem_bp",
                    "node_eligible_mem_bp",
                ],
            );
            self.plan_choice(
                &goal,
                "target_value",
                &["0", "1", "9999", "18446744073709551615"],
            );
            self.plan_choice(&goal, "current_value", &["0", "1", "18446744073709551615"]);
            self.plan_choice(&goal, "nid", &["0", "1", "-1", "2147483647"]);
        }
    }

    fn plan_filters(&mut self, path: &str) {
        let layers: [(&str, &[&str]); 3] = [
            ("core_filters", &["addr", "target"]),
            (
                "ops_filters",
                &["anon", "active", "young", "hugepage_size", "unmapped"],
            ),
            (
                "filters",
                &[
                    "anon",
                    "active",
                    "young",
                    "hugepage_size",
                    "unmapped",
                    "addr",
                    "target",
                ],
            ),
        ];
        for (layer, types) in layers {
            let nr_filters = self.rng.usize(0..=2);
            let filters = format!("{path}/{layer}");
            self.plan_write(&filters, "nr_filters", &nr_filters.to_string());
            for filter in 0..nr_filters {
                let filter = format!("{filters}/{filter}");
                self.plan_choice(&filter, "type", types);
                self.plan_choice(&filter, "matching", &["Y", "N"]);
                self.plan_choice(&filter, "allow", &["Y", "N"]);
                for (low, high) in [("addr_start", "addr_end"), ("min", "max")] {
                    let (a, b) = (self.rng.u64(..), self.rng.u64(..));
                    // Now and then one that no filter can have.
                    let ordered = self.rng.u8(0..4) > 0;
                    let (from, to) = if (a < b) == ordered { (a, b) } else { (b, a) };
                    self.plan_write(&filter, low, &from.to_string());
                    self.plan_write(&filter, high, &to.to_string());
                }
                self.plan_choice(&filter, "damon_target_idx", &["0", "1", "-1", "2147483647"]);
            }
        }
    }

    fn plan_write(&mut self, path: &str, name: &str, value: &str) {
        let route = self.model.route(path).unwrap_or_default();
        let text = format!("{value}\n").into_bytes();
        let step = Step::Write(route, name.to_owned(), text, Writing::Truncating);
        self.plan.push_back(step);
    }

    /// Stops all kdamonds and makes new ones.
    pub fn plan_anew(&mut self) {
        for number in 0..self.model.kdamonds.len() {
            let off = self.command(number, b"off\n");
            self.plan.push_back(off);
        }
        let kdamonds = self.rng.usize(1..=KDAMONDS);
        self.plan_write("kdamonds", "nr_kdamonds", &kdamonds.to_string());
        for number in 0..kdamonds {
            self.plan_write(&format!("kdamonds/{number}/contexts"), "nr_contexts", "1");
        }
    }

    /// Makes parameters that are good, mostly, and gives a command.
    pub fn plan_command(&mut self, number: usize, command: Command) {
        let top = format!("kdamonds/{number}");
        let context = format!("{top}/contexts/0");
        let has_context = self.model.context(number).is_some();
        if !has_context || self.rng.u8(0..20) == 0 {
            self.plan_write(&format!("{top}/contexts"), "nr_contexts", "1");
        }
        let refresh = *self.rng.choice(&["0", "0", "1", "20"]).unwrap_or(&"0");
        self.plan_write(&top, "refresh_ms", refresh);
        let operations = *self
            .rng
            .choice(&["vaddr", "vaddr", "vaddr", "fvaddr", "fvaddr", "paddr"])
            .unwrap_or(&"vaddr");
        self.plan_write(&context, "operations", operations);
        self.plan_write(&context, "addr_unit", "1");
        let pause = if self.rng.u8(0..8) == 0 { "Y" } else { "N" };
        self.plan_write(&context, "pause", pause);
        let attrs = format!("{context}/monitoring_attrs");
        let sample = self.rng.u32(3_000..8_000);
        let aggr = sample * self.rng.u32(1..6);
        let intervals = format!("{attrs}/intervals");
        self.plan_write(&intervals, "sample_us", &sample.to_string());
        self.plan_write(&intervals, "aggr_us", &aggr.to_string());
        self.plan_write(&intervals, "update_us", "100000");
        self.plan_write(&format!("{intervals}/intervals_goal"), "aggrs", "0");
        self.plan_write(&format!("{attrs}/nr_regions"), "min", "5");
        let max = self.rng.u32(5..60).to_string();
        self.plan_write(&format!("{attrs}/nr_regions"), "max", &max);
        if self.rng.u8(0..4) > 0 {
            self.plan_write(&format!("{attrs}/probes"), "nr_probes", "0");
        }
        let targets = self.rng.usize(1..=2);
        self.plan_write(
            &format!("{context}/targets"),
            "nr_targets",
            &targets.to_string(),
        );
        for target in 0..targets {
            let pids: Vec<i64> = self.workloads.pids().collect();
            let own = i64::from(std::process::id());
            let pid = self.rng.choice(pids).unwrap_or(own);
            let path = format!("{context}/targets/{target}");
            self.plan_write(&path, "pid_target", &pid.to_string());
        }
        if self.rng.u8(0..4) > 0 {
            let schemes = self.rng.usize(0..=2);
            self.plan_write(
                &format!("{context}/schemes"),
                "nr_schemes",
                &schemes.to_string(),
            );
            for scheme in 0..schemes {
                let path = format!("{context}/schemes/{scheme}");
                for name in ["sz", "nr_accesses", "age"] {
                    let max = u64::MAX.to_string();
                    self.plan_write(&format!("{path}/access_pattern/{name}"), "max", &max);
                }
                if self.rng.u8(0..3) == 0 {
                    self.plan_scheme(&path);
                }
            }
        }
        let step = self.spelled(number, command);
        self.plan.push_back(step);
        if pause == "Y" && self.rng.bool() {
            let walk = self.spelled(number, Command::TriedRegions);
            self.plan.push_back(walk);
        }
    }
}
