// Capture of CUDA graphs by the stand-in runtime. A graph is its number of nodes; its launch counts
// as one. One capture at a time, as in a training step.
#include "capture.h"

#include <stdlib.h>

#include <map>
#include <mutex>
#include <thread>

#include "ledger.h"

#define EXPORT extern "C" __attribute__((visibility("default")))
#define LOCK std::lock_guard<std::recursive_mutex> guard(capture.lock)

extern "C" void stand_in_count(const char *event, const char *detail, size_t bytes);

struct Capture {
  std::recursive_mutex lock;
  bool active = false, valid = true;
  cudaStream_t origin = nullptr;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id thread;
  unsigned long long id = 0;
  size_t nodes = 0;
  std::map<cudaStream_t, long> last, joined;  // by stream: its nodes, and how many are waited for
};
static Capture &capture = *new Capture;  // never freed: threads of torch outlive main
static thread_local cudaStreamCaptureMode mode_of_thread = cudaStreamCaptureModeGlobal;

bool capturing() {
  LOCK;
  return capture.active;
}
bool capturing(cudaStream_t stream) {
  LOCK;
  return capture.active && capture.last.count(stream);
}
void capture_node(const char *name, cudaStream_t stream) {
  LOCK;
  if (capturing(stream)) capture.last[stream]++;
  ledger_count("node", name, 0);
  capture.nodes++;
}
cudaError_t capture_refuses(const char *call, cudaStream_t stream, bool unsafe) {
  LOCK;
  if (!capture.active) return cudaSuccess;
  bool here = capture.thread == std::this_thread::get_id();
  bool refused = capturing(stream);
  if (unsafe && mode_of_thread != cudaStreamCaptureModeRelaxed)
    refused = refused || (here && capture.mode != cudaStreamCaptureModeRelaxed) ||
              (mode_of_thread == cudaStreamCaptureModeGlobal &&
               capture.mode == cudaStreamCaptureModeGlobal);
  if (!refused) return cudaSuccess;
  capture.valid = false;
  ledger_count("refused in capture", call, 0);
  return cudaErrorStreamCaptureUnsupported;
}
long capture_record(cudaStream_t stream) {
  LOCK;
  return capturing(stream) ? capture.last[stream] + 1 : 0;
}
void capture_wait(cudaStream_t waiting, cudaStream_t recorded, long node) {
  LOCK;
  if (!capture.active || !node) return;
  capture.joined[recorded] = node - 1;
  capture.last.insert({waiting, 0});
}

EXPORT cudaError_t cudaStreamIsCapturing(cudaStream_t stream,
                                         enum cudaStreamCaptureStatus *status) {
  *status = capturing(stream) ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream,
                                            enum cudaStreamCaptureStatus *status,
                                            unsigned long long *id, cudaGraph_t *graph,
                                            const cudaGraphNode_t **nodes,
                                            const cudaGraphEdgeData **edges, size_t *count) {
  cudaStreamIsCapturing(stream, status);
  if (id) *id = capturing(stream) ? capture.id : 0;
  if (graph) *graph = capturing(stream) ? (cudaGraph_t)&capture : nullptr;
  if (nodes) *nodes = nullptr;
  if (edges) *edges = nullptr;
  if (count) *count = 0;
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
  LOCK;
  if (!stream || capture.active || getenv("STAND_IN_NO_CAPTURE"))
    return cudaErrorStreamCaptureUnsupported;
  capture.active = capture.valid = true;
  capture.origin = stream, capture.mode = mode, capture.thread = std::this_thread::get_id();
  capture.id++, capture.nodes = 0;
  capture.last = {{stream, 0}};
  capture.joined.clear();
  return cudaSuccess;
}
EXPORT cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t *graph) {
  LOCK;
  capture.active = false;
  *graph = nullptr;
  if (!capture.valid) return cudaErrorStreamCaptureInvalidated;
  for (auto &[stream, node] : capture.last)
    if (stream != capture.origin && capture.joined[stream] < node) {
      ledger_count("refused in capture", "a stream is not joined", 0);
      return cudaErrorStreamCaptureUnjoined;
    }
  *graph = (cudaGraph_t) new size_t(capture.nodes);
  return cudaSuccess;
}
EXPORT cudaError_t cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode *mode) {
  std::swap(*mode, mode_of_thread);
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *made, cudaGraph_t,
                                                 unsigned long long) {
  *made = (cudaGraphExec_t)&capture;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *, size_t *count) {
  *count = *(size_t *)graph;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphLaunch(cudaGraphExec_t, cudaStream_t) {
  stand_in_count("launch", "graph", 0);
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete (size_t *)graph;
  return cudaSuccess;
}
EXPORT cudaError_t cudaGraphExecDestroy(cudaGraphExec_t) { return cudaSuccess; }
