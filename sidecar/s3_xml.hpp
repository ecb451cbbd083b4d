// What does the XML of an S3 reply hold?
// A thin layer over pugixml. Knows no operation; writing is s3_xml_text.hpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <pugixml.hpp>

namespace objectlink {

// Parses the body of a reply. False if it is not one well-formed document, whatever the reason.
bool parse_xml(const std::string& body, pugi::xml_document& document);

// The root element if it has this name, else a null node.
pugi::xml_node root_named(const pugi::xml_document& document, const char* name);

// The text of a child element; empty if there is none. White space is kept.
std::string_view child_text(const pugi::xml_node& node, const char* name);

// The number in a child element, if it is there and is one.
std::optional<std::int64_t> child_number(const pugi::xml_node& node, const char* name);

// "true" and "false"; nothing for anything else or no such child.
std::optional<bool> child_bool(const pugi::xml_node& node, const char* name);

}  // namespace objectlink
