/*
 * msg_admin.c: messages about the cluster: topology, heartbeat, hello, report, namespaces.
 */
#include <stdlib.h>
#include <string.h>

#include "msg_codec.h"

#define READY_MIN_SIZE 9
#define BACKLOG_MIN_SIZE 11

void topology_get_encode(DorisBuf *b, const TopologyGet *m)
{
	buf_put_u64(b, m->have_epoch);
}

DorisStatus topology_get_decode(DorisBytes body, TopologyGet *out, DorisError *err)
{
	DorisCursor c = cursor_of(body.data, body.len);

	out->have_epoch = cursor_u64(&c);
	return msg_end(&c, false, "topology request", err);
}

void heartbeat_encode(DorisBuf *b, const Heartbeat *m)
{
	buf_put_u64(b, m->term);
	buf_put_u64(b, m->epoch);
	buf_put_raw(b, m->hash, sizeof(m->hash));
	buf_put_varint(b, m->node);
	buf_put_raw(b, m->cluster, sizeof(m->cluster));
	buf_put_u64(b, m->incarnation);
	buf_put_u64(b, m->echo_ms);
	buf_put_varint(b, m->lease_ms);
	buf_put_varint(b, m->move_rate_mb);
}

DorisStatus heartbeat_decode(DorisBytes body, Heartbeat *out, DorisError *err)
{
	DorisCursor c = cursor_of(body.data, body.len);

	memset(out, 0, sizeof(*out));
	out->term = cursor_u64(&c);
	out->epoch = cursor_u64(&c);
	msg_read_fixed(&c, out->hash, sizeof(out->hash));
	out->node = msg_read_u32(&c);
	msg_read_fixed(&c, out->cluster, sizeof(out->cluster));
	out->incarnation = cursor_u64(&c);
	out->echo_ms = cursor_u64(&c);
	out->lease_ms = msg_read_u32(&c);
	out->move_rate_mb = msg_read_u32(&c);
	return msg_end(&c, false, "heartbeat", err);
}

void node_report_encode(DorisBuf *b, const NodeReport *m)
{
	buf_put_u64(b, m->epoch);
	buf_put_raw(b, m->hash, sizeof(m->hash));
	buf_put_u64(b, m->incarnation);
	buf_put_raw(b, m->home, sizeof(m->home));
	buf_put_varint(b, m->rows);
	buf_put_varint(b, m->bytes);
	buf_put_varint(b, m->vnodes);
	buf_put_varint(b, m->hints);
	buf_put_varint(b, m->staged);
	buf_put_varint(b, m->disk_free);
	buf_put_u8(b, m->disk_full ? 1 : 0);
	buf_put_str(b, m->build);
	buf_put_u64(b, m->clock_ms);
	buf_put_u64(b, m->mark);
	buf_put_varint(b, m->recovering);
	buf_put_varint(b, m->recovered_bytes);
	buf_put_varint(b, m->recover_bytes);
	buf_put_varint(b, m->nready);
	for (uint32_t i = 0; i < m->nready; i++)
	{
		buf_put_varint(b, m->ready[i].vnode);
		buf_put_u64(b, m->ready[i].changed);
	}
	buf_put_varint(b, m->hint_bytes);
	buf_put_varint(b, m->hint_budget);
	buf_put_varint(b, m->nbacklogs);
	for (uint32_t i = 0; i < m->nbacklogs; i++)
	{
		buf_put_varint(b, m->backlogs[i].target);
		buf_put_varint(b, m->backlogs[i].hints);
		buf_put_varint(b, m->backlogs[i].bytes);
		buf_put_u64(b, m->backlogs[i].oldest_ms);
	}
}

DorisStatus node_report_decode(DorisCursor *c, NodeReport *out, DorisError *err)
{
	bool no_memory = false;

	memset(out, 0, sizeof(*out));
	out->epoch = cursor_u64(c);
	msg_read_fixed(c, out->hash, sizeof(out->hash));
	out->incarnation = cursor_u64(c);
	msg_read_fixed(c, out->home, sizeof(out->home));
	out->rows = cursor_varint(c);
	out->bytes = cursor_varint(c);
	out->vnodes = msg_read_u32(c);
	out->hints = cursor_varint(c);
	out->staged = cursor_varint(c);
	out->disk_free = cursor_varint(c);
	out->disk_full = msg_read_bool(c);
	cursor_str(c, out->build, sizeof(out->build));
	out->clock_ms = cursor_u64(c);
	out->mark = cursor_u64(c);
	out->recovering = msg_read_u32(c);
	out->recovered_bytes = cursor_varint(c);
	out->recover_bytes = cursor_varint(c);
	out->ready = msg_read_array(c, READY_MIN_SIZE, DORIS_MAX_READY, sizeof(ReadyCopy), &out->nready,
								&no_memory);
	for (uint32_t i = 0; i < out->nready && !c->bad; i++)
	{
		out->ready[i].vnode = msg_read_vnode(c);
		out->ready[i].changed = cursor_u64(c);
	}
	out->hint_bytes = cursor_varint(c);
	out->hint_budget = cursor_varint(c);
	out->backlogs = msg_read_array(c, BACKLOG_MIN_SIZE, DORIS_MAX_BACKLOGS, sizeof(Backlog),
								   &out->nbacklogs, &no_memory);
	for (uint32_t i = 0; i < out->nbacklogs && !c->bad; i++)
	{
		out->backlogs[i].target = msg_read_u32(c);
		out->backlogs[i].hints = cursor_varint(c);
		out->backlogs[i].bytes = cursor_varint(c);
		out->backlogs[i].oldest_ms = cursor_u64(c);
	}
	if (msg_end(c, no_memory, "node report", err) != DORIS_OK)
	{
		node_report_free(out);
		return err->code;
	}
	return DORIS_OK;
}

void node_report_free(NodeReport *m)
{
	free(m->ready);
	free(m->backlogs);
	m->ready = NULL;
	m->backlogs = NULL;
	m->nready = m->nbacklogs = 0;
}

void hello_encode(DorisBuf *b, const Hello *m)
{
	buf_put_str(b, m->name);
	buf_put_str(b, m->address);
	buf_put_raw(b, m->home, sizeof(m->home));
	buf_put_raw(b, m->cluster, sizeof(m->cluster));
	buf_put_varint(b, m->node);
	buf_put_u64(b, m->incarnation);
	buf_put_u64(b, m->epoch);
	buf_put_str(b, m->build);
	buf_put_u64(b, m->mark);
	buf_put_u8(b, m->clean ? 1 : 0);
}

DorisStatus hello_decode(DorisBytes body, Hello *out, DorisError *err)
{
	DorisCursor c = cursor_of(body.data, body.len);

	memset(out, 0, sizeof(*out));
	cursor_str(&c, out->name, sizeof(out->name));
	cursor_str(&c, out->address, sizeof(out->address));
	msg_read_fixed(&c, out->home, sizeof(out->home));
	msg_read_fixed(&c, out->cluster, sizeof(out->cluster));
	out->node = msg_read_u32(&c);
	out->incarnation = cursor_u64(&c);
	out->epoch = cursor_u64(&c);
	cursor_str(&c, out->build, sizeof(out->build));
	out->mark = cursor_u64(&c);
	out->clean = msg_read_bool(&c);
	return msg_end(&c, false, "hello", err);
}

void welcome_encode(DorisBuf *b, const Welcome *m)
{
	buf_put_raw(b, m->cluster, sizeof(m->cluster));
	buf_put_varint(b, m->node);
	buf_put_view(b, m->topology);
}

DorisStatus welcome_decode(DorisCursor *c, Welcome *out, DorisError *err)
{
	memset(out, 0, sizeof(*out));
	msg_read_fixed(c, out->cluster, sizeof(out->cluster));
	out->node = msg_read_u32(c);
	out->topology = cursor_bytes(c);
	return msg_end(c, false, "welcome", err);
}

void report_encode(DorisBuf *b, const Report *m)
{
	buf_put_varint(b, m->node);
	buf_put_str(b, m->what);
}

DorisStatus report_decode(DorisBytes body, Report *out, DorisError *err)
{
	DorisCursor c = cursor_of(body.data, body.len);

	memset(out, 0, sizeof(*out));
	out->node = msg_read_u32(&c);
	cursor_str(&c, out->what, sizeof(out->what));
	return msg_end(&c, false, "report", err);
}

void namespace_change_encode(DorisBuf *b, const NamespaceChange *m)
{
	buf_put_u8(b, (uint8_t) m->verb);
	nsdef_encode(b, &m->def);
}

DorisStatus namespace_change_decode(DorisBytes body, NamespaceChange *out, DorisError *err)
{
	DorisCursor c = cursor_of(body.data, body.len);
	DorisStatus status;

	memset(out, 0, sizeof(*out));
	out->verb = msg_read_enum(&c, NAMESPACE_TRUNCATE);
	if (c.bad)
		return msg_end(&c, false, "namespace change", err);
	status = nsdef_decode_draft(&c, &out->def, err);
	if (status == DORIS_OK)
		status = msg_end(&c, false, "namespace change", err);
	/* what is wrong with a definition is the asker's mistake: BAD_ARGUMENT tells it to them */
	if (status == DORIS_OK && out->verb == NAMESPACE_CREATE)
		status = nsdef_check(&out->def, true, err);
	if (status == DORIS_OK && out->def.name[0] == '\0')
		status = doris_error(err, DORIS_BAD_ARGUMENT, "a namespace has no name");
	if (status != DORIS_OK)
		namespace_change_free(out);
	return status;
}

void namespace_change_free(NamespaceChange *m)
{
	nsdef_free(&m->def);
}
