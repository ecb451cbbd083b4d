// Errors about the text of references.
#include "ref_errors.hpp"

namespace objectlink {

namespace {

// Enough to recognise the value; a whole key of a kilobyte would bury the message.
constexpr int shown_bytes_max = 100;

const char* name_of(RefPart part) noexcept {
  switch (part) {
    case RefPart::store: return "store name";
    case RefPart::key: return "key";
    case RefPart::whole: break;
  }
  return "storage_ref";
}

const char* hint_of(RefPart part) noexcept {
  switch (part) {
    case RefPart::store: return "A store name has 1 to 63 bytes of UTF-8, without slash and control characters.";
    case RefPart::key: return "A key has 1 to 1024 bytes of UTF-8.";
    case RefPart::whole: break;
  }
  return "Write s3://<store>/<key> with a key of 1 to 1024 bytes of UTF-8, for example s3://docs/2024/report.pdf.";
}

}  // namespace

void raise_ref_problem(RefPart part, std::string_view text, RefProblem problem) {
  const int bytes = static_cast<int>(text.size());
  const int shown = bytes <= shown_bytes_max ? bytes : pg_mbcliplen(text.data(), bytes, shown_bytes_max);
  ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
          errmsg("invalid %s: \"%.*s%s\"", name_of(part), shown, text.data(), shown < bytes ? "..." : ""),
          errdetail("%s (byte %zu).", describe(problem.flaw), problem.at + 1), errhint("%s", hint_of(part)));
}

}  // namespace objectlink
