#include "stray_removal.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "listed_page.hpp"
#include "s3_etag.hpp"
#include "work.hpp"

namespace objectlink {

using std::chrono::milliseconds;

namespace {

constexpr int pages_max = 10;  // of a listing below one key, each time it is asked for

std::int64_t ms_since_1970(std::chrono::system_clock::time_point at) {
  return std::chrono::duration_cast<milliseconds>(at.time_since_epoch()).count();
}

}  // namespace

void StrayRemoval::drop() {
  batch_.reset();
  pace_.look_at_once();
}

std::optional<StrayRemoval::Time> StrayRemoval::next_turn() const {
  if (!batch_) return pace_.next();
  return batch_->under_way == 0 && !waits_to_delete() ? std::optional(Time{}) : std::nullopt;
}

bool StrayRemoval::any_same() const {
  return std::ranges::any_of(batch_->strays, [](const Stray& stray) { return stray.seen == Seen::same; });
}

bool StrayRemoval::turn(Database& database, Time now, bool may_ask, bool may_delete) {
  if (batch_ && batch_->under_way > 0) return false;
  try {
    if (!batch_) return may_ask && pace_.is_due(now) && load(database, now);
    if (waits_to_delete()) {
      if (!may_ask || !may_delete) return false;
      issue(database);
      return true;
    }
    hand_over(database, now);
    return true;
  } catch (const DatabaseError& error) {
    // Somebody's open transaction is in the way: what was done is found again by a look.
    if (!is_passing(error)) throw;
    batch_.reset();
    pace_.try_again(now);
    return false;
  }
}

bool StrayRemoval::load(Database& database, Time now) {
  pace_.looked(now);
  const Rows rows = database.query(
      "SELECT id, kind, key, item, initiated_ms, size, etag FROM objectlink.strays_to_remove($1, $2)", store_, epoch_);
  if (rows.empty()) return false;
  const auto batch = batch_ = std::make_shared<Batch>();
  batch->strays.resize(rows.size());
  for (std::size_t row = 0; row < rows.size(); ++row) {
    Stray& stray = batch->strays[row];
    stray.finding = rows.integer(row, 0);
    stray.kind = rows.string(row, 1);
    stray.key = rows.string(row, 2);
    stray.item = rows.string(row, 3);
    stray.initiated_ms = rows.optional_integer(row, 4);
    stray.size = rows.optional_integer(row, 5);
    stray.etag = rows.string(row, 6);
  }
  batch->under_way = batch->strays.size();
  for (Stray& stray : batch->strays) look(batch, stray);
  return true;
}

void StrayRemoval::look(const SharedBatch& batch, Stray& stray) {
  stray.seen.reset();
  stray.pages = 0;
  stray.versions.clear();
  if (stray.is_upload())
    look_for_upload(batch, stray, {}, {});
  else
    look_for_version(batch, stray, {}, {});
}

void StrayRemoval::look_for_upload(const SharedBatch& batch, Stray& stray, const std::string& key,
                                   const std::string& item) {
  errand_.send(
      false,
      [prefix = stray.key, key, item](S3RequestBuilder& builder, const Signing& signing) {
        return builder.list_multipart_uploads(signing, prefix, key, item);
      },
      [this, batch, &stray](const HttpReply& reply) {
        if (batch != batch_) return;
        const auto page = parse_list_multipart_uploads(reply);
        if (!page.ok()) return failed(batch, stray, page.error());
        errand_.store_answered();
        const auto found = std::ranges::find_if(page->uploads, [&stray](const ListedUpload& upload) {
          return upload.key == stray.key && upload.upload_id == stray.item;
        });
        if (found != page->uploads.end()) {
          if (!found->initiated || !stray.initiated_ms || ms_since_1970(*found->initiated) != *stray.initiated_ms) {
            stray.seen = Seen::other;
            stray.message = "it was begun at another time than the one that was found";
            return end(batch);
          }
          stray.seen = Seen::same;
          return batch->issued ? end(batch) : look_at_parts(batch, stray, 0);
        }
        // The key itself comes before all longer ones.
        const bool more = page->truncated && page->uploads.back().key <= stray.key;
        if (more && ++stray.pages < pages_max)
          return look_for_upload(batch, stray, page->next_key_marker, page->next_upload_id_marker);
        if (!more) stray.seen = Seen::absent;
        end(batch);
      });
}

// Somebody may be at it still, however long ago it was begun.
void StrayRemoval::look_at_parts(const SharedBatch& batch, Stray& stray, int after) {
  errand_.send(
      false,
      [key = stray.key, item = stray.item, after](S3RequestBuilder& builder, const Signing& signing) {
        return builder.list_parts(signing, key, item, after);
      },
      [this, batch, &stray](const HttpReply& reply) {
        if (batch != batch_) return;
        const auto page = parse_list_parts(reply);
        if (!page.ok()) {
          stray.seen.reset();
          return failed(batch, stray, page.error());
        }
        errand_.store_answered();
        const auto now = store_time(reply);
        if (page->youngest || !page->all_dated) {
          const milliseconds age =
              now && page->youngest && page->all_dated
                  ? std::max(milliseconds{0}, std::chrono::duration_cast<milliseconds>(*now - *page->youngest))
                  : milliseconds{0};
          stray.parts_age = std::min(age, stray.parts_age.value_or(age));
        }
        if (page->truncated) return look_at_parts(batch, stray, page->next_part_number);
        end(batch);
      });
}

void StrayRemoval::look_for_version(const SharedBatch& batch, Stray& stray, const std::string& key,
                                    const std::string& item) {
  errand_.send(
      false,
      [prefix = stray.key, key, item](S3RequestBuilder& builder, const Signing& signing) {
        return builder.list_object_versions(signing, {.prefix = prefix, .key_marker = key, .version_id_marker = item});
      },
      [this, batch, &stray](const HttpReply& reply) {
        if (batch != batch_) return;
        const auto page = parse_list_object_versions(reply);
        if (!page.ok()) return failed(batch, stray, page.error());
        errand_.store_answered();
        for (const ListedVersion& version : page->versions)
          if (version.key == stray.key) stray.versions.push_back(version);
        const bool more = page->truncated && page->versions.back().key <= stray.key;
        if (more && ++stray.pages < pages_max)
          return look_for_version(batch, stray, page->versions.back().key, page->versions.back().version_id);
        if (!more) judge_version(stray);
        end(batch);
      });
}

// All versions of its key were listed.
void StrayRemoval::judge_version(Stray& stray) {
  const auto found = std::ranges::find(stray.versions, stray.item, &ListedVersion::version_id);
  stray.seen = Seen::absent;
  if (found == stray.versions.end()) return;
  stray.seen = Seen::other;
  const bool is_marker = stray.kind == "stray_marker";
  if (found->is_marker != is_marker ||
      (!is_marker && (stray.size != found->size || !same_etag(stray.etag, found->etag))))
    stray.message = "the store has something else under its id";
  else if (found->is_latest && !is_marker)
    stray.message = "it is the current version by now";
  else if (found->is_latest && !std::ranges::all_of(stray.versions, &ListedVersion::is_marker))
    stray.message = "it hides a version";
  else
    stray.seen = Seen::same;
}

void StrayRemoval::issue(Database& database) {
  const auto batch = batch_;
  std::vector<std::int64_t> findings;
  std::vector<std::optional<std::string>> ages;
  for (const Stray& stray : batch->strays) {
    if (stray.seen != Seen::same) continue;
    findings.push_back(stray.finding);
    ages.push_back(stray.parts_age ? std::optional(std::to_string(stray.parts_age->count())) : std::nullopt);
  }
  const Rows rows = database.query("SELECT objectlink.issue_strays($1, $2, $3::bigint[], $4::bigint[])", store_, epoch_,
                                   int_array(findings), text_array(ages));
  batch->issued = true;
  std::vector<std::int64_t> issued;
  for (std::size_t row = 0; row < rows.size(); ++row) issued.push_back(rows.integer(row, 0));
  std::vector<Stray*> to_remove;
  for (Stray& stray : batch->strays) {
    if (stray.seen != Seen::same) continue;
    stray.seen.reset();
    if (std::ranges::find(issued, stray.finding) != issued.end()) to_remove.push_back(&stray);
  }
  batch->under_way = to_remove.size();
  for (Stray* const stray : to_remove) remove(batch, *stray);
}

void StrayRemoval::remove(const SharedBatch& batch, Stray& stray) {
  errand_.destroy(
      [key = stray.key, item = stray.item, upload = stray.is_upload()](S3RequestBuilder& builder,
                                                                       const Signing& signing) {
        return upload ? builder.abort_multipart_upload(signing, key, item) : builder.delete_object(signing, key, item);
      },
      [this, batch, &stray](const HttpReply& reply) {
        if (batch != batch_) return;
        const auto deleted = stray.is_upload() ? parse_abort_multipart_upload(reply) : parse_delete_object(reply);
        if (!deleted.ok()) return failed(batch, stray, deleted.error());
        errand_.store_answered();
        stray.deleted = true;
        stray.request_id = deleted->request_id;
        look(batch, stray);
      });
}

// What is refused of one of them says nothing of the store.
void StrayRemoval::failed(const SharedBatch& batch, Stray& stray, const S3Error& error) {
  if (error.status == 0 || error.status >= 500 || error.klass == ErrorClass::throttled ||
      error.klass == ErrorClass::clock || error.klass == ErrorClass::credentials ||
      error.klass == ErrorClass::redirect) {
    errand_.store_failed(error);
  } else {
    stray.refused = true;
    stray.message = error.code.empty() ? "refused" : error.code;
  }
  end(batch);
}

void StrayRemoval::hand_over(Database& database, Time now) {
  auto results = nlohmann::json::array();
  for (const Stray& stray : batch_->strays) {
    const char* outcome = "retry";
    if (stray.refused)
      outcome = "refused";
    else if (stray.seen == Seen::absent)
      outcome = "gone";
    else if (stray.seen == Seen::other)
      outcome = "other";
    results.push_back({{"id", stray.finding},
                       {"outcome", outcome},
                       {"deleted", stray.deleted},
                       {"request_id", presentable(stray.request_id)},
                       {"message", presentable(stray.message)}});
  }
  batch_.reset();
  pace_.try_again(now);
  database.query("SELECT objectlink.settle_strays($1, $2, $3::json)", store_, epoch_,
                 results.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  pace_.look_at_once();  // there may be more; those that told nothing have a time of their own
}

}  // namespace objectlink
