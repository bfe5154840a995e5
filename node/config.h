/*
 * config.h: the node's options, from the command line and a file of `name = value` lines.
 */
#ifndef DORIS_NODE_CONFIG_H
#define DORIS_NODE_CONFIG_H

#include "log.h"
#include "topology.h"

#define CONFIG_MAX_ADMINS 16
#define CONFIG_PATH_MAX 512

typedef struct Config
{
	char home[CONFIG_PATH_MAX];
	char listen
		[DORIS_ADDRESS_MAX]; /* tcp://host:port: where it listens and what it tells the admins */
	char name[DORIS_NAME_MAX];
	char admins[CONFIG_MAX_ADMINS][DORIS_ADDRESS_MAX]; /* tcp://host:port */
	int nadmins;
	char key_file[CONFIG_PATH_MAX]; /* empty: plain, loopback only */
	uint64_t cache_mb;
	int workers;
	int memory_minutes;		  /* how long outcomes are remembered */
	uint64_t reserve_mb;	  /* free disk below which writes are refused */
	uint64_t hint_budget_mb;  /* log nodes: hints are refused beyond it */
	uint64_t replay_rate_mb;  /* log nodes: hints replayed per second, at most */
	uint64_t recover_rate_mb; /* pulled per second to make copies complete, at most; 0: no limit */
	LogLevel log_level;
} Config;

typedef enum ConfigResult
{
	CONFIG_RUN,	 /* go on */
	CONFIG_EXIT, /* --help or --version was answered */
	CONFIG_USAGE /* wrong: the reason was printed */
} ConfigResult;

/* Reads the command line (which wins over the file) and checks everything. */
extern ConfigResult config_read(int argc, char **argv, Config *out);

#endif
