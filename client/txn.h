/*
 * txn.h: a transaction on its way: between stage.c (rows to their targets) and commit.c (what becomes of them).
 */
#ifndef DORIS_TXN_H
#define DORIS_TXN_H

#include "client.h"

/* A row waiting to be sent; offsets into StageTarget.bytes. */
typedef struct StageItem
{
	uint32_t ns;
	uint32_t vnode;
	WriteKind kind;
	DorisVersion base;
	size_t key;
	size_t key_len;
	size_t value;
	size_t value_len;
} StageItem;

/* One node and what goes there: one message filling, one under way. */
typedef struct StageTarget
{
	uint32_t node;
	Peer *peer;
	StageItem *items; /* filling */
	uint32_t nitems;
	uint32_t cap;
	DorisBuf bytes; /* their keys and values */
	Call
		call; /* under way, or answered; call.maybe_arrived: something may have got there, in any attempt */
	uint32_t sent;	/* rows in it */
	int tries;		/* of this message that got no answer */
	int repairs;	/* of this message */
	uint64_t slice; /* when this try is given up */
	int pause;		/* before asking again past somebody's staged write, ms */
	/*
	 * Nothing of this transaction is held there nor on the way there: every message was answered, and each answer
	 * was a refusal. doubt: not all of that is known, or something is held.
	 */
	bool clean;
	bool doubt;
	bool failed; /* in this attempt: not asked, a log node keeps what goes there (rule hints) */
	bool kept;	 /* it does, all of this attempt so far */
	uint64_t *touched; /* bit for each vnode sent there */
	uint32_t ntouched;
} StageTarget;

/* Words of StageTarget.touched. */
#define TXN_TOUCHED_WORDS(x) (((x)->topo->vnodes + 63) / 64)

typedef enum StageVerdict
{
	STAGE_GO = 0,
	STAGE_AGAIN, /* the placement moved: everything again, same ids (I1, I3) */
	STAGE_ANEW,	 /* end this one, begin again with new ids */
	STAGE_YIELD, /* an older transaction is in the way: end this one, wait for it, then begin again */
	STAGE_FAIL	 /* end this one, err says why */
} StageVerdict;

typedef struct Txn
{
	DorisClient *c;
	DorisTxnId id;
	DorisVersion version;
	TxnMode mode;
	uint64_t changed; /* changed(v) of that vnode when the first message with these ids was sent */
	uint32_t vnode;	  /* of the first key: where the decision row goes */
	OtherVnodes others; /* NAMED */
	bool one_vnode;		/* all rows so far are there */
	uint32_t ns;		/* of the first row */
	bool one_ns;		/* of all rows so far */
	uint64_t nrows;
	uint64_t expires_ms; /* wall clock */
	uint64_t until;
	Topology *topo; /* of this attempt: one placement for all (I1) */
	StageTarget **targets;
	uint32_t ntargets;
	uint32_t cap;
	struct TxnPlace *places; /* targets of the vnodes used in this attempt */
	uint32_t *where;		 /* vnode → index + 1 into places; NULL: few enough to look through */
	uint32_t nplaces;
	uint32_t places_cap;
	bool flushed;		/* a message was sent in this attempt */
	bool decision_sent; /* the decision row "C" may have arrived somewhere */
	/*
	 * Rule named once: as a named one it is sent by one topology, `named`; by another only when it is known as committed
	 * (sure), to who lacks it. It is tried first of all; then the way with the decision row first, which is closed more cheaply.
	 */
	bool tries_named;
	bool sure;
	Topology *named; /* or NULL: not sent as such */
	DorisCommitResult *result;
	/* STAGE_YIELD: who is in the way, where, and what our row wanted */
	StagedInfo rival;
	KeyRef rival_at; /* key in rival_key */
	uint8_t rival_key[DORIS_TXNID_SIZE + 256];
	bool rival_whole_key; /* the key fitted */
	uint32_t rival_node;
	WriteKind rival_kind;
	DorisVersion rival_base;
} Txn;

/* Where the rows of one vnode go. */
typedef struct TxnPlace
{
	uint32_t vnode;
	uint8_t n;
	StageTarget *targets[DORIS_MAX_TARGETS];
} TxnPlace;

/* New ids; nothing of what was before is known any more. */
extern void txn_begin(Txn *x);
extern void txn_init(Txn *x, DorisClient *c, DorisCommitResult *result);
extern void txn_free(Txn *x);
/* Begins an attempt under the newest topology. */
extern void txn_attempt(Txn *x);
/* Adds a row; sends what is full. */
extern StageVerdict txn_add(Txn *x, const DorisWrite *w, DorisError *err);
/* Sends the rest and waits until all targets hold everything. With NAMED that is the commit. */
extern StageVerdict txn_hold(Txn *x, DorisError *err);

/* decide.c: the commit of a named one has been found: its decision row goes out, nobody waits for it. */
extern void decide_start(Txn *x);

/* conflict.c: a judge refused a message. GO: sent again. */
extern StageVerdict txn_conflict(Txn *x, StageTarget *t, const StageReply *reply, DorisError *err);
/* After STAGE_YIELD, with our own ended: ANEW when the rival did not commit, else FAIL. */
extern StageVerdict txn_await_rival(Txn *x, DorisError *err);
/* Fills the result and an error that names the key. */
extern StageVerdict txn_refuse(Txn *x, DorisStatus st, uint32_t ns, DorisBytes key, const char *why,
							   DorisError *err);

#endif
