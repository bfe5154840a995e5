/*
 * seal.c: key files, and sealing message bodies with XChaCha20-Poly1305 (libsodium).
 */
#include "seal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE_MAX 4096
#define PATH_SIZE 4096

/* Which keys a file gave so far. */
typedef struct KeysSeen
{
	bool cluster;
	bool public_key;
} KeysSeen;

static char *trim(char *s)
{
	size_t len;

	while (isspace((unsigned char) *s))
		s++;
	len = strlen(s);
	while (len > 0 && isspace((unsigned char) s[len - 1]))
		s[--len] = '\0';
	return s;
}

static DorisStatus take_line(char *line, const char *path, DorisKeys *out, KeysSeen *seen,
							 DorisError *err)
{
	char *name = trim(line);
	char *value = strchr(name, '=');
	uint8_t *where;
	size_t want;
	size_t got;

	if (*name == '\0' || *name == '#')
		return DORIS_OK;
	if (value == NULL)
		return doris_error(err, DORIS_BAD_ARGUMENT,
						   "key file \"%s\" has a line that is not \"name = hex\"", path);
	*value++ = '\0';
	name = trim(name);
	value = trim(value);
	if (strcmp(name, "cluster") == 0)
	{
		where = out->cluster;
		want = sizeof(out->cluster);
		seen->cluster = true;
	}
	else if (strcmp(name, "public") == 0)
	{
		where = out->public_key;
		want = sizeof(out->public_key);
		seen->public_key = true;
	}
	else if (strcmp(name, "secret") == 0)
	{
		where = out->secret;
		want = sizeof(out->secret);
		out->has_secret = true;
	}
	else
	{
		doris_error(err, DORIS_BAD_ARGUMENT, "key file \"%s\" has an unknown key \"%.32s\"", path,
					name);
		return doris_hint(err, "It may hold cluster, public and secret.");
	}
	if (strlen(value) != 2 * want ||
		sodium_hex2bin(where, want, value, strlen(value), NULL, &got, NULL) != 0 || got != want)
		return doris_error(err, DORIS_BAD_ARGUMENT, "key \"%s\" in \"%s\" is not %zu bytes of hex",
						   name, path, want);
	return DORIS_OK;
}

static DorisStatus parse_keys(char *text, const char *path, DorisKeys *out, DorisError *err)
{
	KeysSeen seen = {false, false};

	while (text != NULL)
	{
		char *line = strsep(&text, "\n");
		DorisStatus status = take_line(line, path, out, &seen, err);

		if (status != DORIS_OK)
			return status;
	}
	if (!seen.cluster || !seen.public_key)
		return doris_error(err, DORIS_BAD_ARGUMENT, "key file \"%s\" has no key \"%s\"", path,
						   seen.cluster ? "public" : "cluster");
	/* an Ed25519 secret key ends with its public key */
	if (out->has_secret && memcmp(out->secret + 32, out->public_key, 32) != 0)
		return doris_error(err, DORIS_BAD_ARGUMENT,
						   "the secret key in \"%s\" does not belong to its public key", path);
	out->present = true;
	return DORIS_OK;
}

static DorisStatus read_key_file(int fd, const char *path, DorisKeys *out, DorisError *err)
{
	char text[KEY_FILE_MAX];
	struct stat st;
	ssize_t n;
	DorisStatus status;

	if (fstat(fd, &st) != 0)
		return doris_error(err, DORIS_BAD_ARGUMENT, "cannot read key file \"%s\": %s", path,
						   strerror(errno));
	if (!S_ISREG(st.st_mode))
		return doris_error(err, DORIS_BAD_ARGUMENT, "key file \"%s\" is not a regular file", path);
	if ((st.st_mode & S_IRWXO) != 0)
	{
		doris_error(err, DORIS_DENIED, "key file \"%s\" is open to others than its owner and group",
					path);
		return doris_hint(err, "Run chmod o= on it.");
	}
	n = read(fd, text, sizeof(text));
	if (n < 0 || (size_t) n == sizeof(text))
		return doris_error(err, DORIS_BAD_ARGUMENT, "cannot read key file \"%s\": %s", path,
						   n < 0 ? strerror(errno) : "it is too long");
	text[n] = '\0';
	status = parse_keys(text, path, out, err);
	sodium_memzero(text, sizeof(text));
	return status;
}

DorisStatus keys_load(const char *path, DorisKeys *out, DorisError *err)
{
	DorisStatus status;
	int fd;

	memset(out, 0, sizeof(*out));
	if (path == NULL || path[0] == '\0')
		return DORIS_OK;
	if (sodium_init() < 0)
		return doris_error(err, DORIS_INTERNAL, "libsodium does not start");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return doris_error(err, DORIS_BAD_ARGUMENT, "cannot open key file \"%s\": %s", path,
						   strerror(errno));
	status = read_key_file(fd, path, out, err);
	close(fd);
	if (status != DORIS_OK)
		keys_wipe(out);
	return status;
}

static bool write_all(int fd, const char *text)
{
	size_t left = strlen(text);

	while (left > 0)
	{
		ssize_t n = write(fd, text, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		text += n;
		left -= (size_t) n;
	}
	return fsync(fd) == 0;
}

static DorisStatus write_key_file(const char *path, const char *text, DorisError *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	bool written;

	if (fd < 0)
	{
		doris_error(err, errno == EEXIST ? DORIS_EXISTS : DORIS_IO,
					"cannot create key file \"%s\": %s", path, strerror(errno));
		if (err->code == DORIS_EXISTS)
			doris_hint(err,
					   "Keys are never overwritten: a cluster cannot be reached without its own.");
		return err->code;
	}
	written = write_all(fd, text);
	if (close(fd) != 0 || !written)
	{
		doris_error(err, DORIS_IO, "cannot write key file \"%s\": %s", path, strerror(errno));
		unlink(path);
		return err->code;
	}
	return DORIS_OK;
}

DorisStatus keys_make(const char *dir, DorisError *err)
{
	char cluster_path[PATH_SIZE];
	char admin_path[PATH_SIZE];
	char cluster_hex[65];
	char public_hex[65];
	char secret_hex[129];
	char text[512];
	DorisKeys k;
	DorisStatus status;

	if (sodium_init() < 0)
		return doris_error(err, DORIS_INTERNAL, "libsodium does not start");
	if (snprintf(cluster_path, sizeof(cluster_path), "%s/cluster.key", dir) >= PATH_SIZE ||
		snprintf(admin_path, sizeof(admin_path), "%s/admin.key", dir) >= PATH_SIZE)
		return doris_error(err, DORIS_BAD_ARGUMENT, "the directory's name is too long");
	randombytes_buf(k.cluster, sizeof(k.cluster));
	crypto_sign_keypair(k.public_key, k.secret);
	sodium_bin2hex(cluster_hex, sizeof(cluster_hex), k.cluster, sizeof(k.cluster));
	sodium_bin2hex(public_hex, sizeof(public_hex), k.public_key, sizeof(k.public_key));
	sodium_bin2hex(secret_hex, sizeof(secret_hex), k.secret, sizeof(k.secret));
	keys_wipe(&k);

	snprintf(text, sizeof(text), "cluster = %s\npublic = %s\n", cluster_hex, public_hex);
	status = write_key_file(cluster_path, text, err);
	if (status == DORIS_OK)
	{
		snprintf(text, sizeof(text), "cluster = %s\npublic = %s\nsecret = %s\n", cluster_hex,
				 public_hex, secret_hex);
		status = write_key_file(admin_path, text, err);
		if (status != DORIS_OK)
			unlink(cluster_path); /* made just now, of no use alone */
	}
	sodium_memzero(text, sizeof(text));
	sodium_memzero(cluster_hex, sizeof(cluster_hex));
	sodium_memzero(secret_hex, sizeof(secret_hex));
	return status;
}

void keys_wipe(DorisKeys *k)
{
	sodium_memzero(k, sizeof(*k));
}

bool seal_put(const DorisKeys *k, DorisBytes header, DorisBytes body, DorisBuf *out)
{
	uint8_t *nonce;

	if (sodium_init() < 0 || !buf_reserve(out, body.len + DORIS_SEAL_OVERHEAD))
		return false;
	nonce = out->data + out->len;
	randombytes_buf(nonce, DORIS_SEAL_NONCE);
	(void) crypto_aead_xchacha20poly1305_ietf_encrypt(nonce + DORIS_SEAL_NONCE, NULL, body.data,
													  body.len, header.data, header.len, NULL,
													  nonce, k->cluster);
	out->len += body.len + DORIS_SEAL_OVERHEAD;
	return true;
}

bool seal_open(const DorisKeys *k, DorisBytes header, DorisBytes sealed, DorisBuf *out)
{
	size_t len;

	buf_reset(out);
	if (sodium_init() < 0 || sealed.len < DORIS_SEAL_OVERHEAD)
		return false;
	len = sealed.len - DORIS_SEAL_OVERHEAD;
	if (!buf_reserve(out, len + 1)) /* never NULL, for libsodium */
		return false;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(
			out->data, NULL, NULL, sealed.data + DORIS_SEAL_NONCE, sealed.len - DORIS_SEAL_NONCE,
			header.data, header.len, sealed.data, k->cluster) != 0)
		return false;
	out->len = len;
	return true;
}
