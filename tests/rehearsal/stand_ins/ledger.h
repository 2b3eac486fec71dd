// What the host asked of the devices, by phase of the run, in a file that tests read.
#pragma once
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif
// Begin a phase; what happens until the next one counts for it.
void ledger_phase(const char *name);
// Count an event: "launch", "wait", "copy", "allocate", "context", "forked", "hazard", "by rote", "place".
void ledger_count(const char *event, const char *detail, size_t bytes);
// Make this call whenever the host waits; it counts the source line as event "place".
void ledger_on_wait(void (*call)(const char *detail));
#ifdef __cplusplus
}
#endif
