// The GPUs that the stand-ins present; see cuda_runtime.cpp for the environment variables.
#pragma once
#include <stdlib.h>
#include <string.h>

static const size_t GIB = 1ul << 30;

extern thread_local int current_device;

inline const char *setting(const char *name, const char *otherwise) {
  const char *value = getenv(name);
  return value ? value : otherwise;
}
inline int gpus() { return atoi(setting("STAND_IN_GPUS", "1")); }
// H200, or else a T4: of the GPUs that torch's CUDA 13 build has kernels for, it has no bfloat16.
inline bool h200() { return !strcmp(setting("STAND_IN_GPU", "H200"), "H200"); }
// A V100, for which torch's CUDA 13 build has no kernels.
inline bool v100() { return !strcmp(setting("STAND_IN_GPU", "H200"), "V100"); }
inline size_t memory_bytes() {
  return (size_t)(atof(setting("STAND_IN_MEMORY", h200() ? "140.4" : "31.7")) * GIB);
}
