/*
 * topology.c: making, finding one's way in, and sharing a topology. Its encoding is in
 * topology_codec.c.
 */
#include "topology.h"

#include <stdlib.h>
#include <string.h>

Topology *topology_new(uint32_t vnodes, uint32_t groups)
{
	Topology *t;

	if (vnodes < 1 || vnodes > DORIS_MAX_VNODES || groups < 1 || groups > DORIS_MAX_GROUPS)
		return NULL;
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return NULL;
	t->copies = calloc((size_t) groups * vnodes, sizeof(TopoCopy));
	if (t->copies == NULL)
	{
		free(t);
		return NULL;
	}
	t->refs = 1;
	t->vnodes = vnodes;
	t->groups = groups;
	t->next_namespace_id = 1;
	return t;
}

static bool clone_nodes(const Topology *from, Topology *to)
{
	if (from->nnodes == 0)
		return true;
	to->nodes = malloc(from->nnodes * sizeof(TopoNode));
	if (to->nodes == NULL)
		return false;
	memcpy(to->nodes, from->nodes, from->nnodes * sizeof(TopoNode));
	to->nnodes = from->nnodes;
	return true;
}

static bool clone_namespaces(const Topology *from, Topology *to)
{
	DorisError err;

	if (from->nnamespaces == 0)
		return true;
	to->namespaces = calloc(from->nnamespaces, sizeof(NsDef));
	if (to->namespaces == NULL)
		return false;
	for (uint32_t i = 0; i < from->nnamespaces; i++)
	{
		if (nsdef_copy(&from->namespaces[i], &to->namespaces[i], &err) != DORIS_OK)
			return false;
		to->nnamespaces++;
	}
	return true;
}

Topology *topology_clone(const Topology *t)
{
	Topology *copy = topology_new(t->vnodes, t->groups);

	if (copy == NULL)
		return NULL;
	memcpy(copy->cluster, t->cluster, sizeof(copy->cluster));
	copy->epoch = t->epoch;
	copy->term = t->term;
	memcpy(copy->previous, t->previous, sizeof(copy->previous));
	memcpy(copy->hash, t->hash, sizeof(copy->hash));
	copy->next_namespace_id = t->next_namespace_id;
	copy->sync_interval = t->sync_interval;
	copy->degraded_writes = t->degraded_writes;
	memcpy(copy->copies, t->copies, (size_t) t->groups * t->vnodes * sizeof(TopoCopy));
	if (!clone_nodes(t, copy) || !clone_namespaces(t, copy))
	{
		topology_unref(copy);
		return NULL;
	}
	return copy;
}

bool topology_set_groups(Topology *t, uint32_t groups)
{
	size_t before = (size_t) t->groups * t->vnodes;
	size_t after = (size_t) groups * t->vnodes;
	TopoCopy *list = realloc(t->copies, after * sizeof(*list));

	if (list == NULL)
		return false;
	if (after > before)
		memset(list + before, 0, (after - before) * sizeof(*list));
	t->copies = list;
	t->groups = groups;
	return true;
}

Topology *topology_ref(Topology *t)
{
	__atomic_add_fetch(&t->refs, 1, __ATOMIC_RELAXED);
	return t;
}

void topology_unref(Topology *t)
{
	if (t == NULL || __atomic_sub_fetch(&t->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (uint32_t i = 0; i < t->nnamespaces; i++)
		nsdef_free(&t->namespaces[i]);
	free(t->namespaces);
	free(t->namespaces_by_id);
	free(t->nodes);
	free(t->copies);
	free(t->encoded);
	free(t);
}

const TopoNode *topology_node(const Topology *t, uint32_t id)
{
	uint32_t low = 0;
	uint32_t high = t->nnodes;

	if (id == 0)
		return NULL;
	if (id <= t->nnodes && t->nodes[id - 1].id == id)
		return &t->nodes[id - 1]; /* as long as no node has left */
	while (low < high)
	{
		uint32_t mid = low + (high - low) / 2;

		if (t->nodes[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low < t->nnodes && t->nodes[low].id == id ? &t->nodes[low] : NULL;
}

const TopoNode *topology_node_by_name(const Topology *t, const char *name)
{
	for (uint32_t i = 0; i < t->nnodes; i++)
		if (strcmp(t->nodes[i].name, name) == 0)
			return &t->nodes[i];
	return NULL;
}

/* One that is still being made (no index yet) may be out of order. */
static const NsDef *search_unsealed(const Topology *t, const char *name, uint32_t id)
{
	for (uint32_t i = 0; i < t->nnamespaces; i++)
		if (name != NULL ? strcmp(t->namespaces[i].name, name) == 0 : t->namespaces[i].id == id)
			return &t->namespaces[i];
	return NULL;
}

const NsDef *topology_namespace(const Topology *t, const char *name)
{
	uint32_t low = 0;
	uint32_t high = t->nnamespaces;

	if (t->namespaces_by_id == NULL)
		return search_unsealed(t, name, 0);
	while (low < high)
	{
		uint32_t mid = low + (high - low) / 2;
		int order = strcmp(t->namespaces[mid].name, name);

		if (order == 0)
			return &t->namespaces[mid];
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

const NsDef *topology_namespace_by_id(const Topology *t, uint32_t id)
{
	uint32_t low = 0;
	uint32_t high = t->nnamespaces;

	if (t->namespaces_by_id == NULL)
		return search_unsealed(t, NULL, id);
	while (low < high)
	{
		uint32_t mid = low + (high - low) / 2;
		const NsDef *d = &t->namespaces[t->namespaces_by_id[mid]];

		if (d->id == id)
			return d;
		if (d->id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

uint64_t topology_changed(const Topology *t, uint32_t vnode)
{
	uint64_t changed = 0;

	for (uint32_t g = 1; g <= t->groups && vnode < t->vnodes; g++)
	{
		uint64_t c = topology_copy(t, g, vnode)->changed;

		if (c > changed)
			changed = c;
	}
	return changed;
}

bool topology_is_target(const Topology *t, uint32_t node, uint32_t vnode)
{
	if (node == 0 || vnode >= t->vnodes)
		return false;
	for (uint32_t g = 1; g <= t->groups; g++)
	{
		const TopoCopy *copy = topology_copy(t, g, vnode);

		if (copy->owner == node || copy->incoming == node || copy->retiring == node)
			return true;
	}
	return false;
}

bool topology_is_judge(const Topology *t, uint32_t node, uint32_t vnode)
{
	if (node == 0 || vnode >= t->vnodes)
		return false;
	for (uint32_t g = 1; g <= t->groups; g++)
	{
		const TopoCopy *copy = topology_copy(t, g, vnode);

		if (copy->complete && copy->owner == node)
			return true;
	}
	return false;
}

static int add_target(const Topology *t, uint32_t id, bool judge, TopoTarget *out, int n)
{
	const TopoNode *node = topology_node(t, id);

	if (node == NULL)
		return n;
	for (int i = 0; i < n; i++)
	{
		if (out[i].node == node)
		{
			out[i].judge = out[i].judge || judge;
			out[i].failed = out[i].failed && !judge;
			return n;
		}
	}
	out[n].node = node;
	out[n].judge = judge;
	out[n].failed = node->condition == NODE_DOWN && !judge;
	return n + 1;
}

int topology_targets(const Topology *t, uint32_t vnode, TopoTarget out[DORIS_MAX_TARGETS])
{
	int n = 0;

	if (vnode >= t->vnodes)
		return 0;
	for (uint32_t g = 1; g <= t->groups; g++)
	{
		const TopoCopy *copy = topology_copy(t, g, vnode);

		n = add_target(t, copy->owner, copy->complete, out, n);
		n = add_target(t, copy->incoming, false, out, n);
		n = add_target(t, copy->retiring, false, out, n);
	}
	return n;
}

/* Adds the owner of group g's copy when that is complete (I2) and the owner in that condition. */
static int add_reader(const Topology *t, uint32_t vnode, uint32_t g, NodeCondition condition,
					  const TopoNode **out, int n)
{
	const TopoCopy *copy = topology_copy(t, g, vnode);
	const TopoNode *node = copy->complete ? topology_node(t, copy->owner) : NULL;

	if (node == NULL || node->condition != condition)
		return n;
	for (int i = 0; i < n; i++)
		if (out[i] == node)
			return n;
	out[n] = node;
	return n + 1;
}

int topology_readers(const Topology *t, uint32_t vnode, uint32_t group,
					 const TopoNode *out[DORIS_MAX_GROUPS])
{
	static const NodeCondition conditions[] = {NODE_UP, NODE_DOWN};
	int n = 0;

	if (vnode >= t->vnodes)
		return 0;
	for (int i = 0; i < 2; i++)
	{
		if (group > 0 && group <= t->groups)
			n = add_reader(t, vnode, group, conditions[i], out, n);
		for (uint32_t j = 0; j < t->groups; j++)
			n = add_reader(t, vnode, 1 + (vnode + j) % t->groups, conditions[i], out, n);
	}
	return n;
}
