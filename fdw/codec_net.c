/*
 * codec_net.c: inet and cidr as bytes that memcmp orders as network_cmp does.
 *
 * u8 family (4 or 6), 16 bytes of the network part (host bits cleared, short addresses filled up with zeros), u8
 * bits of the mask, 16 bytes of the address. network_cmp compares the common prefix first, then the shorter mask
 * goes first, then the whole address: clearing the host bits gives the same order.
 */
#include "codec.h"

void inet_put_ordered(inet *addr, StringInfo out)
{
	uint8 bytes[16] = {0};
	uint8 network[16] = {0};
	int size = ip_addrsize(addr);
	int bits = ip_bits(addr);

	memcpy(bytes, ip_addr(addr), size);
	memcpy(network, bytes, bits / 8);
	if (bits % 8 != 0)
		network[bits / 8] = bytes[bits / 8] & (uint8) (0xFF << (8 - bits % 8));
	codec_put_be(out, ip_family(addr) == PGSQL_AF_INET ? 4 : 6, 1);
	appendBinaryStringInfo(out, (char *) network, 16);
	codec_put_be(out, (uint64) bits, 1);
	appendBinaryStringInfo(out, (char *) bytes, 16);
}

Datum inet_get_ordered(const ColumnCodec *c, const uint8 *data, bool is_cidr)
{
	inet *addr = palloc0(sizeof(inet));

	if (data[0] != 4 && data[0] != 6)
		codec_malformed(c);
	ip_family(addr) = data[0] == 4 ? PGSQL_AF_INET : PGSQL_AF_INET6;
	if (data[17] > ip_maxbits(addr))
		codec_malformed(c);
	ip_bits(addr) = data[17];
	memcpy(ip_addr(addr), data + 18, ip_addrsize(addr));
	/* a cidr has no host bits; the flag is not stored in the datum itself */
	if (is_cidr && memcmp(data + 1, data + 18, 16) != 0)
		codec_malformed(c);
	SET_INET_VARSIZE(addr);
	return InetPGetDatum(addr);
}
