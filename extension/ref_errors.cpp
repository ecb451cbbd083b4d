// Errors about the text of references.
#include "ref_errors.hpp"

namespace objectlink {

namespace {

// Enough to recognise the value; a whole key of a kilobyte would bury the message.
constexpr int shown_bytes_max = 100;

} // namespace

void raise_ref_problem(const char *what, std::string_view text, RefProblem problem) {
    const int bytes = static_cast<int>(text.size());
    const int shown = bytes <= shown_bytes_max ? bytes : pg_mbcliplen(text.data(), bytes, shown_bytes_max);
    ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
            errmsg("invalid %s: \"%.*s%s\"", what, shown, text.data(), shown < bytes ? "..." : ""),
            errdetail("%s (byte %zu).", describe(problem.flaw), problem.at + 1),
            errhint("Write s3://<store>/<key> with a store name of 1 to 63 bytes and a key of 1 to 1024 bytes of UTF-8, for "
                    "example s3://docs/2024/report.pdf."));
}

} // namespace objectlink
