// Reading XML: see s3_xml.hpp.
#include "s3_xml.hpp"

#include <charconv>

namespace objectlink {

bool parse_xml(const std::string& body, pugi::xml_document& document) {
  // An element that holds nothing but white space is a key too.
  constexpr unsigned options = pugi::parse_default | pugi::parse_ws_pcdata_single;
  const auto result = document.load_buffer(body.data(), body.size(), options, pugi::encoding_utf8);
  return static_cast<bool>(result) && document.document_element();
}

pugi::xml_node root_named(const pugi::xml_document& document, const char* name) {
  const pugi::xml_node root = document.document_element();
  return std::string_view(root.name()) == name ? root : pugi::xml_node{};
}

std::string_view child_text(const pugi::xml_node& node, const char* name) { return node.child(name).child_value(); }

std::optional<std::int64_t> child_number(const pugi::xml_node& node, const char* name) {
  const std::string_view text = child_text(node, name);
  std::int64_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || stop != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<bool> child_bool(const pugi::xml_node& node, const char* name) {
  const std::string_view text = child_text(node, name);
  if (text == "true" || text == "True") return true;
  if (text == "false" || text == "False") return false;
  return std::nullopt;
}

}  // namespace objectlink
