// The crossing from C++ errors to PostgreSQL errors.
#include "boundary.hpp"

#include "core/utf8.hpp"

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>

namespace objectlink {

namespace {

template <std::size_t N>
void copy_text(char (&to)[N], std::string_view text) noexcept {
  std::size_t bytes = std::min(text.size(), N - 1);
  // A character cut in two would make the message invalid in the client's encoding.
  if (const auto malformed = find_malformed_utf8(text.substr(0, bytes)); malformed != std::string_view::npos)
    bytes = malformed;
  std::memcpy(to, text.data(), bytes);
  to[bytes] = '\0';
}

}  // namespace

void Failure::set(int state, std::string_view message_text, std::string_view detail_text,
                  std::string_view hint_text) noexcept {
  sqlstate = state;
  copy_text(message, message_text);
  copy_text(detail, detail_text);
  copy_text(hint, hint_text);
}

void set_from_exception(Failure& failure) noexcept {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    failure.set(ERRCODE_OUT_OF_MEMORY, "out of memory", {}, {});
  } catch (const std::exception& error) {
    failure.set(ERRCODE_INTERNAL_ERROR, "unexpected error in objectlink", error.what(), {});
  } catch (...) {
    failure.set(ERRCODE_INTERNAL_ERROR, "unexpected error in objectlink", {}, {});
  }
}

void raise_failure(const Failure& failure) {
  if (failure.sqlstate == 0) return;
  ereport(ERROR, errcode(failure.sqlstate), errmsg_internal("%s", failure.message),
          failure.detail[0] != '\0' ? errdetail_internal("%s", failure.detail) : 0,
          failure.hint[0] != '\0' ? errhint("%s", failure.hint) : 0);
}

}  // namespace objectlink
