// How does a test write down the reply of a store?
#pragma once

#include <string>
#include <utility>

#include "http_message.hpp"

namespace objectlink {

inline HttpReply replied(long status, std::string body = {}, HttpHeaders headers = {}, std::string method = "GET") {
  HttpReply reply;
  reply.outcome = HttpReply::Outcome::replied;
  reply.status = status;
  reply.body = std::move(body);
  reply.headers = std::move(headers);
  reply.method = std::move(method);
  return reply;
}

inline HttpReply lost(HttpReply::Outcome outcome, HttpFailure failure, std::string error = "curl's words") {
  HttpReply reply;
  reply.outcome = outcome;
  reply.failure = failure;
  reply.error = std::move(error);
  return reply;
}

inline std::string error_xml(const std::string& code, const std::string& more = {}) {
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>" + code + "</Code><Message>words</Message>" + more +
         "<RequestId>tx1</RequestId></Error>";
}

}  // namespace objectlink
