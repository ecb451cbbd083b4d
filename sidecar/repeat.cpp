#include "repeat.hpp"

#include "blame.hpp"

namespace objectlink {

Repeat repeat_of(const HttpReply& reply, bool mutating) {
  if (reply.outcome == HttpReply::Outcome::replied && reply.status < 300) return Repeat::no;
  if (reply.failure == HttpFailure::too_late || reply.failure == HttpFailure::timeout) return Repeat::no;
  const S3Error error = classify(reply);
  if (mutating && error.outcome_unknown) return Repeat::no;
  if (weight_of(error) == ErrorWeight::counted) return Repeat::no;  // the object's own: each try is one of its attempts
  if (error.klass == ErrorClass::throttled) return Repeat::throttled;
  return error.klass == ErrorClass::transient ? Repeat::transient : Repeat::no;
}

}  // namespace objectlink
