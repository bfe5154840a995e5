/*
 * route.c: from a route key to its vnode.
 */
#include "route.h"

#include <md5.h>

void route_md5(const void *data, size_t len, uint8_t out[16])
{
	MD5_CTX ctx;

	MD5Init(&ctx);
	if (len > 0)
		MD5Update(&ctx, data, len);
	MD5Final(out, &ctx);
}

uint32_t route_vnode(DorisBytes route_key, uint32_t vnodes)
{
	uint8_t digest[16];
	uint64_t rest = 0;

	/*
	 * Long division in 32-bit digits: vnodes is at most 65536, so a remainder and the next digit
	 * fit 64 bits.
	 */
	route_md5(route_key.data, route_key.len, digest);
	for (int i = 0; i < 16; i += 4)
	{
		uint32_t word = (uint32_t) digest[i] << 24 | (uint32_t) digest[i + 1] << 16 |
						(uint32_t) digest[i + 2] << 8 | digest[i + 3];

		rest = (rest << 32 | word) % vnodes;
	}
	return (uint32_t) rest;
}
