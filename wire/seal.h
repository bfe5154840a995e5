/*
 * seal.h: the cluster's keys, and sealing with them (libsodium).
 *
 * Key file: text lines `name = hex`. `cluster` (32 bytes) seals messages; `public` (32 bytes) checks topologies.
 * An admin's key file has `secret` (64 bytes) beside them. The file must not be readable by others than
 * its owner and group. `doris_admin --make-keys DIR` writes DIR/cluster.key and DIR/admin.key.
 */
#ifndef DORIS_SEAL_H
#define DORIS_SEAL_H

#include "buf.h"
#include "status.h"

typedef struct DorisKeys
{
	bool present; /* false: plain, loopback only */
	uint8_t cluster[32];
	uint8_t public_key[32];
	bool has_secret;
	uint8_t secret[64];
} DorisKeys;

#define DORIS_SEAL_NONCE 24
#define DORIS_SEAL_OVERHEAD (DORIS_SEAL_NONCE + 16)

/* path NULL or empty: plain keys (present = false). */
extern DORIS_MUST_CHECK DorisStatus keys_load(const char *path, DorisKeys *out, DorisError *err);
extern DORIS_MUST_CHECK DorisStatus keys_make(const char *dir, DorisError *err);
extern void keys_wipe(DorisKeys *k);
/* Appends nonce and ciphertext of body to out; header is authenticated with it. False: no memory. */
extern bool seal_put(const DorisKeys *k, DorisBytes header, DorisBytes body, DorisBuf *out);
/* Opens into out (reset first). False: forged, damaged or another key. */
extern bool seal_open(const DorisKeys *k, DorisBytes header, DorisBytes sealed, DorisBuf *out);

#endif
