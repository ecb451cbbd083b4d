#include "database_reply.hpp"

#include <charconv>

namespace objectlink {

namespace {

pqxx::field field_of(const pqxx::result& result, std::size_t row, int column) {
  if (row >= result.size() || column < 0 || static_cast<std::size_t>(column) >= result.columns()) {
    throw std::logic_error("the reply has no row " + std::to_string(row) + ", column " + std::to_string(column));
  }
  return result[static_cast<pqxx::result::size_type>(row)][static_cast<pqxx::row::size_type>(column)];
}

template <typename Number>
Number number_of(std::string_view text, const char* what) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    throw std::logic_error(std::string("the database sent something that is not ") + what);
  }
  return number;
}

std::string_view view(const pqxx::field& field) { return {field.c_str(), field.size()}; }

}  // namespace

Rows::Rows() = default;
Rows::~Rows() = default;
Rows::Rows(Rows&& other) noexcept : reply_(std::move(other.reply_)), size_(std::exchange(other.size_, 0)) {}
Rows& Rows::operator=(Rows&& other) noexcept {
  reply_ = std::move(other.reply_);
  size_ = std::exchange(other.size_, 0);
  return *this;
}
Rows::Rows(std::unique_ptr<Reply> reply) : reply_(std::move(reply)), size_(reply_->result.size()) {}

const Rows::Reply& Rows::reply() const {
  if (!reply_) throw std::logic_error("a reply was read after it was moved away");
  return *reply_;
}

std::size_t Rows::affected() const { return reply().result.affected_rows(); }

int Rows::column(const char* name) const {
  try {
    return static_cast<int>(reply().result.column_number(name));
  } catch (const pqxx::argument_error&) {
    throw std::logic_error(std::string("the reply has no column ") + name);
  }
}

bool Rows::is_null(std::size_t row, int column) const { return field_of(reply().result, row, column).is_null(); }

std::string_view Rows::text(std::size_t row, int column) const { return view(field_of(reply().result, row, column)); }

std::optional<std::string_view> Rows::optional_text(std::size_t row, int column) const {
  const pqxx::field field = field_of(reply().result, row, column);
  if (field.is_null()) return std::nullopt;
  return view(field);
}

std::int64_t Rows::integer(std::size_t row, int column) const {
  return number_of<std::int64_t>(text(row, column), "an integer");
}

std::optional<std::int64_t> Rows::optional_integer(std::size_t row, int column) const {
  const auto value = optional_text(row, column);
  if (!value) return std::nullopt;
  return number_of<std::int64_t>(*value, "an integer");
}

double Rows::real(std::size_t row, int column) const { return number_of<double>(text(row, column), "a number"); }

bool Rows::boolean(std::size_t row, int column) const {
  const std::string_view value = text(row, column);
  if (value != "t" && value != "f") throw std::logic_error("the database sent something that is not a boolean");
  return value == "t";
}

std::string Rows::bytes(std::size_t row, int column) const {
  try {
    return decode_bytea(text(row, column));
  } catch (const std::invalid_argument&) {
    throw std::logic_error("the database sent something that is not a bytea");
  }
}

}  // namespace objectlink
