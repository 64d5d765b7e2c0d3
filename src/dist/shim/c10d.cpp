// libtorch's process groups behind a C face: exceptions become messages, smart pointers become opaque ones.
#define USE_C10D_GLOO
#include "c10d.h"
#include "guarded.h"

#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

using c10::intrusive_ptr;
using c10d::Backend;
using c10d::Store;
using std::chrono::milliseconds;

struct rb_group {
  intrusive_ptr<Store> store;
  intrusive_ptr<Backend> backend;
  milliseconds timeout;
};

struct rb_work {
  intrusive_ptr<c10d::Work> work;
};

namespace {

// Starts an operation with the group's timeout in its options.
template <typename Options, typename F>
char* started(rb_group* group, rb_work** out, F operation) {
  return guarded([&] {
    Options options;
    options.timeout = group->timeout;
    *out = new rb_work{operation(options)};
  });
}

at::Tensor& tensor(void* pointer) {
  return *static_cast<at::Tensor*>(pointer);
}

// What the library for NCCL offers: makes a group on the current device.
using MakeNccl = Backend* (*)(Store* store, int rank, int world, int64_t timeout_ms);

intrusive_ptr<Backend> backend(const intrusive_ptr<Store>& store, int rank, int world, milliseconds timeout, const char* address, void* nccl) {
  if (nccl != nullptr) {
    Backend* made = reinterpret_cast<MakeNccl>(nccl)(store.get(), rank, world, timeout.count());
    return intrusive_ptr<Backend>::reclaim(made);
  }
  auto options = c10d::ProcessGroupGloo::Options::create(timeout);
  options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(address));
  options->threads = 2;
  return c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, world, options);
}

}  // namespace

char* rb_join(const char* host, int port, int listening, int rank, int world, int64_t timeout_ms, const char* address, void* nccl, rb_group** out) {
  return guarded([&] {
    c10d::TCPStoreOptions options;
    options.port = static_cast<std::uint16_t>(port);
    options.isServer = rank == 0;
    options.numWorkers = world;
    options.timeout = milliseconds(timeout_ms);
    if (rank == 0 && listening >= 0) {
      options.masterListenFd = listening;
    }
    intrusive_ptr<Store> meeting = c10::make_intrusive<c10d::TCPStore>(std::string(host), options);
    intrusive_ptr<Store> store = c10::make_intrusive<c10d::PrefixStore>("training", meeting);
    *out = new rb_group{store, backend(store, rank, world, milliseconds(timeout_ms), address, nccl), milliseconds(timeout_ms)};
  });
}

char* rb_all_reduce(rb_group* group, void* of, int what, rb_work** out) {
  return started<c10d::AllreduceOptions>(group, out, [&](auto& options) {
    options.reduceOp = what == 1 ? c10d::ReduceOp::MAX : c10d::ReduceOp::SUM;
    std::vector<at::Tensor> all{tensor(of)};
    return group->backend->allreduce(all, options);
  });
}

char* rb_reduce_scatter(rb_group* group, void* part, void* whole, rb_work** out) {
  return started<c10d::ReduceScatterOptions>(
      group, out, [&](auto& options) { return group->backend->_reduce_scatter_base(tensor(part), tensor(whole), options); });
}

char* rb_all_gather(rb_group* group, void* whole, void* part, rb_work** out) {
  return started<c10d::AllgatherOptions>(
      group, out, [&](auto& options) { return group->backend->_allgather_base(tensor(whole), tensor(part), options); });
}

char* rb_broadcast(rb_group* group, void* of, int root, rb_work** out) {
  return started<c10d::BroadcastOptions>(group, out, [&](auto& options) {
    options.rootRank = root;
    std::vector<at::Tensor> all{tensor(of)};
    return group->backend->broadcast(all, options);
  });
}

char* rb_wait(rb_work* work) {
  char* failed = guarded([&] { work->work->wait(); });
  delete work;
  return failed;
}

void rb_leave(rb_group* group) {
  rb_free(guarded([&] { delete group; }));
}

void rb_free(char* text) {
  std::free(text);
}
