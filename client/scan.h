/*
 * scan.h: what the files of a scan share: scan.c (streams and failover), page.c (what a reply holds), order.c (streams
 * merged in key order), groups.c (aggregates).
 */
#ifndef DORIS_SCAN_H
#define DORIS_SCAN_H

#include "aggregate.h"
#include "client.h"
#include "filter.h"

typedef struct Page Page;

/* Some vnodes read from one node. */
typedef struct Stream
{
	struct Stream *next;
	uint32_t node;
	Peer *peer;
	uint32_t *vnodes; /* rising; those before `first` are done */
	uint32_t n;
	uint32_t first;
	bool resume; /* go on behind resume_key of vnodes[first]; ordered: of all vnodes */
	DorisBuf resume_key;
	uint32_t bad[DORIS_MAX_GROUPS]; /* nodes that failed these vnodes */
	uint32_t nbad;
	bool asked;	   /* the next page is under way, or here and not taken yet */
	bool paged;	   /* has given a page */
	bool needed;   /* its next page is waited for */
	uint32_t rows; /* asked for last */
	Page *after;   /* not asked yet: the page that asks when it is partly used */
	Call call;	   /* the next page */
	uint64_t slice;
} Stream;

/* A page being handed out. */
struct Page
{
	Page *next;
	DorisBytes raw; /* the reply's memory */
	DorisBuf scratch;
	ScanReply reply;
	bool *skip;	 /* by row: not to be handed out; NULL: none */
	Arena arena; /* settled rows */
	uint32_t at;
	Stream *stream; /* whose next page is to be asked for at row ask_at; NULL: none */
	uint32_t ask_at;
};

struct DorisScan
{
	DorisClient *c;
	const NsDef *ns;
	DorisScanSpec spec; /* its bytes are in the arena */
	Arena arena;
	Filter *filter;
	Stream *streams;
	Page *pages; /* in no order: one at most */
	AggregateProgram *aggregate;
	AggregateTable *groups; /* of all pages taken; NULL: rows are handed out */
	uint64_t given;			/* rows handed out */
	uint64_t taken;			/* pages */
	uint64_t passed;		/* of a sample: rows of which it was taken */
	bool failed;			/* an error was returned: only closing is left */
	uint64_t stop_ms; /* monotonic: no more pages are waited for after this; 0: no such time */
	int pause_ms;
	/* order.c */
	Page *current; /* its rows come next, as long as they are */
	bool has_bound;
	DorisBytes bound; /* not behind this key; in another page or a stream's token */
};

/* ---- scan.c ---- */
/* Asks for the stream's next page. */
extern void stream_ask(DorisScan *s, Stream *st);
/* Waits for a page of a stream that is needed, or of one that takes its place. NOT_FOUND: there are no streams. */
extern DORIS_MUST_CHECK DorisStatus scan_more(DorisScan *s, DorisError *err);
/* All keys up to this one have come from the stream. */
static inline DorisBytes stream_token(const Stream *st)
{
	return (DorisBytes){st->resume_key.data, st->resume_key.len};
}

/* ---- page.c ---- */
/* Ends the outcomes of the page's staged rows (rule meet), then filters and projects these. */
extern DORIS_MUST_CHECK DorisStatus page_settle(DorisScan *s, Page *p, Topology *t, uint32_t node,
												uint32_t nstaged, DorisError *err);
/* The row that comes next; NULL: the page is used up. */
extern const RowState *page_peek(Page *p);
/* Hands it out. */
extern void page_give(DorisScan *s, Page *p, DorisRow *row);
extern void page_remove(DorisScan *s, Page *p);

/* ---- groups.c: nothing to do for a scan without aggregates ---- */
extern DORIS_MUST_CHECK DorisStatus groups_open(DorisScan *s, DorisError *err);
extern DORIS_MUST_CHECK DorisStatus groups_take(DorisScan *s, const ScanReply *reply,
												DorisError *err);
/* TOO_BIG: there are too many. */
extern DORIS_MUST_CHECK DorisStatus groups_check(const DorisScan *s, DorisError *err);
extern void groups_close(DorisScan *s);

/* ---- order.c ---- */
/* memcmp order in the scan's direction */
extern int order_compare(const DorisScan *s, DorisBytes a, DorisBytes b);
/* Are the rows of the reply in order, and behind the stream's token? */
extern bool order_holds(const DorisScan *s, const Stream *st, const ScanReply *reply);
extern DORIS_MUST_CHECK DorisStatus order_next(DorisScan *s, DorisRow *row, DorisError *err);

#endif
