// See s3_reply_root.hpp.
#include "s3_reply_root.hpp"

#include <string>

#include "s3_xml.hpp"

namespace objectlink {

S3Result<pugi::xml_node> reply_root(const HttpReply& reply, pugi::xml_document& document, const char* name) {
  if (reply.outcome != HttpReply::Outcome::replied || reply.status != 200) return classify(reply);
  if (!parse_xml(reply.body, document)) return unreadable(reply, "the reply is not well-formed XML");
  if (root_named(document, "Error")) return classify(reply);
  const pugi::xml_node root = root_named(document, name);
  if (!root) return unreadable(reply, std::string("the reply is no ") + name);
  return root;
}

}  // namespace objectlink
