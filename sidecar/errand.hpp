// What do jobs (upload, verify, remove) need from the store they run for? A way to send requests and a place for results.
// The one face through which a job sees the daemon; tests implement it with a scripted store.
#pragma once

#include <functional>
#include <string>

#include "capabilities.hpp"
#include "s3_error.hpp"
#include "transport.hpp"
#include "work.hpp"

namespace objectlink {

// What jobs have to know of the store, beside what its replies say.
struct StoreTraits {
  Capabilities capabilities;
  bool delete_all_versions = false;  // else only our own
  std::string prefix;                // all keys begin with it
  std::string bucket;
  std::string inventory_bucket;  // where its inventories are; empty: in its own
};

class Errand {
 public:
  virtual ~Errand() = default;

  virtual void send(bool mutating, Transport::Build build, Transport::Done done) = 0;

  // A request that changes nothing, with a reply so large that it is read beside the loop: `read` gets it first, in another thread,
  // and may take its body. Once for each try.
  virtual void send_and_read(Transport::Build build, Transport::Read read, Transport::Done done) = 0;

  // A request that removes something from the store: sent only within the lease of the ownership marker as well.
  virtual void destroy(Transport::Build build, Transport::Done done) = 0;

  // A piece of the content that waits to be uploaded; shorter than asked for when it is gone. Asks the database: only from
  // completions and turns of the loop, which are outside of any transaction.
  virtual std::string read_content(const std::string& key, std::int64_t offset, std::int64_t length) = 0;

  // The job's end for one object.
  virtual void settle(Result result) = 0;

  // The store answered sensibly (an object that is not there included).
  virtual void store_answered() = 0;

  // It did not, in a request that is about no object: tells the store's health.
  virtual void store_failed(const S3Error& error) = 0;

  // Turns an error that is not the object's own into a later try; one that is, into an attempt or the end.
  // Tells the store's health. `cause` as in Result.
  virtual void settle_error(const Work& work, const char* cause, const S3Error& error) = 0;

  // Has the store proved lately that the bucket exists? Otherwise the 404 of a HEAD proves nothing.
  virtual bool bucket_is_known() const = 0;

  virtual const StoreTraits& traits() const = 0;
};

}  // namespace objectlink
