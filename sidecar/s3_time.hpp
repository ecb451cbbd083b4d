// What moment does a time of S3 or HTTP mean?
// Pure. Reads only the forms that S3 writes; knows no clock.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace objectlink {

// "2009-10-12T17:50:30.000Z", the fraction optional, "+00:00" allowed for "Z"; nothing for other text.
std::optional<std::chrono::system_clock::time_point> parse_iso8601(std::string_view text);

// "Wed, 21 Oct 2015 07:28:00 GMT"; nothing for other text.
std::optional<std::chrono::system_clock::time_point> parse_http_date(std::string_view text);

}  // namespace objectlink
