#include "csv_reader.hpp"

namespace objectlink {

void CsvReader::give(std::string_view bytes) {
  text_.erase(0, begin_);
  begin_ = 0;
  text_.append(bytes);
}

CsvReader::Step CsvReader::next(std::vector<std::string>& fields) { return read(fields, false); }

CsvReader::Step CsvReader::last(std::vector<std::string>& fields) { return read(fields, true); }

CsvReader::Step CsvReader::read(std::vector<std::string>& fields, bool at_end) {
  fields.clear();
  const auto broken = [this] {
    broken_ = true;
    return Step::broken;
  };
  if (broken_) return Step::broken;
  const std::string_view text = std::string_view(text_).substr(begin_);
  if (text.empty()) return Step::hungry;
  // A row that is not complete yet is read again from its beginning, so its length bounds the work as well.
  const auto more = [&] { return at_end || text.size() > row_bytes_max ? broken() : Step::hungry; };
  std::size_t at = 0;
  for (;;) {
    std::string& field = fields.emplace_back();
    if (at < text.size() && text[at] == '"') {
      for (++at;; at += 2) {
        const std::size_t quote = text.find('"', at);
        if (quote == std::string_view::npos) return more();
        field.append(text.substr(at, quote - at));
        at = quote;
        if (at + 1 == text.size() && !at_end) return more();
        if (at + 1 == text.size() || text[at + 1] != '"') break;
        field += '"';
      }
      ++at;
    } else {
      const std::size_t end = text.find_first_of(",\"\r\n", at);
      if (end == std::string_view::npos && !at_end) return more();
      field = text.substr(at, end == std::string_view::npos ? end : end - at);
      at = end == std::string_view::npos ? text.size() : end;
    }
    if (at > row_bytes_max) return broken();
    if (at == text.size()) {
      if (!at_end) return more();
      break;
    }
    if (text[at] == ',') {
      ++at;
      continue;
    }
    if (text[at] == '\r') {
      if (at + 1 == text.size() && !at_end) return more();
      ++at;
    }
    if (at == text.size() || text[at] != '\n') return broken();
    ++at;
    break;
  }
  begin_ += at;
  ++rows_;
  return Step::row;
}

}  // namespace objectlink
