// How is an object deleted from a versioned bucket? There, DELETE of a key deletes nothing: so the versions of the key are
// listed, those that are ours are deleted one by one, and then must not be listed any more. Somebody's older versions stay,
// unless the store's option delete_versions says 'all'.
#pragma once

#include <string>

#include "absence_proof.hpp"

namespace objectlink {

// What has been done already.
struct VersionsBefore {
  bool recorded_deleted = false;  // the store confirmed the deletion of the recorded version
  std::string own_marker = {};    // a delete marker that we have made: the bucket was not known to be versioned
  std::string request_id = {};
};

// Deletes, proves and settles.
void delete_versions(Errand& errand, const SharedWork& work, VersionsBefore before);

// The recorded version is named by an id of its own, so that deleting it can hit nothing else.
bool has_own_version(const Work& work);

}  // namespace objectlink
