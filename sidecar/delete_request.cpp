// The requests of remove.hpp: DeleteObjects for many, DELETE for one, and the proof that they are gone.

#include <memory>
#include <utility>

#include "absence_proof.hpp"
#include "object_versions.hpp"
#include "remove.hpp"
#include "s3_etag.hpp"
#include "s3_reply.hpp"
#include "upload_proof.hpp"
#include "verify.hpp"
#include "version_removal.hpp"

namespace objectlink {
namespace {

void settle_gone(Errand& errand, const SharedWork& work, const std::string& request_id, const char* proof) {
  Result result = result_for(*work, "delete", Outcome::gone);
  result.request_id = request_id;
  result.proof = proof;
  errand.settle(std::move(result));
}

void prove_gone(Errand& errand, const SharedWork& work, const std::string& request_id) {
  look(
      errand, work->key, work->version_id,
      [&errand, work, request_id](const Sight& sight) {
        if (!sight) return settle_gone(errand, work, request_id, "HEAD 404");
        S3Error undeleted;
        undeleted.klass = ErrorClass::transient;
        undeleted.code = "StillThere";
        undeleted.message = "the store confirmed the deletion, but the object is still there";
        undeleted.request_id = sight->request_id;
        errand.settle_error(*work, "delete", undeleted);
      },
      [&errand, work](S3Error error) {
        // The deletion itself was answered: it is only the look that nobody knows the end of.
        error.outcome_unknown = false;
        errand.settle_error(*work, "delete", error);
      });
}

// As the store takes it: the ETag that its object must still have. Empty where it is not proved to honour that, and where a
// version is named, which is exact by itself.
std::string condition_of(const Errand& errand, const Work& work) {
  const Capabilities& capabilities = errand.traits().capabilities;
  if (capabilities.conditional_delete != Support::yes || !work.version_id.empty()) return {};
  return capabilities.condition(work.etag);
}

void delete_one(Errand& errand, const SharedWork& work, const std::string& if_match);

// The store refused, because the object has not the ETag that was recorded. Somebody else's is left where it is.
void find_out_what_is_there(Errand& errand, const SharedWork& work, const std::string& refused) {
  look(
      errand, work->key, {},
      [&errand, work, refused](const Sight& sight) {
        if (!sight) return settle_gone(errand, work, {}, "HEAD 404");
        const std::string condition = errand.traits().capabilities.condition(sight->etag);
        if (condition == refused) {
          S3Error contradiction;
          contradiction.klass = ErrorClass::conflict;
          contradiction.code = "PreconditionFailed";
          contradiction.message = "the store refused the deletion for another ETag than it shows";
          contradiction.request_id = sight->request_id;
          return errand.settle_error(*work, "delete", contradiction);
        }
        // Our content all the same, from another try of the upload; encrypting stores give each another ETag.
        if (is_our_upload(*work, *sight)) return delete_one(errand, work, condition);
        S3Error replaced;
        replaced.klass = ErrorClass::object;
        replaced.code = "ObjectReplaced";
        replaced.message = "somebody else has stored something under this key; it was not deleted";
        replaced.status = 412;
        replaced.request_id = sight->request_id;
        errand.settle_error(*work, "delete", replaced);
      },
      [&errand, work](S3Error error) {
        error.outcome_unknown = false;  // nothing was deleted
        errand.settle_error(*work, "delete", error);
      });
}

bool is_replaced(const S3Error& error, const std::string& if_match) {
  return !if_match.empty() && (error.status == 412 || error.code == "PreconditionFailed");
}

void delete_one(Errand& errand, const SharedWork& work, const std::string& if_match) {
  errand.destroy(
      [work, if_match](S3RequestBuilder& builder, const Signing& signing) {
        return builder.delete_object(signing, work->key, work->version_id, if_match);
      },
      [&errand, work, if_match](const HttpReply& reply) {
        const auto deleted = parse_delete_object(reply);
        if (!deleted.ok() && is_replaced(deleted.error(), if_match)) {
          errand.store_answered();
          return find_out_what_is_there(errand, work, if_match);
        }
        if (!deleted.ok()) return errand.settle_error(*work, "delete", deleted.error());
        errand.store_answered();
        // The bucket has become versioned: only a marker was added.
        if (deleted->delete_marker && work->version_id.empty())
          return delete_versions(errand, work, {.own_marker = deleted->version_id, .request_id = deleted->request_id});
        prove_gone(errand, work, deleted->request_id);
      });
}

void delete_singly(Errand& errand, const SharedWork& work) {
  if (errand.traits().capabilities.is_versioned()) return delete_versions(errand, work, {});
  delete_one(errand, work, condition_of(errand, *work));
}

// What lies there may be ours, or have been there before, or have come since: it was never proved.
bool may_be_foreign(const Work& work) {
  if (work.payload) return work.payload->chosen_key;
  // Deleted already, and looked at once more because an upload might have arrived since.
  return !work.verified && work.sha256;
}

void delete_if_ours(Errand& errand, const SharedWork& work) {
  look(
      errand, work->key, {},
      [&errand, work](const Sight& sight) {
        if (!sight) return settle_gone(errand, work, {}, "HEAD 404");
        const bool ours =
            work->payload ? compare(*sight, *work->payload, {}) == Likeness::same : is_our_upload(*work, *sight);
        if (ours)
          return delete_one(errand, work,
                            errand.traits().capabilities.conditional_delete == Support::yes
                                ? errand.traits().capabilities.condition(sight->etag)
                                : std::string());
        Result result = result_for(*work, "delete", Outcome::gone);
        S3Error& foreign = result.error.emplace();
        foreign.klass = ErrorClass::object;
        foreign.code = "ObjectExists";
        foreign.message = "other content is stored under this key, and was not deleted";
        result.request_id = sight->request_id;
        errand.settle(std::move(result));
      },
      [&errand, work](S3Error error) {
        error.outcome_unknown = false;  // nothing was asked for but a look
        errand.settle_error(*work, "delete", error);
      });
}

// Of a batch, what the store said to be deleted.
void prove_gone_together(Errand& errand, std::vector<SharedWork> deleted, const std::string& request_id) {
  const bool versions = errand.traits().capabilities.is_versioned();
  prove_by_listing(
      errand, std::move(deleted), versions,
      [&errand, request_id, versions](const SharedWork& work) {
        settle_gone(errand, work, request_id, versions ? "version listing" : "listing");
      },
      [&errand, request_id, versions](const SharedWork& work) {
        if (versions)
          delete_versions(errand, work, {.recorded_deleted = true, .own_marker = {}, .request_id = request_id});
        else
          prove_gone(errand, work, request_id);
      });
}

void delete_many(Errand& errand, std::vector<SharedWork> batch) {
  std::vector<ObjectVersion> objects;
  for (const SharedWork& work : batch) objects.push_back({work->key, work->version_id, condition_of(errand, *work)});
  const auto shared = std::make_shared<const std::vector<ObjectVersion>>(std::move(objects));
  errand.destroy(
      [shared](S3RequestBuilder& builder, const Signing& signing) { return builder.delete_objects(signing, *shared); },
      [&errand, shared, batch = std::move(batch)](const HttpReply& reply) {
        const auto reported = parse_delete_objects(reply, *shared);
        if (!reported.ok()) {
          for (const SharedWork& work : batch) errand.settle_error(*work, "delete", reported.error());
          return;
        }
        errand.store_answered();
        // One entry for each object, in their order; an error of one says nothing of the others.
        std::vector<SharedWork> deleted;
        for (std::size_t i = 0; i < batch.size(); ++i) {
          const DeletedObject& object = reported->objects[i];
          const SharedWork& work = batch[i];
          if (object.error && is_replaced(*object.error, (*shared)[i].if_match))
            find_out_what_is_there(errand, work, (*shared)[i].if_match);
          else if (object.error)
            errand.settle_error(*work, "delete", *object.error);
          else if (object.delete_marker && work->version_id.empty())
            delete_versions(errand, work, {.own_marker = object.marker_version_id, .request_id = reported->request_id});
          else
            deleted.push_back(work);
        }
        prove_gone_together(errand, std::move(deleted), reported->request_id);
      });
}

bool goes_together(const Errand& errand, const Work& work) {
  const Capabilities& capabilities = errand.traits().capabilities;
  if (capabilities.multi_delete == Support::no || !xml_safe(work.key)) return false;
  // Retried by itself: a key that failed among others may be what made them fail.
  if (work.attempts > 0 || work.alone) return false;
  // Which version it is has to be found out first.
  if (capabilities.is_versioned() && !has_own_version(work)) return false;
  return condition_of(errand, work).empty() || capabilities.conditional_multi_delete == Support::yes;
}

}  // namespace

void delete_issued(Errand& errand, std::vector<Work> issued) {
  std::vector<SharedWork> together;
  for (Work& work : issued) {
    auto shared = std::make_shared<const Work>(std::move(work));
    if (may_be_foreign(*shared)) {
      if (errand.traits().capabilities.is_versioned())
        delete_versions(errand, shared, {});
      else
        delete_if_ours(errand, shared);
    } else if (issued.size() == 1 || !goes_together(errand, *shared)) {
      delete_singly(errand, shared);
    } else {
      together.push_back(std::move(shared));
    }
  }
  if (together.size() == 1) return delete_singly(errand, together.front());
  if (!together.empty()) delete_many(errand, std::move(together));
}

}  // namespace objectlink
