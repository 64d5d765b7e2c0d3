// The C face of libtorch's process groups. Every call returns null, or a message that the caller frees with rb_free.
#pragma once
#include <cstdint>

extern "C" {
struct rb_group;
struct rb_work;

// Meets the other ranks at `host:port` and forms a group over Gloo, or over NCCL where `nccl` makes one. Rank 0 serves the meeting
// place: on the socket `listening`, or on one of its own where that is negative. `address` is this process's own, for the others to connect to.
char* rb_join(const char* host, int port, int listening, int rank, int world, int64_t timeout_ms, const char* address, void* nccl, rb_group** out);

// Each starts one collective operation; its tensors must live until rb_wait. `what` of rb_all_reduce: 0 sum, 1 maximum.
char* rb_all_reduce(rb_group* group, void* tensor, int what, rb_work** out);
char* rb_reduce_scatter(rb_group* group, void* part, void* whole, rb_work** out);
char* rb_all_gather(rb_group* group, void* whole, void* part, rb_work** out);
char* rb_broadcast(rb_group* group, void* tensor, int root, rb_work** out);

// Waits for an operation and frees it.
char* rb_wait(rb_work* work);

// Leaves a group whose operations are all done, and frees it.
void rb_leave(rb_group* group);

void rb_free(char* message);
}
