// The requests of remove.hpp: DeleteObjects for many, DELETE for one, and the look that proves it.

#include <memory>

#include "remove.hpp"
#include "s3_reply.hpp"
#include "upload_proof.hpp"
#include "verify.hpp"

namespace objectlink {
namespace {

using SharedWork = std::shared_ptr<const Work>;

void prove_gone(Errand& errand, const SharedWork& work, const std::string& request_id) {
  look(
      errand, work->key, work->version_id,
      [&errand, work, request_id](const Sight& sight) {
        if (sight) {
          S3Error undeleted;
          undeleted.klass = ErrorClass::transient;
          undeleted.code = "StillThere";
          undeleted.message = "the store confirmed the deletion, but the object is still there";
          undeleted.request_id = sight->request_id;
          return errand.settle_error(*work, "delete", undeleted);
        }
        Result result = result_for(*work, "delete", Outcome::gone);
        result.request_id = request_id;
        errand.settle(std::move(result));
      },
      [&errand, work](S3Error error) {
        // The deletion itself was answered: it is only the look that nobody knows the end of.
        error.outcome_unknown = false;
        errand.settle_error(*work, "delete", error);
      });
}

void delete_one(Errand& errand, const SharedWork& work) {
  errand.destroy(
      [work](S3RequestBuilder& builder, const Signing& signing) {
        return builder.delete_object(signing, work->key, work->version_id);
      },
      [&errand, work](const HttpReply& reply) {
        const auto deleted = parse_delete_object(reply);
        if (!deleted.ok()) return errand.settle_error(*work, "delete", deleted.error());
        errand.store_answered();
        prove_gone(errand, work, deleted->request_id);
      });
}

// Its content waits for an upload that was never proved, under a key that the caller chose: what lies there may be ours, from
// an upload whose reply was lost, or have been there before. Only ours is deleted.
void delete_if_ours(Errand& errand, const SharedWork& work) {
  look(
      errand, work->key, {},
      [&errand, work](const Sight& sight) {
        if (sight && compare(*sight, *work->payload, {}) == Likeness::same) return delete_one(errand, work);
        Result result = result_for(*work, "delete", Outcome::gone);
        if (sight) {
          S3Error& foreign = result.error.emplace();
          foreign.klass = ErrorClass::object;
          foreign.code = "ObjectExists";
          foreign.message = "other content is stored under this key, and was not deleted";
          result.request_id = sight->request_id;
        }
        errand.settle(std::move(result));
      },
      [&errand, work](S3Error error) {
        error.outcome_unknown = false;  // nothing was asked for but a look
        errand.settle_error(*work, "delete", error);
      });
}

void delete_many(Errand& errand, std::vector<SharedWork> batch) {
  std::vector<ObjectVersion> objects;
  for (const SharedWork& work : batch) objects.push_back({work->key, work->version_id});
  const auto shared = std::make_shared<const std::vector<ObjectVersion>>(std::move(objects));
  errand.destroy(
      [shared](S3RequestBuilder& builder, const Signing& signing) { return builder.delete_objects(signing, *shared); },
      [&errand, shared, batch = std::move(batch)](const HttpReply& reply) {
        const auto deleted = parse_delete_objects(reply, *shared);
        if (!deleted.ok()) {
          for (const SharedWork& work : batch) errand.settle_error(*work, "delete", deleted.error());
          return;
        }
        errand.store_answered();
        // One entry for each object, in their order; an error of one says nothing of the others.
        for (std::size_t i = 0; i < batch.size(); ++i) {
          const DeletedObject& object = deleted->objects[i];
          if (object.error) errand.settle_error(*batch[i], "delete", *object.error);
          else prove_gone(errand, batch[i], deleted->request_id);
        }
      });
}

}  // namespace

void delete_issued(Errand& errand, std::vector<Work> issued) {
  std::vector<SharedWork> together;
  for (Work& work : issued) {
    auto shared = std::make_shared<const Work>(std::move(work));
    if (shared->payload && shared->payload->chosen_key) {
      delete_if_ours(errand, shared);
      continue;
    }
    // Retried by itself: a key that failed among others may be what made them fail.
    if (issued.size() == 1 || shared->attempts > 0 || !xml_safe(shared->key)) delete_one(errand, shared);
    else together.push_back(std::move(shared));
  }
  if (together.size() == 1) return delete_one(errand, together.front());
  if (!together.empty()) delete_many(errand, std::move(together));
}

}  // namespace objectlink
