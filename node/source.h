/*
 * source.h: a node with complete copies, as a node that recovers asks it.
 *
 * One thread. Pages alternate between two channels, so that the next page can be on its way while the last one is merged; a
 * third serves what must not wait for a page.
 */
#ifndef DORIS_NODE_SOURCE_H
#define DORIS_NODE_SOURCE_H

#include "ask.h"
#include "node.h"

#define SOURCE_TOLD_SIZE 16 /* u64 incarnation, u64 number */

typedef struct Source
{
	Node *node; /* who asks */
	Worker *w;	/* to take a topology with */
	uint32_t id;
	Ask pages[2];
	int turn; /* the channel of the page asked for last */
	Ask quick;
	uint64_t not_before; /* monotonic ms: after an error it is left alone until then */
	uint32_t failures;	 /* in a row */
	/* up to where this start of it has told its memory, as it put it (learned.c); empty: not at all */
	uint8_t told[SOURCE_TOLD_SIZE];
	bool has_told;
} Source;

/* A page of RANGES, RECORDS, STAGED or MEMORY: valid until the next but one page is asked for. */
typedef struct SourcePage
{
	uint32_t n;
	DorisCursor items; /* n of them, then the end */
	bool done;
	DorisBytes next;
	size_t bytes; /* of the reply */
} SourcePage;

extern void source_init(Source *s, Worker *w, const TopoNode *node);
extern void source_free(Source *s);
/* Does an error of a request say that this source cannot be asked now, and not only for one vnode? */
extern bool source_is_down(DorisStatus st);
extern void source_failed(Source *s);
extern void source_worked(Source *s);

/*
 * Requests of all kinds: when the source is behind it gets this node's topology and is asked again; when it is ahead its
 * topology is taken.
 */
extern DORIS_MUST_CHECK DorisStatus source_quick(Source *s, uint16_t type, DorisBytes body,
												 DorisCursor *out, DorisError *err);
/* What a source tells of a vnode: its sums, and its floor (rule purge). */
typedef struct SourceSum
{
	KeptSum kept;
	uint64_t fence;
	uint64_t purged;
} SourceSum;
/* Of n vnodes, in order; *got: of how many (at least one). */
extern DORIS_MUST_CHECK DorisStatus source_digests(Source *s, const uint32_t *vnodes, uint32_t n,
												   SourceSum *out, uint32_t *got, DorisError *err);
/* Asks for a page; source_page waits for it. One page at a time. */
extern DORIS_MUST_CHECK DorisStatus source_ask_page(Source *s, const PullRequest *m,
													DorisError *err);
extern DORIS_MUST_CHECK DorisStatus source_page(Source *s, const PullRequest *m, SourcePage *out,
												DorisError *err);
/* The same page asked for with source_quick. */
extern DORIS_MUST_CHECK DorisStatus source_read_page(const Source *s, const PullRequest *m,
													 DorisCursor c, SourcePage *out,
													 DorisError *err);

#endif
