#include "version_removal.hpp"

#include <utility>
#include <vector>

#include "object_versions.hpp"
#include "s3_reply.hpp"
#include "verify.hpp"

namespace objectlink {
namespace {

constexpr int version_pages_max = 10;  // of one key, each time they are listed
constexpr int rounds_max = 4;          // of listing and deleting; then it is tried again later

// The listing is refused for good, not only this time.
bool is_refused(const S3Error& error) { return error.status == 403 || error.status == 405 || error.status == 501; }

// Lives as long as one of its requests does.
class VersionRemoval : public std::enable_shared_from_this<VersionRemoval> {
 public:
  VersionRemoval(Errand& errand, SharedWork work, VersionsBefore before)
      : errand_(errand), work_(std::move(work)), before_(std::move(before)) {}

  void start() {
    // By its id it can be deleted even where versions cannot be listed.
    if (has_own_version(*work_) && !before_.recorded_deleted) to_delete_.push_back(work_->version_id);
    if (!before_.own_marker.empty() && before_.own_marker != null_version) to_delete_.push_back(before_.own_marker);
    delete_next();
  }

 private:
  void delete_next() {
    if (to_delete_.empty()) return list({}, {});
    const std::string version_id = std::move(to_delete_.back());
    to_delete_.pop_back();
    errand_.destroy(
        [work = work_, version_id](S3RequestBuilder& builder, const Signing& signing) {
          return builder.delete_object(signing, work->key, version_id);
        },
        [self = shared_from_this(), version_id](const HttpReply& reply) {
          const auto deleted = parse_delete_object(reply);
          if (!deleted.ok()) return self->errand_.settle_error(*self->work_, "delete", deleted.error());
          self->errand_.store_answered();
          self->before_.request_id = deleted->request_id;
          self->delete_next();
        });
  }

  void list(const std::string& key_marker, const std::string& version_id_marker) {
    if (key_marker.empty()) {
      versions_.clear();
      pages_ = 0;
      incomplete_ = false;
    }
    errand_.send(
        false,
        [work = work_, key_marker, version_id_marker](S3RequestBuilder& builder, const Signing& signing) {
          return builder.list_object_versions(
              signing, {.prefix = work->key, .key_marker = key_marker, .version_id_marker = version_id_marker});
        },
        [self = shared_from_this()](const HttpReply& reply) { self->read(reply); });
  }

  void read(const HttpReply& reply) {
    const auto page = parse_list_object_versions(reply);
    if (!page.ok()) return not_listed(page.error());
    errand_.store_answered();
    for (const ListedVersion& version : page->versions)
      if (version.key == work_->key) versions_.push_back(version);
    // The key itself comes before all longer ones.
    const bool more = page->truncated && page->versions.back().key <= work_->key;
    if (more && ++pages_ < version_pages_max) return list(page->versions.back().key, page->versions.back().version_id);
    incomplete_ = more;
    judge();
  }

  void not_listed(S3Error error) {
    error.outcome_unknown = false;  // nothing was asked for but a look
    if (!is_refused(error)) return errand_.settle_error(*work_, "delete", error);
    if (has_own_version(*work_)) return look_for_recorded("HEAD 404");
    error.klass = ErrorClass::object;
    error.code = "VersionsNotListed";
    error.message = "the bucket is versioned, and its versions may not be listed: nobody knows which of them to delete";
    errand_.settle_error(*work_, "delete", error);
  }

  void judge() {
    sorted_ = sort_versions(*work_, versions_);
    if (errand_.traits().delete_all_versions) {
      for (const ListedVersion& version : versions_) to_delete_.push_back(version.version_id);
      return delete_round();
    }
    if (work_->version_id.empty() && !sorted_.ours.empty()) return record(sorted_.ours.front());
    for (const ListedVersion& version : sorted_.ours) to_delete_.push_back(version.version_id);
    // A marker whose id is "null" is known to be ours only right after it was made.
    for (const ListedVersion& marker : sorted_.markers)
      if (!before_.own_marker.empty() && marker.version_id == before_.own_marker)
        to_delete_.push_back(marker.version_id);
    check_doubtful();
  }

  // Which version it is was found out just now. First it is written down: after its deletion the next one might look like it.
  void record(const ListedVersion& version) {
    Result result = result_for(*work_, "delete", Outcome::retry);
    result.version_id = version.version_id;
    result.etag = version.etag;
    result.size = version.size;
    errand_.settle(std::move(result));
  }

  void check_doubtful() {
    if (sorted_.doubtful.empty()) return delete_round();
    const ListedVersion version = std::move(sorted_.doubtful.back());
    sorted_.doubtful.pop_back();
    look(
        errand_, work_->key, version.version_id,
        [self = shared_from_this(), version](const Sight& sight) {
          if (sight && is_our_upload(*self->work_, *sight))
            self->to_delete_.push_back(version.version_id);
          else if (sight)
            self->sorted_.foreign.push_back(version);
          self->check_doubtful();
        },
        [self = shared_from_this()](S3Error error) {
          error.outcome_unknown = false;
          self->errand_.settle_error(*self->work_, "delete", error);
        });
  }

  void delete_round() {
    // Nothing but markers is left: they would hide what is not there any more.
    if (to_delete_.empty() && sorted_.foreign.empty() && !incomplete_)
      for (const ListedVersion& marker : sorted_.markers) to_delete_.push_back(marker.version_id);
    if (!to_delete_.empty()) {
      if (++rounds_ > rounds_max) return still_there(before_.request_id);
      return delete_next();
    }
    before_.own_marker.clear();
    if (incomplete_ && !has_own_version(*work_)) {
      S3Error many;
      many.klass = ErrorClass::object;
      many.code = "TooManyVersions";
      many.message = "this key has more versions than are looked through to find the one that was stored";
      return errand_.settle_error(*work_, "delete", many);
    }
    if (has_own_version(*work_)) return look_for_recorded("version listing");
    settle_gone("version listing");
  }

  void look_for_recorded(const char* proof) {
    look(
        errand_, work_->key, work_->version_id,
        [self = shared_from_this(), proof](const Sight& sight) {
          if (sight) return self->still_there(sight->request_id);
          self->settle_gone(proof);
        },
        [self = shared_from_this()](S3Error error) {
          error.outcome_unknown = false;  // the deletion itself was answered
          self->errand_.settle_error(*self->work_, "delete", error);
        });
  }

  void still_there(const std::string& request_id) {
    S3Error undeleted;
    undeleted.klass = ErrorClass::transient;
    undeleted.code = "StillThere";
    undeleted.message = "the store confirmed the deletion, but a version is still there";
    undeleted.request_id = request_id;
    errand_.settle_error(*work_, "delete", undeleted);
  }

  void settle_gone(const char* proof) {
    Result result = result_for(*work_, "delete", Outcome::gone);
    result.request_id = before_.request_id;
    result.proof = proof;
    result.versions_left = std::ssize(sorted_.foreign);
    errand_.settle(std::move(result));
  }

  Errand& errand_;
  const SharedWork work_;
  VersionsBefore before_;
  std::vector<std::string> to_delete_;   // version ids
  std::vector<ListedVersion> versions_;  // of this key, as last listed
  SortedVersions sorted_;
  int pages_ = 0;
  int rounds_ = 0;
  bool incomplete_ = false;
};

}  // namespace

bool has_own_version(const Work& work) { return !work.version_id.empty() && work.version_id != null_version; }

void delete_versions(Errand& errand, const SharedWork& work, VersionsBefore before) {
  std::make_shared<VersionRemoval>(errand, work, std::move(before))->start();
}

}  // namespace objectlink
