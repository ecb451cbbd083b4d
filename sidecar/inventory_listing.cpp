#include "inventory_listing.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "log.hpp"
#include "s3_etag.hpp"
#include "s3_reply.hpp"
#include "work.hpp"

namespace objectlink {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr std::int64_t piece_bytes = std::int64_t{1} << 20;
// Keys written in one transaction, in pages of a listing.
constexpr std::size_t pages_at_once = 5;
constexpr std::int64_t checksum_bytes_max = 1024;
// An inventory that will be made is none.
constexpr seconds clock_slack{60};
constexpr seconds time_grain{1};  // in which stores tell the time: it is older rather than younger

// A builder for one request: another bucket has another path or host, which is signed as well.
HttpRequest get_from(S3RequestBuilder& builder, const Signing& signing, const std::string& bucket,
                     const std::string& key, const std::string& range, std::size_t body_bytes_max) {
  if (bucket == builder.store().bucket) return builder.get_object(signing, key, range, {}, body_bytes_max);
  StoreEndpoint elsewhere = builder.store();
  elsewhere.bucket = bucket;
  return S3RequestBuilder(std::move(elsewhere)).get_object(signing, key, range, {}, body_bytes_max);
}

// It will never be otherwise, or only by somebody's doing.
bool is_final(const S3Error& error) {
  return error.klass == ErrorClass::not_found || error.klass == ErrorClass::redirect ||
         error.klass == ErrorClass::object || error.klass == ErrorClass::conflict;
}

}  // namespace

InventoryListing::InventoryListing(Errand& errand, std::shared_ptr<RunInHand> run, std::string manifest,
                                   std::uint64_t seed)
    : errand_(errand),
      run_(std::move(run)),
      own_bucket_(errand.traits().bucket),
      bucket_(errand.traits().inventory_bucket.empty() ? own_bucket_ : errand.traits().inventory_bucket),
      manifest_key_(std::move(manifest)),
      tries_(seed),
      bucket_shown_(!is_elsewhere()) {}

std::optional<InventoryListing::Time> InventoryListing::next_turn() const {
  if (asked_ && asked_->arrived && (!reader_ || hungry_)) return Time{};
  if (reader_ && !hungry_) return Time{};
  return asked_ ? std::nullopt : std::optional(not_before_);
}

void InventoryListing::ask(Time now) {
  asked_ = std::make_shared<Asked>();
  asked_->asked_at = now;
  if (!bucket_shown_) return ask_for_bucket();
  if (manifest_text_.empty()) return get(Kind::manifest, manifest_key_, manifest_bytes_max, {});
  if (!manifest_)
    return get(Kind::checksum, checksum_key(manifest_key_).value_or(std::string()), checksum_bytes_max, {});
  const InventoryFile& file = manifest_->files[file_];
  const std::int64_t length = std::min(piece_bytes, file.size - asked_bytes_);
  get(Kind::piece, file.key, length,
      "bytes=" + std::to_string(asked_bytes_) + "-" + std::to_string(asked_bytes_ + length - 1));
}

void InventoryListing::ask_for_bucket() {
  asked_->kind = Kind::bucket;
  errand_.send(
      false, [](S3RequestBuilder& builder, const Signing& signing) { return builder.head_bucket(signing); },
      [self = shared_from_this(), asked = asked_](const HttpReply& reply) {
        if (asked != self->asked_) return;
        asked->arrived = true;
        const auto bucket = parse_head_bucket(reply);
        if (!bucket.ok()) asked->error = bucket.error();
      });
}

void InventoryListing::get(Kind kind, std::string key, std::int64_t length_max, std::string range) {
  asked_->kind = kind;
  asked_->key = std::move(key);
  asked_->length_max = length_max;
  errand_.send_and_read(
      [bucket = bucket_, key = asked_->key, range = std::move(range), length_max](S3RequestBuilder& builder,
                                                                                  const Signing& signing) {
        return get_from(builder, signing, bucket, key, range, static_cast<std::size_t>(length_max));
      },
      [asked = asked_, elsewhere = is_elsewhere()](HttpReply& reply) {
        asked->error.reset();
        asked->head.reset();
        asked->store_time = store_time(reply);
        auto head = parse_get_object(reply);
        if (head.ok()) {
          asked->head = std::move(head.value());
          asked->body = std::move(reply.body);
        } else {
          asked->error = head.error();
        }
        // Of another bucket it says nothing about the store's own.
        if (elsewhere)
          std::erase_if(reply.headers, [](const auto& header) { return header.first == "x-amz-version-id"; });
      },
      [self = shared_from_this(), asked = asked_](const HttpReply& reply) {
        if (asked != self->asked_) return;
        asked->arrived = true;
        if (!asked->head && !asked->error) asked->error = classify(reply);
      });
}

InventoryListing::Outcome InventoryListing::turn(Database& database, Time now) {
  if (reader_ && !hungry_) return read(database, now);
  if (!asked_ || !asked_->arrived) return Outcome::nothing;
  const auto asked = std::exchange(asked_, nullptr);
  if (asked->error) return failed(database, now, *asked);
  not_before_ = now;
  if (!is_elsewhere() || asked->kind == Kind::bucket) errand_.store_answered();
  return take(database, now, *asked);
}

InventoryListing::Outcome InventoryListing::take(Database& database, Time now, Asked& asked) {
  switch (asked.kind) {
    case Kind::bucket: bucket_shown_ = true; return Outcome::progress;
    case Kind::manifest:
      if (asked.body.empty()) return unusable(database, inventory_flaw("InventoryMalformed", "the manifest is empty"));
      manifest_text_ = std::move(asked.body);
      store_time_ = asked.store_time;
      manifest_at_ = asked.asked_at;
      return Outcome::progress;
    case Kind::checksum: return begin(database, now, asked);
    case Kind::piece: break;
  }
  tries_.succeeded();
  if (const auto flaw = take_piece(asked)) return unusable(database, *flaw);
  return Outcome::progress;
}

InventoryListing::Outcome InventoryListing::begin(Database& database, Time now, const Asked& checksum) {
  auto manifest = read_manifest(manifest_text_, checksum.body, own_bucket_);
  if (!manifest.ok()) return unusable(database, manifest.error());
  if (!store_time_)
    return unusable(database, inventory_flaw("InventoryUndated",
                                             "the store does not tell its time, so nobody knows how "
                                             "old the inventory is"));
  if (manifest->created > *store_time_ + clock_slack)
    return unusable(database,
                    inventory_flaw("InventoryMalformed", "the manifest has a creationTimestamp that is yet to come"));
  const auto created = std::chrono::duration_cast<milliseconds>(manifest->created.time_since_epoch());
  // By the store's clock, and then by ours.
  const auto since = std::chrono::ceil<milliseconds>(std::max(*store_time_ + time_grain - manifest->created, {}) +
                                                     (std::chrono::steady_clock::now() - manifest_at_));
  const Rows rows = database.query(
      "SELECT state, files_read FROM objectlink.begin_inventory($1, $2, $3, $4, $5, $6, $7)", run_->store, run_->epoch,
      run_->id, hex(manifest->md5), std::ssize(manifest->files), created.count(), since.count());
  const std::string_view state = rows.text(0, 0);
  if (state == "changed")
    return unusable(database,
                    inventory_flaw("InventoryChanged", "the manifest was replaced while its files were read"));
  if (state != "collecting") return Outcome::over;
  tries_.succeeded();
  manifest_ = std::move(manifest.value());
  file_ = static_cast<std::size_t>(rows.integer(0, 1));
  manifest_text_.clear();
  log::info("reconcile.inventory", "reads the files of an inventory instead of listing the store",
            {{"store", run_->store_name}, {"run", run_->id}, {"files", manifest_->files.size()}, {"file", file_}});
  begin_file();
  not_before_ = now;
  return Outcome::progress;
}

void InventoryListing::begin_file() {
  const InventoryFile& file = manifest_->files[file_];
  const auto time = *store_time_ + (std::chrono::steady_clock::now() - manifest_at_);
  reader_.emplace(manifest_->schema, file, own_bucket_, run_->prefix,
                  std::chrono::time_point_cast<std::chrono::system_clock::duration>(time));
  asked_bytes_ = 0;
  etag_.clear();
  all_asked_ = file.size == 0;
  hungry_ = file.size > 0;
}

// All pieces have to be of one object, and it has to be as long as the manifest says.
std::optional<S3Error> InventoryListing::take_piece(Asked& piece) {
  const InventoryFile& file = manifest_->files[file_];
  const auto flaw = [&piece](const char* code, const char* what) {
    return inventory_flaw(code, "file " + presentable(piece.key, 200) + " of the inventory " + what);
  };
  if (piece.head->size != file.size) return flaw("InventoryDamaged", "has another size than the manifest says");
  if (asked_bytes_ > 0 && !same_etag(piece.head->etag, etag_))
    return flaw("InventoryChanged", "was replaced while it was read");
  if (std::ssize(piece.body) != piece.length_max)
    return flaw("InventoryDamaged", "came in another length than asked for");
  etag_ = piece.head->etag;
  asked_bytes_ += piece.length_max;
  all_asked_ = asked_bytes_ == file.size;
  reader_->give(std::move(piece.body));
  hungry_ = false;
  return std::nullopt;
}

InventoryListing::Outcome InventoryListing::read(Database& database, Time now) {
  std::vector<ListedKey> batch;
  const auto step = reader_->read(batch, pages_at_once * static_cast<std::size_t>(run_->page_size));
  if (step == InventoryFileReader::Step::flawed) return unusable(database, reader_->flaw());
  hungry_ = step == InventoryFileReader::Step::hungry;
  const bool whole = step == InventoryFileReader::Step::whole;
  if (batch.empty() && !whole) return Outcome::progress;
  std::vector<std::string_view> keys, etags;
  std::vector<std::int64_t> sizes;
  std::vector<std::optional<std::string>> ages;
  for (const ListedKey& key : batch) {
    keys.push_back(key.key);
    sizes.push_back(key.size);
    etags.push_back(key.etag);
    ages.push_back(key.age ? std::optional(std::to_string(key.age->count())) : std::nullopt);
  }
  const Rows rows = database.query(
      "SELECT objectlink.collect_inventory($1, $2, $3, $4, $5, $6::text[], $7::bigint[], $8::text[], $9::bigint[])",
      run_->store, run_->epoch, run_->id, static_cast<std::int64_t>(file_), whole, text_array(keys), int_array(sizes),
      text_array(etags), text_array(ages));
  if (rows.text(0, 0) != "collecting") return Outcome::over;
  if (!whole) return Outcome::progress;
  if (reader_->foreign_keys() > 0)
    log::warning("reconcile.foreign_keys",
                 "the inventory shows keys that the database cannot hold, which are left alone",
                 {{"store", run_->store_name}, {"run", run_->id}, {"count", reader_->foreign_keys()}});
  ++file_;
  begin_file();
  not_before_ = now;
  return Outcome::progress;
}

InventoryListing::Outcome InventoryListing::failed(Database& database, Time now, const Asked& asked) {
  const S3Error& error = *asked.error;
  if (asked.kind != Kind::bucket && is_final(error)) {
    if (error.status == 416)
      return unusable(database,
                      inventory_flaw("InventoryDamaged", "file " + presentable(asked.key, 200) +
                                                             " of the inventory is shorter than the manifest says"));
    if (error.klass != ErrorClass::not_found) return unusable(database, error);
    return unusable(database, inventory_flaw("InventoryMissing",
                                             "the inventory's bucket has no object " + presentable(asked.key, 200)));
  }
  // A store that is paused is probed in its own bucket.
  bucket_shown_ = !is_elsewhere();
  const auto again = tries_.failed(errand_, database, *run_, asked.key, error, now);
  if (!again) return Outcome::over;
  not_before_ = *again;
  return Outcome::progress;
}

InventoryListing::Outcome InventoryListing::unusable(Database& database, const S3Error& flaw) {
  database.query("SELECT objectlink.fail_run($1, $2, $3, $4, $5, $6)", run_->store, run_->epoch, run_->id,
                 to_string(flaw.klass), presentable(flaw.code), presentable(message_of(flaw)));
  log::error("reconcile.failed", flaw.describe(), {{"store", run_->store_name}, {"run", run_->id}});
  return Outcome::over;
}

}  // namespace objectlink
