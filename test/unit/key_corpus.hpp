// Which keys have broken object store clients before?
// One list for all tests; those in Python ask sigv4_probe for it. Valid UTF-8 without NUL, 1 to 1024 bytes each.
#pragma once

#include <string>
#include <vector>

namespace objectlink {

inline std::vector<std::string> key_corpus() {
  std::string euros;
  for (int i = 0; i < 341; ++i) euros += "\xe2\x82\xac";
  return {
      "plain",
      "a b",
      " leading",
      "trailing ",
      " ",
      "two  spaces",
      "\"",
      "$",
      "%",
      "%2F",
      "%25",
      "%zz",
      "&",
      "&amp;",
      "'",
      "<",
      ">",
      "<Key>",
      "]]>",
      "_",
      "+",
      "a+b",
      "=",
      "k=1/v=2",
      ":",
      "@",
      "~",
      "!*()",
      "!'()*",
      ",",
      "^`{|}[]",
      "\\",
      "tab\there",
      "line\nbreak",
      "carriage\rreturn",
      "crlf\r\nx",
      "\x01",
      "\x1f",
      "\x7f",
      "\xc2\x85",
      "\xc3\xa9",
      "e\xcc\x81",
      "\xef\xbf\xbd",
      "\xee\x80\x80",
      "\xef\xbf\xbe",
      "\xe2\x80\xa8",
      "\xe2\x80\x83x",
      "\xf0\x9f\x98\x80",
      "?",
      "#",
      "x?versionId=1",
      "x#y",
      ";",
      "soap",
      ".",
      "..",
      "./a",
      "../a",
      "a/../b",
      "a/../../other/x",
      "a/./b",
      "/leading",
      "//two",
      "a//b",
      "trailing/",
      "a/b/",
      "...",
      "CaSe",
      "case",
      "2024/01/01/00000000-0000-0000-0000-000000000000/q3 report (final).pdf",
      std::string(1024, 'a'),
      euros + "x",
  };
}

}  // namespace objectlink
