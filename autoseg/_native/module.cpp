// The Python module autoseg._native._core. What it computes is bound in *_bindings.cpp.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>
#include <string>

#include "dispatch.hpp"

namespace nb = nanobind;

void bind_crf(nb::module_& module);
void bind_source_op(nb::module_& module);

namespace {

int lanes(const std::string& dtype, const std::string& isa) {
    const int lanes_f32 =
        (isa.empty() ? autoseg::chosen_kernels() : autoseg::kernels_of(isa)).lanes_f32;
    if (dtype == "float32") return lanes_f32;
    if (dtype == "float64") return lanes_f32 / 2;
    throw std::invalid_argument("lanes: dtype '" + dtype + "' is neither float32 nor float64.");
}

constexpr bool kHasOpenMP =
#if defined(_OPENMP)
    true;
#else
    false;
#endif

}  // namespace

NB_MODULE(_core, module) {
    nb::set_leak_warnings(false);  // Python keeps cached objects until it exits
    module.doc() = "Compiled kernels; autoseg._native.core() loads them.";
    module.attr("interface") = 7;  // INTERFACE in __init__.py; counts changes of the functions here
    module.def(
        "isa", [] { return autoseg::chosen_kernels().isa; },
        "Name the instruction set in use: avx512, avx2 or plain.\n\n"
        "Raises:\n"
        "    ValueError: If AUTOSEG_ISA names one that is unknown or that this processor lacks.");
    module.def("present_isas", &autoseg::present_isas,
               "List the instruction sets that AUTOSEG_ISA may name here, best first.");
    module.def("lanes", &lanes, nb::arg("dtype"), nb::arg("isa") = "",
               "Count the numbers of a dtype, 'float32' or 'float64', that a vector holds.");
    module.def(
        "has_openmp", [] { return kHasOpenMP; },
        "Say whether the kernels can use several threads.");
    bind_crf(module);
    bind_source_op(module);
}
