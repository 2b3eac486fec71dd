// The ledger: one file a process, rank_<RANK>.<pid> in the folder STAND_IN_LEDGER. A line is
// phase <tab> event <tab> count <tab> bytes <tab> detail; a phase is written when the next begins.
#include "ledger.h"

#include <cxxabi.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <map>
#include <mutex>
#include <string>
#include <utility>

struct Total {
  long count = 0;
  size_t bytes = 0;
};
using Totals = std::map<std::pair<std::string, std::string>, Total>;

// On the heap and never freed: threads of torch call in while the process exits.
static std::mutex &lock = *new std::mutex;
static Totals &totals = *new Totals;
static std::string &phase = *new std::string("start");
static void (*on_wait)(const char *) = nullptr;
static const pid_t owner = getpid();

static std::string readable(const std::string &symbol) {
  int status;
  char *name = abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status);
  std::string result = status == 0 && name ? name : symbol;
  free(name);
  return result;
}

static void write_totals() {
  const char *folder = getenv("STAND_IN_LEDGER"), *rank = getenv("RANK");
  if (!folder || totals.empty()) return;
  std::string path =
      std::string(folder) + "/rank_" + (rank ? rank : "none") + "." + std::to_string(getpid());
  if (FILE *file = fopen(path.c_str(), "a")) {
    for (auto &[key, total] : totals)
      fprintf(file, "%s\t%s\t%ld\t%zu\t%s\n", phase.c_str(), key.first.c_str(), total.count,
              total.bytes, readable(key.second).c_str());
    fclose(file);
  }
  totals.clear();
}

void ledger_phase(const char *name) {
  std::lock_guard<std::mutex> guard(lock);
  write_totals();
  phase = name;
}

void ledger_count(const char *event, const char *detail, size_t bytes) {
  // Takes Python's lock: not under ours.
  if (on_wait && getpid() == owner && std::string(event) == "wait") on_wait(detail);
  std::lock_guard<std::mutex> guard(lock);
  Total &total = totals[{event, detail}];
  total.count++;
  total.bytes += bytes;
  if (std::string(event) == "forked") write_totals();  // forked processes end without destructors
}

void ledger_on_wait(void (*call)(const char *detail)) { on_wait = call; }

__attribute__((destructor)) static void write_last_phase() {
  std::lock_guard<std::mutex> guard(lock);
  if (getpid() == owner) write_totals();
}
