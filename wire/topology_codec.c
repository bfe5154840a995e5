/*
 * topology_codec.c: a topology as signed bytes.
 *
 * Layout: u32 magic, u8 format, cluster, u64 epoch, u64 term, hash of the predecessor, u8 flags,
 * varint V, varint G, varint next namespace id; varint n, nodes; V × G copies, group by group; varint n,
 * namespaces; signature (64 bytes, over everything before it; zero in a cluster without keys).
 *
 * A copy is a flags byte and then only what the flags announce, so that a quiet vnode costs two or three bytes.
 */
#include "topology.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define TOPOLOGY_MAGIC 0x4f504f54u /* "TOPO" */
#define TOPOLOGY_FORMAT 1

#define TOPOLOGY_SYNC_INTERVAL 1
#define TOPOLOGY_DEGRADED_WRITES 2
#define TOPOLOGY_FLAGS (TOPOLOGY_SYNC_INTERVAL | TOPOLOGY_DEGRADED_WRITES)

#define COPY_COMPLETE 1
#define COPY_OWNER 2
#define COPY_INCOMING 4
#define COPY_RETIRING 8
#define COPY_CHANGED 16 /* changed differs from that of the copy before */

#define NODE_MIN_SIZE 32
#define NAMESPACE_MIN_SIZE 16

/* ---- checking the shape: before sealing and after decoding ---- */

/* A word that can stand in logs, SQL and command lines: printable, no blanks. */
static bool is_word(const char *s)
{
	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++)
		if (*s <= ' ' || *s == 0x7f)
			return false;
	return true;
}

static int compare_node_names(const void *a, const void *b)
{
	return strcmp((*(const TopoNode *const *) a)->name, (*(const TopoNode *const *) b)->name);
}

static DorisStatus check_node_names_differ(const Topology *t, DorisError *err)
{
	const TopoNode **sorted = malloc((t->nnodes + 1u) * sizeof(*sorted));
	DorisStatus status = DORIS_OK;

	if (sorted == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory");
	for (uint32_t i = 0; i < t->nnodes; i++)
		sorted[i] = &t->nodes[i];
	qsort(sorted, t->nnodes, sizeof(*sorted), compare_node_names);
	for (uint32_t i = 1; i < t->nnodes && status == DORIS_OK; i++)
		if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
			status =
				doris_error(err, DORIS_BAD_ARGUMENT, "two nodes are named \"%s\"", sorted[i]->name);
	free(sorted);
	return status;
}

static DorisStatus check_nodes(const Topology *t, DorisError *err)
{
	uint32_t last = 0;

	if (t->nnodes > DORIS_MAX_NODES)
		return doris_error(err, DORIS_BAD_ARGUMENT, "%u nodes, more than %d", t->nnodes,
						   DORIS_MAX_NODES);
	for (uint32_t i = 0; i < t->nnodes; i++)
	{
		const TopoNode *n = &t->nodes[i];
		bool data = n->role == NODE_DATA;

		if (n->id <= last)
			return doris_error(err, DORIS_BAD_ARGUMENT, "node ids do not rise at %u", n->id);
		last = n->id;
		if (!is_word(n->name) || !is_word(n->address))
			return doris_error(err, DORIS_BAD_ARGUMENT, "node %u has no valid name or address",
							   n->id);
		if (n->role < NODE_DATA || n->role > NODE_SPARE || n->condition < NODE_UP ||
			n->condition > NODE_DEAD)
			return doris_error(err, DORIS_BAD_ARGUMENT,
							   "node \"%s\" has an impossible role or condition", n->name);
		if (data ? (n->group < 1 || n->group > t->groups) : n->group != 0)
			return doris_error(err, DORIS_BAD_ARGUMENT, "node \"%s\" is in impossible group %u",
							   n->name, n->group);
	}
	return check_node_names_differ(t, err);
}

static DorisStatus check_copies(const Topology *t, DorisError *err)
{
	for (uint32_t g = 1; g <= t->groups; g++)
	{
		for (uint32_t v = 0; v < t->vnodes; v++)
		{
			const TopoCopy *c = topology_copy(t, g, v);

			if ((c->owner != 0 && topology_node(t, c->owner) == NULL) ||
				(c->incoming != 0 && topology_node(t, c->incoming) == NULL) ||
				(c->retiring != 0 && topology_node(t, c->retiring) == NULL))
				return doris_error(
					err, DORIS_BAD_ARGUMENT,
					"the copy of vnode %u in group %u is on a node that is not there", v, g);
			if (c->changed > t->epoch || (c->complete && c->owner == 0))
				return doris_error(err, DORIS_BAD_ARGUMENT,
								   "the copy of vnode %u in group %u has an impossible state", v,
								   g);
		}
	}
	return DORIS_OK;
}

static DorisStatus check_namespaces(const Topology *t, DorisError *err)
{
	if (t->nnamespaces > DORIS_MAX_NAMESPACES)
		return doris_error(err, DORIS_BAD_ARGUMENT, "%u namespaces, more than %d", t->nnamespaces,
						   DORIS_MAX_NAMESPACES);
	for (uint32_t i = 0; i < t->nnamespaces; i++)
	{
		const NsDef *d = &t->namespaces[i];
		DorisStatus status = nsdef_check(d, false, err);

		if (status != DORIS_OK)
			return status;
		if (d->id >= t->next_namespace_id)
			return doris_error(err, DORIS_BAD_ARGUMENT,
							   "namespace \"%s\" has id %u, which is still to be given", d->name,
							   d->id);
		if (i > 0 && strcmp(t->namespaces[i - 1].name, d->name) >= 0)
			return doris_error(err, DORIS_BAD_ARGUMENT,
							   "namespaces are not in the order of their names at \"%s\"", d->name);
	}
	return DORIS_OK;
}

typedef struct IdIndex
{
	uint32_t id;
	uint32_t index;
} IdIndex;

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = ((const IdIndex *) a)->id;
	uint32_t y = ((const IdIndex *) b)->id;

	return (x > y) - (x < y);
}

/* Finds namespaces with the same id, too. */
static DorisStatus index_namespaces(Topology *t, DorisError *err)
{
	IdIndex *sorted = malloc((t->nnamespaces + 1u) * sizeof(*sorted));
	uint32_t *by_id = malloc((t->nnamespaces + 1u) * sizeof(*by_id));
	DorisStatus status = DORIS_OK;

	if (sorted == NULL || by_id == NULL)
	{
		free(sorted);
		free(by_id);
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for %u namespaces", t->nnamespaces);
	}
	for (uint32_t i = 0; i < t->nnamespaces; i++)
		sorted[i] = (IdIndex){t->namespaces[i].id, i};
	qsort(sorted, t->nnamespaces, sizeof(*sorted), compare_ids);
	for (uint32_t i = 0; i < t->nnamespaces; i++)
	{
		if (i > 0 && sorted[i - 1].id == sorted[i].id)
			status =
				doris_error(err, DORIS_BAD_ARGUMENT, "two namespaces have the id %u", sorted[i].id);
		by_id[i] = sorted[i].index;
	}
	free(sorted);
	if (status != DORIS_OK)
	{
		free(by_id);
		return status;
	}
	free(t->namespaces_by_id);
	t->namespaces_by_id = by_id;
	return DORIS_OK;
}

static DorisStatus check_shape(Topology *t, DorisError *err)
{
	DorisStatus status;

	if (t->epoch == 0)
		return doris_error(err, DORIS_BAD_ARGUMENT, "a topology has no epoch");
	status = check_nodes(t, err);
	if (status == DORIS_OK)
		status = check_copies(t, err);
	if (status == DORIS_OK)
		status = check_namespaces(t, err);
	if (status == DORIS_OK)
		status = index_namespaces(t, err);
	return status;
}

/* ---- encoding ---- */

static void encode_node(DorisBuf *b, const TopoNode *n)
{
	buf_put_varint(b, n->id);
	buf_put_str(b, n->name);
	buf_put_str(b, n->address);
	buf_put_u8(b, (uint8_t) n->role);
	buf_put_u8(b, (uint8_t) n->condition);
	buf_put_u8(b, n->group);
	buf_put_raw(b, n->home, sizeof(n->home));
	buf_put_u64(b, n->incarnation);
}

static void encode_copies(DorisBuf *b, const Topology *t)
{
	size_t n = (size_t) t->groups * t->vnodes;
	uint64_t changed = 0;

	for (size_t i = 0; i < n; i++)
	{
		const TopoCopy *c = &t->copies[i];

		buf_put_u8(b,
				   (uint8_t) ((c->complete ? COPY_COMPLETE : 0) | (c->owner != 0 ? COPY_OWNER : 0) |
							  (c->incoming != 0 ? COPY_INCOMING : 0) |
							  (c->retiring != 0 ? COPY_RETIRING : 0) |
							  (c->changed != changed ? COPY_CHANGED : 0)));
		if (c->owner != 0)
			buf_put_varint(b, c->owner);
		if (c->incoming != 0)
			buf_put_varint(b, c->incoming);
		if (c->retiring != 0)
			buf_put_varint(b, c->retiring);
		if (c->changed != changed)
			buf_put_varint(b, c->changed);
		changed = c->changed;
	}
}

static void encode_topology(DorisBuf *b, const Topology *t)
{
	buf_put_u32(b, TOPOLOGY_MAGIC);
	buf_put_u8(b, TOPOLOGY_FORMAT);
	buf_put_raw(b, t->cluster, sizeof(t->cluster));
	buf_put_u64(b, t->epoch);
	buf_put_u64(b, t->term);
	buf_put_raw(b, t->previous, sizeof(t->previous));
	buf_put_u8(b, (t->sync_interval ? TOPOLOGY_SYNC_INTERVAL : 0) |
					  (t->degraded_writes ? TOPOLOGY_DEGRADED_WRITES : 0));
	buf_put_varint(b, t->vnodes);
	buf_put_varint(b, t->groups);
	buf_put_varint(b, t->next_namespace_id);
	buf_put_varint(b, t->nnodes);
	for (uint32_t i = 0; i < t->nnodes; i++)
		encode_node(b, &t->nodes[i]);
	encode_copies(b, t);
	buf_put_varint(b, t->nnamespaces);
	for (uint32_t i = 0; i < t->nnamespaces; i++)
		nsdef_encode(b, &t->namespaces[i]);
}

static void hash_encoding(Topology *t, const uint8_t *data, size_t len)
{
	(void) crypto_generichash(t->hash, sizeof(t->hash), data, len, NULL, 0);
}

DorisStatus topology_seal(Topology *t, const uint8_t *secret, DorisError *err)
{
	uint8_t signature[DORIS_SIGNATURE_SIZE] = {0};
	DorisBuf b;
	DorisStatus status;

	if (sodium_init() < 0)
		return doris_error(err, DORIS_INTERNAL, "libsodium does not start");
	status = check_shape(t, err);
	if (status != DORIS_OK)
		return status;
	buf_init(&b);
	encode_topology(&b, t);
	if (!b.failed)
	{
		hash_encoding(t, b.data, b.len);
		if (secret != NULL)
			(void) crypto_sign_detached(signature, NULL, b.data, b.len, secret);
		buf_put_raw(&b, signature, sizeof(signature));
	}
	if (b.failed)
	{
		buf_free(&b);
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for a topology of %u vnodes",
						   t->vnodes);
	}
	free(t->encoded);
	t->encoded = b.data;
	t->encoded_len = b.len;
	return DORIS_OK;
}

/* ---- decoding ---- */

static uint32_t read_u32(DorisCursor *c)
{
	uint64_t v = cursor_varint(c);

	if (v > UINT32_MAX)
		c->bad = true;
	return (uint32_t) v;
}

static void decode_node(DorisCursor *c, TopoNode *n)
{
	const uint8_t *home;

	n->id = read_u32(c);
	cursor_str(c, n->name, sizeof(n->name));
	cursor_str(c, n->address, sizeof(n->address));
	n->role = cursor_u8(c);
	n->condition = cursor_u8(c);
	n->group = cursor_u8(c);
	home = cursor_raw(c, sizeof(n->home));
	if (home != NULL)
		memcpy(n->home, home, sizeof(n->home));
	n->incarnation = cursor_u64(c);
}

static void decode_copies(DorisCursor *c, Topology *t)
{
	size_t n = (size_t) t->groups * t->vnodes;
	uint64_t changed = 0;

	for (size_t i = 0; i < n && !c->bad; i++)
	{
		TopoCopy *copy = &t->copies[i];
		uint8_t flags = cursor_u8(c);

		if (flags >= 2 * COPY_CHANGED)
			c->bad = true;
		copy->complete = (flags & COPY_COMPLETE) != 0;
		if (flags & COPY_OWNER)
			copy->owner = read_u32(c);
		if (flags & COPY_INCOMING)
			copy->incoming = read_u32(c);
		if (flags & COPY_RETIRING)
			copy->retiring = read_u32(c);
		if (flags & COPY_CHANGED)
			changed = cursor_varint(c);
		copy->changed = changed;
	}
}

static DorisStatus malformed(DorisError *err)
{
	return doris_error(err, DORIS_BAD_MESSAGE, "malformed topology");
}

static DorisStatus decode_namespaces(DorisCursor *c, Topology *t, DorisError *err)
{
	uint32_t n = cursor_count(c, NAMESPACE_MIN_SIZE);

	if (c->bad || n > DORIS_MAX_NAMESPACES)
		return malformed(err);
	if (n == 0)
		return DORIS_OK;
	t->namespaces = calloc(n, sizeof(NsDef));
	if (t->namespaces == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for %u namespaces", n);
	for (uint32_t i = 0; i < n; i++)
	{
		DorisStatus status = nsdef_decode(c, &t->namespaces[i], err);

		if (status != DORIS_OK)
			return status;
		t->nnamespaces++;
	}
	return DORIS_OK;
}

static DorisStatus decode_nodes(DorisCursor *c, Topology *t, DorisError *err)
{
	uint32_t n = cursor_count(c, NODE_MIN_SIZE);

	if (c->bad || n > DORIS_MAX_NODES)
		return malformed(err);
	if (n == 0)
		return DORIS_OK;
	t->nodes = calloc(n, sizeof(TopoNode));
	if (t->nodes == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for %u nodes", n);
	t->nnodes = n;
	for (uint32_t i = 0; i < n; i++)
		decode_node(c, &t->nodes[i]);
	return c->bad ? malformed(err) : DORIS_OK;
}

/* What stands before the nodes; *out is allocated once vnodes and groups are known and possible. */
static DorisStatus decode_head(DorisCursor *c, Topology **out, DorisError *err)
{
	uint32_t magic = cursor_u32(c);
	uint8_t format = cursor_u8(c);
	const uint8_t *cluster = cursor_raw(c, DORIS_UUID_SIZE);
	uint64_t epoch = cursor_u64(c);
	uint64_t term = cursor_u64(c);
	const uint8_t *previous = cursor_raw(c, DORIS_HASH_SIZE);
	uint8_t flags = cursor_u8(c);
	uint32_t vnodes = read_u32(c);
	uint32_t groups = read_u32(c);
	uint32_t next_namespace_id = read_u32(c);
	Topology *t;

	if (c->bad || magic != TOPOLOGY_MAGIC || flags > TOPOLOGY_FLAGS)
		return malformed(err);
	if (format != TOPOLOGY_FORMAT)
		return doris_error(err, DORIS_BAD_MESSAGE, "a topology in format %u, this build reads %d",
						   format, TOPOLOGY_FORMAT);
	if (groups < 1 || groups > DORIS_MAX_GROUPS || vnodes < 1 || vnodes > DORIS_MAX_VNODES ||
		(size_t) groups * vnodes > cursor_left(c))
		return malformed(err);
	t = topology_new(vnodes, groups);
	if (t == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for a topology of %u vnodes",
						   vnodes);
	memcpy(t->cluster, cluster, DORIS_UUID_SIZE);
	memcpy(t->previous, previous, DORIS_HASH_SIZE);
	t->epoch = epoch;
	t->term = term;
	t->sync_interval = (flags & TOPOLOGY_SYNC_INTERVAL) != 0;
	t->degraded_writes = (flags & TOPOLOGY_DEGRADED_WRITES) != 0;
	t->next_namespace_id = next_namespace_id;
	*out = t;
	return DORIS_OK;
}

static DorisStatus decode_body(DorisCursor *c, Topology *t, DorisError *err)
{
	DorisStatus status = decode_nodes(c, t, err);

	if (status != DORIS_OK)
		return status;
	decode_copies(c, t);
	if (c->bad)
		return malformed(err);
	status = decode_namespaces(c, t, err);
	if (status != DORIS_OK)
		return status;
	if (!cursor_at_end(c))
		return malformed(err);
	status = check_shape(t, err);
	if (status == DORIS_BAD_ARGUMENT)
		status = err->code = DORIS_BAD_MESSAGE;
	return status;
}

DorisStatus topology_decode(const void *data, size_t len, const uint8_t *public_key, Topology **out,
							DorisError *err)
{
	const uint8_t *bytes = data;
	Topology *t = NULL;
	DorisCursor c;
	DorisStatus status;

	*out = NULL;
	if (sodium_init() < 0)
		return doris_error(err, DORIS_INTERNAL, "libsodium does not start");
	if (len < DORIS_SIGNATURE_SIZE)
		return malformed(err);
	len -= DORIS_SIGNATURE_SIZE;
	if (public_key != NULL && crypto_sign_verify_detached(bytes + len, bytes, len, public_key) != 0)
	{
		doris_error(err, DORIS_DENIED, "a topology is not signed by this cluster's admins");
		return doris_hint(err, "Is the key file that of another cluster?");
	}
	c = cursor_of(bytes, len);
	status = decode_head(&c, &t, err);
	if (status == DORIS_OK)
		status = decode_body(&c, t, err);
	if (status == DORIS_OK)
	{
		t->encoded = malloc(len + DORIS_SIGNATURE_SIZE);
		if (t->encoded == NULL)
			status =
				doris_error(err, DORIS_NO_MEMORY, "out of memory for a topology of %zu bytes", len);
	}
	if (status != DORIS_OK)
	{
		topology_unref(t);
		return status;
	}
	memcpy(t->encoded, bytes, len + DORIS_SIGNATURE_SIZE);
	t->encoded_len = len + DORIS_SIGNATURE_SIZE;
	hash_encoding(t, bytes, len);
	*out = t;
	return DORIS_OK;
}
