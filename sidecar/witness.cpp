#include "witness.hpp"

#include <memory>
#include <utility>

#include "s3_reply.hpp"

namespace objectlink {
namespace {

constexpr std::string_view content = "objectlink finds out whether this store takes objects; this one may be deleted";

// Lives as long as one of its requests does.
class Witness : public std::enable_shared_from_this<Witness> {
 public:
  Witness(Errand& errand, const std::string& id, std::function<void(WorkKind)> did, std::function<void()> ended)
      : errand_(errand), key_(".objectlink/probe/" + id + "/witness"), did_(std::move(did)), ended_(std::move(ended)) {}

  void put() {
    errand_.send(
        true,
        [key = key_](S3RequestBuilder& builder, const Signing& signing) {
          PutObject put;
          put.key = key;
          put.body = std::make_shared<const std::string>(content);
          return builder.put_object(signing, put);
        },
        [self = shared_from_this()](const HttpReply& reply) {
          const auto put = parse_put_object(reply);
          if (put.ok()) {
            self->version_ = put->version_id;
            self->did_(WorkKind::upload);
          } else if (put.error().klass != ErrorClass::store) {
            return self->ended_();  // an outage: the others would only add to it
          }
          self->look();
        });
  }

 private:
  void look() {
    errand_.send(
        false,
        [key = key_](S3RequestBuilder& builder, const Signing& signing) { return builder.head_object(signing, key); },
        [self = shared_from_this()](const HttpReply& reply) {
          const auto head = parse_head_object(reply);
          if (head.ok() || head.error().klass == ErrorClass::not_found) self->did_(WorkKind::look);
          self->remove();
        });
  }

  // Also what was never put: whether that may be done is all that is asked. But in a versioned bucket it would leave a marker.
  void remove() {
    if (version_.empty() && errand_.traits().capabilities.is_versioned()) return ended_();
    errand_.send(
        true,
        [key = key_, version = version_](S3RequestBuilder& builder, const Signing& signing) {
          return builder.delete_object(signing, key, version);
        },
        [self = shared_from_this()](const HttpReply& reply) {
          if (parse_delete_object(reply).ok()) self->did_(WorkKind::removal);
          self->ended_();
        });
  }

  Errand& errand_;
  const std::string key_;
  const std::function<void(WorkKind)> did_;
  const std::function<void()> ended_;
  std::string version_;
};

}  // namespace

void ask_witness(Errand& errand, const std::string& id, std::function<void(WorkKind)> did,
                 std::function<void()> ended) {
  std::make_shared<Witness>(errand, id, std::move(did), std::move(ended))->put();
}

}  // namespace objectlink
