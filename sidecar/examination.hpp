// Is one object still what was proved of it? A look (HEAD), and, where its content is to be read as well, its bytes in
// pieces of bounded size, whose SHA-256 is compared. What differs is looked at twice, with a pause between, and counts only
// if both times the same was seen. Sends nothing by itself: whoever has it says when, so that a rate can be kept.
// Held by a shared_ptr, as its requests do. Loop's thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/digest.hpp"
#include "errand.hpp"
#include "sighting.hpp"

namespace objectlink {

class Examination final : public std::enable_shared_from_this<Examination> {
 public:
  using Time = std::chrono::steady_clock::time_point;

  static constexpr std::chrono::seconds second_look_delay{2};
  static constexpr std::chrono::seconds retry_delay{1};
  static constexpr unsigned tries_max = 3;  // of a request that was not answered
  static constexpr std::int64_t piece_bytes = std::int64_t{4} << 20;

  // read: its content too.
  Examination(Errand& errand, std::string key, ProvedContent proved, bool read)
      : errand_(errand), key_(std::move(key)), proved_(std::move(proved)), read_(read) {}

  // Its next request can be sent.
  bool may_ask(Time now) const { return !done_ && !asking_ && now >= not_before_; }
  void ask();
  bool is_asking() const { return asking_; }
  bool is_done() const { return done_; }
  // When its next request can be sent; only while neither asking nor done.
  Time not_before() const { return not_before_; }

  // What came of it, once done.
  const std::string& key() const { return key_; }
  const std::optional<Sighting>& sighting() const { return sighting_; }  // none: nothing was proved
  const HeadReply& head() const { return head_; }
  const std::string& request_id() const { return request_id_; }
  const std::optional<S3Error>& error() const { return error_; }
  const std::optional<Sha256>& digest() const { return digest_; }  // of what was read
  bool content_differs() const { return content_differs_; }        // though size and ETag are those that were proved
  std::int64_t read_bytes() const { return read_bytes_; }          // second looks included

 private:
  enum class Step { head, piece, bucket };

  void look();
  void read_piece();
  void ask_for_bucket();
  void on_head(const HttpReply& reply);
  void on_piece(const HttpReply& reply);
  void on_bucket(const HttpReply& reply);
  void on_digest(const Sha256& digest);
  void absent();
  void differs(Sighting seen);
  void failed(const S3Error& error);
  void conclude(std::optional<Sighting> sighting);
  void begin_again(std::chrono::seconds pause);

  Errand& errand_;
  const std::string key_;
  const ProvedContent proved_;
  const bool read_;

  Step step_ = Step::head;
  bool asking_ = false;
  bool done_ = false;
  unsigned failures_ = 0;
  Time not_before_{};
  std::optional<Sighting> first_;  // what a first look saw that was not as proved

  std::optional<Sighting> sighting_;
  HeadReply head_;
  std::string request_id_;
  std::optional<S3Error> error_;
  std::optional<Sha256> digest_;
  bool content_differs_ = false;
  std::int64_t read_bytes_ = 0;
  std::int64_t offset_ = 0;
  std::optional<Sha256Stream> stream_;
};

}  // namespace objectlink
