/*
 * ask.h: requests that a node makes itself, of admins and of other nodes.
 *
 * An Ask is a channel to one address and the request that is under way on it, one at a time. The channel is opened when it
 * is needed and kept for the next request; after anything but an answer it is closed, so that a late answer never meets another
 * request. One thread at a time; it never waits longer than it was told to, and ends early when the node stops.
 */
#ifndef DORIS_NODE_ASK_H
#define DORIS_NODE_ASK_H

#include "topology.h"
#include "transport.h"

struct Node;

typedef struct Ask
{
	struct Node *node;
	char who[DORIS_NAME_MAX + DORIS_ADDRESS_MAX + 16]; /* for messages: "the admin at ..." */
	char address[DORIS_ADDRESS_MAX];
	Channel *channel; /* NULL: not open */
	bool busy;		  /* a request is under way */
	bool sent;
	uint16_t type;
	uint64_t request;
	uint64_t connect_until; /* monotonic ms: give up connecting */
	uint64_t until;			/* monotonic ms: give up waiting for the answer */
	DorisBuf message;		/* as it is sent */
	DorisBuf scratch;		/* the opened answer */
	DorisBytes reply;		/* the transport's memory of the last answer */
	uint64_t epoch;			/* the peer's, from its last answer */
} Ask;

/* what: "admin", "node g1n2", ...: "the <what> at <address>" stands in messages. */
extern void ask_init(Ask *a, struct Node *n, const char *what, const char *address);
/* Closes the channel; what is under way is dropped. The Ask can be used again. */
extern void ask_close(Ask *a);
/* Frees everything. */
extern void ask_free(Ask *a);
/* Is it about this address still? Else free it and begin anew. */
extern bool ask_is_for(const Ask *a, const char *address);

/*
 * Begins a request; does not wait. The answer is due within deadline_ms, a connection before within ASK_CONNECT_MS or
 * the deadline, whichever is shorter. The body is copied.
 */
#define ASK_CONNECT_MS 300
extern DORIS_MUST_CHECK DorisStatus ask_begin(Ask *a, uint16_t type, DorisBytes body,
											  int deadline_ms, DorisError *err);
/*
 * Looks, for up to wait_ms, how it stands. False: still under way. True: *st says how it ended: DORIS_OK with the answer's
 * body behind its status in *body (valid until the next call); the peer's own error; UNREACHABLE (never sent, or the
 * connection was lost), TIMEOUT, BAD_MESSAGE.
 */
extern DORIS_MUST_CHECK bool ask_look(Ask *a, int wait_ms, DorisStatus *st, DorisCursor *body,
									  DorisError *err);
/* Both: returns when the answer is there or will not come. */
extern DORIS_MUST_CHECK DorisStatus ask_wait(Ask *a, uint16_t type, DorisBytes body,
											 int deadline_ms, DorisCursor *out, DorisError *err);
/*
 * As ask_wait, and when the peer answers BEHIND it gets this node's topology and is asked once more.
 */
extern DORIS_MUST_CHECK DorisStatus ask_node(Ask *a, uint16_t type, DorisBytes body,
											 int deadline_ms, DorisCursor *out, DorisError *err);
/* Appends this node's topology as the body of TOPOLOGY_PUT. False: it has none, or there is no memory. */
extern DORIS_MUST_CHECK bool ask_put_topology(struct Node *n, DorisBuf *out);

#endif
