#include "gunzip.hpp"

#include <zlib.h>

#include <algorithm>
#include <limits>
#include <new>
#include <stdexcept>
#include <utility>

namespace objectlink {

namespace {

constexpr int gzip_only = 16 + MAX_WBITS;  // zlib.h, inflateInit2: no zlib header, no raw deflate

}  // namespace

struct Gunzip::State {
  z_stream stream = {};
  std::string given;
  bool in_member = false;  // begun and not ended
  bool any_member = false;
  bool broken = false;

  State() {
    const int result = inflateInit2(&stream, gzip_only);
    if (result == Z_MEM_ERROR) throw std::bad_alloc();
    if (result != Z_OK) throw std::runtime_error("zlib cannot be used");
  }
  ~State() { inflateEnd(&stream); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

Gunzip::Gunzip() : state_(std::make_unique<State>()) {}
Gunzip::~Gunzip() = default;
Gunzip::Gunzip(Gunzip&&) noexcept = default;
Gunzip& Gunzip::operator=(Gunzip&&) noexcept = default;

void Gunzip::give(std::string compressed) {
  if (compressed.size() > std::numeric_limits<uInt>::max()) throw std::invalid_argument("too much to inflate at once");
  state_->given = std::move(compressed);
  state_->stream.next_in = reinterpret_cast<Bytef*>(state_->given.data());
  state_->stream.avail_in = static_cast<uInt>(state_->given.size());
}

Gunzip::Step Gunzip::inflate(std::string& out, std::size_t bytes_max) {
  State& state = *state_;
  if (state.broken) return Step::broken;
  const std::size_t before = out.size();
  out.resize(before + bytes_max);
  state.stream.next_out = reinterpret_cast<Bytef*>(out.data() + before);
  state.stream.avail_out = static_cast<uInt>(bytes_max);
  while (state.stream.avail_out > 0 && !state.broken) {
    if (!state.in_member) {
      if (state.stream.avail_in == 0) break;
      // Another member may follow the one that has ended.
      if (state.any_member) inflateReset(&state.stream);
      state.in_member = state.any_member = true;
    }
    const int result = ::inflate(&state.stream, Z_NO_FLUSH);
    if (result == Z_MEM_ERROR) throw std::bad_alloc();
    if (result == Z_STREAM_END)
      state.in_member = false;
    else if (result != Z_OK && result != Z_BUF_ERROR)
      state.broken = true;
    else if (result == Z_BUF_ERROR || (state.stream.avail_in == 0 && state.stream.avail_out > 0))
      break;  // nothing to go on with
  }
  out.resize(out.size() - state.stream.avail_out);
  if (state.broken) return Step::broken;
  return out.size() > before ? Step::bytes : Step::hungry;
}

bool Gunzip::is_whole() const {
  return state_->any_member && !state_->in_member && !state_->broken && state_->stream.avail_in == 0;
}

}  // namespace objectlink
