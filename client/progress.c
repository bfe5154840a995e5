/*
 * progress.c: how far a plan is, in the words that SQL and dorisctl share.
 */
#include <stdio.h>
#include <string.h>

#include "doris.h"

uint32_t doris_plan_percent(const PlanInfo *plan)
{
	double part = 0;

	if (strcmp(plan->state, "done") == 0)
		return 100;
	if (plan->bytes_total > 0)
		part = (double) plan->bytes_done / (double) plan->bytes_total;
	else if (plan->vnodes_total > 0)
		part = (double) plan->vnodes_done / (double) plan->vnodes_total;
	/* all bytes may be there before the last flip */
	return part >= 0.99 ? 99 : (uint32_t) (part * 100);
}

bool doris_plan_ended(const PlanInfo *plan)
{
	return strcmp(plan->state, "done") == 0 || strcmp(plan->state, "cancelled") == 0;
}

static void put_rate(char *out, size_t len, uint64_t bytes_per_s)
{
	double mb = (double) bytes_per_s / 1e6;

	snprintf(out, len, mb < 10 ? ", %.1f MB/s" : ", %.0f MB/s", mb);
}

static void put_left(char *out, size_t len, uint64_t ms)
{
	unsigned long long s = (ms + 999) / 1000;

	if (s < 100)
		snprintf(out, len, ", %llu s left", s);
	else if (s < 100 * 60)
		snprintf(out, len, ", %llu min left", (s + 30) / 60);
	else
		snprintf(out, len, ", %llu h left", (s + 1800) / 3600);
}

void doris_plan_progress(const PlanInfo *plan, uint64_t now_ms, char *out, size_t len)
{
	char rate[32] = "";
	char left[32] = "";

	if (strcmp(plan->state, "running") != 0)
	{
		snprintf(out, len, "%u %%, %s%s%s", doris_plan_percent(plan), plan->state,
				 plan->error[0] != '\0' ? ": " : "", plan->error);
		return;
	}
	if (plan->bytes_per_s > 0)
		put_rate(rate, sizeof(rate), plan->bytes_per_s);
	if (plan->eta_ms > now_ms)
		put_left(left, sizeof(left), plan->eta_ms - now_ms);
	snprintf(out, len, "%u %%%s%s", doris_plan_percent(plan), rate, left);
}
