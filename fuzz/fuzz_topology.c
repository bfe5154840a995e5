/*
 * fuzz_topology.c: topologies, unsigned (as a cluster without keys takes them). One that is accepted must be
 * usable in every way, and sealing a copy of it must give one that is accepted again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "topology.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const Topology *t)
{
	TopoTarget targets[DORIS_MAX_TARGETS];
	const TopoNode *readers[DORIS_MAX_GROUPS];

	for (uint32_t v = 0; v < t->vnodes && v < 64; v++)
	{
		int n = topology_targets(t, v, targets);

		for (int i = 0; i < n; i++)
			if (!topology_is_target(t, targets[i].node->id, v) ||
				topology_is_judge(t, targets[i].node->id, v) != targets[i].judge)
				abort();
		n = topology_readers(t, v, v % 5, readers);
		for (int i = 0; i < n; i++)
			if (!topology_is_judge(t, readers[i]->id, v))
				abort();
		if (topology_changed(t, v) > t->epoch)
			abort();
	}
	for (uint32_t i = 0; i < t->nnodes; i++)
		if (topology_node(t, t->nodes[i].id) != &t->nodes[i] ||
			topology_node_by_name(t, t->nodes[i].name) != &t->nodes[i])
			abort();
	for (uint32_t i = 0; i < t->nnamespaces; i++)
		if (topology_namespace(t, t->namespaces[i].name) != &t->namespaces[i] ||
			topology_namespace_by_id(t, t->namespaces[i].id) != &t->namespaces[i])
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Topology *t;
	Topology *copy;
	Topology *again;
	DorisError err;

	if (topology_decode(data, size, NULL, &t, &err) != DORIS_OK)
		return 0;
	if (t->encoded_len != size || memcmp(t->encoded, data, size) != 0)
		abort();
	use(t);
	copy = topology_clone(t);
	if (copy == NULL || topology_seal(copy, NULL, &err) != DORIS_OK ||
		topology_decode(copy->encoded, copy->encoded_len, NULL, &again, &err) != DORIS_OK)
		abort();
	if (memcmp(copy->hash, again->hash, DORIS_HASH_SIZE) != 0)
		abort();
	use(again);
	topology_unref(again);
	topology_unref(copy);
	topology_unref(t);
	return 0;
}
