// The driver, cuDNN, cuBLAS and NCCL: enough to be asked; their kernels are counted, nothing is computed.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

extern void stand_in_count(const char *event, const char *detail, size_t bytes);
extern void stand_in_launch(const char *name, size_t bytes, void *stream);
extern int stand_in_has_context(int device);
extern void stand_in_flush(void);
extern void stand_in_gathered(void);

#ifdef DRIVER
static char primary;

int cuCtxGetCurrent(void **context) { return *context = &primary, 0; }
// Without a context, a backward pass does not take over the stream of the thread that began it.
int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) {
  return *flags = 0, *active = stand_in_has_context(device), 0;
}
#endif

#ifdef CUDNN
enum { INT64 = 3, BACKEND_DESCRIPTOR = 15 };  // of cudnnBackendAttributeType_t
static char handle, descriptor[64];

int cudnnCreate(void **created) { return *created = &handle, 0; }
size_t cudnnGetVersion(void) { return 92000; }
size_t cudnnGetCudartVersion(void) { return 13000; }
int cudnnGetProperty(int property, int *value) {
  static const int version[] = {9, 20, 0};
  return *value = version[property], 0;
}
const char *cudnnGetErrorString(int status) { return "stand-in"; }
void cudnnGetLastErrorString(char *message, size_t size) {
  if (size) message[0] = 0;
}
int cudnnBackendCreateDescriptor(int type, void **created) { return *created = descriptor, 0; }
int cudnnBackendGetAttribute(void *of, int name, int type, int64_t wanted, int64_t *count,
                             void *values) {
  if (count) *count = type == BACKEND_DESCRIPTOR || type == INT64;
  if (type == INT64 && values && wanted >= 1) *(int64_t *)values = 0;
  return 0;
}
int cudnnBackendExecute(void *with, void *plan, void *variants) {
  return stand_in_count("launch", "cuDNN", 0), 0;
}
#endif

#ifdef CUBLAS
static char handle;

int cublasCreate_v2(void **created) { return *created = &handle, 0; }
int cublasGetMathMode(void *of, int *mode) { return *mode = 0, 0; }
int cublasGetPointerMode_v2(void *of, int *mode) { return *mode = 0, 0; }
const char *cublasGetStatusString(int status) { return "stand-in"; }
#define KERNEL(name) \
  int name(void) { return stand_in_count("launch", #name, 0), 0; }
KERNEL(cublasSgemm_v2)
KERNEL(cublasGemmEx)
KERNEL(cublasGemmStridedBatchedEx)
KERNEL(cublasSgemmStridedBatched)
KERNEL(cublasSgemv_v2)
KERNEL(cublasSdot_v2)
KERNEL(cublasDotEx)
#endif

#ifdef NCCL
// Every rank is taken to have what this one has: nothing is exchanged between processes.
struct Communicator {
  int size, rank;
};
struct UniqueId {
  char bytes[128];
};

int ncclGetVersion(int *version) { return *version = 22907, 0; }
int ncclGetUniqueId(struct UniqueId *id) { return memset(id, 1, sizeof *id), 0; }
int ncclCommInitRank(void **created, int size, struct UniqueId id, int rank) {
  struct Communicator *made = malloc(sizeof *made);
  made->size = size, made->rank = rank;
  return *created = made, 0;
}
int ncclCommInitRankConfig(void **created, int size, struct UniqueId id, int rank, void *options) {
  return ncclCommInitRank(created, size, id, rank);
}
int ncclCommGetAsyncError(void *of, int *error) { return *error = 0, 0; }
int ncclCommCount(void *of, int *size) { return *size = ((struct Communicator *)of)->size, 0; }
int ncclCommUserRank(void *of, int *rank) { return *rank = ((struct Communicator *)of)->rank, 0; }
const char *ncclGetErrorString(int error) { return "stand-in"; }
const char *ncclGetLastError(void *of) { return "stand-in"; }

static size_t width(int type) {  // of ncclDataType_t
  static const int bytes[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2};
  return bytes[type];
}
int ncclAllReduce(const void *from, void *to, size_t count, int type, int operation, void *with,
                  void *stream) {
  return stand_in_launch("ncclAllReduce", count * width(type), stream), 0;
}
int ncclBroadcast(const void *from, void *to, size_t count, int type, int root, void *with,
                  void *stream) {
  stand_in_launch("ncclBroadcast", count * width(type), stream);
  return stand_in_gathered(), 0;
}
int ncclBcast(void *buffer, size_t count, int type, int root, void *with, void *stream) {
  return ncclBroadcast(buffer, buffer, count, type, root, with, stream);
}
int ncclAllGather(const void *from, void *to, size_t count, int type, void *with, void *stream) {
  size_t size = count * width(type);
  stand_in_launch("ncclAllGather", size, stream);
  stand_in_flush();
  for (int rank = 0; rank < ((struct Communicator *)with)->size; rank++)
    memmove((char *)to + rank * size, from, size);
  stand_in_gathered();
  return 0;
}
#endif
