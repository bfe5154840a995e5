/*
 * text.c: keys and values as people write them: text for columns of a text type, or hexadecimal bytes.
 *
 * A text's bytes are its value; as a key segment they are escaped (nsdef.h).
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "row.h"

static bool is_text(const NsColumn *c)
{
	return strcmp(c->type, "text") == 0 || strncmp(c->type, "character varying", 17) == 0;
}

static bool put_hex(const char *text, DorisBuf *out)
{
	size_t len = strlen(text);
	size_t i;

	for (i = 0; i < len; i += 2)
	{
		char pair[3] = {text[i], text[i + 1], '\0'};

		if (!isxdigit((unsigned char) pair[0]) || !isxdigit((unsigned char) pair[1]))
		{
			(void) ctl_usage("\"%s\" is not hexadecimal", text);
			return false;
		}
		buf_put_u8(out, (uint8_t) strtol(pair, NULL, 16));
	}
	return true;
}

bool text_key(const Ctl *ctl, const NsDef *ns, const char *text, DorisBuf *out)
{
	const NsColumn *c = nsdef_key_column(ns, 1);

	if (ctl->hex)
		return put_hex(text, out);
	if (ns->key_columns != 1 || c == NULL || !is_text(c))
	{
		(void) ctl_usage("the key of namespace %s is not one column of type text: use --hex",
						 ns->name);
		return false;
	}
	buf_put_raw(out, text, strlen(text)); /* an argument has no zero bytes to escape */
	buf_put_u8(out, 0);
	buf_put_u8(out, 1);
	return true;
}

bool text_value(const Ctl *ctl, const NsDef *ns, char **words, int n, DorisBuf *out, int *used)
{
	const char *values[DORIS_MAX_COLUMNS] = {NULL};
	uint16_t i;

	for (*used = 0; *used < n && strcmp(words[*used], "--") != 0; (*used)++)
	{
		char name[DORIS_NAME_MAX];
		const char *word = words[*used];
		const char *equals = strchr(word, '=');
		const NsColumn *c;

		if (equals == NULL || equals == word || (size_t) (equals - word) >= sizeof(name))
		{
			(void) ctl_usage("\"%s\" is not of the form column=value", word);
			return false;
		}
		memcpy(name, word, (size_t) (equals - word));
		name[equals - word] = '\0';
		c = nsdef_column_by_name(ns, name);
		if (c == NULL || (c->key_position > 0 && !c->in_value))
		{
			(void) ctl_usage("namespace %s has no column %s beside its key", ns->name, name);
			return false;
		}
		if (!ctl->hex && !is_text(c))
		{
			(void) ctl_usage("column %s is of type %s, not text: use --hex", name, c->type);
			return false;
		}
		values[c - ns->columns] = equals + 1;
	}
	for (i = 0; i < ns->ncolumns; i++)
	{
		DorisBuf bytes;
		bool ok = true;

		if (values[i] == NULL)
			continue;
		buf_init(&bytes);
		if (ctl->hex)
			ok = put_hex(values[i], &bytes);
		else
			buf_put_raw(&bytes, values[i], strlen(values[i]));
		if (ok)
			row_put(out, ns->columns[i].id, bytes.data, bytes.len);
		buf_free(&bytes);
		if (!ok)
			return false;
	}
	return true;
}

static void show_hex(DorisBytes b)
{
	size_t i;

	for (i = 0; i < b.len; i++)
		printf("%02x", b.data[i]);
}

/* Text as it is, but for what would break the line. */
static void show_text(DorisBytes b)
{
	size_t i;

	for (i = 0; i < b.len; i++)
	{
		if (b.data[i] < 0x20 || b.data[i] == '\\' || b.data[i] == 0x7f)
			printf("\\x%02x", b.data[i]);
		else
			putchar(b.data[i]);
	}
}

void text_show_row(const Ctl *ctl, const NsDef *ns, const DorisRow *row)
{
	const NsColumn *k = nsdef_key_column(ns, 1);
	RowReader r = row_reader(row->value);
	uint16_t id;
	DorisBytes data;

	if (!ctl->hex && ns->key_columns == 1 && k != NULL && is_text(k) && row->key.len >= 2)
		show_text((DorisBytes){row->key.data, row->key.len - 2});
	else
		show_hex(row->key);
	while (row_next(&r, &id, &data))
	{
		const NsColumn *c = nsdef_column(ns, id);

		if (c == NULL || c->dropped)
			continue;
		printf("\t%s=", c->name);
		if (!ctl->hex && is_text(c))
			show_text(data);
		else
			show_hex(data);
	}
	putchar('\n');
}
