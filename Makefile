# doris_fdw: see `make help`. The extension is built by PGXS; everything else by the rules here, into build/.

EXTENSION = doris_fdw
MODULE_big = doris_fdw
DATA = $(wildcard fdw/doris_fdw--*.sql)
OBJS = $(patsubst %.c,%.o,$(wildcard fdw/*.c))

BUILD ?= build
PG_CONFIG ?= pg_config
PREFIX ?= /usr/local
LIBS_WIRE = -lnanomsg -lsodium -lmd

PG_CPPFLAGS = -Ifdw -Iwire -Iclient
PG_CFLAGS = -std=gnu11 -Wall -Werror -Wno-declaration-after-statement $(SANITIZE)
SHLIB_LINK = $(BUILD)/libdoris.a $(LIBS_WIRE) $(SANITIZE)

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifneq ($(PGXS),)
include $(PGXS)
endif

# ---- wire, client, node, admin, ctl ----
OWN_CFLAGS = -std=c11 -D_GNU_SOURCE -O2 -g -fPIC -fno-omit-frame-pointer -fstack-protector-strong \
	-Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes $(FAULT_POINTS) $(SANITIZE)
OWN_CPPFLAGS = -Iwire -Iclient -I$(shell $(PG_CONFIG) --includedir 2>/dev/null) \
	-DDORIS_BUILD='"$(shell git describe --always --dirty 2>/dev/null || echo release)"'

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

$(BUILD)/libwire.a: $(WIRE_OBJS)
	rm -f $@ && $(AR) rcs $@ $^
$(BUILD)/libdoris.a: $(WIRE_OBJS) $(CLIENT_OBJS)
	rm -f $@ && $(AR) rcs $@ $^
$(BUILD)/libdoris.so.1: $(WIRE_OBJS) $(CLIENT_OBJS)
	$(CC) $(SANITIZE) -shared -Wl,-soname,libdoris.so.1 -o $@ $^ $(LIBS_WIRE) -lpthread
$(BUILD)/doris_node: $(NODE_OBJS) $(BUILD)/libwire.a
	$(CC) $(SANITIZE) -o $@ $^ -lwiredtiger $(LIBS_WIRE) -lpthread
$(BUILD)/doris_admin: $(ADMIN_OBJS) $(BUILD)/libdoris.a
	$(CC) $(SANITIZE) -o $@ $^ -lpq $(LIBS_WIRE) -lpthread
$(BUILD)/dorisctl: $(CTL_OBJS) $(BUILD)/libdoris.a
	$(CC) $(SANITIZE) -o $@ $^ $(LIBS_WIRE) -lpthread

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

$(shlib): $(BUILD)/libdoris.a
$(OBJS): $(wildcard fdw/*.h wire/*.h client/*.h)
all: $(PROGRAMS) $(LIBRARIES)
