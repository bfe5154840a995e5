/*
 * spill.c: an append-only log of records that keeps a bounded part in memory (I6).
 *
 * Records go into chunks. When the chunks in memory exceed the limit, the oldest full ones are written to one temporary
 * file, each in one write, and their memory is freed; a record there is read by loading its chunk. So readers in
 * the order of writing (the commit) read each chunk once. The file belongs to the transaction, not to the portal or
 * savepoint in which it happened to be made.
 */
#include "executor.h"

#include "commands/tablespace.h"
#include "storage/fd.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/wait_event.h"

#define CHUNK_SIZE (128 * 1024)
/*
 * The first chunk's, each further one is twice the size of the last: a transaction of one row that takes 128 kB from the C library
 * and gives it back grows and shrinks the heap each time, and the kernel fills the pages with zeros again.
 */
#define CHUNK_FIRST (4 * 1024)
#define CHUNK_DOUBLINGS 5

typedef struct Chunk
{
	uint8 *data; /* NULL: in the file */
	uint32 len;	 /* used */
	uint32 size;
	off_t at; /* in the file */
} Chunk;

struct SpillLog
{
	MemoryContext context;
	Size limit; /* bytes of chunks in memory */
	Size in_memory;
	Chunk *chunks;
	uint32 nchunks;
	uint32 cap;
	uint32 first; /* the first chunk still in memory */
	File file;	  /* -1: none yet */
	off_t file_len;
	uint8 *cache; /* one chunk read back */
	uint32 cache_size;
	int64 cached; /* which; -1: none */
};

SpillLog *spill_create(MemoryContext context, Size limit)
{
	SpillLog *log = MemoryContextAllocZero(context, sizeof(SpillLog));

	log->context = context;
	log->limit = limit;
	log->file = -1;
	log->cached = -1;
	return log;
}

static void spill_open_file(SpillLog *log)
{
	ResourceOwner owner = CurrentResourceOwner;

	PrepareTempTablespaces();
	CurrentResourceOwner = TopTransactionResourceOwner;
	PG_TRY();
	{
		log->file = OpenTemporaryFile(false);
	}
	PG_FINALLY();
	{
		CurrentResourceOwner = owner;
	}
	PG_END_TRY();
}

/* Writes the oldest chunk in memory to the file. */
static void spill_write_oldest(SpillLog *log)
{
	Chunk *c = &log->chunks[log->first];
	int done;

	if (log->file < 0)
		spill_open_file(log);
	errno = 0;
	done = FileWrite(log->file, (char *) c->data, (int) c->len, log->file_len,
					 WAIT_EVENT_BUFFILE_WRITE);
	if (done != (int) c->len)
	{
		if (errno == 0)
			errno = ENOSPC;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write the transaction's rows to a temporary file: %m"),
				 errhint("Rows beyond doris_fdw.write_buffer go to a temporary file until the "
						 "transaction ends.")));
	}
	c->at = log->file_len;
	log->file_len += c->len;
	log->in_memory -= c->size;
	pfree(c->data);
	c->data = NULL;
	log->first++;
}

static void spill_new_chunk(SpillLog *log, Size len)
{
	Chunk *c;
	Size size = Max(len, log->nchunks < CHUNK_DOUBLINGS ? CHUNK_FIRST << log->nchunks : CHUNK_SIZE);

	while (log->first < log->nchunks && log->in_memory + size > log->limit)
		spill_write_oldest(log);
	if (log->nchunks == log->cap)
	{
		uint32 cap = log->cap ? log->cap * 2 : 8;

		if (log->chunks == NULL)
			log->chunks = MemoryContextAlloc(log->context, cap * sizeof(Chunk));
		else
			log->chunks = repalloc_huge(log->chunks, cap * sizeof(Chunk));
		log->cap = cap;
	}
	c = &log->chunks[log->nchunks];
	c->data = MemoryContextAlloc(log->context, size);
	c->len = 0;
	c->size = (uint32) size;
	c->at = 0;
	log->in_memory += size;
	log->nchunks++;
}

uint8 *spill_append(SpillLog *log, Size len, SpillPlace *place)
{
	Chunk *c;

	if (log->nchunks == 0 || log->chunks[log->nchunks - 1].data == NULL ||
		log->chunks[log->nchunks - 1].size - log->chunks[log->nchunks - 1].len < len)
		spill_new_chunk(log, len);
	c = &log->chunks[log->nchunks - 1];
	place->chunk = log->nchunks - 1;
	place->offset = c->len;
	c->len += (uint32) len;
	return c->data + place->offset;
}

const uint8 *spill_read(SpillLog *log, SpillPlace place)
{
	Chunk *c = &log->chunks[place.chunk];

	Assert(place.chunk < log->nchunks);
	if (c->data != NULL)
		return c->data + place.offset;
	if (log->cached != (int64) place.chunk)
	{
		int done;

		log->cached = -1;
		if (log->cache_size < c->len)
		{
			if (log->cache != NULL)
				pfree(log->cache);
			log->cache = NULL;
			log->cache_size = 0;
			log->cache = MemoryContextAlloc(log->context, Max(c->len, CHUNK_SIZE));
			log->cache_size = Max(c->len, CHUNK_SIZE);
		}
		errno = 0;
		done =
			FileRead(log->file, (char *) log->cache, (int) c->len, c->at, WAIT_EVENT_BUFFILE_READ);
		if (done != (int) c->len)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not read the transaction's rows from a temporary file: %m")));
		log->cached = place.chunk;
	}
	return log->cache + place.offset;
}

void spill_close(SpillLog *log)
{
	if (log->file >= 0)
		FileClose(log->file);
	log->file = -1;
}
