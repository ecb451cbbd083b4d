# The front door: everything is done from here with plain `make`. `make help` lists the goals.
# The work itself is done by CMakeLists.txt (daemon, unit tests), extension/Makefile (PGXS) and test/run.
# Nothing may be asked of the machine while this file is read: pg_config, cmake and python3 may not be there yet.

BUILD     ?= build
PREFIX    ?= /usr/local
PG_CONFIG ?= pg_config
JOBS      ?= $(shell nproc 2>/dev/null || echo 2)
# One test by name, e.g. `make check-unit T=StorageRef.*`, `make check-sql T=attach`, `make check-e2e T=main_job`.
T         ?=

SUDO       = $(shell [ "$$(id -u)" = 0 ] || echo sudo)
RUN        = OBJECTLINK_BUILD=$(BUILD) PG_CONFIG=$(PG_CONFIG) test/run $(if $(T),--test '$(T)')
EXTENSION  = $(MAKE) -C extension PG_CONFIG=$(PG_CONFIG)

MAKEFLAGS += --no-print-directory
# JOBS says how many at once; two goals that build the same tree must not run together.
.NOTPARALLEL:
.DEFAULT_GOAL := build
.PHONY: help build extension daemon test-programs install uninstall demo sandbox \
        check check-unit check-oracle check-sql check-isolation check-e2e check-fault \
        bench asan lint format clean packages-build packages-test packages-lint packages-bench

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1|\2/p' Makefile | \
	  while IFS='|' read -r goal text; do printf '  make %-16s %s\n' "$$goal" "$$text"; done
	@echo '  T=name picks one test in check-*; BUILD, PREFIX, PG_CONFIG, JOBS are as usual'

build: extension daemon ## build extension and daemon (the default)

extension: packages-build
	@$(EXTENSION) -s $(if $(filter -j%,$(MAKEFLAGS)),,-j$(JOBS)) all

daemon: $(BUILD)/Makefile
	@cmake --build $(BUILD) --parallel $(JOBS) --target objectlinkd

# The daemon, and the programs that only tests need.
test-programs: $(BUILD)/Makefile
	@cmake --build $(BUILD) --parallel $(JOBS)

$(BUILD)/Makefile build-asan/Makefile: | packages-build
	@cmake -S . -B $(@D) $(if $(filter build-asan/%,$@),-DSANITIZE=ON) --log-level=NOTICE

install: build ## install the extension into PostgreSQL and objectlinkd into PREFIX/bin
	@$(SUDO) $(EXTENSION) -s install
	@$(SUDO) install -D -m 755 $(BUILD)/objectlinkd $(DESTDIR)$(PREFIX)/bin/objectlinkd

uninstall: ## take both away again
	@$(SUDO) $(EXTENSION) -s uninstall
	@$(SUDO) rm -f $(DESTDIR)$(PREFIX)/bin/objectlinkd

demo: install packages-test ## the story, with real files, on throwaway servers (or S3_ENDPOINT=... your own store)
	@OBJECTLINK_BUILD=$(BUILD) PG_CONFIG=$(PG_CONFIG) demo/run

sandbox: install packages-test ## throwaway servers, daemon, one attached table, and psql; gone when psql ends
	@OBJECTLINK_BUILD=$(BUILD) PG_CONFIG=$(PG_CONFIG) test/sandbox/session

check: test-programs install packages-test ## every test but the long ones; installs what is missing first
	@$(RUN) unit oracle sql isolation e2e

check-unit: test-programs ## unit tests (GoogleTest), milliseconds each
	@$(RUN) unit

check-oracle: test-programs packages-test ## our signatures against botocore's, on thousands of random requests
	@$(RUN) oracle

check-sql: install packages-test ## pg_regress pairs of sql/ and expected/ on a private cluster
	@$(RUN) sql

check-isolation: install packages-test ## races between sessions (test/isolation) on a private cluster
	@$(RUN) isolation

check-e2e: test-programs install packages-test ## the daemon between a real PostgreSQL and a real S3 server
	@$(RUN) e2e

check-fault: test-programs install packages-test ## crash loops, failing networks, waiting out leases; takes long
	@$(RUN) fault long

bench: install packages-test packages-bench ## measurements, with ratios to peers and limits
	@cmake --build $(BUILD) --target bench_raw_loop bench_listing_server
	@OBJECTLINK_BUILD=$(BUILD) PG_CONFIG=$(PG_CONFIG) bench/run $(T)

asan: install packages-test build-asan/Makefile ## unit and end-to-end tests under AddressSanitizer and UBSan
	@cmake --build build-asan --parallel $(JOBS)
	@OBJECTLINK_BUILD=build-asan PG_CONFIG=$(PG_CONFIG) test/run $(if $(T),--test '$(T)') unit oracle e2e

lint: test-programs packages-lint ## clang-tidy, cppcheck and shellcheck
	@tools/lint $(BUILD)

format: packages-lint ## clang-format over all C++ sources
	@find extension sidecar test bench \( -name '*.cpp' -o -name '*.hpp' \) -print0 2>/dev/null | xargs -0r clang-format -i

clean: ## remove everything that was built
	@rm -rf build build-asan $(BUILD)
	@[ -z "$$(command -v $(PG_CONFIG))" ] || $(EXTENSION) -s clean

# One after the other: apt does not like company.
packages-test packages-lint packages-bench: packages-build
packages-build packages-test packages-lint packages-bench: packages-%:
	@tools/install-packages $*
