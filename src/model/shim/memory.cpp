// Memory of large tensors on a processor. A training frees in each backward what it takes in each forward: given back to the system it is cleared
// anew each step, and left to the C library's heap it makes holes. Here a freed block waits for the next tensor of about its size, and what waits
// never lifts the process above the most that its tensors ever held at once.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <unordered_map>

#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>

namespace {

// Smaller tensors are the C library's.
constexpr size_t LARGE = 512 << 10;
// From here on blocks ask for large pages.
constexpr size_t HUGE = 4 << 20;
constexpr size_t PAGE = 4096;

class Blocks {
 public:
  // Returns null where the system has no memory left.
  void* take(size_t bytes) {
    size_t size = (bytes + PAGE - 1) / PAGE * PAGE;
    std::lock_guard<std::mutex> lock(mutex_);
    auto fits = waiting_.lower_bound(size);
    // A block that is much too large would be missed by the tensor that it fits.
    if (fits != waiting_.end() && fits->first <= size + size / 8) {
      void* block = fits->second;
      size = fits->first;
      waiting_.erase(fits);
      spare_ -= size;
      return used(block, size);
    }
    while (spare_ > 0 && used_ + spare_ + size > most_) {
      give_back();
    }
    void* block = map(size);
    while (block == nullptr && spare_ > 0) {
      give_back();
      block = map(size);
    }
    return block == nullptr ? nullptr : used(block, size);
  }

  // Takes a block back; says whether it was one of these.
  bool put(void* block) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = sizes_.find(block);
    if (found == sizes_.end()) {
      return false;
    }
    size_t size = found->second;
    sizes_.erase(found);
    used_ -= size;
    spare_ += size;
    waiting_.emplace(size, block);
    return true;
  }

 private:
  static void* map(size_t size) {
    void* block = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) {
      return nullptr;
    }
    if (size >= HUGE) {
      madvise(block, size, MADV_HUGEPAGE);
    }
    return block;
  }

  void* used(void* block, size_t size) {
    sizes_.emplace(block, size);
    used_ += size;
    most_ = std::max(most_, used_);
    return block;
  }

  // Gives the largest waiting block back to the system.
  void give_back() {
    auto last = std::prev(waiting_.end());
    munmap(last->second, last->first);
    spare_ -= last->first;
    waiting_.erase(last);
  }

  std::mutex mutex_;
  std::multimap<size_t, void*> waiting_;
  std::unordered_map<void*, size_t> sizes_;
  size_t used_ = 0, spare_ = 0, most_ = 0;
};

Blocks& blocks() {
  static Blocks* all = new Blocks;  // outlives every tensor
  return *all;
}

void release(void* pointer) {
  // Blocks begin with a page, as few small ones do.
  if (reinterpret_cast<uintptr_t>(pointer) % PAGE != 0 || !blocks().put(pointer)) {
    c10::free_cpu(pointer);
  }
}

struct Memory final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* data = nullptr;
    if (bytes < LARGE) {
      data = c10::alloc_cpu(bytes);
    } else {
      data = blocks().take(bytes);
      TORCH_CHECK(data != nullptr, "not enough memory: you tried to allocate ", bytes, " bytes");
    }
    return {data, data, &release, c10::Device(c10::DeviceType::CPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override {
    return &release;
  }

  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
};

}  // namespace

extern "C" void rb_keep_memory() {
  static bool once = [] {
    c10::SetCPUAllocator(new Memory, 1);
    return true;
  }();
  (void)once;
}
