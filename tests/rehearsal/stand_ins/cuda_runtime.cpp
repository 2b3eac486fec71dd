// A CUDA runtime without a GPU. Host memory stands for device memory; kernels do nothing but are
// counted by name; a copy from or to pinned memory happens as late as a device may make it: when
// the host waits for it, or has asked for it POLLS times. CUDA in a forked process fails.
//
// Every result is zero, so that every run ends alike: once a kernel has been launched, a copy to
// the host brings zeros, and not what the memory was last used for, until a broadcast or all-gather.
//
// Environment: STAND_IN_GPUS (1), STAND_IN_GPU (H200, or T4 or V100 for a GPU with float16 only),
// STAND_IN_MEMORY (GiB of a GPU), STAND_IN_NO_PINNING (cudaHostRegister is refused),
// STAND_IN_LOST_IN (phase in which the GPU is lost), STAND_IN_NO_CAPTURE (no graph can be captured).
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "capture.h"
#include "ledger.h"
#include "settings.h"

#define EXPORT extern "C" __attribute__((visibility("default")))
#define LOCK std::lock_guard<std::recursive_mutex> guard(state.lock)
// First in every call that would touch a device.
#define ENTER(name) \
  if (cudaError_t error = enter(name)) return fail(error)
// Next in those that may not be made while a graph is captured.
#define NOT_IN_CAPTURE(name, stream, unsafe) \
  if (cudaError_t error = capture_refuses(name, stream, unsafe)) return fail(error)

enum Kind { DEVICE, PINNED, REGISTERED };
struct Range {
  size_t size;
  Kind kind;
  int device;
};
struct Copy {
  unsigned long long number;
  void *to;
  const void *from;  // null: zeros
  size_t size;
};
struct Event {
  unsigned long long after = 0;  // number of the last copy before it
  int polls = 0;
  cudaStream_t stream = nullptr;
  long node = 0;  // of the graph that is captured; 0 for none
};
struct State {
  std::recursive_mutex lock;
  std::map<char *, Range> ranges;
  std::map<const void *, std::string> kernels;
  std::deque<Copy> copies;
  unsigned long long number = 0;
  size_t used[64] = {};
  std::atomic<bool> computed{false};  // a kernel has been launched since the last broadcast or all-gather
  std::atomic<unsigned long> contexts{0};  // a bit for each device
  std::atomic<bool> lost{false};
  std::string lost_in;
};

static const int POLLS = 50;
static const size_t CONTEXT_BYTES = GIB / 2;
static State &state = *new State;  // never freed: threads of torch call in while the process exits
static const pid_t owner = getpid();
thread_local int current_device = 0;
static thread_local cudaError_t last = cudaSuccess;

static cudaError_t fail(cudaError_t error) { return last = error; }

static cudaError_t enter(const char *call) {
  if (state.lost) return cudaErrorLaunchFailure;
  if (getpid() != owner) {
    ledger_count("forked", call, 0);
    return cudaErrorInitializationError;
  }
  unsigned long bit = 1ul << current_device;
  if (!(state.contexts.fetch_or(bit) & bit)) ledger_count("context", std::to_string(current_device).c_str(), 0);
  return cudaSuccess;
}

static Range *range_of(const void *address, char **begin = nullptr) {
  auto next = state.ranges.upper_bound((char *)address);
  if (next == state.ranges.begin()) return nullptr;
  auto &[first, range] = *std::prev(next);
  if ((char *)address >= first + range.size) return nullptr;
  if (begin) *begin = first;
  return &range;
}

static void make(const Copy &copy) {
  if (copy.from)
    memmove(copy.to, copy.from, copy.size);
  else
    memset(copy.to, 0, copy.size);
}

static void make_copies(unsigned long long until = ~0ull) {
  LOCK;
  while (!state.copies.empty() && state.copies.front().number <= until) {
    Copy copy = state.copies.front();
    state.copies.pop_front();
    make(copy);
  }
}

static cudaError_t wait_for_all(const char *call) {
  ENTER(call);
  NOT_IN_CAPTURE(call, nullptr, true);
  ledger_count("wait", call, 0);
  make_copies();
  return cudaSuccess;
}

static bool pending(unsigned long long after) {
  LOCK;
  return !state.copies.empty() && state.copies.front().number <= after;
}

// ---- for tests
EXPORT void stand_in_phase(const char *name) {
  ledger_phase(name);
  if (name == std::string(setting("STAND_IN_LOST_IN", ""))) state.lost = true;
}
EXPORT void stand_in_on_wait(void (*call)(const char *)) { ledger_on_wait(call); }
EXPORT void stand_in_launch(const char *name, size_t bytes, cudaStream_t stream) {
  if (capturing()) return capture_node(name, stream);
  state.computed = true;
  ledger_count("launch", name, bytes);
}
EXPORT void stand_in_count(const char *event, const char *detail, size_t bytes) {
  if (!strcmp(event, "launch"))
    stand_in_launch(detail, bytes, nullptr);
  else
    ledger_count(event, detail, bytes);
}
EXPORT void stand_in_gathered() { state.computed = false; }
EXPORT int stand_in_has_context(int device) { return state.contexts >> device & 1; }
EXPORT void stand_in_flush() { make_copies(); }

// ---- kernels
struct Configuration {
  dim3 grid, block;
  size_t shared;
  void *stream;
};
static thread_local std::vector<Configuration> configurations;

EXPORT void **__cudaRegisterFatBinary(void *) {
  static void *handle;
  return &handle;
}
EXPORT void __cudaRegisterFatBinaryEnd(void **) {}
EXPORT void __cudaUnregisterFatBinary(void **) {}
EXPORT char __cudaInitModule(void **) { return 1; }
EXPORT void __cudaRegisterFunction(void **, const char *host, char *, const char *name, int, void *,
                                   void *, void *, void *, int *) {
  state.kernels[host] = name;
}
EXPORT void __cudaRegisterVar(void **, char *, char *, const char *, int, size_t, int, int) {}
EXPORT unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared,
                                            struct CUstream_st *stream) {
  configurations.push_back({grid, block, shared, stream});
  return 0;
}
EXPORT cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared,
                                              void *stream) {
  Configuration top = configurations.back();
  configurations.pop_back();
  *grid = top.grid, *block = top.block, *shared = top.shared, *(void **)stream = top.stream;
  return cudaSuccess;
}
EXPORT cudaError_t __cudaGetKernel(cudaKernel_t *kernel, const void *host) {
  *kernel = (cudaKernel_t)host;
  return cudaSuccess;
}
static cudaError_t launch(const void *kernel, dim3 grid, cudaStream_t stream) {
  ENTER("launch");
  if (!grid.x || !grid.y || !grid.z) return fail(cudaErrorInvalidConfiguration);
  auto found = state.kernels.find(kernel);
  if (capturing() && !capturing(stream))
    ledger_count("hazard", "a kernel is launched beside the graph that is captured", 0);
  stand_in_launch(found == state.kernels.end() ? "?" : found->second.c_str(), 0, stream);
  return cudaSuccess;
}
EXPORT cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3, void **, size_t,
                                      cudaStream_t stream) {
  return launch((const void *)kernel, grid, stream);
}
EXPORT cudaError_t cudaLaunchKernel(const void *kernel, dim3 grid, dim3, void **, size_t,
                                    cudaStream_t stream) {
  return launch(kernel, grid, stream);
}
EXPORT cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *configuration, const void *kernel,
                                       void **) {
  return launch(kernel, configuration->gridDim, configuration->stream);
}
EXPORT cudaError_t cudaLaunchCooperativeKernel(const void *kernel, dim3 grid, dim3, void **, size_t,
                                               cudaStream_t stream) {
  return launch(kernel, grid, stream);
}
EXPORT cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, const void *) {
  *attributes = {};
  attributes->maxThreadsPerBlock = 1024;
  attributes->numRegs = 32;
  attributes->binaryVersion = attributes->ptxVersion = h200() ? 90 : 75;
  attributes->maxDynamicSharedSizeBytes = 49152;
  return cudaSuccess;
}
EXPORT cudaError_t cudaFuncSetAttribute(const void *, enum cudaFuncAttribute, int) {
  return cudaSuccess;
}
EXPORT cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *, int,
                                                                 size_t) {
  *blocks = 2;
  return cudaSuccess;
}
EXPORT cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, const void *,
                                                                          int, size_t, unsigned) {
  *blocks = 2;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGetSymbolAddress(void **address, const void *symbol) {
  *address = (void *)symbol;
  return cudaSuccess;
}
EXPORT cudaError_t cudaMemcpyToSymbol(const void *, const void *, size_t, size_t,
                                      enum cudaMemcpyKind) {
  return wait_for_all("cudaMemcpyToSymbol");
}

// ---- memory
static cudaError_t allocate(const char *call, void **address, size_t size, Kind kind) {
  ENTER(call);
  NOT_IN_CAPTURE(call, nullptr, true);
  LOCK;
  size_t &used = state.used[current_device];
  if (kind == DEVICE && used + size > memory_bytes() - CONTEXT_BYTES)
    return fail(cudaErrorMemoryAllocation);
  void *mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return fail(cudaErrorMemoryAllocation);
  state.ranges[(char *)mapped] = {size, kind, current_device};
  if (kind == DEVICE) used += size;
  ledger_count("allocate", call, size);
  *address = mapped;
  return cudaSuccess;
}
static cudaError_t release(const char *call, void *address) {
  if (!address) return cudaSuccess;
  if (cudaError_t error = wait_for_all(call)) return error;
  LOCK;
  auto found = state.ranges.find((char *)address);
  if (found == state.ranges.end()) return fail(cudaErrorInvalidValue);
  if (found->second.kind == DEVICE) state.used[found->second.device] -= found->second.size;
  munmap(address, found->second.size);
  state.ranges.erase(found);
  return cudaSuccess;
}
EXPORT cudaError_t cudaMalloc(void **address, size_t size) {
  return allocate("cudaMalloc", address, size, DEVICE);
}
EXPORT cudaError_t cudaFree(void *address) { return release("cudaFree", address); }
EXPORT cudaError_t cudaHostAlloc(void **address, size_t size, unsigned) {
  return allocate("cudaHostAlloc", address, size, PINNED);
}
EXPORT cudaError_t cudaFreeHost(void *address) { return release("cudaFreeHost", address); }
EXPORT cudaError_t cudaHostRegister(void *address, size_t size, unsigned) {
  ENTER("cudaHostRegister");
  NOT_IN_CAPTURE("cudaHostRegister", nullptr, true);
  if (getenv("STAND_IN_NO_PINNING")) return fail(cudaErrorOperatingSystem);
  LOCK;
  if (range_of(address)) return fail(cudaErrorHostMemoryAlreadyRegistered);
  state.ranges[(char *)address] = {size, REGISTERED, current_device};
  return cudaSuccess;
}
EXPORT cudaError_t cudaHostUnregister(void *address) {
  ENTER("cudaHostUnregister");
  LOCK;
  auto found = state.ranges.find((char *)address);
  if (found == state.ranges.end() || found->second.kind != REGISTERED)
    return fail(cudaErrorHostMemoryNotRegistered);
  for (auto &copy : state.copies)
    if (copy.from && range_of(copy.from) == &found->second)
      ledger_count("hazard", "memory is unpinned before it has been copied", copy.size);
  state.ranges.erase(found);
  return cudaSuccess;
}
EXPORT cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes,
                                            const void *address) {
  LOCK;
  Range *range = range_of(address);
  *attributes = {};
  attributes->type = !range                  ? cudaMemoryTypeUnregistered
                     : range->kind == DEVICE ? cudaMemoryTypeDevice
                                             : cudaMemoryTypeHost;
  attributes->device = range ? range->device : -2;
  attributes->devicePointer = range ? (void *)address : nullptr;
  attributes->hostPointer = (void *)address;
  return cudaSuccess;
}
EXPORT cudaError_t cudaMemGetInfo(size_t *free, size_t *total) {
  ENTER("cudaMemGetInfo");
  *total = memory_bytes();
  *free = memory_bytes() - state.used[current_device] - CONTEXT_BYTES;
  return cudaSuccess;
}

static cudaError_t copy(void *to, const void *from, size_t size, bool asynchronous,
                        cudaStream_t stream = nullptr) {
  ENTER("cudaMemcpy");
  if (!size) return cudaSuccess;
  std::unique_lock<std::recursive_mutex> guard(state.lock);
  bool to_device = false, from_device = false, pinned = true;
  for (const void *address : {(const void *)to, from}) {
    char *begin;
    Range *range = range_of(address, &begin);
    bool on_device = range && range->kind == DEVICE;
    (address == to ? to_device : from_device) = on_device;
    pinned = pinned && range;
    if (range && (char *)address + size > begin + range->size)
      ledger_count("hazard", "copy past the end of an allocation", size);
  }
  if (from_device && !to_device && state.computed) from = nullptr;
  std::string name = std::string(from_device ? "D" : "H") + "2" + (to_device ? "D" : "H");
  if (!asynchronous || !pinned) {
    NOT_IN_CAPTURE("copy", stream, !asynchronous);
    name += asynchronous ? " pageable" : " synchronous";
    guard.unlock();
    ledger_count("wait", ("copy " + name).c_str(), size);
    guard.lock();
    make_copies();
    make({0, to, from, size});
    return cudaSuccess;
  }
  if (capturing(stream)) {
    if (!to_device || !from_device)
      ledger_count("hazard", "a graph copies from or to memory of the host", size);
    return capture_node(("copy " + name).c_str(), stream), cudaSuccess;
  }
  ledger_count("copy", name.c_str(), size);
  if (to_device && from_device) {  // in the order of the stream, like a kernel
    make_copies();
    make({0, to, from, size});
  } else {
    state.copies.push_back({++state.number, to, from, size});
  }
  return cudaSuccess;
}
EXPORT cudaError_t cudaMemcpy(void *to, const void *from, size_t size, enum cudaMemcpyKind) {
  return copy(to, from, size, false);
}
EXPORT cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t size, enum cudaMemcpyKind,
                                   cudaStream_t stream) {
  return copy(to, from, size, true, stream);
}
EXPORT cudaError_t cudaMemcpyPeerAsync(void *to, int, const void *from, int, size_t size,
                                       cudaStream_t stream) {
  return copy(to, from, size, true, stream);
}
EXPORT cudaError_t cudaMemsetAsync(void *to, int value, size_t size, cudaStream_t stream) {
  ENTER("cudaMemsetAsync");
  if (capturing(stream)) return capture_node("memset", stream), cudaSuccess;
  ledger_count("launch", "memset", size);
  if (size <= 4096) memset(to, value, size);  // flags that the host reads; no more, for speed
  return cudaSuccess;
}
EXPORT cudaError_t cudaMemset(void *to, int value, size_t size) {
  return cudaMemsetAsync(to, value, size, nullptr);
}

// ---- streams and events
static cudaError_t query(unsigned long long after, int &polls) {
  if (state.lost) return fail(cudaErrorLaunchFailure);
  if (!pending(after)) return cudaSuccess;
  if (++polls < POLLS) return cudaErrorNotReady;
  make_copies(after);
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned, int) {
  ENTER("cudaStreamCreate");
  *stream = (cudaStream_t) new int;
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
  return cudaStreamCreateWithPriority(stream, flags, 0);
}
EXPORT cudaError_t cudaStreamCreate(cudaStream_t *stream) {
  return cudaStreamCreateWithPriority(stream, 0, 0);
}
EXPORT cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
EXPORT cudaError_t cudaStreamGetPriority(cudaStream_t, int *priority) {
  *priority = 0;
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  NOT_IN_CAPTURE("cudaStreamSynchronize", stream, true);
  return wait_for_all("cudaStreamSynchronize");
}
EXPORT cudaError_t cudaStreamQuery(cudaStream_t stream) {
  NOT_IN_CAPTURE("cudaStreamQuery", stream, true);
  static int polls = 0;
  return query(~0ull, polls);
}
EXPORT cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  capture_wait(stream, ((Event *)event)->stream, ((Event *)event)->node);
  return cudaSuccess;
}
EXPORT cudaError_t cudaLaunchHostFunc(cudaStream_t, cudaHostFn_t function, void *data) {
  function(data);
  return cudaSuccess;
}
EXPORT cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned) {
  ENTER("cudaEventCreate");
  *event = (cudaEvent_t) new Event;
  return cudaSuccess;
}
EXPORT cudaError_t cudaEventCreate(cudaEvent_t *event) {
  return cudaEventCreateWithFlags(event, 0);
}
EXPORT cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete (Event *)event;
  return cudaSuccess;
}
EXPORT cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  ENTER("cudaEventRecord");
  LOCK;
  *(Event *)event = {state.number, 0, stream, capture_record(stream)};
  return cudaSuccess;
}
EXPORT cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned) {
  return cudaEventRecord(event, stream);
}
EXPORT cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  ENTER("cudaEventSynchronize");
  NOT_IN_CAPTURE("cudaEventSynchronize", ((Event *)event)->stream, true);
  ledger_count("wait", "cudaEventSynchronize", 0);
  make_copies(((Event *)event)->after);
  return cudaSuccess;
}
EXPORT cudaError_t cudaEventQuery(cudaEvent_t event) {
  NOT_IN_CAPTURE("cudaEventQuery", nullptr, true);
  return query(((Event *)event)->after, ((Event *)event)->polls);
}
EXPORT cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t, cudaEvent_t) {
  *milliseconds = 1;
  return cudaSuccess;
}
EXPORT cudaError_t cudaDeviceSynchronize() { return wait_for_all("cudaDeviceSynchronize"); }

// ---- errors
EXPORT cudaError_t cudaGetLastError() {
  if (state.lost) return cudaErrorLaunchFailure;
  cudaError_t error = last;
  last = cudaSuccess;
  return error;
}
EXPORT cudaError_t cudaPeekAtLastError() { return state.lost ? cudaErrorLaunchFailure : last; }
EXPORT const char *cudaGetErrorName(cudaError_t) { return "cudaErrorOfStandIn"; }
EXPORT const char *cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInitializationError: return "initialization error";
    case cudaErrorLaunchFailure: return "unspecified launch failure";
    case cudaErrorStreamCaptureUnsupported: return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated: return "capture of a graph was invalidated";
    case cudaErrorOperatingSystem: return "OS call failed or operation not supported on this OS";
    default: return "error of the stand-in";
  }
}
