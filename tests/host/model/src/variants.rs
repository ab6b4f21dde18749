// SPDX-License-Identifier: GPL-2.0

//! The files with one mistake each. A variant uses the scenarios that it is refuted by, no others.

#![allow(dead_code, unused_imports, unused_variables)]

include!(concat!(env!("OUT_DIR"), "/variants.rs"));
