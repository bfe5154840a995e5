/*
 * messages.h: every message body as one table, for the fuzzer and for the unit tests.
 *
 * Each entry decodes a body and, when that succeeds, encodes what came out again. A decoder that
 * accepts something must have understood it: decoding the second encoding gives the same again.
 */
#ifndef FUZZ_MESSAGES_H
#define FUZZ_MESSAGES_H

#include <string.h>

#include "msg.h"

typedef struct MessageCodec
{
	const char *name;
	/* out: appended to when OK is returned. Frees all it allocated. */
	DorisStatus (*recode)(DorisBytes body, DorisBuf *out);
} MessageCodec;

/* Messages whose decoder takes the body, without and with memory of their own. */
#define RECODE_BODY(type, verb)                                      \
	static DorisStatus recode_##verb(DorisBytes body, DorisBuf *out) \
	{                                                                \
		DorisError err;                                              \
		type m;                                                      \
		DorisStatus status = verb##_decode(body, &m, &err);          \
                                                                     \
		if (status == DORIS_OK)                                      \
			verb##_encode(out, &m);                                  \
		return status;                                               \
	}

#define RECODE_BODY_FREE(type, verb)                                 \
	static DorisStatus recode_##verb(DorisBytes body, DorisBuf *out) \
	{                                                                \
		DorisError err;                                              \
		type m;                                                      \
		DorisStatus status = verb##_decode(body, &m, &err);          \
                                                                     \
		if (status == DORIS_OK)                                      \
			verb##_encode(out, &m);                                  \
		verb##_free(&m);                                             \
		return status;                                               \
	}

/* Replies, whose decoder goes on where reply_read_status ended. */
#define RECODE_REPLY(type, verb)                                     \
	static DorisStatus recode_##verb(DorisBytes body, DorisBuf *out) \
	{                                                                \
		DorisCursor c = cursor_of(body.data, body.len);              \
		DorisError err;                                              \
		type m;                                                      \
		DorisStatus status = verb##_decode(&c, &m, &err);            \
                                                                     \
		if (status == DORIS_OK)                                      \
			verb##_encode(out, &m);                                  \
		return status;                                               \
	}

#define RECODE_REPLY_FREE(type, verb)                                \
	static DorisStatus recode_##verb(DorisBytes body, DorisBuf *out) \
	{                                                                \
		DorisCursor c = cursor_of(body.data, body.len);              \
		DorisError err;                                              \
		type m;                                                      \
		DorisStatus status = verb##_decode(&c, &m, &err);            \
                                                                     \
		if (status == DORIS_OK)                                      \
			verb##_encode(out, &m);                                  \
		verb##_free(&m);                                             \
		return status;                                               \
	}

/* Replies that their senders write row by row. */
static void get_reply_encode(DorisBuf *b, const GetReply *m)
{
	buf_put_u32(b, m->nrows);
	for (uint32_t i = 0; i < m->nrows; i++)
		row_state_encode(b, &m->rows[i]);
}

static void scan_reply_encode(DorisBuf *b, const ScanReply *m)
{
	buf_put_u32(b, m->nrows);
	for (uint32_t i = 0; i < m->nrows; i++)
	{
		buf_put_varint(b, m->vnodes[i]);
		row_state_encode(b, &m->rows[i]);
	}
	scan_reply_encode_end(b, m->groups, m->passed, m->done, m->next_vnode, m->next_key);
}

RECODE_BODY(TopologyGet, topology_get)
RECODE_BODY(Heartbeat, heartbeat)
RECODE_REPLY_FREE(NodeReport, node_report)
RECODE_BODY(Hello, hello)
RECODE_REPLY(Welcome, welcome)
RECODE_BODY(Report, report)
RECODE_BODY_FREE(Operate, operate)
RECODE_REPLY_FREE(OperateReply, operate_reply)
RECODE_BODY_FREE(NamespaceChange, namespace_change)
RECODE_BODY_FREE(GetRequest, get_request)
RECODE_REPLY_FREE(GetReply, get_reply)
RECODE_BODY_FREE(ScanRequest, scan_request)
RECODE_REPLY_FREE(ScanReply, scan_reply)
RECODE_BODY_FREE(StageRequest, stage_request)
RECODE_REPLY_FREE(StageReply, stage_reply)
RECODE_BODY_FREE(FinishRequest, finish_request)
RECODE_BODY(OutcomeRequest, outcome_request)
RECODE_BODY_FREE(ApplyRequest, apply_request)
RECODE_REPLY_FREE(ApplyReply, apply_reply)
RECODE_BODY_FREE(DigestRequest, digest_request)
RECODE_REPLY_FREE(DigestReply, digest_reply)
RECODE_BODY(HintRequest, hint_request)
RECODE_BODY_FREE(ReplayRequest, replay_request)
RECODE_BODY(PullRequest, pull_request)
RECODE_BODY(PurgeRequest, purge_request)
RECODE_REPLY(PurgeReply, purge_reply)
RECODE_REPLY_FREE(StatsReply, stats_reply)

/* The head of a reply: an error comes back as itself; after OK the rest is another decoder's. */
static DorisStatus recode_reply(DorisBytes body, DorisBuf *out)
{
	DorisCursor c = cursor_of(body.data, body.len);
	DorisError err;
	DorisStatus status = reply_read_status(&c, &err);

	if (status == DORIS_OK)
	{
		reply_put_ok(out);
		buf_put_raw(out, c.p, cursor_left(&c));
		return DORIS_OK;
	}
	if (status == DORIS_BAD_MESSAGE && strcmp(err.message, "malformed reply") == 0)
		return status;
	reply_put_error(out, &err);
	return DORIS_OK;
}

static const MessageCodec message_codecs[] = {
	{"topology get", recode_topology_get},
	{"heartbeat", recode_heartbeat},
	{"node report", recode_node_report},
	{"hello", recode_hello},
	{"welcome", recode_welcome},
	{"report", recode_report},
	{"operator's request", recode_operate},
	{"answer to an operator", recode_operate_reply},
	{"namespace change", recode_namespace_change},
	{"get request", recode_get_request},
	{"get reply", recode_get_reply},
	{"scan request", recode_scan_request},
	{"scan reply", recode_scan_reply},
	{"stage request", recode_stage_request},
	{"stage reply", recode_stage_reply},
	{"finish request", recode_finish_request},
	{"outcome request", recode_outcome_request},
	{"apply request", recode_apply_request},
	{"apply reply", recode_apply_reply},
	{"digest request", recode_digest_request},
	{"digest reply", recode_digest_reply},
	{"hint", recode_hint_request},
	{"replay", recode_replay_request},
	{"pull", recode_pull_request},
	{"purge", recode_purge_request},
	{"purge reply", recode_purge_reply},
	{"repair", recode_apply_request},
	{"stats reply", recode_stats_reply},
	{"reply", recode_reply},
};

#define NMESSAGE_CODECS (sizeof(message_codecs) / sizeof(message_codecs[0]))

#endif
