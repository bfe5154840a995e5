/*
 * argument.c: the arguments that SQL functions have in common.
 */
#include "doris_fdw.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

List *argument_text_list(ArrayType *array, const char *what)
{
	Datum *elements;
	bool *nulls;
	int n;
	List *result = NIL;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					errmsg("%s must not contain NULL", what));
		result = lappend(result, TextDatumGetCString(elements[i]));
	}
	return result;
}

char *argument_text(FunctionCallInfo fcinfo, int arg, const char *what)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("%s must not be NULL", what));
	return text_to_cstring(PG_GETARG_TEXT_PP(arg));
}

Oid argument_server(FunctionCallInfo fcinfo, int arg)
{
	Oid serverid;

	if (PG_ARGISNULL(arg))
		return connection_default_server();
	serverid = GetForeignServerByName(NameStr(*PG_GETARG_NAME(arg)), false)->serverid;
	if (!namespace_is_ours(serverid))
		ereport(ERROR, errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("server \"%s\" is not one of doris_fdw", NameStr(*PG_GETARG_NAME(arg))));
	return serverid;
}

uint32 argument_id(FunctionCallInfo fcinfo, int arg, const char *what)
{
	int32 id;

	if (PG_ARGISNULL(arg))
		ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("the number of a %s must not be NULL", what));
	id = PG_GETARG_INT32(arg);
	if (id < 1)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("there is no %s %d", what, id),
				errhint("The numbers of %ss begin with 1.", what));
	return (uint32) id;
}
