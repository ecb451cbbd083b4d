#include "verify.hpp"

#include <memory>
#include <utility>

namespace objectlink {
namespace {

// Asked after a 404 that might as well mean that there is no such bucket.
void confirm_bucket(Errand& errand, std::function<void(const Sight&)> seen,
                    std::function<void(const S3Error&)> failed) {
  errand.send(
      false, [](S3RequestBuilder& builder, const Signing& signing) { return builder.head_bucket(signing); },
      [&errand, seen = std::move(seen), failed = std::move(failed)](const HttpReply& reply) {
        const auto bucket = parse_head_bucket(reply);
        if (!bucket.ok()) return failed(bucket.error());
        errand.store_answered();
        seen(std::nullopt);
      });
}

}  // namespace

void look(Errand& errand, const std::string& key, const std::string& version_id, std::function<void(const Sight&)> seen,
          std::function<void(const S3Error&)> failed) {
  errand.send(
      false,
      [key, version_id](S3RequestBuilder& builder, const Signing& signing) {
        return builder.head_object(signing, key, version_id);
      },
      [&errand, seen = std::move(seen), failed = std::move(failed)](const HttpReply& reply) {
        const auto head = parse_head_object(reply);
        if (head.ok()) {
          errand.store_answered();
          return seen(head.value());
        }
        if (head.error().klass != ErrorClass::not_found) return failed(head.error());
        if (!errand.bucket_is_known()) return confirm_bucket(errand, seen, failed);
        errand.store_answered();
        seen(std::nullopt);
      });
}

void verify(Errand& errand, Work work) {
  const auto shared = std::make_shared<const Work>(std::move(work));
  look(
      errand, shared->key, {},
      [&errand, shared](const Sight& sight) {
        if (!sight) {
          S3Error absent;
          absent.klass = ErrorClass::not_found;
          absent.code = "NoSuchKey";
          absent.message = "the store has no such object";
          absent.status = 404;
          if (shared->attempts + 1 < shared->max_attempts) return errand.settle_error(*shared, "verify", absent);
          // Before it is given up: a bucket that was there a minute ago may have gone since.
          return confirm_bucket(
              errand, [&errand, shared, absent](const Sight&) { errand.settle_error(*shared, "verify", absent); },
              [&errand, shared](const S3Error& error) { errand.settle_error(*shared, "verify", error); });
        }
        Result result = result_for(*shared, "verify", Outcome::stored);
        result.size = sight->size;
        result.etag = sight->etag;
        result.version_id = sight->version_id;
        result.content_type = sight->content_type;
        result.request_id = sight->request_id;
        if (sight->sha256) result.sha256_hex = hex(*sight->sha256);
        errand.settle(std::move(result));
      },
      [&errand, shared](const S3Error& error) { errand.settle_error(*shared, "verify", error); });
}

}  // namespace objectlink
