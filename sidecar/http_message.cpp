// See http_message.hpp.
#include "http_message.hpp"

namespace objectlink {

const std::string* HttpReply::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (key == name) return &value;
  return nullptr;
}

}  // namespace objectlink
