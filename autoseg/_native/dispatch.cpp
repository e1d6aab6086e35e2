#include "dispatch.hpp"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace plain {
extern const autoseg::Kernels kernels;
}
#if defined(AUTOSEG_HAS_AVX2)
namespace avx2 {
extern const autoseg::Kernels kernels;
}
#endif
#if defined(AUTOSEG_HAS_AVX512)
namespace avx512 {
extern const autoseg::Kernels kernels;
}
#endif

namespace autoseg {
namespace {

// Best first. What is asked of the processor is what CMakeLists.txt lets the compiler use.
std::vector<const Kernels*> present() {
    std::vector<const Kernels*> all;
#if defined(AUTOSEG_HAS_AVX512)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")) {
        all.push_back(&avx512::kernels);
    }
#endif
#if defined(AUTOSEG_HAS_AVX2)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        all.push_back(&avx2::kernels);
    }
#endif
    all.push_back(&plain::kernels);
    return all;
}

const Kernels& choose() {
    const char* variable = std::getenv("AUTOSEG_ISA");
    return kernels_of(variable ? variable : "");
}

}  // namespace

const Kernels& kernels_of(const std::string& forced) {
    std::string names;
    for (const Kernels* kernels : present()) {
        if (forced.empty() || forced == kernels->isa) return *kernels;
        names += (names.empty() ? "" : ", ") + std::string(kernels->isa);
    }
    const bool is_known = forced == "avx512" || forced == "avx2";
    throw std::invalid_argument("AUTOSEG_ISA='" + forced + "': " +
                                (is_known ? "this processor lacks it" : "no such instruction set") +
                                "; it may be " + names + ". Without it the best is chosen.");
}

const Kernels& chosen_kernels() {
    static const Kernels& chosen = choose();  // after a throw the next call tries again
    return chosen;
}

std::vector<std::string> present_isas() {
    std::vector<std::string> names;
    for (const Kernels* kernels : present()) names.emplace_back(kernels->isa);
    return names;
}

}  // namespace autoseg
