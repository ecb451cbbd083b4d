// Wiping and masking: see secret.hpp.
#include "secret.hpp"

#include <openssl/crypto.h>

#include <ostream>
#include <utility>

namespace objectlink {

Secret::Secret(std::string_view text) : text_(text) {}
Secret::Secret(const Secret& other) : text_(other.text_) {}

Secret::Secret(Secret&& other) noexcept : text_(std::move(other.text_)) {
  // A short string is copied, not moved: its bytes would stay behind.
  other.wipe();
}

Secret& Secret::operator=(const Secret& other) {
  if (this != &other) {
    wipe();
    text_ = other.text_;
  }
  return *this;
}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    wipe();
    text_ = std::move(other.text_);
    other.wipe();
  }
  return *this;
}

Secret::~Secret() { wipe(); }

bool Secret::operator==(const Secret& other) const {
  return text_.size() == other.text_.size() && CRYPTO_memcmp(text_.data(), other.text_.data(), text_.size()) == 0;
}

void Secret::wipe() {
  text_.resize(text_.capacity());  // never reallocates; reaches what an earlier, longer content left
  OPENSSL_cleanse(text_.data(), text_.size());
  text_.clear();
}

std::ostream& operator<<(std::ostream& out, const Secret& secret) { return secret.empty() ? out : out << "***"; }

}  // namespace objectlink
