#include "examination.hpp"

#include <algorithm>
#include <utility>

#include "s3_etag.hpp"
#include "s3_reply.hpp"

namespace objectlink {

using std::chrono::steady_clock;

namespace {

// A refusal that concerns this one object, or the right to look at it, says nothing of uploads and deletions.
bool concerns_the_store(const S3Error& error) {
  return error.status == 0 || error.status >= 500 || error.klass == ErrorClass::throttled ||
         error.klass == ErrorClass::clock || error.klass == ErrorClass::redirect ||
         error.klass == ErrorClass::credentials;
}

}  // namespace

void Examination::ask() {
  asking_ = true;
  switch (step_) {
    case Step::head: return look();
    case Step::piece: return read_piece();
    case Step::bucket: return ask_for_bucket();
  }
}

void Examination::look() {
  errand_.send(
      false,
      [key = key_](S3RequestBuilder& builder, const Signing& signing) { return builder.head_object(signing, key); },
      [self = shared_from_this()](const HttpReply& reply) { self->on_head(reply); });
}

void Examination::on_head(const HttpReply& reply) {
  asking_ = false;
  request_id_ = request_id_of(reply);
  auto head = parse_head_object(reply);
  if (!head.ok()) {
    if (head.error().klass != ErrorClass::not_found) return failed(head.error());
    return absent();
  }
  errand_.store_answered();
  head_ = std::move(head.value());
  const Sighting seen = judge_sighting(proved_, head_);
  if (seen != Sighting::same) return differs(seen);
  if (!read_) return conclude(seen);
  stream_.emplace();
  offset_ = 0;
  if (head_.size == 0) return on_digest(stream_->finish());
  step_ = Step::piece;
}

void Examination::read_piece() {
  const std::int64_t last = std::min(offset_ + piece_bytes, head_.size) - 1;
  errand_.send(
      false,
      [key = key_, range = "bytes=" + std::to_string(offset_) + "-" + std::to_string(last)](
          S3RequestBuilder& builder, const Signing& signing) { return builder.get_object(signing, key, range); },
      [self = shared_from_this()](const HttpReply& reply) { self->on_piece(reply); });
}

void Examination::on_piece(const HttpReply& reply) {
  asking_ = false;
  request_id_ = request_id_of(reply);
  const auto piece = parse_get_object(reply);
  if (!piece.ok()) {
    if (piece.error().klass == ErrorClass::not_found) return absent();
    return failed(piece.error());
  }
  errand_.store_answered();
  // Replaced while it was read: pieces of two objects are none.
  if (piece.value().size != head_.size || !same_etag(piece.value().etag, head_.etag)) return differs(Sighting::other);
  const auto length = std::ssize(reply.body);
  if (length != std::min(piece_bytes, head_.size - offset_)) {
    S3Error error;
    error.klass = ErrorClass::transient;
    error.code = "WrongRange";
    error.message = "the store sent another part of the object than it was asked for";
    error.status = reply.status;
    error.request_id = request_id_;
    return failed(error);
  }
  stream_->update(reply.body);
  offset_ += length;
  read_bytes_ += length;
  if (offset_ == head_.size) on_digest(stream_->finish());
}

void Examination::on_digest(const Sha256& digest) {
  digest_ = digest;
  content_differs_ = proved_.sha256 && *proved_.sha256 != digest;
  if (content_differs_) return differs(Sighting::other);
  conclude(Sighting::same);
}

void Examination::ask_for_bucket() {
  errand_.send(
      false, [](S3RequestBuilder& builder, const Signing& signing) { return builder.head_bucket(signing); },
      [self = shared_from_this()](const HttpReply& reply) { self->on_bucket(reply); });
}

void Examination::on_bucket(const HttpReply& reply) {
  asking_ = false;
  const auto bucket = parse_head_bucket(reply);
  if (!bucket.ok()) {
    errand_.store_failed(bucket.error());
    error_ = bucket.error();
    return conclude(std::nullopt);
  }
  errand_.store_answered();
  differs(Sighting::absent);
}

// A 404 may as well mean that there is no such bucket: before the object is called absent, the bucket is asked for.
void Examination::absent() {
  head_ = {};
  if (!first_) return differs(Sighting::absent);
  step_ = Step::bucket;
}

void Examination::differs(Sighting seen) {
  if (first_) return conclude(*first_ == seen ? std::optional(seen) : std::nullopt);
  first_ = seen;
  begin_again(second_look_delay);
}

void Examination::failed(const S3Error& error) {
  if (concerns_the_store(error)) {
    errand_.store_failed(error);
    // A store that was not reached at all is paused, and costs no object a try.
    const bool outage = error.status == 0 && error.klass == ErrorClass::store;
    if (outage || ++failures_ < tries_max) return begin_again(retry_delay);
  }
  error_ = error;
  conclude(std::nullopt);
}

void Examination::begin_again(std::chrono::seconds pause) {
  step_ = Step::head;
  stream_.reset();
  digest_.reset();
  content_differs_ = false;
  not_before_ = steady_clock::now() + pause;
}

void Examination::conclude(std::optional<Sighting> sighting) {
  sighting_ = sighting;
  stream_.reset();
  done_ = true;
}

}  // namespace objectlink
