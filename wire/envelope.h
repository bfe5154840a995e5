/*
 * envelope.h: the frame of every message.
 *
 * Header, DORIS_HEADER_SIZE bytes, always readable: u32 magic "DRIS", u16 format, u16 type (a reply has the high
 * bit), u64 request id, u32 sender (a node's or admin's id, a client's origin), u64 epoch of the sender, u32 deadline
 * in ms from now (0 in replies), u64 the sender's wall clock in ms, u8 flags (1: sealed), u32 body length
 * (unsealed). Then the body, sealed when the cluster has a key.
 *
 * Formats: a process accepts DORIS_FORMAT_OLDEST..DORIS_FORMAT, asks in DORIS_FORMAT_SENT, the oldest, and answers in the
 * format it was asked in. So neighbouring releases talk while a cluster is upgraded node by node: a release that brings
 * format n still asks in n - 1, and the one after it, which knows that all others accept n, moves the oldest on.
 */
#ifndef DORIS_ENVELOPE_H
#define DORIS_ENVELOPE_H

#include "buf.h"
#include "seal.h"
#include "status.h"

#define DORIS_MAGIC 0x53495244u
/* May be set from outside, so that a test can play the next release. */
#ifndef DORIS_FORMAT
#define DORIS_FORMAT 1
#endif
#define DORIS_FORMAT_OLDEST 1
#define DORIS_FORMAT_SENT DORIS_FORMAT_OLDEST
#define DORIS_HEADER_SIZE 45
#define DORIS_REPLY 0x8000
#define DORIS_MAX_MESSAGE (48u << 20) /* bytes on the wire: two 16 MiB values, keys and room */
#define DORIS_BATCH_BYTES (1u << 20)  /* what senders fill a message to */
#define DORIS_CLOCK_WINDOW_MS \
	120000 /* sealed messages stamped further off are refused as replays */

typedef struct Envelope
{
	uint16_t format;
	uint16_t type;
	uint64_t request;
	uint32_t sender;
	uint64_t epoch;
	uint32_t deadline_ms;
	uint64_t stamp_ms;
} Envelope;

/* Writes header and (sealed) body into out (reset first); stamps the time. TOO_BIG over the limit. */
extern DORIS_MUST_CHECK DorisStatus envelope_write(const DorisKeys *k, const Envelope *e,
												   DorisBytes body, DorisBuf *out, DorisError *err);
/*
 * Reads one message. *body points into data (plain) or into scratch (sealed): valid while both are.
 * BAD_MESSAGE: not ours, another format, truncated. DENIED: not sealed with our key, or stamped outside the
 * window (then *e is filled and authentic, so that the sender can be told about its clock).
 */
extern DORIS_MUST_CHECK DorisStatus envelope_read(const DorisKeys *k, const void *data, size_t len,
												  Envelope *e, DorisBytes *body, DorisBuf *scratch,
												  DorisError *err);

#endif
