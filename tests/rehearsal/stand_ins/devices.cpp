// What the stand-in CUDA runtime says of its devices and versions.
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <unistd.h>

#include "ledger.h"
#include "settings.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

static const int FIRST_BUS = 0x34, VERSION = 13000;
static const pid_t owner = getpid();

static cudaError_t in_owner(const char *call) {
  if (getpid() == owner) return cudaSuccess;
  ledger_count("forked", call, 0);
  return cudaErrorInitializationError;
}

EXPORT cudaError_t cudaGetDeviceCount(int *count) {
  cudaError_t error = in_owner("cudaGetDeviceCount");
  *count = error ? 0 : gpus();
  return error ? error : gpus() ? cudaSuccess : cudaErrorNoDevice;
}
EXPORT cudaError_t cudaGetDevice(int *device) {
  *device = current_device;
  return cudaSuccess;
}
EXPORT cudaError_t cudaSetDevice(int device) {
  if (cudaError_t error = in_owner("cudaSetDevice")) return error;
  if (device < 0 || device >= gpus()) return cudaErrorInvalidDevice;
  current_device = device;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *of, int device) {
  *of = {};
  strcpy(of->name, h200() ? "NVIDIA H200 (stand-in)" : v100() ? "Tesla V100 (stand-in)" : "Tesla T4 (stand-in)");
  of->major = h200() ? 9 : 7;
  of->minor = h200() || v100() ? 0 : 5;
  of->totalGlobalMem = memory_bytes();
  of->multiProcessorCount = h200() ? 132 : 40;
  of->warpSize = 32;
  of->maxThreadsPerBlock = 1024;
  of->maxThreadsPerMultiProcessor = h200() ? 2048 : 1024;
  of->maxBlocksPerMultiProcessor = h200() ? 32 : 16;
  of->sharedMemPerBlock = 49152;
  of->sharedMemPerMultiprocessor = h200() ? 233472 : 65536;
  of->sharedMemPerBlockOptin = h200() ? 232448 : 65536;
  of->regsPerBlock = of->regsPerMultiprocessor = 65536;
  of->maxThreadsDim[0] = of->maxThreadsDim[1] = 1024;
  of->maxThreadsDim[2] = 64;
  of->maxGridSize[0] = 2147483647;
  of->maxGridSize[1] = of->maxGridSize[2] = 65535;
  of->l2CacheSize = h200() ? 60 << 20 : 4 << 20;
  of->textureAlignment = 512;
  of->memPitch = 2147483647;
  of->totalConstMem = 65536;
  of->pciBusID = FIRST_BUS + device;
  of->unifiedAddressing = of->concurrentKernels = of->canMapHostMemory = 1;
  of->hostRegisterSupported = of->canUseHostPointerForRegisteredMem = 1;
  of->cooperativeLaunch = of->memoryPoolsSupported = 1;
  return cudaSuccess;
}
EXPORT cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device) {
  cudaDeviceProp of;
  cudaGetDeviceProperties(&of, device);
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor: *value = of.major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = of.minor; break;
    case cudaDevAttrMultiProcessorCount: *value = of.multiProcessorCount; break;
    case cudaDevAttrMaxThreadsPerBlock: *value = of.maxThreadsPerBlock; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = of.maxThreadsPerMultiProcessor; break;
    case cudaDevAttrMaxBlocksPerMultiprocessor: *value = of.maxBlocksPerMultiProcessor; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = of.sharedMemPerBlockOptin; break;
    case cudaDevAttrWarpSize: *value = of.warpSize; break;
    case cudaDevAttrMaxGridDimX: *value = of.maxGridSize[0]; break;
    case cudaDevAttrMaxGridDimY: *value = of.maxGridSize[1]; break;
    case cudaDevAttrMaxGridDimZ: *value = of.maxGridSize[2]; break;
    default: *value = 0;
  }
  return cudaSuccess;
}
EXPORT cudaError_t cudaDeviceGetPCIBusId(char *text, int size, int device) {
  snprintf(text, size, "0000:%02x:00.0", FIRST_BUS + device);
  return cudaSuccess;
}
EXPORT cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
  if (least) *least = 0;
  if (greatest) *greatest = -5;
  return cudaSuccess;
}
EXPORT cudaError_t cudaDeviceCanAccessPeer(int *can, int, int) {
  *can = 1;
  return cudaSuccess;
}
EXPORT cudaError_t cudaDeviceEnablePeerAccess(int, unsigned) { return cudaSuccess; }
EXPORT cudaError_t cudaRuntimeGetVersion(int *version) {
  *version = VERSION;
  return cudaSuccess;
}
EXPORT cudaError_t cudaDriverGetVersion(int *version) { return cudaRuntimeGetVersion(version); }
EXPORT cudaError_t cudaProfilerStart() { return cudaSuccess; }
EXPORT cudaError_t cudaProfilerStop() { return cudaSuccess; }
static long does_nothing() { return 0; }
EXPORT cudaError_t cudaGetDriverEntryPointByVersion(
    const char *, void **function, unsigned, unsigned long long,
    enum cudaDriverEntryPointQueryResult *result) {
  *function = (void *)does_nothing;
  if (result) *result = cudaDriverEntryPointSuccess;
  return cudaSuccess;
}
