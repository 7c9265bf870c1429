// Streams and events.
#include <vector>

#include "runtime.h"

namespace gpuemu {
namespace {

struct Event {
  std::shared_ptr<Mark> mark;  // of the last record
  bool asked = false;          // a query has been answered "not ready" since
};

/// Streams and events that exist; a handle that is not among them is an error, not a crash.
struct Handles {
  std::vector<Stream*> streams;
  std::vector<std::unique_ptr<Event>> events;
  Stream* per_thread = nullptr;
};

Handles& handles() {
  static auto* h = new Handles;
  return *h;
}

Event* event_of(cudaEvent_t handle) {
  for (const auto& e : handles().events)
    if (static_cast<void*>(e.get()) == static_cast<void*>(handle)) return e.get();
  return nullptr;
}

cudaError_t create_stream(cudaStream_t* out, unsigned flags) {
  Stream* stream = queue().create((flags & cudaStreamNonBlocking) == 0);
  handles().streams.push_back(stream);
  *out = reinterpret_cast<cudaStream_t>(stream);
  return cudaSuccess;
}

cudaError_t create_event(cudaEvent_t* out) {
  handles().events.push_back(std::make_unique<Event>());
  *out = reinterpret_cast<cudaEvent_t>(handles().events.back().get());
  return cudaSuccess;
}

}  // namespace

Stream* stream_of(cudaStream_t handle) {
  if (handle == nullptr || handle == cudaStreamLegacy) return &queue().default_stream();
  if (handle == cudaStreamPerThread) {
    if (handles().per_thread == nullptr) handles().per_thread = queue().create(true);
    return handles().per_thread;
  }
  for (Stream* s : handles().streams)
    if (static_cast<void*>(s) == static_cast<void*>(handle)) return s;
  return nullptr;
}

}  // namespace gpuemu

using gpuemu::handles;
using gpuemu::queue;
using gpuemu::result;
using gpuemu::stream_of;

extern "C" {

cudaError_t cudaStreamCreate(cudaStream_t* out) {
  KARYON_GPUEMU_CALL();
  return gpuemu::create_stream(out, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* out, unsigned flags) {
  KARYON_GPUEMU_CALL();
  return gpuemu::create_stream(out, flags);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* out, unsigned flags, int) {
  KARYON_GPUEMU_CALL();
  return gpuemu::create_stream(out, flags);
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  KARYON_GPUEMU_CALL();
  gpuemu::Stream* stream = stream_of(handle);
  if (stream == nullptr || handle == nullptr) return result(cudaErrorInvalidResourceHandle);
  queue().destroy(stream);
  std::erase(handles().streams, stream);
  return gpuemu::sticky_error();
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  KARYON_GPUEMU_CALL();
  gpuemu::Stream* stream = stream_of(handle);
  if (stream == nullptr) return result(cudaErrorInvalidResourceHandle);
  ++gpuemu::calls().synchronizations;
  queue().synchronize(*stream);
  return gpuemu::sticky_error();
}

/// Not ready the first time, so that nobody takes the answer for granted.
cudaError_t cudaStreamQuery(cudaStream_t handle) {
  KARYON_GPUEMU_CALL();
  gpuemu::Stream* stream = stream_of(handle);
  if (stream == nullptr) return result(cudaErrorInvalidResourceHandle);
  if (queue().idle(*stream)) return cudaSuccess;
  queue().synchronize(*stream);
  return gpuemu::sticky_error() != cudaSuccess ? gpuemu::sticky_error() : cudaErrorNotReady;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event_handle, unsigned) {
  KARYON_GPUEMU_CALL();
  gpuemu::Stream* stream = stream_of(handle);
  gpuemu::Event* event = gpuemu::event_of(event_handle);
  if (stream == nullptr || event == nullptr) return result(cudaErrorInvalidResourceHandle);
  if (event->mark != nullptr) queue().wait(*stream, event->mark);
  return gpuemu::sticky_error();
}

cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status) {
  *status = cudaStreamCaptureStatusNone;
  return cudaSuccess;
}

cudaError_t cudaStreamGetFlags(cudaStream_t handle, unsigned* flags) {
  KARYON_GPUEMU_CALL();
  gpuemu::Stream* stream = stream_of(handle);
  if (stream == nullptr) return result(cudaErrorInvalidResourceHandle);
  *flags = stream->blocking ? cudaStreamDefault : cudaStreamNonBlocking;
  return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void* data) {
  KARYON_GPUEMU_CALL();
  gpuemu::Stream* stream = stream_of(handle);
  if (stream == nullptr) return result(cudaErrorInvalidResourceHandle);
  queue().add(*stream, [function, data](gpuemu::Moment) { function(data); });
  return gpuemu::sticky_error();
}

cudaError_t cudaEventCreate(cudaEvent_t* out) {
  KARYON_GPUEMU_CALL();
  return gpuemu::create_event(out);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* out, unsigned) {
  KARYON_GPUEMU_CALL();
  return gpuemu::create_event(out);
}

cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  KARYON_GPUEMU_CALL();
  const gpuemu::Event* event = gpuemu::event_of(handle);
  if (event == nullptr) return result(cudaErrorInvalidResourceHandle);
  std::erase_if(handles().events, [event](const auto& e) { return e.get() == event; });
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t stream_handle) {
  KARYON_GPUEMU_CALL();
  gpuemu::Stream* stream = stream_of(stream_handle);
  gpuemu::Event* event = gpuemu::event_of(handle);
  if (stream == nullptr || event == nullptr) return result(cudaErrorInvalidResourceHandle);
  event->mark = queue().record(*stream);
  event->asked = false;
  return gpuemu::sticky_error();
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned) {
  return cudaEventRecord(event, stream);
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  KARYON_GPUEMU_CALL();
  gpuemu::Event* event = gpuemu::event_of(handle);
  if (event == nullptr) return result(cudaErrorInvalidResourceHandle);
  ++gpuemu::calls().synchronizations;
  if (event->mark != nullptr) queue().synchronize(event->mark);
  return gpuemu::sticky_error();
}

/// Not ready the first time; a loop that polls ends.
cudaError_t cudaEventQuery(cudaEvent_t handle) {
  KARYON_GPUEMU_CALL();
  gpuemu::Event* event = gpuemu::event_of(handle);
  if (event == nullptr) return result(cudaErrorInvalidResourceHandle);
  if (event->mark == nullptr) return cudaSuccess;
  if (!event->mark->done && !event->asked) {
    event->asked = true;
    return cudaErrorNotReady;
  }
  queue().synchronize(event->mark);
  return gpuemu::sticky_error();
}

/// The host's time: no measure of a device.
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin_handle, cudaEvent_t end_handle) {
  KARYON_GPUEMU_CALL();
  const gpuemu::Event *begin = gpuemu::event_of(begin_handle), *end = gpuemu::event_of(end_handle);
  if (begin == nullptr || end == nullptr || begin->mark == nullptr || end->mark == nullptr)
    return result(cudaErrorInvalidResourceHandle);
  if (!begin->mark->done || !end->mark->done) return result(cudaErrorNotReady);
  *milliseconds = std::chrono::duration<float, std::milli>(end->mark->when - begin->mark->when).count();
  return cudaSuccess;
}

}  // extern "C"
