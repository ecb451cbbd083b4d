// Which bytes are in a gzip? Given in pieces, inflated in pieces as large as the caller wants, so that memory stays bounded whatever a
// file says of itself. The only place that includes zlib. Confined to one thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace objectlink {

class Gunzip {
 public:
  enum class Step {
    bytes,   // some were added, and there may be more
    hungry,  // all that was given is inflated
    broken,  // no gzip, or a damaged one (CRC and length included); nothing more will come
  };

  Gunzip();
  ~Gunzip();
  Gunzip(Gunzip&&) noexcept;
  Gunzip& operator=(Gunzip&&) noexcept;

  // Only when hungry, which it is at first.
  void give(std::string compressed);
  // Adds at most `bytes_max` bytes to `out`.
  Step inflate(std::string& out, std::size_t bytes_max);
  // Whole members (RFC 1952, 2.2) and nothing else were given: nothing is missing.
  bool is_whole() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace objectlink
