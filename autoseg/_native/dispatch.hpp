// The choice of instruction set.
#pragma once

#include <string>
#include <vector>

#include "kernels.hpp"

namespace autoseg {

// The kernels of the best instruction set that this processor has, chosen at the first call. The
// environment variable AUTOSEG_ISA forces another.
//
// Throws std::invalid_argument if AUTOSEG_ISA names an instruction set that is unknown or absent.
const Kernels& chosen_kernels();

// The kernels of an instruction set, or of the best for an empty name. Throws as above.
const Kernels& kernels_of(const std::string& isa);

// Names of the instruction sets that this processor has, best first.
std::vector<std::string> present_isas();

}  // namespace autoseg
