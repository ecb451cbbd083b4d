// How is it proved that many keys are gone, without looking at each? By listing the range that they are in, for as long as a
// page proves enough of them to be cheaper than looks.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "errand.hpp"

namespace objectlink {

using SharedWork = std::shared_ptr<const Work>;

// Fewer keys than this are looked for one by one: a listing costs a store about as much as a dozen looks, and takes longer.
inline constexpr std::size_t proved_by_page_min = 32;

// Calls each of the two with every work once: `absent` for those that a listing proved to be gone, `unproved` for the others.
// versions: the bucket is versioned, and no version and no delete marker of the key must be left.
void prove_by_listing(Errand& errand, std::vector<SharedWork> batch, bool versions,
                      std::function<void(const SharedWork&)> absent, std::function<void(const SharedWork&)> unproved);

}  // namespace objectlink
