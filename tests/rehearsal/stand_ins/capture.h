// Capture of CUDA graphs: which streams take part, and what may not happen meanwhile.
#pragma once
#include <cuda_runtime_api.h>

// Whether what is queued in this stream goes into a graph.
bool capturing(cudaStream_t stream);
// Whether any stream does; the stand-ins for libraries do not know theirs.
bool capturing();
// Count a node of the graph, in a stream if it is known.
void capture_node(const char *name, cudaStream_t stream = nullptr);
// Refuse a call that may not be made while this stream is capturing, or, if `unsafe`, while this
// or any thread is; the capture is then invalid.
cudaError_t capture_refuses(const char *call, cudaStream_t stream, bool unsafe);
// An event recorded in a stream takes the streams that wait for it into the capture; returns the
// number of the stream's nodes and one, or 0 outside a capture.
long capture_record(cudaStream_t stream);
void capture_wait(cudaStream_t waiting, cudaStream_t recorded, long node);
