// How is a secret kept from logs, dumps and error messages?
// A string that prints as *** and is wiped when it goes. Copies are allowed (and wiped as well). Not a vault: the
// bytes are in memory while in use.
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>

namespace objectlink {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string_view text);
  Secret(const Secret& other);
  Secret(Secret&& other) noexcept;
  Secret& operator=(const Secret& other);
  Secret& operator=(Secret&& other) noexcept;
  ~Secret();

  // The only way to the bytes; the name is meant to be searched for.
  std::string_view reveal() const { return text_; }
  bool empty() const { return text_.empty(); }
  bool operator==(const Secret& other) const;  // time independent of where they differ

 private:
  void wipe();
  std::string text_;
};

std::ostream& operator<<(std::ostream& out, const Secret& secret);  // ***, or nothing when empty

}  // namespace objectlink
