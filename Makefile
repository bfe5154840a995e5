# doris_fdw: see `make help`. The extension is built by PGXS; everything else by the rules here, into build/.
#
# Targets that need packages (demo, test) install them first and then call make again, so that they work on a
# machine that has nothing but git and make; the others say what is missing.

EXTENSION = doris_fdw
MODULE_big = doris_fdw
DATA = $(wildcard fdw/doris_fdw--*.sql)
OBJS = $(patsubst %.c,%.o,$(wildcard fdw/*.c))

BUILD ?= build
PG_CONFIG ?= pg_config
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 10
LIBS_WIRE = -lnanomsg -lsodium -lmd
# WiredTiger allocates for every row: docs/decisions/0020. Sanitizers bring an allocator of their own.
NODE_MALLOC = $(if $(SANITIZE),,-ljemalloc)

.DEFAULT_GOAL := all

# The same sources give the same bytes wherever they lie: tools/install-if-changed compares installed files.
PATH_MAP = -ffile-prefix-map=$(CURDIR)=.

PG_CPPFLAGS = -Ifdw -Iwire -Iclient
PG_CFLAGS = -std=gnu11 -Wall -Werror -Wno-declaration-after-statement $(PATH_MAP) $(FAULT_POINTS) $(SANITIZE)
# Names of ours that the server happens to have too must mean ours.
SHLIB_LINK = -Wl,-Bsymbolic -Wl,--exclude-libs,ALL $(BUILD)/libdoris.a $(LIBS_WIRE) $(SANITIZE)
EXTRA_CLEAN = $(BUILD)

# No bitcode: there is nothing in a foreign data wrapper for the JIT compiler to inline.
override with_llvm = no
# Our own installcheck (below) takes the cluster of tools/local-cluster.
NO_INSTALLCHECK = 1

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifneq ($(wildcard $(PGXS)),)
include $(PGXS)
$(shlib): $(BUILD)/libdoris.a
$(OBJS): $(wildcard fdw/*.h wire/*.h client/*.h)
else
.PHONY: missing-packages
all install uninstall: missing-packages
missing-packages:
	@echo "make: $(PG_CONFIG) knows no PostgreSQL server headers; run 'make setup' first (it installs Debian packages)" >&2
	@exit 1
clean:
	rm -rf $(EXTRA_CLEAN) fdw/*.o doris_fdw.so
endif

# ---- wire, client, node, admin, ctl ----
OWN_CFLAGS = -std=c11 -D_GNU_SOURCE -O2 -g -fPIC -fno-omit-frame-pointer -fstack-protector-strong \
	-Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes $(PATH_MAP) $(FAULT_POINTS) $(SANITIZE)
BUILD_NAME := $(shell git -c safe.directory='*' describe --always --dirty 2>/dev/null || echo release)
PQ_INCLUDE := $(shell $(PG_CONFIG) --includedir 2>/dev/null)
OWN_CPPFLAGS = -Iwire -Iclient -I$(PQ_INCLUDE) -DDORIS_BUILD='"$(BUILD_NAME)"'

objects = $(patsubst %.c,$(BUILD)/%.o,$(wildcard $(1)/*.c))
WIRE_OBJS = $(call objects,wire)
CLIENT_OBJS = $(call objects,client)
NODE_OBJS = $(call objects,node)
ADMIN_OBJS = $(call objects,admin)
CTL_OBJS = $(call objects,ctl)
PROGRAMS = $(BUILD)/doris_node $(BUILD)/doris_admin $(BUILD)/dorisctl
LIBRARIES = $(BUILD)/libdoris.a $(BUILD)/libdoris.so.1

$(BUILD)/%.o: %.c
	@mkdir -p $(dir $@)
	$(CC) $(OWN_CFLAGS) $(OWN_CPPFLAGS) -MMD -MP -c -o $@ $<

# What names its build is compiled again when the name changes.
$(BUILD)/build-name: $(if $(filter $(BUILD_NAME),$(shell cat $(BUILD)/build-name 2>/dev/null)),,rename)
	@mkdir -p $(BUILD) && echo '$(BUILD_NAME)' > $@
.PHONY: rename
rename:
$(patsubst %.c,$(BUILD)/%.o,$(shell grep -ls DORIS_BUILD wire/*.c client/*.c node/*.c admin/*.c ctl/*.c)): $(BUILD)/build-name

$(BUILD)/libwire.a: $(WIRE_OBJS)
	rm -f $@ && $(AR) rcs $@ $^
$(BUILD)/libdoris.a: $(WIRE_OBJS) $(CLIENT_OBJS)
	rm -f $@ && $(AR) rcs $@ $^
$(BUILD)/libdoris.so.1: $(WIRE_OBJS) $(CLIENT_OBJS)
	$(CC) $(SANITIZE) -shared -Wl,-soname,libdoris.so.1 -o $@ $^ $(LIBS_WIRE) -lpthread
$(BUILD)/doris_node: $(NODE_OBJS) $(BUILD)/libdoris.a
	$(CC) $(SANITIZE) -o $@ $^ $(NODE_MALLOC) -lwiredtiger $(LIBS_WIRE) -lpthread
$(BUILD)/doris_admin: $(ADMIN_OBJS) $(BUILD)/libdoris.a
	$(CC) $(SANITIZE) -o $@ $^ -lpq $(LIBS_WIRE) -lpthread
$(BUILD)/dorisctl: $(CTL_OBJS) $(BUILD)/libdoris.a
	$(CC) $(SANITIZE) -o $@ $^ $(LIBS_WIRE) -lpthread

-include $(patsubst %.o,%.d,$(WIRE_OBJS) $(CLIENT_OBJS) $(NODE_OBJS) $(ADMIN_OBJS) $(CTL_OBJS))

.PHONY: help setup programs all install install-programs uninstall-programs install-if-changed demo test unit \
	units chaos chaos-programs fuzz-short fuzzers installcheck regress isolation tap lint format asan valgrind faults bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "Variables: PG_CONFIG, PREFIX ($(PREFIX)), BUILD ($(BUILD)), DESTDIR, FUZZ_SECONDS ($(FUZZ_SECONDS)), TESTS (files for tap)"

demo: ## install what is missing, build, start a cluster, run the main job on real input
	@tools/setup
	@$(MAKE) --no-print-directory install-if-changed
	@tools/demo

test: ## install what is missing, build, run every test
	@tools/setup
	@tools/test

setup: ## install the Debian packages of tools/packages.txt that are missing
	@tools/setup

all: programs ## build the extension, the programs and libdoris
programs: $(PROGRAMS) $(LIBRARIES)

# ---- installing ----
INSTALLED_HEADERS = client/doris.h $(filter-out wire/fault.h,$(wildcard wire/*.h))

install: install-programs ## install the extension into PostgreSQL, the rest into PREFIX (as root)
install-programs: programs
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/lib/pkgconfig' '$(DESTDIR)$(PREFIX)/include/doris'
	install -m 755 $(PROGRAMS) '$(DESTDIR)$(PREFIX)/bin/'
	install -m 644 $(LIBRARIES) '$(DESTDIR)$(PREFIX)/lib/'
	ln -sf libdoris.so.1 '$(DESTDIR)$(PREFIX)/lib/libdoris.so'
	install -m 644 $(INSTALLED_HEADERS) '$(DESTDIR)$(PREFIX)/include/doris/'
	sed 's,@prefix@,$(PREFIX),' client/doris.pc.in > '$(DESTDIR)$(PREFIX)/lib/pkgconfig/doris.pc'
	[ -n '$(DESTDIR)' ] || [ "$$(id -u)" != 0 ] || ldconfig

uninstall: uninstall-programs ## remove what install installed
uninstall-programs:
	rm -f $(addprefix '$(DESTDIR)$(PREFIX)/bin'/,$(notdir $(PROGRAMS))) \
		$(addprefix '$(DESTDIR)$(PREFIX)/lib'/,$(notdir $(LIBRARIES)) libdoris.so pkgconfig/doris.pc)
	rm -rf '$(DESTDIR)$(PREFIX)/include/doris'

install-if-changed: all ## install, with sudo if need be, unless the same files are installed already
	@MAKE='$(MAKE)' tools/install-if-changed

# ---- unit tests: each says in its first line what it links: wire client node admin ctl rig ----
UNIT_TESTS = $(patsubst %.c,$(BUILD)/%,$(wildcard unit/test_*.c))
unit_links = $(shell sed -n '1s,^/\* *links:\(.*\)\*/.*,\1,p' $(1))
UNIT_wire = $(BUILD)/libwire.a
UNIT_client = $(BUILD)/libdoris.a
UNIT_node = $(filter-out %/main.o,$(NODE_OBJS)) $(BUILD)/libdoris.a
UNIT_admin = $(filter-out %/main.o,$(ADMIN_OBJS))
UNIT_ctl = $(filter-out %/main.o,$(CTL_OBJS))
UNIT_rig = $(BUILD)/unit/rig.o $(BUILD)/unit/rig_client.o
# Objects before archives, libdoris.a before libwire.a, each once.
unit_objects = $(foreach part,rig ctl admin node client wire,$(if $(filter $(part),$(call unit_links,$(1))),$(UNIT_$(part))))

.SECONDEXPANSION:
$(UNIT_TESTS): $(BUILD)/%: $(BUILD)/%.o $$(call unit_objects,$$*.c)
	$(CC) $(SANITIZE) -o $@ $^ -lcmocka -lwiredtiger -lpq $(LIBS_WIRE) -lpthread -lm
$(BUILD)/unit/%.o: OWN_CPPFLAGS += -Iunit -Inode -Iadmin -Ictl
-include $(patsubst %.c,$(BUILD)/%.d,$(wildcard unit/*.c))
.PRECIOUS: $(BUILD)/%.o

units: $(UNIT_TESTS) $(BUILD)/doris_node # which the rig starts
unit: units ## build and run the unit tests
	@BUILD='$(BUILD)' PG_CONFIG='$(PG_CONFIG)' tools/run-units $(UNIT_TESTS) $(wildcard unit/*/run)

# ---- the fault suite's load, and the network that it puts in the path ----
CHAOS_PROGRAMS = $(addprefix $(BUILD)/chaos/,load proxy shim.so)
$(BUILD)/chaos/load: $(patsubst %,$(BUILD)/t/chaos/%.o,load work session history figures check)
	@mkdir -p $(dir $@)
	$(CC) $(SANITIZE) -o $@ $^ -lpq -lpthread -lm
$(BUILD)/chaos/proxy: $(BUILD)/t/chaos/proxy.o
	@mkdir -p $(dir $@)
	$(CC) $(SANITIZE) -o $@ $^
$(BUILD)/chaos/shim.so: $(BUILD)/t/chaos/shim.o
	@mkdir -p $(dir $@)
	$(CC) -shared -o $@ $^
-include $(patsubst %.c,$(BUILD)/%.d,$(wildcard t/chaos/*.c))
chaos-programs: $(CHAOS_PROGRAMS)
chaos: install-if-changed chaos-programs ## run the fault suite (CHAOS="--seed N --cycles 200 --faults LIST", see tools/chaos --help)
	@tools/chaos $(CHAOS)

# ---- the model of the protocol: unit/model, docs/model.md ----
MODEL_OBJS = $(call objects,unit/model)
$(BUILD)/unit/model/model: $(MODEL_OBJS)
	$(CC) $(SANITIZE) -o $@ $^
-include $(patsubst %.o,%.d,$(MODEL_OBJS))
.PHONY: model
model: $(BUILD)/unit/model/model ## explore the protocol's model, each rule on and off (MODEL="--help" for more)
	@$< $(MODEL)

# ---- benchmarks that are programs: bench/NAME builds and runs build/bench/NAME ----
$(BUILD)/bench/topology: $(BUILD)/bench/topology.o $(BUILD)/admin/balance.o $(BUILD)/libwire.a
	$(CC) $(SANITIZE) -o $@ $^ $(LIBS_WIRE) -lpthread
$(BUILD)/bench/echo_peer: $(BUILD)/bench/echo_peer.o $(BUILD)/libwire.a
	$(CC) $(SANITIZE) -o $@ $^ $(LIBS_WIRE) -lpthread
# A module for the server, loaded by bench/fdw from where it is built.
$(BUILD)/bench/echo.o: OWN_CPPFLAGS += -I$(shell $(PG_CONFIG) --includedir-server) -Ifdw
$(BUILD)/bench/echo.o: OWN_CFLAGS := -std=gnu11 -D_GNU_SOURCE -O2 -g -fPIC -Wall -Werror $(PATH_MAP) $(SANITIZE)
$(BUILD)/bench/echo.so: $(BUILD)/bench/echo.o $(BUILD)/libwire.a
	$(CC) $(SANITIZE) -shared -Wl,-Bsymbolic -Wl,--exclude-libs,ALL -o $@ $^ $(LIBS_WIRE)
$(BUILD)/bench/%.o: OWN_CPPFLAGS += -Iunit -Iadmin
$(BUILD)/bench/ycsb/ycsb: $(call objects,bench/ycsb) $(BUILD)/libdoris.a
	$(CC) $(SANITIZE) -o $@ $^ $(LIBS_WIRE) -lpthread -lm
-include $(patsubst %.c,$(BUILD)/%.d,$(wildcard bench/*.c bench/ycsb/*.c))

# ---- fuzzers: clang's libFuzzer over the decoders ----
FUZZ_CC ?= clang
FUZZERS = $(patsubst %.c,$(BUILD)/%,$(wildcard fuzz/fuzz_*.c))
FUZZ_FLAGS = -std=c11 -D_GNU_SOURCE -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_WIRE = $(patsubst %.c,$(BUILD)/fuzz/%.o,$(wildcard wire/*.c))
$(BUILD)/fuzz/wire/%.o: wire/%.c $(wildcard wire/*.h)
	@mkdir -p $(dir $@)
	$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link $(OWN_CPPFLAGS) -c -o $@ $<
$(FUZZERS): $(BUILD)/%: %.c $(FUZZ_WIRE) $(wildcard fuzz/*.h)
	@mkdir -p $(dir $@)
	$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer $(OWN_CPPFLAGS) -o $@ $< $(FUZZ_WIRE) $(LIBS_WIRE) -lpthread
fuzzers: $(FUZZERS)
fuzz-short: fuzzers ## run every fuzzer for FUZZ_SECONDS
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tools/run-fuzzers $(FUZZERS)

# ---- tests on clusters; DORIS_BIN, PG_CONFIG: see tools/variant ----
installcheck: ## run the SQL suites on the cluster that tools/local-cluster runs (see env)
	@tools/run-sql regress
regress: ## run the SQL suites on a cluster of their own
	@tools/run-sql --own-cluster regress
isolation: ## run the isolation suites on a cluster of their own
	@tools/run-sql --own-cluster isolation
tap: ## run the TAP tests (TESTS=t/… for some); real processes
	@tools/run-tap $(TESTS)

lint: ## check format and run clang-tidy and cppcheck
	@tools/lint
format: ## format the C sources
	@git ls-files '*.c' '*.h' | xargs clang-format -i
asan: ## build everything with ASan and UBSan and run unit, SQL and TAP tests
	@tools/asan
valgrind: all ## run nodes, admins and dorisctl under valgrind: no leaks, no errors
	@tools/valgrind
faults: ## build the programs with fault points into build/fault, for the tests
	@$(MAKE) --no-print-directory programs BUILD=build/fault FAULT_POINTS=-DDORIS_FAULT_POINTS
bench: install-if-changed ## compare with postgres_fdw (BENCH="--rows N --seconds S")
	@bench/fdw $(BENCH)

clean: ## remove what was built
