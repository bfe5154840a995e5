/*
 * place.c: where vnodes go, who is welcome, who may be judged failed. Pure functions over topologies and rows of the schema.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin.h"

bool uuid_is_zero(const uint8_t u[DORIS_UUID_SIZE])
{
	static const uint8_t zero[DORIS_UUID_SIZE];

	return memcmp(u, zero, DORIS_UUID_SIZE) == 0;
}

void uuid_text(const uint8_t u[DORIS_UUID_SIZE], char out[37])
{
	snprintf(out, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0],
			 u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13],
			 u[14], u[15]);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool uuid_parse(const char *text, uint8_t out[DORIS_UUID_SIZE])
{
	int digits = 0;

	for (; *text != '\0'; text++)
	{
		int d;

		if (*text == '-')
			continue;
		d = hex_digit(*text);
		if (d < 0 || digits >= 2 * DORIS_UUID_SIZE)
			return false;
		if (digits % 2 == 0)
			out[digits / 2] = (uint8_t) (d << 4);
		else
			out[digits / 2] |= (uint8_t) d;
		digits++;
	}
	return digits == 2 * DORIS_UUID_SIZE;
}

static bool can_own(const NodeRow *r)
{
	return r->role == NODE_DATA && r->condition != NODE_DEAD && !uuid_is_zero(r->home);
}

bool place_ready(const ClusterRow *c, const NodeRow *rows, int n, uint64_t waited_ms)
{
	bool absent = false;

	for (uint32_t g = 1; g <= c->groups; g++)
	{
		int owners = 0;

		for (int i = 0; i < n; i++)
			if (rows[i].group == g && can_own(&rows[i]))
				owners++;
		if (owners == 0)
			return false;
	}
	for (int i = 0; i < n; i++)
		if (rows[i].role == NODE_DATA && rows[i].condition != NODE_DEAD && !can_own(&rows[i]))
			absent = true;
	return !absent || waited_ms >= ADMIN_FIRST_WAIT_MS;
}

static void enter(TopoNode *node, const NodeRow *row)
{
	memset(node, 0, sizeof(*node));
	node->id = row->id;
	snprintf(node->name, sizeof(node->name), "%s", row->name);
	snprintf(node->address, sizeof(node->address), "%s", row->address);
	node->role = row->role;
	node->group = row->role == NODE_DATA ? row->group : 0;
	memcpy(node->home, row->home, DORIS_UUID_SIZE);
	node->incarnation = row->incarnation;
	if (row->condition == NODE_DEAD)
		node->condition = NODE_DEAD;
	else
		node->condition = uuid_is_zero(row->home) ? NODE_DOWN : NODE_UP;
}

static int compare_rows(const void *a, const void *b)
{
	const NodeRow *x = a;
	const NodeRow *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

Topology *place_first(const ClusterRow *c, const NodeRow *rows, int n)
{
	Topology *t = topology_new(c->vnodes, c->groups);
	NodeRow *sorted = malloc(((size_t) n + 1) * sizeof(*sorted));
	uint32_t *owners = malloc(((size_t) n + 1) * sizeof(*owners));

	if (t != NULL)
		t->nodes = calloc((size_t) n + 1, sizeof(TopoNode));
	if (t == NULL || t->nodes == NULL || sorted == NULL || owners == NULL)
	{
		topology_unref(t);
		free(sorted);
		free(owners);
		return NULL;
	}
	memcpy(t->cluster, c->id, DORIS_UUID_SIZE);
	t->epoch = 1;
	t->sync_interval = c->sync_interval;
	t->next_namespace_id = 1;
	t->nnodes = (uint32_t) n;
	if (n > 0)
		memcpy(sorted, rows, (size_t) n * sizeof(*sorted));
	qsort(sorted, (size_t) n, sizeof(*sorted), compare_rows);
	for (int i = 0; i < n; i++)
		enter(&t->nodes[i], &sorted[i]);

	for (uint32_t g = 1; g <= c->groups; g++)
	{
		uint32_t m = 0;

		for (int i = 0; i < n; i++)
			if (sorted[i].group == g && can_own(&sorted[i]))
				owners[m++] = sorted[i].id;
		for (uint32_t v = 0; m > 0 && v < c->vnodes; v++)
		{
			TopoCopy *copy = topology_copy(t, g, v);

			/* one further in each row of m: in step with the lead copies (v mod G), half of the nodes would serve no reads */
			copy->owner = owners[(v + v / m) % m];
			copy->complete = true; /* I2: nothing was ever written to the vnode */
			copy->changed = 1;
		}
	}
	free(sorted);
	free(owners);
	return t;
}

bool place_may_fail(const Topology *t, uint32_t node, uint32_t *vnode)
{
	for (uint32_t v = 0; v < t->vnodes; v++)
	{
		bool held = false;
		bool elsewhere = false;

		for (uint32_t g = 1; g <= t->groups; g++)
		{
			const TopoCopy *copy = topology_copy(t, g, v);
			const TopoNode *owner;

			if (!copy->complete)
				continue;
			if (copy->owner == node)
			{
				held = true;
				continue;
			}
			owner = topology_node(t, copy->owner);
			if (owner != NULL && owner->condition == NODE_UP)
				elsewhere = true;
		}
		if (held && !elsewhere)
		{
			*vnode = v;
			return false;
		}
	}
	return true;
}

DorisStatus place_greet(const uint8_t cluster[DORIS_UUID_SIZE], const NodeRow *row, const Hello *h,
						DorisError *err)
{
	char text[37];

	if (!uuid_is_zero(h->cluster) && memcmp(h->cluster, cluster, DORIS_UUID_SIZE) != 0)
	{
		uuid_text(h->cluster, text);
		(void) doris_error(err, DORIS_DENIED,
						   "the home of node \"%s\" belongs to another cluster (%s)", h->name,
						   text);
		return doris_hint(err, "Start it with its own cluster's admins, or with an empty home.");
	}
	if (row == NULL)
	{
		(void) doris_error(err, DORIS_NOT_FOUND, "node \"%s\" is not registered", h->name);
		return doris_hint(err, "Register it with doris_add_node(address, role, name).");
	}
	if (row->condition == NODE_DEAD)
	{
		(void) doris_error(err, DORIS_DENIED, "node \"%s\" is dead: it was replaced or removed",
						   h->name);
		return doris_hint(err, "Register a new node with another name and an empty home.");
	}
	if (h->node != 0 && h->node != row->id)
		return doris_error(
			err, DORIS_DENIED,
			"the home of node \"%s\" belongs to node number %u, which is not its own, %u", h->name,
			h->node, row->id);
	/* A new home in the place of the old one is filled from the other copies (rule *start*); elsewhere it is a stranger. */
	if (!uuid_is_zero(row->home) && memcmp(row->home, h->home, DORIS_UUID_SIZE) != 0 &&
		strcmp(row->address, h->address) != 0)
	{
		(void) doris_error(err, DORIS_DENIED, "node \"%s\" is registered with another home, at %s",
						   h->name, row->address);
		return doris_hint(err, "Start it on its old home, or with the registered address, or "
							   "replace the node.");
	}
	if (uuid_is_zero(h->home))
		return doris_error(err, DORIS_BAD_ARGUMENT, "node \"%s\" did not say which home it has",
						   h->name);
	if (!transport_address_valid(h->address))
		return doris_error(err, DORIS_BAD_ARGUMENT, "node \"%s\" gave an invalid address: \"%s\"",
						   h->name, h->address);
	return DORIS_OK;
}

DorisStatus place_enter(Topology *t, const NodeRow *row, bool *changed, bool *joined,
						DorisError *err)
{
	TopoNode *list;
	uint32_t at = 0;

	*changed = false;
	*joined = false;
	while (at < t->nnodes && t->nodes[at].id < row->id)
		at++;
	if (at < t->nnodes && t->nodes[at].id == row->id)
	{
		TopoNode *node = &t->nodes[at];

		if (uuid_is_zero(node->home))
		{
			memcpy(node->home, row->home, DORIS_UUID_SIZE);
			if (node->condition == NODE_DOWN)
				node->condition = NODE_UP;
			*changed = *joined = true;
		}
		if (strcmp(node->address, row->address) != 0)
		{
			snprintf(node->address, sizeof(node->address), "%s", row->address);
			*changed = true;
		}
		if (node->incarnation != row->incarnation)
		{
			node->incarnation = row->incarnation;
			*changed = true;
		}
		return DORIS_OK;
	}
	if (t->nnodes >= DORIS_MAX_NODES)
		return doris_error(err, DORIS_LIMIT, "the cluster has %d nodes, the most it can hold",
						   DORIS_MAX_NODES);
	list = realloc(t->nodes, (t->nnodes + 1) * sizeof(*list));
	if (list == NULL)
		return doris_error(err, DORIS_NO_MEMORY, "out of memory for node \"%s\"", row->name);
	t->nodes = list;
	memmove(&list[at + 1], &list[at], (t->nnodes - at) * sizeof(*list));
	enter(&list[at], row);
	if (list[at].group > t->groups)
	{
		/* its group was dropped between its registration and its first start */
		list[at].role = NODE_SPARE;
		list[at].group = 0;
	}
	t->nnodes++;
	*changed = *joined = true;
	return DORIS_OK;
}
