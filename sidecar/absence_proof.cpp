#include "absence_proof.hpp"

#include <algorithm>
#include <utility>

#include "absence.hpp"
#include "s3_reply.hpp"
#include "s3_xml_text.hpp"

namespace objectlink {
namespace {

// Lives as long as one of its requests does.
class ListingProof : public std::enable_shared_from_this<ListingProof> {
 public:
  using Told = std::function<void(const SharedWork&)>;

  ListingProof(Errand& errand, std::vector<SharedWork> batch, bool versions, Told absent, Told unproved)
      : errand_(errand),
        batch_(std::move(batch)),
        versions_(versions),
        prefix_(errand.traits().prefix),
        absent_(std::move(absent)),
        unproved_(std::move(unproved)) {}

  void start() {
    const auto listable = [](const SharedWork& work) { return xml_safe(work->key); };
    const auto end = std::stable_partition(batch_.begin(), batch_.end(), listable);
    const std::vector<SharedWork> others(end, batch_.end());
    batch_.erase(end, batch_.end());
    std::ranges::sort(batch_, {}, [](const SharedWork& work) -> const std::string& { return work->key; });
    for (const SharedWork& work : others) unproved_(work);
    list();
  }

 private:
  void list() {
    if (batch_.size() < proved_by_page_min || errand_.traits().capabilities.list_order != Support::yes)
      return give_up();
    after_ = just_before(batch_.front()->key);
    errand_.send(
        false,
        [versions = versions_, prefix = prefix_, after = after_](S3RequestBuilder& builder, const Signing& signing) {
          if (versions) return builder.list_object_versions(signing, {.prefix = prefix, .key_marker = after});
          return builder.list_objects_v2(signing, {.prefix = prefix, .start_after = after});
        },
        [self = shared_from_this()](const HttpReply& reply) { self->read(reply); });
  }

  void read(const HttpReply& reply) {
    if (versions_) {
      const auto page = parse_list_object_versions(reply);
      if (!page.ok()) return give_up();
      return judge(key_page(page.value(), after_, prefix_));
    }
    const auto page = parse_list_objects_v2(reply);
    if (!page.ok()) return give_up();
    judge(key_page(page.value(), after_, prefix_));
  }

  void judge(const KeyPage& page) {
    errand_.store_answered();
    std::vector<std::string> keys;
    keys.reserve(batch_.size());
    for (const SharedWork& work : batch_) keys.push_back(work->key);
    const PageProof proof = prove_by_page(keys, page);
    std::vector<SharedWork> rest;
    for (const std::size_t i : proof.unproved) rest.push_back(batch_[i]);
    const std::vector<SharedWork> judged = std::exchange(batch_, std::move(rest));
    for (const std::size_t i : proof.absent) absent_(judged[i]);
    for (const std::size_t i : proof.listed) unproved_(judged[i]);
    // Each page proves so many or is the last: so there are at most as many pages as a batch has such portions.
    if (proof.absent.size() < proved_by_page_min) return give_up();
    list();
  }

  void give_up() {
    for (const SharedWork& work : std::exchange(batch_, {})) unproved_(work);
  }

  Errand& errand_;
  std::vector<SharedWork> batch_;  // not yet judged, in the order of keys
  const bool versions_;
  const std::string prefix_;
  const Told absent_;
  const Told unproved_;
  std::string after_;
};

}  // namespace

void prove_by_listing(Errand& errand, std::vector<SharedWork> batch, bool versions,
                      std::function<void(const SharedWork&)> absent, std::function<void(const SharedWork&)> unproved) {
  std::make_shared<ListingProof>(errand, std::move(batch), versions, std::move(absent), std::move(unproved))->start();
}

}  // namespace objectlink
