// What is the root element of an XML reply?
// The step that all replies with an XML body share: status, well-formedness, an <Error> inside of a 200.
#pragma once

#include <pugixml.hpp>

#include "http_message.hpp"
#include "s3_error.hpp"

namespace objectlink {

// The root of a 200 if it has this name; otherwise the error that the reply is. The node lives in `document`.
S3Result<pugi::xml_node> reply_root(const HttpReply& reply, pugi::xml_document& document, const char* name);

}  // namespace objectlink
