# SPDX-License-Identifier: GPL-2.0
# What a user types. How the module is made up is in Kbuild.

KDIR ?= /lib/modules/$(shell uname -r)/build

# For the targets that need more than a kernel's headers: installs what they start with, once.
BOOTSTRAP := scripts/bootstrap

.PHONY: modules modules_install clean heatmap demo deb rustdoc test test-all stress mutations bench shell clippy rustfmt rustfmtcheck help

modules: | metadata
	$(MAKE) -C $(KDIR) M=$(CURDIR) $(if $(MO),MO=$(MO)) modules

modules_install: | metadata
	$(MAKE) -C $(KDIR) M=$(CURDIR) $(if $(MO),MO=$(MO)) modules_install

clean:
	$(MAKE) -C $(KDIR) M=$(CURDIR) $(if $(MO),MO=$(MO)) clean

# Debian's headers packages come without it.
.PHONY: metadata
metadata:
	@[ -e $(KDIR)/Makefile ] || { \
		echo "$(KDIR) is no kernel build folder: install the headers of the running kernel, or say KDIR=…" >&2; exit 1; }
	@[ -e $(KDIR)/rust/libkernel.rmeta ] || { \
		echo "$(KDIR) has no metadata of the kernel's Rust crates (rust/*.rmeta), so no Rust module builds against it." >&2; \
		echo "For a Debian kernel this adds it:  scripts/bootstrap && scripts/kernel.py metadata $(KDIR)    (as root)" >&2; exit 1; }

heatmap:
	@[ -n "$(PID)" ] || { echo "of which process? make heatmap PID=…" >&2; exit 1; }
	@python3 scripts/heatmap.py $(PID)

demo:
	@$(BOOTSTRAP)
	@python3 scripts/demo.py

deb:
	@$(BOOTSTRAP)
	@python3 scripts/deb.py $(if $(VERSION),--version $(VERSION))

rustdoc:
	@$(BOOTSTRAP)
	@python3 scripts/rustdoc.py

test test-all stress:
	@$(BOOTSTRAP)
	@python3 tests/run.py --set $@

mutations:
	@$(BOOTSTRAP)
	@python3 tests/mutations.py

bench:
	@$(BOOTSTRAP)
	@python3 scripts/bench.py

shell:
	@$(BOOTSTRAP)
	@python3 scripts/demo.py --shell

clippy:
	@$(BOOTSTRAP)
	@python3 tests/run.py clippy

rustfmt:
	@$(BOOTSTRAP)
	@python3 tests/run.py --fix rustfmt

rustfmtcheck:
	@$(BOOTSTRAP)
	@python3 tests/run.py rustfmt

help:
	@echo 'For a kernel with Rust and its headers:'
	@echo '  make                   build the module for the running kernel'
	@echo '  make KDIR=… [MO=…]     for another one; MO is where the results go'
	@echo '  make modules_install   install it'
	@echo '  make clean             remove what was built'
	@echo '  make heatmap PID=…     with the module loaded: show live which memory of a process is hot'
	@echo ''
	@echo 'On any Debian 12 or 13 as root, in a virtual machine and without a word to the running kernel:'
	@echo '  make demo              watch a workload, pause, go on; beside the truth'
	@echo '  make shell             a prompt with the module loaded and damo at hand'
	@echo '  make bench             side by side with the in-tree DAMON: what it costs; then what it finds, and what its schemes do'
	@echo '  make deb               a Debian package of the source, for DKMS'
	@echo '  make rustdoc           the documentation of the crate, for modules that build on it'
	@echo '  make clippy            lints, warnings are errors'
	@echo '  make rustfmt           format the Rust sources; rustfmtcheck only looks'
	@echo ''
	@echo 'Tests, on such a machine with two processors:'
	@echo '  question                                          command         time'
	@echo '  does this tree work?                              make test      11 minutes, the first time 21'
	@echo '  does it on every kernel, and under every trial?   make test-all   47 minutes, 10 of them for a KASAN kernel'
	@echo '  does it break under load for hours?               make stress     hours'
	@echo '  which of 49 faults made by hand do tests find?    make mutations  hours'
	@echo ''
	@echo 'DAMON_RS_CACHE  where toolchain, kernels and results are kept (~/.cache/damon-rs)'
	@echo 'DAMON_RS_MIRROR the Debian archive, if not the one of this machine'
	@echo 'DAMON_RS_SERIES the kernel series (7.2)'
	@echo 'DAMON_RS_STRESS_SECONDS  how long stress on each kernel, fuzz and failing allocations take in make stress (1800)'
