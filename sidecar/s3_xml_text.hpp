// How does a key go into S3's XML unharmed, and which keys do not?
// Pure. Writing only; reading is s3_xml.hpp.
#pragma once

#include <string>
#include <string_view>

namespace objectlink {

// May this key stand in a DeleteObjects body? False for keys that XML 1.0 cannot carry (most control characters,
// U+FFFE, U+FFFF, what is not UTF-8), and for those that a careless parser at the other end might change into another
// key, which would then be deleted in its place: any control character, U+2028, white space at either end.
// Such a key is deleted by a request of its own.
bool xml_safe(std::string_view key);

// Content of an element. Everything outside of plain printable text becomes a character reference, so that no parser
// normalises line ends or trims. Bytes that are not UTF-8 pass as they are: ask xml_safe() first.
std::string xml_escape(std::string_view text);

}  // namespace objectlink
