// Is this text well-formed UTF-8, and if not, where does it break? Says nothing about normal forms: nothing is ever
// normalised.
#pragma once

#include <cstddef>
#include <string_view>

namespace objectlink {

/// Offset of the first byte that begins no well-formed sequence, or std::string_view::npos.
/// Well-formed as in RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF, nothing cut short.
std::size_t find_malformed_utf8(std::string_view text) noexcept;

}  // namespace objectlink
