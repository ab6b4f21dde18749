// SPDX-License-Identifier: GPL-2.0
/*
 * The symbols of the crate, for modules that use its Rust API. Rust has no way to say this.
 */

#include <linux/export.h>

#define EXPORT_SYMBOL_RUST_GPL(sym) extern int sym; EXPORT_SYMBOL_GPL(sym)

#include "exports_generated.h"
